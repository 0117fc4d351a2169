"""RESULT folders: what they hold, reading and writing them, and pairing two of them (numpy and pyarrow only)."""

from lamae.results.evaluation import Evaluation
from lamae.results.folder import read_info, read_result, write_result
from lamae.results.identity import caveats, grouped, is_pretrained, is_random_control, leak_words, task_of
from lamae.results.pairing import aligned, paired_bootstrap, paired_difference, restricted

__all__ = [
    "Evaluation",
    "aligned",
    "caveats",
    "grouped",
    "is_pretrained",
    "is_random_control",
    "leak_words",
    "paired_bootstrap",
    "paired_difference",
    "read_info",
    "read_result",
    "restricted",
    "task_of",
    "write_result",
]
