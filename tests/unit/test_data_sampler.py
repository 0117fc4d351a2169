import numpy as np
import pytest

from lamae.data.sampler import global_batch, micro_batches
from lamae.errors import ConfigError


def test_each_epoch_holds_each_row_once():
    rows = np.concatenate([global_batch(11, 3, seed=5, step=step) for step in range(11)])
    assert len(rows) == 33
    for epoch in range(3):
        assert sorted(rows[11 * epoch : 11 * epoch + 11]) == list(range(11))
    assert list(rows[:11]) != list(rows[11:22])


def test_a_step_is_a_function_of_seed_and_number():
    np.testing.assert_array_equal(global_batch(13, 5, seed=3, step=7), global_batch(13, 5, seed=3, step=7))
    assert list(global_batch(13, 5, seed=3, step=7)) != list(global_batch(13, 5, seed=2, step=7))


def test_by_hand_a_step_that_spans_two_epochs():
    first = np.random.default_rng([9, 0]).permutation(5)
    second = np.random.default_rng([9, 1]).permutation(5)
    expected = [first[3], first[4], second[0]]
    np.testing.assert_array_equal(global_batch(5, 3, seed=9, step=1), expected)


def test_a_batch_larger_than_the_data_repeats_rows():
    assert sorted(global_batch(2, 7, seed=1, step=0)) in ([0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1])


def test_a_far_step_costs_nothing():
    assert len(global_batch(1009, 64, seed=0, step=10**12)) == 64


@pytest.mark.parametrize(("world_size", "accumulation"), [(1, 1), (2, 1), (1, 3), (2, 3), (3, 4)])
def test_shares_make_up_the_global_batch(world_size, accumulation):
    indices = global_batch(101, 13, seed=0, step=2)
    pieces = [
        piece
        for rank in range(world_size)
        for piece in micro_batches(indices, rank=rank, world_size=world_size, accumulation=accumulation)
    ]
    assert len(pieces) == world_size * accumulation
    assert {piece.global_size for piece in pieces} == {13}
    np.testing.assert_array_equal(np.concatenate([piece.indices for piece in pieces]), indices)
    np.testing.assert_array_equal(np.concatenate([piece.positions for piece in pieces]), np.arange(13))


def test_too_small_a_batch_is_refused():
    with pytest.raises(ConfigError, match="a batch of 3 studies cannot be cut into 2 processes x 2 micro-batches"):
        micro_batches(np.arange(3), world_size=2, accumulation=2)
