"""The patient bootstrap: coverage on clustered data, pairing, policies, and equality with resampling by hand."""

import numpy as np
import pytest

from lamae.errors import DataError
from lamae.metrics import (
    auroc,
    average_precision,
    bootstrap,
    brier,
    f1,
    mean_absolute_error,
    paired_patient_bootstrap,
    patient_bootstrap,
    r_squared,
)
from lamae.splits import patient_hashes


def clustered(seed: int, num_patients: int = 41, spread: float = 2.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return targets, scores and patients where the recordings of one patient resemble each other."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(num_patients), rng.integers(1, 12, size=num_patients))
    targets = (rng.random(num_patients) < 0.4).astype(float)[patients]
    scores = targets + rng.normal(scale=spread, size=num_patients)[patients] + rng.normal(scale=0.3, size=len(patients))
    return targets, scores, patients


def coverage(replicates: int, draws: int, by_patient: bool) -> float:
    truth = float(auroc(*clustered(10_007, num_patients=20_011)[:2]))
    hits = 0
    for seed in range(replicates):
        targets, scores, patients = clustered(seed)
        unit = patients if by_patient else np.arange(len(patients))
        interval = patient_bootstrap(targets, scores, unit, draws=draws, seed=seed).macro["auroc"]
        hits += interval.low <= truth <= interval.high
    return hits / replicates


def test_patient_intervals_cover_where_row_intervals_do_not():
    assert coverage(67, 101, by_patient=True) > 0.85
    assert coverage(67, 101, by_patient=False) < 0.7


@pytest.mark.slow
def test_coverage_is_near_its_level():
    assert 0.91 < coverage(997, 401, by_patient=True) < 0.98


def test_names_of_patients_have_no_say_in_the_draws():
    rng = np.random.default_rng(3)
    patients = rng.integers(13, size=97)
    targets, scores = (rng.random((97, 2)) < 0.4).astype(float), rng.random((97, 2))
    found = [
        patient_bootstrap(targets, scores, patient_hashes([str(one) for one in patients], salt), draws=31)
        for salt in ("", "another")
    ]
    assert found[0].macro == found[1].macro
    assert found[0].per_label == found[1].per_label


def test_draws_equal_resampling_rows_by_hand():
    rng = np.random.default_rng(2)
    patients = rng.integers(13, size=97)
    targets = (rng.random((97, 2)) < 0.4).astype(float)
    targets[::11, 1] = np.nan
    scores = np.round(rng.normal(size=(97, 2)) + np.nan_to_num(targets), 1)
    drawn = bootstrap._evaluate([(targets, scores, np.full_like(scores, 0.5))], patients, "ranking", 5, 17)[1][0]
    generator = np.random.default_rng(17)
    unique = list(dict.fromkeys(patients))  # as they appear
    codes = np.array([unique.index(patient) for patient in patients])
    for draw in range(5):
        chosen = generator.integers(len(unique), size=len(unique))
        rows = np.concatenate([np.flatnonzero(codes == patient) for patient in chosen])
        np.testing.assert_allclose(drawn[0, :, draw], auroc(targets[rows], scores[rows]), atol=1e-12)
        np.testing.assert_allclose(drawn[1, :, draw], average_precision(targets[rows], scores[rows]), atol=1e-12)


def test_number_of_draws_held_at_once_does_not_matter(monkeypatch: pytest.MonkeyPatch):
    targets, scores, patients = clustered(5)
    whole = patient_bootstrap(targets, scores, patients, draws=149)
    monkeypatch.setattr(bootstrap, "_COUNTS_BYTES", 1)
    assert patient_bootstrap(targets, scores, patients, draws=149).macro == whole.macro


def test_same_seed_same_interval_other_seed_another():
    targets, scores, patients = clustered(7)
    first = patient_bootstrap(targets, scores, patients, draws=53, seed=1)
    assert patient_bootstrap(targets, scores, patients, draws=53, seed=1).macro == first.macro
    assert patient_bootstrap(targets, scores, patients, draws=53, seed=2).macro != first.macro
    assert first.macro["auroc"].low < first.macro["auroc"].value < first.macro["auroc"].high


def test_a_system_against_itself_differs_by_exactly_nothing():
    targets, scores, patients = clustered(11)
    for interval in paired_patient_bootstrap(targets, scores, 2 * scores, patients, draws=31).macro.values():
        assert (interval.value, interval.low, interval.high) == (0.0, 0.0, 0.0)


def test_pairing_narrows_the_interval_of_a_small_difference():
    targets, scores, patients = clustered(13, num_patients=211)
    better = scores + 0.2 * targets
    paired = paired_patient_bootstrap(targets, better, scores, patients, draws=199).macro["auroc"]
    alone = patient_bootstrap(targets, better, patients=patients, draws=199).macro["auroc"]
    assert paired.low > 0
    assert paired.high - paired.low < (alone.high - alone.low) / 3


def rare() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label 0 is common, label 1 belongs to one patient of 19, label 2 to nobody."""
    rng = np.random.default_rng(23)
    patients = np.repeat(np.arange(19), 3)
    targets = np.stack([rng.random(57) < 0.5, patients == 4, np.zeros(57)], axis=1).astype(float)
    return targets, rng.normal(size=(57, 3)) + targets, patients


def test_absent_labels_are_skipped_and_counted():
    targets, scores, patients = rare()
    result = patient_bootstrap(targets, scores, patients, draws=307)
    assert result.absent_labels == (2,)
    assert result.num_draws_absent[0] == 0
    assert 0.25 < result.num_draws_absent[1] / 307 < 0.47  # (1 - 1/19) ** 19 = 0.358
    assert result.num_draws_absent[2] == 307
    assert np.isnan(result.per_label["auroc"][2].value)
    assert result.macro["auroc"].value == pytest.approx(np.mean(auroc(targets[:, :2], scores[:, :2])))
    assert result.per_label["auroc"][1].low > 0.5  # the draws without positives are no part of the interval


def test_absent_labels_at_chance_level():
    targets, scores, patients = rare()
    result = patient_bootstrap(targets, scores, patients, draws=307, absent="0.5")
    assert result.per_label["auroc"][2].value == result.per_label["auroc"][2].low == 0.5
    assert result.per_label["auprc"][2].value == 0.0
    assert result.per_label["auroc"][1].low == 0.5
    assert result.macro["auroc"].value == pytest.approx((auroc(targets[:, :2], scores[:, :2]).sum() + 0.5) / 3)
    all_positive = patient_bootstrap(1 - targets[:, 2], scores[:, 2], patients, draws=3, absent="0.5")
    assert all_positive.macro["auprc"].value == 1.0


def test_absent_labels_are_an_error():
    targets, scores, patients = rare()
    with pytest.raises(DataError, match=r"1 of 3 labels .positions 2. have no positives or no negatives"):
        patient_bootstrap(targets, scores, patients, draws=7, absent="error")
    with pytest.raises(DataError, match=r"label 1 loses all positives or negatives in \d+ of 307 draws"):
        patient_bootstrap(targets[:, :2], scores[:, :2], patients, draws=307, absent="error")


def test_bad_arguments_are_refused():
    targets, scores, patients = clustered(3)
    with pytest.raises(DataError, match="rows but 2 patients"):
        patient_bootstrap(targets, scores, patients[:2])
    with pytest.raises(DataError, match="no row to evaluate"):
        patient_bootstrap(targets[:0], scores[:0], patients[:0])
    with pytest.raises(ValueError, match="level between 0 and 1, found draws=1000 and level=95"):
        patient_bootstrap(targets, scores, patients, level=95)
    with pytest.raises(DataError, match="must both be"):
        paired_patient_bootstrap(targets, scores, scores[:2], patients)
    with pytest.raises(DataError, match="must be finite, or NaN"):
        patient_bootstrap(np.full(5, np.inf), np.zeros(5), np.arange(5), kind="regression")


def test_regression_by_hand_and_in_draws():
    # Errors 1, 1, 4 around targets of mean 60: MAE 2; R2 = 1 - (1 + 1 + 16) / (100 + 0 + 100).
    targets, scores = np.array([50.0, 60.0, 70.0, np.nan]), np.array([51.0, 59.0, 66.0, 0.0])
    assert mean_absolute_error(targets, scores) == 2.0
    assert r_squared(targets, scores) == pytest.approx(0.91)
    assert np.isnan(r_squared(np.full(3, 55.0), np.arange(3.0)))
    result = patient_bootstrap(targets, scores, np.arange(4), kind="regression", draws=97)
    assert result.macro["mae"].value == 2.0
    assert 1.0 <= result.macro["mae"].low < 2.0 < result.macro["mae"].high <= 4.0
    assert result.num_draws_absent[0] > 0  # a draw of one patient alone has no variance to explain


def test_paired_regression():
    rng = np.random.default_rng(31)
    targets, patients = rng.normal(55, 10, size=113), rng.integers(29, size=113)
    near, far = targets + rng.normal(size=113), targets + rng.normal(scale=7, size=113)
    difference = paired_patient_bootstrap(targets, near, far, patients, kind="regression", draws=61)
    assert difference.macro["mae"].high < 0 < difference.macro["r2"].low


def test_f1_and_brier_are_drawn_alongside():
    rng = np.random.default_rng(37)
    patients = rng.integers(17, size=131)
    targets = (rng.random((131, 2)) < 0.4).astype(float)
    targets[::11, 1] = np.nan
    scores = rng.random((131, 2))
    thresholds = rng.uniform(0.2, 0.6, size=(131, 2))
    drawn = bootstrap._evaluate([(targets, scores, thresholds)], patients, "probabilities", 5, 17)[1][0]
    unique = list(dict.fromkeys(patients))  # as they appear
    codes = np.array([unique.index(patient) for patient in patients])
    generator = np.random.default_rng(17)
    for draw in range(5):
        chosen = generator.integers(len(unique), size=len(unique))
        rows = np.concatenate([np.flatnonzero(codes == patient) for patient in chosen])
        expected = f1(targets[rows], scores[rows], thresholds=thresholds[rows])
        np.testing.assert_allclose(drawn[2, :, draw], expected, atol=1e-12)
        np.testing.assert_allclose(drawn[3, :, draw], brier(targets[rows], scores[rows]), atol=1e-12)
    result = patient_bootstrap(targets, scores, patients, kind="probabilities", thresholds=thresholds, draws=53)
    ranked = patient_bootstrap(targets, scores, patients, draws=53)
    assert result.macro["auroc"] == ranked.macro["auroc"]
    assert result.macro["f1"].value == pytest.approx(f1(targets, scores, thresholds=thresholds).mean())
    assert result.macro["brier"].low < result.macro["brier"].value < result.macro["brier"].high


def test_standard_errors_are_those_of_the_draws():
    targets, scores, patients = clustered(41)
    drawn = bootstrap._evaluate(
        [(targets[:, None], scores[:, None], np.zeros((len(targets), 1)))], patients, "ranking", 101, 0
    )[1][0]
    result = patient_bootstrap(targets, scores, patients, draws=101)
    assert result.standard_error["auroc"] == pytest.approx(np.nanstd(drawn[0, 0], ddof=1))
    assert result.standard_error_per_label["auprc"][0] == pytest.approx(np.nanstd(drawn[1, 0], ddof=1))


def test_absent_labels_of_probabilities():
    targets, scores, patients = rare()
    probabilities = 1 / (1 + np.exp(-scores))
    skipped = patient_bootstrap(targets, probabilities, patients, kind="probabilities", draws=53)
    assert np.isnan(skipped.per_label["f1"][2].value)
    assert skipped.per_label["brier"][2].value == pytest.approx((probabilities[:, 2] ** 2).mean())
    counted = patient_bootstrap(targets, probabilities, patients, kind="probabilities", draws=53, absent="0.5")
    assert counted.per_label["f1"][2].value == 0
    assert counted.macro["f1"].value == pytest.approx(2 / 3 * skipped.macro["f1"].value)


def test_seeds_must_come_in_pairs():
    targets, scores, patients = clustered(43)
    with pytest.raises(DataError, match="2 score tables of a and 1 of b"):
        paired_patient_bootstrap(targets, [scores, scores], scores, patients)
    with pytest.raises(DataError, match="0 score tables of a and 0 of b"):
        paired_patient_bootstrap(targets, [], [], patients)
