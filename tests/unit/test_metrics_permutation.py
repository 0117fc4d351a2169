"""The permutation test: against swapping by hand, its size under the null hypothesis, and pairs of seeds."""

import numpy as np
import pytest
from scipy.stats import rankdata

from lamae.errors import DataError
from lamae.metrics import auroc, average_precision, brier, f1, permutation, permutation_test


def two_systems(
    seed: int, *, better: float = 0.0, by_patient: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return targets, probabilities of two systems that are exchangeable unless one is better, and patients."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(31), rng.integers(1, 6, size=31))
    num = len(patients)
    targets = (rng.random((num, 2)) < np.array([0.5, 0.3])).astype(float)
    if by_patient:  # a disease that a patient has in every recording
        targets = targets[np.searchsorted(patients, patients)]
    shared = targets + rng.normal(size=(31, 2))[patients]
    a, b = (shared + rng.normal(size=(31, 2))[patients] + rng.normal(size=(num, 2)) for _ in range(2))
    a = a + better * (2 * targets - 1)
    return targets, 1 / (1 + np.exp(-a)), 1 / (1 + np.exp(-b)), patients


def ranks(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    known = ~np.isnan(targets)
    found = np.zeros(targets.shape)
    for label in range(targets.shape[1]):
        found[known[:, label], label] = rankdata(scores[known[:, label], label])
    return found


def by_hand(targets, a, b, patients, number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Swap rows in place, one permutation after another: ``[metrics, labels]`` and ``[number, metrics, labels]``."""
    generator = np.random.default_rng(seed)
    unique = list(dict.fromkeys(patients))  # as they appear
    codes = np.array([unique.index(patient) for patient in patients])

    def metrics(rank, probability):
        return np.stack(
            [
                auroc(targets, rank),
                average_precision(targets, rank),
                f1(targets, probability),
                brier(targets, probability),
            ]
        )

    rank_a, rank_b = ranks(targets, a), ranks(targets, b)
    found = []
    for stays in permutation._swaps(generator, codes.max() + 1, number).T:
        keep = stays[codes][:, None] == 1
        first = metrics(np.where(keep, rank_a, rank_b), np.where(keep, a, b))
        found.append(first - metrics(np.where(keep, rank_b, rank_a), np.where(keep, b, a)))
    return metrics(a, a) - metrics(b, b), np.stack(found)


def test_p_values_equal_swapping_by_hand():
    targets, a, b, patients = two_systems(3, better=0.3)
    targets[::7, 1] = np.nan
    observed, permuted = by_hand(targets, a, b, patients, 61, seed=5)
    result = permutation_test(targets, a, b, patients, kind="probabilities", permutations=61, seed=5)
    per_label = (1 + (np.abs(permuted) >= np.abs(observed) - 1e-12).sum(axis=0)) / 62
    at_macro = np.abs(permuted.mean(axis=2)) >= np.abs(observed.mean(axis=1)) - 1e-12
    for m, name in enumerate(("auroc", "auprc", "f1", "brier")):
        np.testing.assert_allclose(result.difference_per_label[name], observed[m], atol=1e-12)
        np.testing.assert_allclose(result.p_per_label[name], per_label[m], atol=1e-12)
        assert result.difference[name] == pytest.approx(observed[m].mean())
        assert result.p_macro[name] == pytest.approx((1 + at_macro[:, m].sum()) / 62)


def test_only_the_ranks_of_a_system_matter_to_auroc():
    targets, a, b, patients = two_systems(5, better=0.5)
    first = permutation_test(targets, a, b, patients, permutations=199)
    stretched = permutation_test(targets, a, 100 + 7 * b**3, patients, permutations=199)
    assert stretched.p_macro == first.p_macro
    np.testing.assert_array_equal(stretched.p_per_label["auroc"], first.p_per_label["auroc"])


def test_a_better_system_is_found_and_one_against_itself_never():
    targets, a, b, patients = two_systems(7, better=2.0)
    found = permutation_test(targets, a, b, patients, permutations=499)
    assert found.p_macro["auroc"] == found.smallest_p == 1 / 500
    assert found.difference["auroc"] > 0
    assert found.num_patients == 31
    assert permutation_test(targets, b, a, patients, permutations=499).p_macro == found.p_macro
    same = permutation_test(targets, a, 3 * a, patients, permutations=99)
    assert same.p_macro == {"auroc": 1.0, "auprc": 1.0}


@pytest.mark.slow
def test_false_calls_at_five_percent_by_patient_but_not_by_record():
    calls = {"patient": 0, "record": 0}
    for seed in range(400):
        targets, a, b, patients = two_systems(seed, by_patient=True)
        for unit, groups in (("patient", patients), ("record", np.arange(len(patients)))):
            p_value = permutation_test(targets, a, b, groups, permutations=99, seed=seed).p_macro["auroc"]
            calls[unit] += p_value <= 0.05
    assert 0.02 < calls["patient"] / 400 < 0.085  # 0.05 with a standard error of 0.011
    assert calls["record"] / 400 > 0.1


def test_pairs_of_seeds_are_swapped_together():
    targets, a, b, patients = two_systems(11, better=0.4)
    alone = permutation_test(targets, a, b, patients, permutations=99)
    copied = permutation_test(targets, [a, a, a], [b, b, b], patients, permutations=99)
    assert copied.p_macro == alone.p_macro
    other = two_systems(11, better=0.1)
    both = permutation_test(targets, [a, other[1]], [b, other[2]], patients, permutations=99)
    each = [permutation_test(targets, *pair, patients, permutations=9) for pair in ((a, b), other[1:3])]
    assert both.difference["auroc"] == pytest.approx(np.mean([one.difference["auroc"] for one in each]))


def test_values_of_a_regression():
    rng = np.random.default_rng(13)
    targets, patients = rng.normal(55, 10, size=113), rng.integers(29, size=113)
    near, far = targets + rng.normal(size=113), targets + rng.normal(scale=3, size=113)
    found = permutation_test(targets, near, far, patients, kind="regression", permutations=99)
    assert found.p_macro["mae"] == 0.01
    assert found.difference["mae"] < 0 < found.difference["r2"]


def test_policies_for_a_label_without_positives():
    targets, a, b, patients = two_systems(17, better=0.4)
    with_absent = np.column_stack([targets, np.zeros(len(targets))])
    a3, b3 = (np.column_stack([one, one[:, 0]]) for one in (a, b))
    plain = permutation_test(targets, a, b, patients, permutations=99)
    skipped = permutation_test(with_absent, a3, b3, patients, permutations=99)
    assert skipped.p_macro == plain.p_macro
    assert skipped.absent_labels == (2,)
    assert np.isnan(skipped.p_per_label["auroc"][2])
    counted = permutation_test(with_absent, a3, b3, patients, permutations=99, absent="0.5")
    assert counted.difference["auroc"] == pytest.approx(plain.difference["auroc"] * 2 / 3)
    assert counted.p_macro == plain.p_macro
    with pytest.raises(DataError, match=r"1 of 3 labels .positions 2. have no positives or no negatives"):
        permutation_test(with_absent, a3, b3, patients, permutations=9, absent="error")


def test_bad_input_is_refused():
    targets, a, b, patients = two_systems(19)
    with pytest.raises(DataError, match="2 score tables of a and 1 of b: a comparison over seeds needs pairs"):
        permutation_test(targets, [a, a], b, patients)
    with pytest.raises(DataError, match="1 score tables but 2 thresholds"):
        permutation_test(targets, a, b, patients, kind="probabilities", thresholds_a=[0.3, 0.4])
    with pytest.raises(DataError, match="scores are no probabilities"):
        permutation_test(targets, 2 * a, b, patients, kind="probabilities")
    with pytest.raises(ValueError, match="permutations must be above 0, found 0"):
        permutation_test(targets, a, b, patients, permutations=0)
