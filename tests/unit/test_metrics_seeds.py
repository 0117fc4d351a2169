"""Holm, seeds, seeds with patients, and the smallest difference that could be shown."""

import numpy as np
import pytest
from scipy.stats import norm, t, ttest_rel

from lamae.errors import DataError
from lamae.metrics import (
    combine,
    combined_difference,
    holm,
    paired_patient_bootstrap,
    paired_seeds,
    smallest_detectable,
)


def test_holm_by_hand_and_without_what_was_not_tested():
    # Sorted .01, .02, .03, .04: .04, .06, .06, .06 (a later one is never below an earlier one).
    np.testing.assert_allclose(
        holm([0.03, None, 0.01, 0.04, float("nan"), 0.02]), [0.06, np.nan, 0.04, 0.06, np.nan, 0.06]
    )
    np.testing.assert_allclose(holm([0.5, 0.9]), [1.0, 1.0])
    assert holm([]).shape == (0,)
    with pytest.raises(DataError, match="p-values must lie between 0 and 1"):
        holm([0.5, 1.2])


def test_holm_calls_what_the_step_down_procedure_calls():
    rng = np.random.default_rng(3)
    for _ in range(50):
        values = rng.random(13) ** 3
        values[5] = values[2]
        called, adjusted = np.zeros(13, dtype=bool), holm(values)
        for step, label in enumerate(np.argsort(values, kind="stable")):
            if values[label] > 0.05 / (13 - step):
                break
            called[label] = True
        np.testing.assert_array_equal(adjusted <= 0.05, called)


def test_seeds_equal_scipy():
    rng = np.random.default_rng(5)
    a, b = 0.8 + rng.normal(scale=0.01, size=5), 0.79 + rng.normal(scale=0.01, size=5)
    found, reference = paired_seeds(a, b), ttest_rel(a, b)
    assert found.t == pytest.approx(reference.statistic, abs=1e-9)
    assert found.p_value == pytest.approx(reference.pvalue, abs=1e-9)
    interval = reference.confidence_interval(0.95)
    assert (found.difference.low, found.difference.high) == pytest.approx((interval.low, interval.high), abs=1e-9)
    assert (found.mean_a, found.sd_a, found.num_seeds, found.df) == pytest.approx((a.mean(), a.std(ddof=1), 5, 4))
    assert found.sd_difference == pytest.approx((a - b).std(ddof=1))


def test_seeds_that_cannot_be_tested():
    same = paired_seeds([0.5, 0.7], [0.4, 0.6])
    assert same.difference.value == pytest.approx(0.1)
    assert np.isnan(same.p_value)
    with pytest.raises(DataError, match="needs at least two of each system, found 1: train more seeds"):
        paired_seeds([0.5], [0.4])
    with pytest.raises(DataError, match=r"seeds must come in pairs, found \(2,\) and \(3,\)"):
        paired_seeds([0.5, 0.6], [0.4, 0.5, 0.6])
    with pytest.raises(DataError, match="figures of all seeds must be finite"):
        paired_seeds([0.5, np.nan], [0.4, 0.5])


def seeds(number: int, spread: float = 0.5) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Return targets, scores of two systems for each seed, and patients."""
    rng = np.random.default_rng(7)
    patients = np.repeat(np.arange(53), 3)
    targets = (rng.random((159, 2)) < 0.4).astype(float)
    shared = targets + rng.normal(size=(159, 2))
    a = [shared + rng.normal(scale=spread, size=(159, 2)) + (0.2 + 0.3 * one) * targets for one in range(number)]
    b = [shared + rng.normal(scale=spread, size=(159, 2)) for _ in range(number)]
    return targets, a, b, patients


def test_the_combined_interval_adds_both_variances():
    targets, a, b, patients = seeds(4)
    found = combined_difference(targets, a, b, patients, draws=199).macro["auroc"]
    each = [paired_patient_bootstrap(targets, *pair, patients, draws=199) for pair in zip(a, b, strict=True)]
    np.testing.assert_allclose(found.per_seed, [one.macro["auroc"].value for one in each])
    together = paired_patient_bootstrap(targets, a, b, patients, draws=199)
    assert found.value == pytest.approx(np.mean(found.per_seed)) == pytest.approx(together.macro["auroc"].value)
    assert found.variance_patients == pytest.approx(together.standard_error["auroc"] ** 2)
    assert found.variance_seeds == pytest.approx(np.var(found.per_seed, ddof=1) / 4)
    total = found.variance_patients + found.variance_seeds
    df = total**2 / (found.variance_patients**2 / 52 + found.variance_seeds**2 / 3)
    assert found.df == pytest.approx(df)
    assert found.high - found.value == pytest.approx(t(df).ppf(0.975) * np.sqrt(total))
    assert found.p_value == pytest.approx(2 * t(df).sf(abs(found.value) / np.sqrt(total)))


def test_per_label_and_the_mean_over_pairs_on_the_same_draws():
    targets, a, b, patients = seeds(3)
    found = combined_difference(targets, a, b, patients, draws=53, level=0.9)
    together = paired_patient_bootstrap(targets, a, b, patients, draws=53, level=0.9)
    assert found.patients_only.macro == together.macro
    for label in range(2):
        one = found.per_label["auprc"][label]
        alone = combined_difference(
            targets[:, label], [x[:, label] for x in a], [x[:, label] for x in b], patients, draws=53, level=0.9
        )
        assert one == alone.macro["auprc"]


def test_one_seed_alone_leaves_the_variance_over_patients():
    targets, a, b, patients = seeds(1)
    found = combined_difference(targets, a, b, patients, draws=53).macro["auroc"]
    assert found.variance_seeds == 0
    assert found.df == pytest.approx(52)
    certain = combine([0.1, 0.1], 0.0, 53)
    assert (certain.low, certain.high, certain.df) == (0.1, 0.1, float("inf"))
    assert np.isnan(certain.p_value)


def test_an_absent_label_counts_by_the_policy():
    targets, a, b, patients = seeds(2)
    targets[:, 1] = 0
    skipped = combined_difference(targets, a, b, patients, draws=53)
    counted = combined_difference(targets, a, b, patients, draws=53, absent="0.5")
    assert np.isnan(skipped.per_label["auroc"][1].value)
    assert skipped.macro["auroc"].value == pytest.approx(2 * counted.macro["auroc"].value)
    with pytest.raises(DataError, match="have no positives or no negatives"):
        combined_difference(targets, a, b, patients, draws=53, absent="error")


@pytest.mark.slow
def test_combined_intervals_cover_where_those_over_patients_alone_do_not():
    truth, hits = 0.0, {"combined": 0, "patients": 0}
    for seed in range(300):
        rng = np.random.default_rng(seed)
        targets = np.tile([0.0, 1.0], 200)
        effects = rng.normal(scale=0.25, size=(2, 4))  # what a seed adds to how well a system tells the classes apart
        a, b = ([(1 + one) * targets + rng.normal(size=400) for one in side] for side in effects)
        found = combined_difference(targets, a, b, np.arange(400), draws=99, seed=seed)
        macro, alone = found.macro["auroc"], found.patients_only.macro["auroc"]
        hits["combined"] += macro.low <= truth <= macro.high
        hits["patients"] += alone.low <= truth <= alone.high
    assert hits["combined"] / 300 > 0.92
    assert hits["patients"] / 300 < 0.75


def test_the_smallest_difference_is_found_as_often_as_it_says():
    assert smallest_detectable(0.01) == pytest.approx(0.01 * (norm.ppf(0.975) + norm.ppf(0.8)))
    assert smallest_detectable(0.01) == pytest.approx(0.0280, abs=1e-4)
    assert smallest_detectable(0.01, df=2) > 1.8 * smallest_detectable(0.01)
    assert np.isnan(smallest_detectable(float("nan")))
    difference = smallest_detectable(1.0, alpha=0.1, power=0.9)
    estimates = difference + np.random.default_rng(3).normal(size=100_003)
    assert np.mean(np.abs(estimates) > norm.ppf(0.95)) == pytest.approx(0.9, abs=0.005)
    with pytest.raises(DataError, match="a standard error is not negative, found -1"):
        smallest_detectable(-1.0)
    with pytest.raises(ValueError, match=r"alpha and power must lie between 0 and 1, found 0 and 0\.8"):
        smallest_detectable(1.0, alpha=0)
