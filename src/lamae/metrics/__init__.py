"""How good predictions are: ranking and regression metrics with intervals by resampling patients (numpy only)."""

from lamae.metrics.bootstrap import BootstrapResult, Interval, paired_patient_bootstrap, patient_bootstrap
from lamae.metrics.ranking import AbsentPolicy, auroc, average_precision, macro
from lamae.metrics.regression import mean_absolute_error, r_squared

__all__ = [
    "AbsentPolicy",
    "BootstrapResult",
    "Interval",
    "auroc",
    "average_precision",
    "macro",
    "mean_absolute_error",
    "paired_patient_bootstrap",
    "patient_bootstrap",
    "r_squared",
]
