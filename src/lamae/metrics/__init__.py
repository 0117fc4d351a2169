"""Metrics of predictions, their intervals, and tests of the difference of two systems (numpy and scipy only)."""

from lamae.metrics.bootstrap import BootstrapResult, Interval, metric_draws, paired_patient_bootstrap, patient_bootstrap
from lamae.metrics.calibration import (
    Recalibration,
    ReliabilityBins,
    expected_calibration_error,
    recalibrate,
    reliability_bins,
)
from lamae.metrics.multiplicity import holm
from lamae.metrics.permutation import PermutationResult, permutation_test
from lamae.metrics.power import smallest_detectable
from lamae.metrics.probabilities import brier, f1, sigmoid
from lamae.metrics.ranking import AbsentPolicy, auroc, average_precision, macro
from lamae.metrics.regression import mean_absolute_error, r_squared
from lamae.metrics.seeds import (
    CombinedDifference,
    CombinedResult,
    PairedSeeds,
    combine,
    combined_difference,
    paired_seeds,
)
from lamae.metrics.thresholds import best_f1_thresholds
from lamae.metrics.weighted_sums import Kind

__all__ = [
    "AbsentPolicy",
    "BootstrapResult",
    "CombinedDifference",
    "CombinedResult",
    "Interval",
    "Kind",
    "PairedSeeds",
    "PermutationResult",
    "Recalibration",
    "ReliabilityBins",
    "auroc",
    "average_precision",
    "best_f1_thresholds",
    "brier",
    "combine",
    "combined_difference",
    "expected_calibration_error",
    "f1",
    "holm",
    "macro",
    "mean_absolute_error",
    "metric_draws",
    "paired_patient_bootstrap",
    "paired_seeds",
    "patient_bootstrap",
    "permutation_test",
    "r_squared",
    "recalibrate",
    "reliability_bins",
    "sigmoid",
    "smallest_detectable",
]
