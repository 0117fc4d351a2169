"""Calibration of probabilities: bins of a reliability curve, calibration error, logistic recalibration."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lamae.metrics.probabilities import check_probabilities
from lamae.metrics.ranking import check_binary, check_predictions, check_weights

Bins = Literal["uniform", "quantile"]

NUM_BINS = 15
"""Bins of equal width from 0 to 1, as in Guo et al. 2017, "On calibration of modern neural networks"."""

_LEAST_PROBABILITY = 1e-9
_STEPS = 100
_ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True)
class ReliabilityBins:
    """One label's rows in bins of their probability; bins without rows are left out.

    Attributes:
        weight: ``[bins]`` number of rows, or the sum of their weights.
        probability: ``[bins]`` mean probability of the rows.
        frequency: ``[bins]`` fraction of positives among the rows.
    """

    weight: np.ndarray
    probability: np.ndarray
    frequency: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error, the mean gap between probability and frequency; NaN without rows."""
        if not len(self.weight):
            return float("nan")
        return float(np.average(np.abs(self.probability - self.frequency), weights=self.weight))


@dataclass(frozen=True, kw_only=True)
class Recalibration:
    """Logistic recalibration of each label: logit P(positive) = intercept + slope * logit(probability) (Cox 1958).

    Attributes:
        slope: ``[labels]``; 1 is ideal, below 1 the probabilities are too extreme.
        intercept: ``[labels]`` that goes with this slope; 0 is ideal.
        in_the_large: ``[labels]`` intercept when the slope is held at 1: above 0 the probabilities are too low overall.

    NaN where a value has no finite estimate: one class is missing, all probabilities are the same (no slope), or one
    threshold separates the classes (no slope either).
    """

    slope: np.ndarray
    intercept: np.ndarray
    in_the_large: np.ndarray


def reliability_bins(
    targets: np.ndarray,
    scores: np.ndarray,
    *,
    bins: int = NUM_BINS,
    strategy: Bins = "uniform",
    weights: np.ndarray | None = None,
) -> tuple[ReliabilityBins, ...]:
    """Return the bins of a reliability curve for each label.

    Args:
        targets: ``[rows]`` or ``[rows, labels]`` of 0, 1 or NaN; NaN is unknown and leaves the row out of that label.
        scores: The same shape, probabilities.
        bins: Number of bins.
        strategy: ``"uniform"`` for bins of equal width; ``"quantile"`` for as many rows in each, which says more about
            rare labels, whose probabilities nearly all lie in the first bin of equal width. A probability on an edge
            belongs to the bin below, as in scikit-learn's ``calibration_curve``.
        weights: ``[rows]``, how much each row counts (not for the quantiles); None for 1 each.

    Raises:
        DataError: Shapes differ, a target is not 0, 1 or NaN, or a score is no probability.
    """
    targets, scores, weights = _checked(targets, scores, weights)
    if bins < 1:
        raise ValueError(f"bins must be above 0, found {bins}")
    return tuple(_binned(targets[:, k], scores[:, k], weights, bins, strategy) for k in range(targets.shape[1]))


def expected_calibration_error(
    targets: np.ndarray,
    scores: np.ndarray,
    *,
    bins: int = NUM_BINS,
    strategy: Bins = "uniform",
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Return the mean over rows of the gap between mean probability and frequency of their bin (Naeini et al. 2015).

    It depends on the bins, and is above 0 by chance alone even for perfect probabilities, the more so with few rows.

    Arguments and errors as in `reliability_bins`; a scalar array or ``[labels]``, NaN without a known target.
    """
    found = reliability_bins(targets, scores, bins=bins, strategy=strategy, weights=weights)
    errors = np.array([one.error for one in found])
    return errors[0] if np.ndim(targets) == 1 else errors


def recalibrate(targets: np.ndarray, scores: np.ndarray, *, weights: np.ndarray | None = None) -> Recalibration:
    """Return slope and intercepts of the logistic recalibration of each label, by maximum likelihood.

    Probabilities are held 1e-9 away from 0 and 1, where their logit is infinite.

    Arguments and errors as in `reliability_bins`; every value is ``[labels]``, one for targets of ``[rows]``.
    """
    targets, scores, weights = _checked(targets, scores, weights)
    inside = np.clip(scores, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    logits = np.log(inside) - np.log1p(-inside)
    columns = []
    for label in range(targets.shape[1]):
        known = ~np.isnan(targets[:, label]) & (weights > 0)
        columns.append(_recalibrate_label(targets[known, label], logits[known, label], weights[known]))
    slope, intercept, in_the_large = np.array(columns).reshape(-1, 3).T
    return Recalibration(slope=slope, intercept=intercept, in_the_large=in_the_large)


def _checked(
    targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    targets, scores = check_predictions(targets, scores)
    check_binary(targets)
    check_probabilities(scores)
    return targets, scores, check_weights(weights, len(targets))


def _binned(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray, bins: int, strategy: Bins) -> ReliabilityBins:
    known = ~np.isnan(targets)
    targets, scores, weights = targets[known], scores[known], weights[known]
    edges = np.linspace(0, 1, bins + 1)
    if strategy == "quantile" and len(scores):
        edges = np.quantile(scores, edges)
    bin_of = np.searchsorted(edges[1:-1], scores)
    total, probability, positives = (
        np.bincount(bin_of, weights=each, minlength=bins) for each in (weights, weights * scores, weights * targets)
    )
    used = total > 0
    return ReliabilityBins(
        weight=total[used], probability=probability[used] / total[used], frequency=positives[used] / total[used]
    )


def _recalibrate_label(targets: np.ndarray, logits: np.ndarray, weights: np.ndarray) -> tuple[float, float, float]:
    positive, negative = logits[targets == 1], logits[targets == 0]
    if not len(positive) or not len(negative):
        return float("nan"), float("nan"), float("nan")
    ones = np.ones((len(targets), 1))
    in_the_large = _fit(targets, ones, weights, offset=logits)[0]
    if positive.min() >= negative.max() or negative.min() >= positive.max():
        return float("nan"), float("nan"), in_the_large
    # Centred and scaled, so that Newton's steps are well conditioned, and turned back afterwards.
    centre, spread = logits.mean(), logits.std()
    level, slope = _fit(targets, np.hstack([ones, (logits - centre)[:, None] / spread]), weights)
    return slope / spread, level - slope * centre / spread, in_the_large


def _fit(targets: np.ndarray, design: np.ndarray, weights: np.ndarray, offset: np.ndarray | float = 0.0) -> np.ndarray:
    """Fit a logistic regression without penalty by Newton's method, halving steps that do not help."""

    def loss(values: np.ndarray) -> float:
        logits = design @ values + offset
        return float(weights @ (np.logaddexp(0, logits) - targets * logits))

    values = np.zeros(design.shape[1])
    reached = loss(values)
    for _ in range(_STEPS):
        probability = 0.5 * (1 + np.tanh(0.5 * (design @ values + offset)))
        gradient = design.T @ (weights * (probability - targets))
        curvature = (design.T * (weights * probability * (1 - probability))) @ design
        step = np.linalg.solve(curvature + 1e-12 * np.eye(len(values)), gradient)
        factor = 1.0
        while (tried := loss(values - factor * step)) > reached + _ROUNDING * reached and factor > 1e-10:
            factor /= 2
        values, reached = values - factor * step, min(tried, reached)
        if np.abs(factor * step).max() < 1e-13 * (1 + np.abs(values).max()):
            break
    return values
