"""Calibration against scikit-learn, by hand, and where nothing can be estimated."""

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from lamae.errors import DataError
from lamae.metrics import expected_calibration_error, recalibrate, reliability_bins


def simulated(seed: int, num_rows: int = 2003) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return targets and probabilities whose logits are twice as far out as they should be, less 0.7; and the truth."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=1.3, size=(num_rows, 3)) - np.array([0.0, 1.0, 3.0])
    true = 1 / (1 + np.exp(-logits))
    targets = (rng.random((num_rows, 3)) < true).astype(float)
    return targets, 1 / (1 + np.exp(-(2 * logits - 0.7))), true


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
@pytest.mark.parametrize("decimals", [1, 15])
def test_bins_equal_scikit_learn(strategy: Any, decimals: int):
    targets, scores, _ = simulated(3)
    scores = np.round(scores, decimals)
    for label, bins in enumerate(reliability_bins(targets, scores, bins=7, strategy=strategy)):
        frequency, probability = calibration_curve(targets[:, label], scores[:, label], n_bins=7, strategy=strategy)
        np.testing.assert_allclose(bins.frequency, frequency, atol=1e-12)
        np.testing.assert_allclose(bins.probability, probability, atol=1e-12)
        assert bins.weight.sum() == len(targets)


def test_calibration_error_by_hand():
    # Two bins. Below 0.5: probabilities 0.1 and 0.3, no positive, gap 0.2. Above: 0.7, 0.8, 0.9, two of three, 0.1333.
    targets, scores = np.array([0.0, 0, 1, 1, 0, np.nan]), np.array([0.1, 0.3, 0.7, 0.8, 0.9, 0.5])
    error = expected_calibration_error(targets, scores, bins=2)
    assert error == pytest.approx((2 * 0.2 + 3 * (0.8 - 2 / 3)) / 5)
    doubled = expected_calibration_error(np.tile(targets, 2), np.tile(scores, 2), bins=2)
    weighted = expected_calibration_error(targets, scores, bins=2, weights=np.full(6, 2.0))
    assert doubled == pytest.approx(error)
    assert weighted == pytest.approx(error)
    assert np.isnan(expected_calibration_error(np.full(2, np.nan), np.zeros(2)))


def test_true_probabilities_are_better_calibrated():
    targets, scores, true = simulated(5)
    assert (expected_calibration_error(targets, true) < expected_calibration_error(targets, scores) / 2).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_recalibration_equals_logistic_regression_without_penalty(weighted: bool):
    targets, scores, _ = simulated(7)
    weights = np.random.default_rng(1).exponential(size=len(targets)) if weighted else None
    found = recalibrate(targets, scores, weights=weights)
    logits = np.log(scores) - np.log1p(-scores)
    for label in range(3):
        model = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000, solver="newton-cholesky")
        model.fit(logits[:, [label]], targets[:, label], sample_weight=weights)
        assert found.slope[label] == pytest.approx(model.coef_[0, 0], abs=1e-9)
        assert found.intercept[label] == pytest.approx(model.intercept_[0], abs=1e-9)
        # Maximum likelihood: the probabilities of the held slope add up to the positives.
        at_slope_one = 1 / (1 + np.exp(-(logits[:, label] + found.in_the_large[label])))
        assert np.average(at_slope_one - targets[:, label], weights=weights) == pytest.approx(0, abs=1e-10)


def test_recalibration_undoes_what_was_done():
    targets, scores, true = simulated(9, num_rows=40_009)
    found = recalibrate(targets, scores)
    np.testing.assert_allclose(found.slope, 0.5, atol=0.05)
    np.testing.assert_allclose(found.intercept, 0.35, atol=0.15)
    ideal = recalibrate(targets, true)
    np.testing.assert_allclose(ideal.slope, 1, atol=0.08)
    np.testing.assert_allclose(ideal.in_the_large, 0, atol=0.1)


def test_what_has_no_finite_estimate_is_nan():
    targets = np.array([[0, 0, 1, 1, 0], [0, 0, 0, 1, 1], [0, 1, 1, 1, 0], [1, 1, 0, 1, np.nan]], dtype=float)
    scores = np.array(
        [[0.1, 0.2, 0.9, 0.3, 0.4], [0.2, 0.3, 0.1, 0.8, 0.4], [0.3, 0.8, 0.5, 0.1, 0.4], [0.9, 0.9, 0.2, 0.2, 0.1]]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = recalibrate(targets, scores)
    assert np.isnan(found.slope).all()  # separated three times, positives only, all probabilities the same
    np.testing.assert_array_equal(np.isnan(found.in_the_large), [False, False, False, True, False])
    certain = recalibrate(np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0, 0.0]))
    assert certain.slope[0] == pytest.approx(0, abs=1e-9)


def test_bad_input_is_refused():
    with pytest.raises(DataError, match="2 scores are no probabilities"):
        recalibrate(np.array([0.0, 1.0]), np.array([-1.0, 3.0]))
    with pytest.raises(ValueError, match="bins must be above 0, found 0"):
        reliability_bins(np.array([0.0, 1.0]), np.array([0.1, 0.3]), bins=0)
