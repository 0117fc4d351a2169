import pytest
import torch

from lamae.nn.output import MaskedOutput, MaskedPrediction
from lamae.objectives import masked_reconstruction


def output(*predictions, num_studies) -> MaskedOutput:
    return MaskedOutput(
        predictions={"ecg": tuple(predictions)}, num_studies=num_studies, summary=torch.zeros(num_studies, 3)
    )


def prediction(error, *, valid=None, study_of) -> MaskedPrediction:
    error = torch.tensor(error)
    return MaskedPrediction(
        predicted=error + 7,
        target=torch.full_like(error, 7.0),
        valid=None if valid is None else torch.tensor(valid),
        study_of=torch.tensor(study_of),
    )


def test_by_hand_a_mean_within_studies_then_over_studies():
    found = prediction([[[1.0, 2]], [[3.0, 0]], [[4.0, 4]]], study_of=[0, 0, 1])
    loss = masked_reconstruction(output(found, num_studies=2), global_size=2)
    assert loss.item() == pytest.approx(((1 + 4 + 9 + 0) / 4 + 16) / 2)


def test_a_study_of_many_views_counts_as_one_of_few():
    found = prediction([[[2.0]]] * 5 + [[[0.0]]], study_of=[0] * 5 + [1])
    assert masked_reconstruction(output(found, num_studies=2), global_size=2).item() == pytest.approx(2)


def test_what_was_not_recorded_does_not_count():
    found = prediction([[[1.0, 100]], [[3.0, 5]]], valid=[[[True, False]], [[True, True]]], study_of=[0, 0])
    assert masked_reconstruction(output(found, num_studies=1), global_size=1).item() == pytest.approx(35 / 3)


def test_a_study_without_any_recorded_target_adds_nothing_and_no_nan():
    found = prediction([[[float("nan")]], [[3.0]]], valid=[[[False]], [[True]]], study_of=[0, 1])
    assert masked_reconstruction(output(found, num_studies=2), global_size=2).item() == pytest.approx(4.5)


def test_parts_of_a_global_batch_add_up():
    whole = prediction([[[1.0]], [[2.0]], [[3.0]]], study_of=[0, 1, 2])
    parts = [prediction([[[1.0]]], study_of=[0]), prediction([[[2.0]], [[3.0]]], study_of=[0, 1])]
    expected = masked_reconstruction(output(whole, num_studies=3), global_size=3)
    found = sum(masked_reconstruction(output(p, num_studies=len(p.study_of)), global_size=3) for p in parts)
    torch.testing.assert_close(found, expected)


def test_several_masks_are_averaged_and_streams_joined():
    one, other = prediction([[[1.0]]], study_of=[0]), prediction([[[3.0]]], study_of=[0])
    assert masked_reconstruction(output(one, other, num_studies=1), global_size=1).item() == pytest.approx(5)
    joined = MaskedOutput(predictions={"ecg": (one,), "echo": (other,)}, num_studies=1, summary=torch.zeros(1, 3))
    assert masked_reconstruction(joined, global_size=1).item() == pytest.approx(5)


def test_it_is_the_papers_objective_up_to_a_constant():
    """ECG paper section 2.2: 1/ratio * 1/leads * sum over leads and hidden patches of the squared norm."""
    torch.manual_seed(3)
    leads, patches, hidden, elements = 5, 12, 9, 7
    error = torch.randn(leads, hidden, elements)
    found = prediction(error.tolist(), study_of=[0] * leads)
    paper = error.square().sum() / leads / (hidden / patches)
    ours = masked_reconstruction(output(found, num_studies=1), global_size=1)
    torch.testing.assert_close(ours * patches * elements, paper)


def test_the_gradient_by_hand_and_at_a_perfect_prediction():
    predicted = torch.tensor([[[3.0, 1.0]], [[7.0, 7.0]]], requires_grad=True)
    found = MaskedPrediction(
        predicted=predicted,
        target=torch.tensor([[[1.0, 2.0]], [[7.0, 7.0]]]),
        valid=None,
        study_of=torch.tensor([0, 1]),
    )
    masked_reconstruction(output(found, num_studies=2), global_size=2).backward()
    assert predicted.grad.flatten().tolist() == pytest.approx([2 * 2 / 4, -2 * 1 / 4, 0, 0])
