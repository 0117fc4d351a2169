import math

import pytest
import torch

from lamae.errors import ConfigError
from lamae.nn.positions import sincos_positions


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
