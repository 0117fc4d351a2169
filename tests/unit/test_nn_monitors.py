import pytest
import torch

from lamae.nn.monitors import effective_rank, feature_std


def test_equal_rows_have_no_spread_and_rank_zero():
    features = torch.ones(7, 5)
    assert feature_std(features) == 0
    assert effective_rank(features) == 0
    assert feature_std(features[:1]) == 0


def test_rows_on_a_line_have_rank_one():
    features = torch.arange(7.0)[:, None] * torch.tensor([1.0, 2.0, -3.0])
    assert effective_rank(features) == pytest.approx(1)


def test_equal_spread_in_all_directions_has_full_rank():
    features = torch.cat([torch.eye(5), -torch.eye(5)])
    assert effective_rank(features) == pytest.approx(5)


def test_two_directions_by_hand():
    features = torch.tensor([[3.0, 0], [-3, 0], [0, 1], [0, -1]])  # singular values in the ratio 3 : 1
    entropy = -(0.75 * torch.tensor(0.75).log() + 0.25 * torch.tensor(0.25).log())
    assert effective_rank(features) == pytest.approx(float(entropy.exp()))
    assert feature_std(torch.tensor([[0.0, 5], [2.0, 5]])) == pytest.approx(2**0.5 / 2)
