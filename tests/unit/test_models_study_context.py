import torch

from lamae.models.masked_autoencoder import _mean_token
from lamae.models.study_context import _mean_of_encoded
from lamae.nn.plan import LatentPlan, StreamMask

TOKENS = torch.tensor([[[1.0], [3.0]], [[50.0], [60.0]], [[5.0], [9.0]]])
"""Two tokens each of three instances."""
MEMBERS = torch.tensor([[0, 1]])


def test_the_mean_token_of_a_study_leaves_out_padding():
    plan = LatentPlan(members=MEMBERS, gather_valid=torch.tensor([[True, True], [True, False], [False, False]]))
    assert _mean_token(TOKENS, plan).tolist() == [[2.0], [50.0], [0.0]]
    assert _mean_token(TOKENS, LatentPlan(members=MEMBERS)).tolist() == [[2.0], [55.0], [7.0]]


def mask(encoded: torch.Tensor | None) -> StreamMask:
    return StreamMask(context=torch.zeros(3, 2).long(), target=torch.zeros(3, 1).long(), encoded=encoded)


def test_means_of_encoded_instances_where_every_slot_has_its_token():
    plan = LatentPlan(members=MEMBERS)
    assert _mean_of_encoded(TOKENS, mask(None), plan, "ecg").tolist() == [[2.0], [55.0], [7.0]]


def test_means_where_a_hidden_view_is_all_that_is_missing():
    """All tokens are kept in order, so there is no gather index, but the hidden view's slots stand nowhere (4)."""
    plan = LatentPlan(members=MEMBERS, scatter_index={"ecg": torch.tensor([[0, 1], [4, 4], [2, 3]])})
    assert _mean_of_encoded(TOKENS, mask(torch.tensor([0, 2])), plan, "ecg").tolist() == [[2.0], [7.0]]


def test_means_leave_out_slots_without_a_token():
    """Of the last instance one token is kept, of the first none."""
    plan = LatentPlan(
        members=MEMBERS,
        gather_index=torch.tensor([[2, 4, 5]]),
        scatter_index={"ecg": torch.tensor([[3, 3], [3, 0], [1, 2]])},
    )
    assert _mean_of_encoded(TOKENS, mask(None), plan, "ecg").tolist() == [[0.0], [60.0], [7.0]]
    some = mask(torch.tensor([1, 2]))
    assert _mean_of_encoded(TOKENS, some, plan, "ecg").tolist() == [[60.0], [7.0]]
