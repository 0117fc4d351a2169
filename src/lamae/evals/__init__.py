"""Adapt and judge: frozen probes, fine-tuning, controls, embeddings, results with intervals over patients."""

from lamae.evals.classifier import StudyClassifier, load_classifier
from lamae.evals.embed import EmbedSummary, embed
from lamae.evals.features import FeatureTable, extract
from lamae.evals.finetune import finetune
from lamae.evals.handmade import handmade
from lamae.evals.label_efficiency import label_efficiency
from lamae.evals.probe import probe
from lamae.evals.reconstruct import reconstruct, write_reconstruction
from lamae.evals.robustness import robustness
from lamae.evals.settings import EvalSettings, FinetuneConfig
from lamae.results import Evaluation, paired_difference, read_result, write_result

__all__ = [
    "EmbedSummary",
    "EvalSettings",
    "Evaluation",
    "FeatureTable",
    "FinetuneConfig",
    "StudyClassifier",
    "embed",
    "extract",
    "finetune",
    "handmade",
    "label_efficiency",
    "load_classifier",
    "paired_difference",
    "probe",
    "read_result",
    "reconstruct",
    "robustness",
    "write_reconstruction",
    "write_result",
]
