"""DeLong's variance, plain, paired and by patient, against the formulas written out pair by pair."""

import numpy as np
import pytest
from scipy.stats import norm

from delong import delong, paired_delong
from lamae.errors import DataError
from lamae.metrics import auroc


def clustered(seed: int, decimals: int = 15) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return targets (both classes within patients), the scores of two systems, and patients."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(37), rng.integers(1, 8, size=37))
    own = rng.normal(size=37)[patients]
    targets = (rng.random(len(patients)) < np.where(own > 0, 0.6, 0.2)).astype(float)
    a, b = (targets + own + rng.normal(size=len(patients)) for _ in range(2))
    return targets, np.round(a, decimals), np.round(b, decimals), patients


def components(targets: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The structural components, one comparison of a positive and a negative after another."""
    wins = [[(x > y) + 0.5 * (x == y) for y in scores[targets == 0]] for x in scores[targets == 1]]
    return np.mean(wins, axis=1), np.mean(wins, axis=0)


def direct_covariance(targets: np.ndarray, systems: list[np.ndarray]) -> np.ndarray:
    """DeLong et al. 1988, equation 4 and following: S10 / m + S01 / n."""
    pairs = [components(targets, scores) for scores in systems]
    s10 = np.atleast_2d(np.cov([one[0] for one in pairs]))
    s01 = np.atleast_2d(np.cov([one[1] for one in pairs]))
    return s10 / np.sum(targets == 1) + s01 / np.sum(targets == 0)


def direct_clustered(targets: np.ndarray, systems: list[np.ndarray], patients: np.ndarray) -> np.ndarray:
    """Obuchowski 1997, written out with a loop over patients, as variances and covariances of the systems."""
    m, n = np.sum(targets == 1), np.sum(targets == 0)
    names = np.unique(patients)
    sums = []
    for scores in systems:
        x, y = components(targets, scores)
        value = x.mean()
        of_x = [x[patients[targets == 1] == one].sum() - value * np.sum(patients[targets == 1] == one) for one in names]
        of_y = [y[patients[targets == 0] == one].sum() - value * np.sum(patients[targets == 0] == one) for one in names]
        sums.append((np.array(of_x), np.array(of_y)))
    i10, i01 = len(np.unique(patients[targets == 1])), len(np.unique(patients[targets == 0]))
    total = np.empty((len(systems), len(systems)))
    for r, (x_r, y_r) in enumerate(sums):
        for s, (x_s, y_s) in enumerate(sums):
            s10, s01 = i10 / ((i10 - 1) * m) * (x_r @ x_s), i01 / ((i01 - 1) * n) * (y_r @ y_s)
            cross = len(names) / (len(names) - 1)
            s11, s11_turned = cross * (x_r @ y_s), cross * (x_s @ y_r)
            total[r, s] = s10 / m + s01 / n + (s11 + s11_turned) / (m * n)
    return total


@pytest.mark.parametrize("decimals", [0, 15])
def test_plain_and_paired_equal_the_direct_formula(decimals: int):
    targets, a, b, _ = clustered(3, decimals)
    covariance = direct_covariance(targets, [a, b])
    alone = delong(targets, a)
    assert alone.standard_error == pytest.approx(np.sqrt(covariance[0, 0]), abs=1e-12)
    assert alone.auroc.value == pytest.approx(float(auroc(targets, a)), abs=1e-12)
    assert alone.auroc.high - alone.auroc.value == pytest.approx(norm.ppf(0.975) * alone.standard_error)
    both = paired_delong(targets, a, b)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert both.standard_error == pytest.approx(np.sqrt(variance), abs=1e-12)
    assert both.p_value == pytest.approx(2 * norm.sf(abs(both.difference.value) / np.sqrt(variance)), abs=1e-12)
    assert both.difference.value == pytest.approx(float(auroc(targets, a) - auroc(targets, b)), abs=1e-12)


@pytest.mark.parametrize("decimals", [0, 15])
def test_by_patient_equals_the_direct_formula(decimals: int):
    targets, a, b, patients = clustered(5, decimals)
    covariance = direct_clustered(targets, [a, b], patients)
    found = delong(targets, a, patients=patients)
    assert found.standard_error == pytest.approx(np.sqrt(covariance[0, 0]), abs=1e-12)
    assert found.is_clustered
    assert found.num_patients == 37
    both = paired_delong(targets, a, b, patients=patients)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert both.standard_error == pytest.approx(np.sqrt(variance), abs=1e-12)


def test_one_row_a_patient_is_the_plain_variance():
    targets, a, b, _ = clustered(7)
    each = np.random.default_rng(0).permutation(len(targets))
    assert delong(targets, a, patients=each).standard_error == pytest.approx(delong(targets, a).standard_error)
    by_patient, plain = paired_delong(targets, a, b, patients=each), paired_delong(targets, a, b)
    assert by_patient.p_value == pytest.approx(plain.p_value)


def test_copies_of_a_row_add_nothing_but_fool_the_plain_variance():
    targets, a, _, _ = clustered(11)
    copies = np.repeat(np.arange(len(targets)), 4)
    once = delong(targets, a)
    by_patient = delong(targets[copies], a[copies], patients=copies)
    assert by_patient.standard_error == pytest.approx(once.standard_error, abs=1e-12)
    assert delong(targets[copies], a[copies]).standard_error < 0.51 * once.standard_error


def test_unknown_targets_are_left_out():
    targets, a, b, patients = clustered(13)
    unknown = np.random.default_rng(1).random(len(targets)) < 0.2
    with_gaps = np.where(unknown, np.nan, targets)
    known = paired_delong(targets[~unknown], a[~unknown], b[~unknown], patients=patients[~unknown])
    assert paired_delong(with_gaps, a, b, patients=patients) == known


def test_systems_that_rank_alike_and_classes_that_are_separated():
    targets, a, _, patients = clustered(17)
    same = paired_delong(targets, a, np.exp(a), patients=patients)
    assert (same.difference.value, same.standard_error, same.p_value) == (0.0, 0.0, 1.0)
    perfect = delong(np.array([0.0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4]))
    assert (perfect.auroc.low, perfect.auroc.high, perfect.standard_error) == (1.0, 1.0, 0.0)
    against_chance = paired_delong(np.array([0.0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4]), np.zeros(4))
    assert against_chance.difference.value == 0.5
    assert np.isnan(against_chance.p_value)  # no spread at all to judge by
    alone = delong(np.array([0.0, 0, 0, 1]), np.array([0.1, 0.5, 0.2, 0.3]))
    assert np.isnan(alone.standard_error)  # one positive has no spread


def test_policies_for_a_label_without_positives():
    targets, scores = np.zeros(5), np.arange(5.0)
    assert np.isnan(delong(targets, scores).auroc.value)
    assert delong(targets, scores, absent="0.5").auroc.value == 0.5
    assert np.isnan(delong(targets, scores, absent="0.5").auroc.low)
    assert paired_delong(targets, scores, -scores, absent="0.5").difference.value == 0
    assert np.isnan(paired_delong(targets, scores, -scores).p_value)
    with pytest.raises(DataError, match="the label has no positives"):
        delong(targets, scores, absent="error")
    with pytest.raises(DataError, match="the label has no negatives"):
        paired_delong(1 - targets, scores, scores, absent="error")


def test_bad_input_is_refused():
    targets, a, b, patients = clustered(19)
    with pytest.raises(DataError, match=r"takes one label, targets .rows., found \(2, 2\)"):
        delong(np.zeros((2, 2)), np.zeros((2, 2)))
    with pytest.raises(DataError, match="rows but 3 patients"):
        delong(targets, a, patients=patients[:3])
    with pytest.raises(DataError, match="must both be"):
        paired_delong(targets, a, b[:5])
    with pytest.raises(DataError, match="there is no row"):
        delong(targets[:0], a[:0])
    with pytest.raises(ValueError, match="level must lie between 0 and 1, found 95"):
        delong(targets, a, level=95)
