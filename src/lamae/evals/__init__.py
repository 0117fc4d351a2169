"""Adapt and judge: frozen probes, fine-tuning, controls, embeddings, results with intervals over patients."""

from lamae.evals.embed import EmbedSummary, embed
from lamae.evals.finetuning.classifier import StudyClassifier, load_classifier
from lamae.evals.finetuning.finetune import finetune
from lamae.evals.probes.features import FeatureTable, extract
from lamae.evals.probes.handmade import handmade
from lamae.evals.probes.probe import probe
from lamae.evals.reconstruct import reconstruct, write_reconstruction
from lamae.evals.settings import EvalSettings, FinetuneConfig
from lamae.evals.sweeps.label_efficiency import label_efficiency
from lamae.evals.sweeps.robustness import robustness
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
