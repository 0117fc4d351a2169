import pytest
import torch

from lamae.errors import ConfigError
from lamae.nn.patches import patch_grid, patchify, unpatchify


def test_one_dimension_by_hand():
    values = torch.tensor([[[1, 2, 3, 4, 5, 6], [10, 20, 30, 40, 50, 60]]])  # one instance, two channels
    patches = patchify(values, (3,))
    assert patches.tolist() == [[[1, 10, 2, 20, 3, 30], [4, 40, 5, 50, 6, 60]]]


def test_two_dimensions_by_hand():
    values = torch.arange(8).view(1, 1, 2, 4)
    assert patchify(values, (2, 2)).tolist() == [[[0, 1, 4, 5], [2, 3, 6, 7]]]


@pytest.mark.parametrize(
    ("grid", "patch"), [((35,), (7,)), ((15, 14), (5, 7)), ((22, 15, 14), (11, 5, 2)), ((13,), (13,)), ((13,), (1,))]
)
def test_unpatchify_undoes_patchify(grid, patch):
    values = torch.randn(3, 2, *grid)
    patches = patchify(values, patch)
    counts = patch_grid(grid, patch)
    assert patches.shape == (3, torch.tensor(counts).prod(), 2 * torch.tensor(patch).prod())
    torch.testing.assert_close(unpatchify(patches, patch, grid), values, rtol=0, atol=0)


def test_each_element_of_a_clip_lands_where_its_indices_say():
    values = torch.arange(2 * 4 * 6 * 3).view(1, 2, 4, 6, 3)
    patches = patchify(values, (2, 3, 3))
    t, h, w, channel = 3, 2, 1, 1
    patch_index = (t // 2) * 2 + h // 3
    element = (((t % 2) * 3 + h % 3) * 3 + w) * 2 + channel
    assert patches[0, patch_index, element] == values[0, channel, t, h, w]


@pytest.mark.parametrize(
    ("grid", "patch", "words"),
    [
        ((35,), (6,), r"grid \(35,\) is not divisible by patch \(6,\)"),
        ((35, 7), (5,), "same number of axes"),
        ((5,), (7,), "not divisible"),
        ((5,), (0,), "not divisible"),
        ((2, 2, 2, 2), (1, 1, 1, 1), "1 to 3"),
    ],
)
def test_a_patch_that_does_not_fit_is_refused(grid, patch, words):
    with pytest.raises(ConfigError, match=words):
        patch_grid(grid, patch)
    with pytest.raises(ConfigError, match=words):
        patchify(torch.zeros(1, 1, *grid), patch)
