import math

import pytest
import torch

from lamae.errors import ConfigError
from lamae.nn.attention import SelfAttention
from lamae.nn.positions import MAE_WAVELENGTHS, SinCosPositions, rotary, sincos_positions
from lamae.nn.transformer import Transformer, TransformerConfig


def test_one_dimension_by_hand():
    table = sincos_positions((3,), 4)  # frequencies 1 and 1/100
    expected = [[math.sin(p), math.sin(p / 100), math.cos(p), math.cos(p / 100)] for p in range(3)]
    torch.testing.assert_close(table, torch.tensor(expected))


def test_the_first_rows_of_a_longer_grid_are_those_of_a_shorter_one():
    torch.testing.assert_close(sincos_positions((7,), 10), sincos_positions((11,), 10)[:7], rtol=0, atol=0)


def test_two_dimensions_put_the_column_first():
    table = sincos_positions((3, 5), 8).view(3, 5, 8)
    torch.testing.assert_close(table[1, :, :4], sincos_positions((5,), 4))
    torch.testing.assert_close(table[:, 2, 4:], sincos_positions((3,), 4))


@pytest.mark.parametrize(("counts", "dim"), [((7,), 5), ((3, 5), 7), ((2, 3, 5), 23)])
def test_all_rows_differ_and_what_is_left_over_is_zero(counts, dim):
    table = sincos_positions(counts, dim)
    assert table.shape == (math.prod(counts), dim)
    assert len(table.unique(dim=0)) == len(table)
    share = dim // (2 * len(counts)) * 2
    assert table[:, share * len(counts) :].abs().sum() == 0


def test_too_narrow_is_refused():
    with pytest.raises(ConfigError, match="at least 6, found 5"):
        sincos_positions((2, 3, 5), 5)


def test_wavelengths_of_the_grid():
    table = sincos_positions((9,), 4, wavelengths=(4.0, 16.0))  # 4 patches, and 8: half way in equal ratios
    torch.testing.assert_close(table[4, [0, 2]], table[0, [0, 2]], atol=1e-6, rtol=0)
    torch.testing.assert_close(table[8], table[0], atol=1e-6, rtol=0)
    assert table[4, 3] == pytest.approx(-1.0)


def test_the_table_of_the_configured_grid_and_of_another():
    positions, places = SinCosPositions((3, 5), 8, wavelengths=MAE_WAVELENGTHS), torch.tensor([[0, 7], [14, 2]])
    assert torch.equal(positions(places, (3, 5)), sincos_positions((3, 5), 8)[places])
    other = torch.tensor([[20, 3]])
    for _ in range(2):  # computed, then kept
        assert torch.equal(positions(other, (4, 7)), sincos_positions((4, 7), 8)[other])
    assert list(positions._others) == [(4, 7)]
    assert positions.state_dict() == {}


def heads(num, width, seed=3):
    return torch.randn(1, 2, num, width, generator=torch.Generator().manual_seed(seed))


def test_a_rotation_in_one_dimension_by_hand():
    """Width 4: numbers 0 and 2 turn by the place, 1 and 3 by a hundredth of it."""
    query = torch.tensor([[[[1.0, 0.0, 0.0, 2.0]]]])
    found = rotary(torch.tensor([[3]]), (7,), 4)(query)[0, 0, 0]
    expected = [math.cos(3), -2 * math.sin(0.03), math.sin(3), 2 * math.cos(0.03)]
    torch.testing.assert_close(found, torch.tensor(expected))


@pytest.mark.parametrize(("counts", "width"), [((11,), 6), ((3, 5), 10), ((2, 3, 5), 13)])
def test_a_rotation_keeps_lengths_and_shows_differences_of_places_only(counts, width):
    def product(one, other):
        places = [
            torch.tensor([[sum(p * math.prod(counts[k + 1 :]) for k, p in enumerate(place))]]) for place in (one, other)
        ]
        query, key = (rotary(place, counts, width)(heads(1, width, seed)) for seed, place in enumerate(places))
        torch.testing.assert_close(query.norm(), heads(1, width, 0).norm())
        return (query * key).sum(dim=-1)

    zero, one = (0,) * len(counts), (1,) * len(counts)
    last, before = tuple(c - 1 for c in counts), tuple(c - 2 for c in counts)
    torch.testing.assert_close(product(zero, one), product(before, last), rtol=1e-5, atol=1e-5)
    for axis in range(len(counts)):  # each axis matters
        step = tuple(int(k == axis) for k in range(len(counts)))
        assert (product(zero, step) - product(zero, zero)).abs().max() > 1e-3


def test_tokens_in_front_and_what_is_left_over_are_not_turned():
    tokens = heads(5, 7)
    turned = rotary(torch.tensor([[4, 1, 6]]), (3, 5), 7, front=2)(tokens)
    assert torch.equal(turned[:, :, :2], tokens[:, :, :2])
    assert torch.equal(turned[..., 4:], tokens[..., 4:])  # 2 numbers an axis, 3 are left over
    assert (turned[:, :, 2:, :4] - tokens[:, :, 2:, :4]).abs().max() > 0.1
    with pytest.raises(ConfigError, match="at least 4, found 3"):
        rotary(torch.tensor([[0]]), (3, 5), 3)


def test_attention_with_rotary_places_sees_no_common_shift():
    torch.manual_seed(3)
    blocks = Transformer(TransformerConfig(dim=12, depth=2, num_heads=2), kernel="sdpa")
    tokens = torch.randn(2, 4, 12)
    places = torch.tensor([[0, 2, 3, 7], [1, 2, 5, 6]])
    outputs = [blocks(tokens, rotate=rotary(places + shift, (16,), 6)) for shift in (0, 5)]
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)
    assert (blocks(tokens) - outputs[0]).abs().max() > 1e-3
    attention = SelfAttention(dim=12, num_heads=2, kernel="matmul")
    assert torch.equal(attention(tokens), attention(tokens, rotate=lambda part: part))
