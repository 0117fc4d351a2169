from dataclasses import replace
from typing import get_args

import pytest
import torch

from lamae.cli.arguments import READOUTS
from lamae.errors import ConfigError
from lamae.models import Features, Readout, by_view, read_out
from lamae.models.heads import AttentiveHead, MLPHead, tokens_by_study


def features(**changes) -> Features:
    """Two studies: leads I and II, then II alone, with two patches of width 2."""
    settings = {
        "tokens": torch.tensor([[[1.0, 2], [3, 4]], [[5.0, 6], [7, 8]], [[9.0, 0], [99, 99]]]),
        "token_valid": torch.tensor([[True, True], [True, True], [True, False]]),
        "cls": torch.tensor([[0.5, 1], [2, 3]]),
        "study_of": torch.tensor([0, 0, 1]),
        "recording_of": torch.tensor([1, 0, 0]),
        "view_of": torch.tensor([0, 1, 1]),
        "time_of": torch.zeros(3),
        "view_names": ("I", "II"),
        "num_studies": 2,
    }
    return Features(**(settings | changes))


def test_cls():
    assert read_out(features(), "cls", ()).tolist() == [[0.5, 1], [2, 3]]


def test_mean_is_over_patches_with_data_then_over_instances():
    assert read_out(features(), "mean", ()).tolist() == [[4, 5], [9, 0]]


def test_an_instance_without_any_data_does_not_count():
    empty = features(token_valid=torch.tensor([[True, True], [False, False], [True, False]]))
    assert read_out(empty, "mean", ()).tolist() == [[2, 3], [9, 0]]


def test_view_concat_follows_the_names_it_is_given_and_fills_with_zeros():
    found = read_out(features(), "view-concat", ("II", "V1", "I"))
    assert found.tolist() == [[6, 7, 0, 0, 2, 3], [9, 0, 0, 0, 0, 0]]


def two_clips(**changes) -> Features:
    """One study: a clip of three frames and one of a single frame, both of view I, and a frame of view II."""
    return features(
        tokens=torch.tensor([[[3.0, 0]], [[6.0, 0]], [[0.0, 9]], [[5.0, 1]], [[2.0, 2]]]),
        token_valid=torch.ones(5, 1, dtype=torch.bool),
        study_of=torch.tensor([0, 0, 0, 0, 0]),
        recording_of=torch.tensor([3, 3, 3, 0, 1]),
        view_of=torch.tensor([0, 0, 0, 0, 1]),
        time_of=torch.zeros(5),
        num_studies=1,
        **changes,
    )


def test_a_recording_counts_once_however_many_instances_it_has():
    assert read_out(two_clips(), "mean", ()).tolist() == [[pytest.approx(10 / 3), 2]]  # (3, 3), (5, 1), (2, 2)
    assert read_out(two_clips(), "view-concat", ("II", "I")).tolist() == [[2, 2, 4, 2]]


def test_an_empty_recording_does_not_count_and_an_empty_frame_does_not_count_in_its_recording():
    valid = torch.tensor([[True], [False], [True], [False], [True]])
    found = replace(two_clips(), token_valid=valid)
    assert read_out(found, "mean", ()).tolist() == [[1.75, 3.25]]  # (1.5, 4.5), (2, 2)


def test_the_encoders_tokens_are_read_out_alike_and_latent_attention_is_bypassed():
    before = torch.tensor([[[10.0, 20], [30, 40]], [[50.0, 60], [70, 80]], [[90.0, 0], [999, 999]]])
    found = features(encoder_tokens=before)
    assert read_out(found, "encoder-mean", ()).tolist() == [[40, 50], [90, 0]]
    concat = read_out(found, "encoder-view-concat", ("II", "V1", "I")).tolist()
    assert concat == [[60, 70, 0, 0, 20, 30], [90, 0, 0, 0, 0, 0]]
    assert read_out(found, "mean", ()).tolist() == [[4, 5], [9, 0]]


def test_without_latent_attention_both_stages_are_the_same():
    for how in ("mean", "view-concat"):
        same = read_out(features(), f"encoder-{how}", ("I", "II"))
        assert torch.equal(same, read_out(features(), how, ("I", "II")))


def test_which_readouts_grow_with_the_views():
    assert [how for how in get_args(Readout) if by_view(how)] == ["view-concat", "encoder-view-concat"]


def test_the_command_line_offers_every_readout():
    assert get_args(Readout) == READOUTS


def test_gradients_pass_through():
    tokens = features().tokens.requires_grad_()
    read_out(features(tokens=tokens), "view-concat", ("I", "II")).sum().backward()
    assert tokens.grad.tolist() == [[[0.5, 0.5]] * 2, [[0.5, 0.5]] * 2, [[1, 1], [0, 0]]]


def test_what_cannot_be_read_is_refused():
    with pytest.raises(ConfigError, match="'cls' needs latent attention"):
        read_out(features(cls=None), "cls", ())
    for how in ("view-concat", "encoder-view-concat"):
        with pytest.raises(ConfigError, match=f"'{how}' needs the names of the views"):
            read_out(features(), how, ())


def heads():
    torch.manual_seed(3)
    return {
        "mlp": MLPHead(dim=14, hidden_dim=11, num_outputs=5, dropout=0.1),
        "attentive": AttentiveHead(dim=14, num_heads=7, num_outputs=5),
    }


@pytest.mark.parametrize("name", heads())
def test_every_parameter_of_every_head_gets_a_gradient(name):
    head = heads()[name]
    inputs = torch.randn(3, 13, 14) if name == "attentive" else torch.randn(3, 14)
    out = head(inputs)
    assert out.shape == (3, 5)
    (out * torch.randn(3, 5)).sum().backward()
    assert [n for n, p in head.named_parameters() if not bool(p.grad.abs().sum() > 0)] == []


def test_the_attentive_head_ignores_padding_and_order():
    head, tokens = heads()["attentive"], torch.randn(3, 13, 14)
    valid = torch.arange(13).expand(3, -1) < 11
    expected = head(tokens[:, :11])
    torch.testing.assert_close(head(tokens, valid), expected)
    torch.testing.assert_close(head(tokens[:, :11].flip(1)), expected)


def test_bad_heads_are_refused():
    with pytest.raises(ConfigError, match="num_heads must divide dim"):
        AttentiveHead(dim=14, num_heads=3, num_outputs=5)
    with pytest.raises(ConfigError, match="dropout must lie in"):
        MLPHead(dim=14, hidden_dim=11, num_outputs=5, dropout=1.0)


def test_tokens_by_study_by_hand():
    found = features()
    tokens, valid = tokens_by_study(found.tokens, found.token_valid, found.study_of, 2)
    assert tokens.tolist() == [[[1, 2], [3, 4], [5, 6], [7, 8]], [[9, 0], [99, 99], [0, 0], [0, 0]]]
    assert valid.tolist() == [[True] * 4, [True, False, False, False]]
