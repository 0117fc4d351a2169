import torch

from lamae.nn.plan import _by_study, _keep_fraction

STUDY = torch.tensor([0, 0, 0, 1, 1, 2])
USABLE = torch.tensor([True, True, True, True, False, False])


def test_the_kept_fraction_by_hand():
    """Half of 3 usable tokens is 2, of 1 still 1, and a study without any keeps none."""
    noise = torch.tensor([0.3, 0.1, 0.2, 0.5, 0.4, 0.6])
    assert _keep_fraction(STUDY, USABLE, noise, 0.5).tolist() == [False, True, True, True, False, False]
    assert _keep_fraction(STUDY, USABLE, noise, 0.8).tolist() == [False, True, False, True, False, False]


def test_tokens_are_laid_out_by_study_by_hand():
    table, valid = _by_study(torch.tensor([2, 3, 5, 7, 11]), torch.tensor([0, 0, 2, 2, 2]), 4)
    assert table.tolist() == [[2, 3, 0], [0, 0, 0], [5, 7, 11], [0, 0, 0]]
    assert valid is not None
    assert valid.tolist() == [[True, True, False], [False] * 3, [True] * 3, [False] * 3]
    table, valid = _by_study(torch.tensor([2, 3, 5, 7]), torch.tensor([0, 1, 0, 1]), 2)
    assert (table.tolist(), valid) == ([[2, 5], [3, 7]], None)
