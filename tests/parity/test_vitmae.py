"""Our masked autoencoder computes what transformers' ViTMAE computes."""

import importlib.util
from pathlib import Path

import pytest
import torch

from lamae.nn.positions import sincos_positions
from lamae.nn.transformer import TransformerConfig

pytest.importorskip("transformers", minversion="5.0")


@pytest.fixture(scope="module")
def vitmae_pair():
    path = Path(__file__).parents[2] / "benchmarks" / "vitmae_pair.py"
    spec = importlib.util.spec_from_file_location("vitmae_pair", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make(module, *, normalised_target, **changes):
    settings = {
        "encoder": TransformerConfig(dim=48, depth=3, num_heads=3),
        "decoder": TransformerConfig(dim=40, depth=2, num_heads=5),
        "image_size": 35,
        "patch_size": 7,
        "batch_size": 3,
        "mask_ratio": 0.7,
    }
    return module.make_pair(**(settings | changes), normalised_target=normalised_target)


@pytest.mark.parametrize("normalised_target", [False, True])
def test_the_loss_is_equal_to_1e_5(vitmae_pair, normalised_target):
    pair = make(vitmae_pair, normalised_target=normalised_target)
    ours, theirs = pair.our_loss().item(), pair.their_loss().item()
    assert abs(ours - theirs) <= 1e-5 * abs(theirs)


@pytest.mark.parametrize("normalised_target", [False, True])
def test_the_gradient_of_every_parameter_is_equal(vitmae_pair, normalised_target):
    pair = make(vitmae_pair, normalised_target=normalised_target)
    pair.our_loss().backward()
    pair.their_loss().backward()
    for ours, theirs, combine in vitmae_pair.matched_parameters(pair.theirs, pair.ours):
        expected = combine(*[parameter.grad for parameter in theirs])
        torch.testing.assert_close(ours.grad, expected, rtol=1e-3, atol=1e-6)


def test_bf16_losses_are_close(vitmae_pair):
    pair = make(vitmae_pair, normalised_target=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, theirs = pair.our_loss().item(), pair.their_loss().item()
    assert ours == pytest.approx(theirs, rel=0.01)


def test_the_positions_are_those_of_the_published_weights():
    """Transformers builds the canonical table and swaps its halves to get the published one."""
    from transformers.models.vit_mae.modeling_vit_mae import build_2d_sinusoidal_position_embedding

    canonical = build_2d_sinusoidal_position_embedding(height=5, width=5, embed_dim=48, cls_token=False)
    published = torch.cat([canonical[:, 24:], canonical[:, :24]], dim=1)
    torch.testing.assert_close(sincos_positions((5, 5), 48), published, rtol=1e-5, atol=1e-5)


def test_a_parameter_without_counterpart_is_noticed(vitmae_pair):
    pair = make(vitmae_pair, normalised_target=True)
    pair.ours.register_parameter("extra", torch.nn.Parameter(torch.zeros(1)))
    with pytest.raises(ValueError, match=r"without a counterpart.*extra"):
        vitmae_pair.copy_weights(pair.theirs, pair.ours)
