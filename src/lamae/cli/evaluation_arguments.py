"""Arguments that every verb of evaluation has: run, pack, label set, divisions and policies."""

import argparse
from pathlib import Path
from typing import Any

from lamae.cli.arguments import READOUTS, add_overwrite, number_list, positive_int
from lamae.cli.label_arguments import add_label_set
from lamae.errors import ConfigError

HAND_MADE = "hand-made"
"""Stands in place of a run for the classical measurements."""

MODEL_HELP = f"folder of a run, or the word {HAND_MADE} for classical measurements"

OWN_BATCH = "as in a step of pretraining, at most 64"

TOKENS = ("tokens", "encoder-tokens")
"""Read-outs of attention pooling: tokens after latent attention, or before it."""


def add_evaluation(
    parser: argparse.ArgumentParser, *, model_help: str, out: str = "RESULT", batch_size: str = OWN_BATCH
) -> None:
    """Add run, pack, label set, divisions, output and computing to a verb."""
    parser.add_argument("model", type=Path, metavar="RUN", help=model_help)
    parser.add_argument("--data", type=Path, required=True, metavar="PACK", help="pack with labels")
    parser.add_argument(
        "--labels", required=True, metavar="SET", help="label set: superclass, icd10-chapter-ix, ... (docs/labels.md)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar=out, help="folder to write")
    parser.add_argument("--system", metavar="NAME", help="name to show (default: named after the model)")
    parser.add_argument("--folds", type=number_list, help="cross-validate over these folds by patient, such as 1-9")
    parser.add_argument("--seed", type=int, help="seed of everything random but the label draw (default: 0)")
    parser.add_argument("--draws", type=positive_int, help="draws of patients for the intervals (default: 1000)")
    parser.add_argument(
        "--absent", choices=["skip", "0.5", "error"], help="labels without positives in the test set (default: skip)"
    )
    parser.add_argument(
        "--allow-leak",
        action="store_true",
        default=None,
        help="test on pretraining patients all the same; the result says so",
    )
    add_overwrite(parser)
    add_computing(parser, batch_size=batch_size)
    add_label_set(parser)


def add_computing(parser: argparse.ArgumentParser, *, batch_size: str = OWN_BATCH) -> None:
    """Add where and how a model computes; ``batch_size`` is its default, in words."""
    group = parser.add_argument_group("computing")
    group.add_argument("--device", help="auto, cpu, cuda, cuda:1, ... (default: auto, a GPU where there is one)")
    group.add_argument("--precision", choices=["fp32", "bf16"], help="default: what the run was trained in")
    group.add_argument("--batch-size", type=positive_int, help=f"studies at once (default: {batch_size})")


def computing(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return those of device, precision and batch size that were given; without them the functions' defaults hold.

    Raises:
        ConfigError: Some are given, and no model computes.
    """
    given = {name: getattr(arguments, name) for name in ("device", "precision", "batch_size")}
    given = {name: value for name, value in given.items() if value is not None}
    if given and str(getattr(arguments, "model", None)) == HAND_MADE:
        words = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ConfigError(f"{HAND_MADE} features are measured without a model: leave {words} out")
    return given


def add_token_readout(parser: argparse.ArgumentParser) -> None:
    """Add the read-out of a frozen encoder whose tokens may be pooled by attention."""
    parser.add_argument(
        "--readout",
        choices=[*READOUTS, *TOKENS],
        help="default: what the recipe names; for attention-pool the tokens after latent attention",
    )


def add_random_control(parser: argparse.ArgumentParser) -> None:
    """Add the control with random weights."""
    parser.add_argument(
        "--control", choices=["none", "random-init"], default="none", help="use the same encoder with random weights"
    )
