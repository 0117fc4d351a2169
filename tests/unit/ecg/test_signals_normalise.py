import numpy as np
import pytest

from lamae.ecg.preprocess import normalise
from lamae.studies import MISSING_CODE


def make_batch(*, missing: bool):
    rng = np.random.default_rng(11)
    values = rng.integers(-3000, 9000, (9, 211)).astype(np.int16)
    scale = rng.uniform(0.001, 0.005, 9).astype(np.float32)
    study_of = np.array([0, 0, 0, 1, 2, 2, 2, 2, 2])
    if missing:
        values[1, 30:] = MISSING_CODE
        values[5, 7:13] = MISSING_CODE
    return values, scale, study_of


def reference(values, scale, groups):
    physical = np.where(values == MISSING_CODE, np.nan, values * scale[:, None].astype(np.float64))
    expected = np.zeros(values.shape)
    for group in np.unique(groups):
        rows = physical[groups == group]
        expected[groups == group] = (rows - np.nanmean(rows)) / np.nanstd(rows)
    return np.nan_to_num(expected)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("by", ["study", "view"])
def test_it_is_the_z_score_without_the_missing_samples(by, missing):
    values, scale, study_of = make_batch(missing=missing)
    found = normalise(values, scale, study_of, by=by, has_missing=missing)
    groups = study_of if by == "study" else np.arange(9)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, reference(values, scale, groups), atol=2e-5)
    assert (found[values == MISSING_CODE] == 0).all()


def test_worked_by_hand():
    values = np.array([[1, 3], [5, 7]], dtype=np.int16)
    scale = np.array([1.0, 1.0], dtype=np.float32)
    np.testing.assert_allclose(
        normalise(values, scale, np.array([0, 0])), np.array([[-3, -1], [1, 3]]) / np.sqrt(5), rtol=1e-5
    )


def test_a_large_offset_does_not_cost_precision():
    rng = np.random.default_rng(0)
    values = (30_000 + rng.integers(-20, 20, (3, 5000))).astype(np.int16)
    scale = np.full(3, 0.001, np.float32)
    study_of = np.zeros(3, int)
    np.testing.assert_allclose(normalise(values, scale, study_of), reference(values, scale, study_of), atol=2e-3)


def test_a_study_without_a_signal_becomes_zeros():
    constant = np.full((2, 17), 41, np.int16)
    assert (normalise(constant, np.full(2, 0.001, np.float32), np.zeros(2, int)) == 0).all()
    gone = np.full((2, 17), MISSING_CODE, np.int16)
    assert (normalise(gone, np.full(2, 0.001, np.float32), np.zeros(2, int)) == 0).all()


def test_it_writes_into_a_given_array():
    values, scale, study_of = make_batch(missing=True)
    out = np.full(values.shape, np.nan, np.float32)
    assert normalise(values, scale, study_of, out=out) is out
    np.testing.assert_array_equal(out, normalise(values, scale, study_of))


def test_an_empty_batch():
    assert normalise(np.zeros((0, 7), np.int16), np.zeros(0, np.float32), np.zeros(0, int)).shape == (0, 7)
