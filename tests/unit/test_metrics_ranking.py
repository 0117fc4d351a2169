"""AUROC and average precision against scikit-learn, by hand, and on labels that nobody has."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from lamae.errors import DataError
from lamae.metrics import auroc, average_precision, macro


def test_auroc_with_ties_by_hand():
    # Positives score 3 and 1; negatives 2, 1 and 0. Of the six pairs, 3 wins all three; 1 loses to 2, ties with 1 (a
    # half) and wins against 0: (3 + 1.5) / 6.
    targets = np.array([1, 1, 0, 0, 0])
    scores = np.array([3.0, 1.0, 2.0, 1.0, 0.0])
    assert auroc(targets, scores) == 4.5 / 6
    # At threshold 3 precision is 1/1 for half of the positives; at threshold 1, where one negative ties, it is 2/4.
    assert average_precision(targets, scores) == 0.5 * 1 + 0.5 * 2 / 4


@pytest.mark.parametrize("decimals", [0, 1, 15])
def test_equal_to_scikit_learn(decimals: int):
    rng = np.random.default_rng(3)
    targets = (rng.random((1009, 7)) < np.linspace(0.01, 0.95, 7)).astype(float)
    scores = np.round(rng.normal(size=(1009, 7)) + targets, decimals)
    expected_auroc = [roc_auc_score(targets[:, label], scores[:, label]) for label in range(7)]
    expected_precision = [average_precision_score(targets[:, label], scores[:, label]) for label in range(7)]
    np.testing.assert_allclose(auroc(targets, scores), expected_auroc, rtol=0, atol=1e-9)
    np.testing.assert_allclose(average_precision(targets, scores), expected_precision, rtol=0, atol=1e-9)


def test_unknown_targets_leave_the_row_out_of_that_label_only():
    rng = np.random.default_rng(5)
    targets = (rng.random((211, 3)) < 0.3).astype(float)
    scores = rng.normal(size=(211, 3))
    unknown = rng.random((211, 3)) < 0.2
    known_auroc = [roc_auc_score(targets[~unknown[:, k], k], scores[~unknown[:, k], k]) for k in range(3)]
    np.testing.assert_allclose(auroc(np.where(unknown, np.nan, targets), scores), known_auroc, atol=1e-12)


def test_constant_scores_are_chance_and_separated_scores_are_perfect():
    targets = np.array([0.0, 1.0, 0.0, 1.0, 1.0])
    assert auroc(targets, np.zeros(5)) == 0.5
    assert average_precision(targets, np.zeros(5)) == 0.6
    assert auroc(targets, targets) == 1.0
    assert auroc(targets, -targets) == 0.0


def test_policies_for_a_label_without_positives():
    values = auroc(np.array([[0, 1], [0, 0], [0, 1]]), np.array([[0.1, 0.9], [0.2, 0.2], [0.3, 0.8]]))
    assert np.isnan(values[0])
    assert values[1] == 1.0
    assert macro(values) == 1.0
    assert macro(values, absent="0.5") == 0.75
    with pytest.raises(DataError, match="1 of 2 labels have no positives or no negatives"):
        macro(values, absent="error")
    with pytest.raises(DataError, match="1 of 1 labels have no positives"):
        macro(values[:1])


@pytest.mark.parametrize("value", [0.5, 2.0, -1.0])
def test_targets_other_than_zero_and_one_are_refused(value: float):
    with pytest.raises(DataError, match=f"must be 0, 1 or NaN .unknown., found {value:g}"):
        auroc(np.array([0.0, 1.0, value]), np.zeros(3))


def test_wrong_shapes_and_non_finite_scores_are_refused():
    with pytest.raises(DataError, match=r"found \(3,\) and \(2,\)"):
        auroc(np.zeros(3), np.zeros(2))
    with pytest.raises(DataError, match="1 scores are not finite"):
        auroc(np.array([0.0, 1.0]), np.array([0.0, np.nan]))
