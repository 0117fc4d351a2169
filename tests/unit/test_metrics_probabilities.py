"""F1, Brier score and thresholds against scikit-learn, by hand, and on labels that nobody has."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, roc_auc_score

from lamae.errors import DataError
from lamae.metrics import auroc, average_precision, best_f1_thresholds, brier, f1


def probabilities(seed: int, decimals: int = 15) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return targets, probabilities and weights of 1009 rows and 7 labels."""
    rng = np.random.default_rng(seed)
    targets = (rng.random((1009, 7)) < np.linspace(0.01, 0.95, 7)).astype(float)
    scores = 1 / (1 + np.exp(-(rng.normal(size=(1009, 7)) + targets - 0.5)))
    return targets, np.round(scores, decimals), rng.exponential(size=1009)


def test_f1_and_brier_by_hand():
    # Called at 0.5: rows 0 (a positive), 2 (a negative, exactly at the threshold). Missed: row 1. F1 = 2 / (2 + 1 + 1).
    targets, scores = np.array([1, 1, 0, 0, np.nan]), np.array([0.9, 0.2, 0.5, 0.1, 0.8])
    assert f1(targets, scores) == 0.5
    assert f1(targets, scores, thresholds=0.2) == 2 * 2 / (2 * 2 + 1)
    assert brier(targets, scores) == pytest.approx((0.01 + 0.64 + 0.25 + 0.01) / 4)


@pytest.mark.parametrize("decimals", [1, 2, 15])
@pytest.mark.parametrize("weighted", [False, True])
def test_equal_to_scikit_learn(decimals: int, weighted: bool):
    targets, scores, drawn = probabilities(3, decimals)
    weights = drawn if weighted else None
    kept = {"sample_weight": weights}
    thresholds = np.linspace(0.3, 0.7, 7)
    for ours, theirs in (
        (f1(targets, scores, thresholds=thresholds, weights=weights), lambda y, p, t: f1_score(y, p >= t, **kept)),
        (brier(targets, scores, weights=weights), lambda y, p, t: brier_score_loss(y, p, **kept)),
        (auroc(targets, scores, weights=weights), lambda y, p, t: roc_auc_score(y, p, **kept)),
        (average_precision(targets, scores, weights=weights), lambda y, p, t: average_precision_score(y, p, **kept)),
    ):
        expected = [theirs(targets[:, k], scores[:, k], thresholds[k]) for k in range(7)]
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-9)


def test_unknown_targets_leave_the_row_out_of_that_label_only():
    targets, scores, _ = probabilities(5)
    unknown = np.random.default_rng(7).random(targets.shape) < 0.3
    with_gaps = np.where(unknown, np.nan, targets)
    for k in range(7):
        rows = ~unknown[:, k]
        assert f1(with_gaps, scores)[k] == pytest.approx(f1_score(targets[rows, k], scores[rows, k] >= 0.5))
        assert brier(with_gaps, scores)[k] == pytest.approx(brier_score_loss(targets[rows, k], scores[rows, k]))


def test_thresholds_for_each_row():
    targets, scores = np.array([1.0, 0, 1, 0]), np.array([0.1, 0.1, 0.9, 0.9])
    thresholds = np.array([0.05, 0.2, 0.95, 0.95])
    assert f1(targets, scores, thresholds=thresholds) == 2 / (2 + 1)


def test_labels_without_positives_or_known_targets():
    targets = np.array([[0, 1, np.nan], [0, 1, np.nan]])
    scores = np.array([[0.2, 0.9, 0.3], [0.6, 0.1, 0.3]])
    np.testing.assert_array_equal(f1(targets, scores), [np.nan, 2 / 3, np.nan])
    np.testing.assert_allclose(brier(targets, scores), [(0.04 + 0.36) / 2, (0.01 + 0.81) / 2, np.nan])


@pytest.mark.parametrize("decimals", [1, 15])
def test_thresholds_reach_the_greatest_f1_that_any_threshold_has(decimals: int):
    targets, scores, weights = probabilities(11, decimals)
    targets[::9, 3] = np.nan
    chosen = best_f1_thresholds(targets, scores, weights=weights)
    reached = f1(targets, scores, thresholds=chosen, weights=weights)
    for cut in np.unique(scores[:, ::3]):
        assert (f1(targets, scores, thresholds=cut, weights=weights) <= reached + 1e-12).all()
    rounded = f1(targets, scores.astype(np.float32).astype(float), thresholds=chosen, weights=weights)
    np.testing.assert_allclose(rounded, reached, atol=1e-12)


def test_the_highest_of_equally_good_thresholds_is_taken_half_way():
    # One of {0.8} called: F1 2 / (2 + 1) = 2/3; all of {0.8, 0.6, 0.4, 0.2}: F1 4 / (4 + 2) = 2/3.
    targets, scores = np.array([1.0, 0, 0, 1]), np.array([0.8, 0.6, 0.4, 0.2])
    assert best_f1_thresholds(targets, scores) == pytest.approx(0.7)
    # Only calling all is best: half of the lowest score.
    assert best_f1_thresholds(np.array([0.0, 1, 1]), np.array([0.8, 0.6, 0.4])) == pytest.approx(0.2)


def test_one_class_alone_gets_the_default():
    targets = np.array([[0, 1, np.nan, 1], [0, 1, 1, 0]])
    scores = np.array([[0.2, 0.9, 0.3, 0.9], [0.6, 0.1, 0.3, 0.1]])
    np.testing.assert_allclose(best_f1_thresholds(targets, scores), [0.5, 0.5, 0.5, 0.5])
    np.testing.assert_allclose(best_f1_thresholds(targets, scores, default=0.3), [0.3, 0.3, 0.3, 0.5])


def test_bad_input_is_refused():
    targets, scores = np.array([0.0, 1.0, 1.0]), np.array([0.2, 0.4, 0.9])
    with pytest.raises(DataError, match=r"1 scores are no probabilities, for example 1\.5"):
        brier(targets, np.array([0.2, 1.5, 0.9]))
    with pytest.raises(DataError, match=r"thresholds must be one number, .labels. or .rows, labels. = \(3, 1\)"):
        f1(targets[:, None], scores[:, None], thresholds=np.zeros(2))
    with pytest.raises(DataError, match="a threshold is NaN"):
        f1(targets, scores, thresholds=float("nan"))
    with pytest.raises(DataError, match=r"3 rows but weights of shape \(2,\)"):
        f1(targets, scores, weights=np.ones(2))
    with pytest.raises(DataError, match="weights must be finite and not negative"):
        auroc(targets, scores, weights=np.array([1.0, -1.0, 1.0]))
    with pytest.raises(DataError, match=r"must be 0, 1 or NaN .unknown., found 2"):
        best_f1_thresholds(np.array([0.0, 2.0, 1.0]), scores)
