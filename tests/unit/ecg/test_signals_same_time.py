import numpy as np
import pytest

from lamae.ecg.leads import LEADS
from lamae.ecg.same_time import (
    EIGHT_LEADS,
    LIMB_ROWS,
    covariance_of,
    distinct_patterns,
    einthoven_weights,
    labels_put_right,
    linear_weights,
)
from lamae.errors import ConfigError


def all_patterns(num_leads: int) -> np.ndarray:
    return (np.arange(2**num_leads)[:, None] >> np.arange(num_leads)) % 2 > 0


def twelve_leads(rng: np.random.Generator, num: int = 29) -> np.ndarray:
    """``[leads, samples]`` whose limb leads fulfil the equations and whose chest leads are free."""
    one, two = rng.normal(size=(2, num))
    limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return np.concatenate([limb, rng.normal(size=(6, num))])


def test_worked_by_hand():
    """II and III are visible: I = II - III, aVR = -(2 II - III) / 2, and no chest lead follows."""
    pattern = np.array([[name in ("II", "III", "V2") for name in LEADS]])
    solvable, weights = einthoven_weights(LEADS, pattern)
    assert [name for name, found in zip(LEADS, solvable[0], strict=True) if found] == ["I", "aVR", "aVL", "aVF"]
    expected = np.zeros((2, 12))
    expected[0, [1, 2]] = 1, -1
    expected[1, [1, 2]] = -1, 0.5
    np.testing.assert_allclose(weights[0, [0, 3]], expected, atol=1e-12)
    assert not weights[0, 6:].any()


def test_no_limb_lead_follows_from_one_and_all_follow_from_two():
    patterns = all_patterns(6)
    solvable, _ = einthoven_weights(LEADS[:6], patterns)
    np.testing.assert_array_equal(solvable, ~patterns & (patterns.sum(axis=1) >= 2)[:, None])


def test_the_rank_of_the_twelve_leads_says_the_same():
    """Brute force: a hidden lead follows if its row does not raise the rank of the visible leads' rows."""
    rng = np.random.default_rng(7)
    rows = np.zeros((12, 8))
    for place, name in enumerate(LEADS):
        rows[place] = [*LIMB_ROWS.get(name, (0, 0)), *np.eye(6)[place - 6] * (place >= 6)]
    patterns = rng.random((211, 12)) < rng.random((211, 1))
    solvable, weights = einthoven_weights(LEADS, patterns)
    values = twelve_leads(rng)
    for pattern, found, solution in zip(patterns, solvable, weights @ values, strict=True):
        rank = np.linalg.matrix_rank(rows[pattern]) if pattern.any() else 0
        for lead in np.flatnonzero(~pattern):
            assert found[lead] == (np.linalg.matrix_rank(np.vstack([rows[pattern], rows[lead]])) == rank)
        np.testing.assert_allclose(solution[found], values[found], atol=1e-12)
        assert not solution[~found].any()


def test_an_inverted_lead_gives_its_own_lead_and_no_other():
    solvable, weights = einthoven_weights(("aVR", "-aVR", "I"), np.array([[True, False, False]]))
    assert solvable.tolist() == [[False, True, False]]
    np.testing.assert_allclose(weights[0, 1], [-1, 0, 0], atol=1e-12)


def test_nothing_follows_among_the_eight_leads():
    assert not einthoven_weights(EIGHT_LEADS, all_patterns(8))[0].any()
    assert not einthoven_weights(("V1", "V2"), all_patterns(2))[0].any()


def test_patterns_are_counted_once():
    visible = np.array([[True, False, True], [False, False, False], [True, False, True], [True, True, False]])
    patterns, which = distinct_patterns(visible)
    assert len(patterns) == 3
    np.testing.assert_array_equal(patterns[which], visible)
    with pytest.raises(ConfigError, match="at most 62 leads can be told apart, found 67"):
        distinct_patterns(np.zeros((2, 67), dtype=bool))


def test_linear_weights_are_the_regression_of_the_data():
    rng = np.random.default_rng(3)
    values = rng.normal(size=(5, 5)) @ rng.normal(size=(5, 499))
    covariance = covariance_of(values.T, np.ones((499, 5), dtype=bool))
    patterns = np.array([[True, False, True, False, True], [False] * 5, [True] * 5])
    weights, explained = linear_weights(covariance, patterns, ridge=1e-12)
    fitted, *_ = np.linalg.lstsq(values[[0, 2, 4]].T, values[[1, 3]].T, rcond=None)
    np.testing.assert_allclose(weights[0][np.ix_([1, 3], [0, 2, 4])], fitted.T, atol=1e-6)
    residual = values[[1, 3]] - fitted.T @ values[[0, 2, 4]]
    share = 1 - (residual**2).sum(axis=1) / (values[[1, 3]] ** 2).sum(axis=1)
    np.testing.assert_allclose(explained[0, [1, 3]], share, atol=1e-6)
    assert not explained[0, [0, 2, 4]].any()
    assert not weights[1:].any()


def test_the_linear_guess_finds_the_equations_by_itself():
    rng = np.random.default_rng(5)
    values = twelve_leads(rng, 997)
    covariance = covariance_of(values.T, np.ones((997, 12), dtype=bool))
    patterns = rng.random((53, 12)) < 0.4
    solvable, _ = einthoven_weights(LEADS, patterns)
    explained = linear_weights(covariance, patterns)[1]
    assert explained[solvable].min() > 0.999
    # At most III from aVL alone: their rows (-1, 1) and (1, -1/2) have a squared cosine of 0.9.
    assert explained[~solvable].max() < 0.93


def test_covariance_passes_over_what_was_not_recorded():
    values = np.array([[1.0, 2.0], [3.0, np.nan], [5.0, -1.0]])
    covariance = covariance_of(values, np.isfinite(values))
    # I alone: (1 + 9 + 25) / 3; II alone: (4 + 1) / 2; both: (2 - 5) / 2.
    np.testing.assert_allclose(covariance, [[35 / 3, -1.5], [-1.5, 2.5]])


def test_exchanged_labels_are_named_and_put_right():
    rng = np.random.default_rng(11)
    leads = dict(zip(LEADS, twelve_leads(rng, 499), strict=True))
    assert labels_put_right(leads) == ({}, (), ())
    exchanged = leads | {"aVL": leads["aVF"], "aVF": leads["aVL"]}
    true_names, flags, broken = labels_put_right(exchanged)
    assert true_names == {"aVL": "aVF", "aVF": "aVL"}
    assert flags == ("avf-avl-swapped",)
    assert broken == ("aVL", "aVF")
    assert labels_put_right(leads | {"III": leads["V1"]})[1:] == (("limb-identity-broken",), ("III",))
