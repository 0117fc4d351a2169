"""Private encoders, and joint tokens (an encoder of depth 0)."""

from dataclasses import replace

import pytest
import torch

from lamae.errors import ConfigError
from lamae.models import MaskedAutoencoder, MaskedAutoencoderConfig, StreamConfig
from lamae.models.accounting import count_parameters
from lamae.nn.masks import MaskConfig, draw_masks
from lamae.nn.transformer import TransformerConfig
from lamae.objectives import masked_reconstruction

LIMB = ("I", "II", "III", "aVR", "aVL", "aVF")


def build(*, latent_depth=0, encoder_depth=2, seed=3, **changes) -> MaskedAutoencoder:
    settings = {
        "streams": {"ecg": StreamConfig(patch=(7,), grid=(77,), view_names=LIMB, normalise="fixed")},
        "encoder": TransformerConfig(dim=22, depth=encoder_depth, num_heads=2),
        "latent": TransformerConfig(dim=22, depth=latent_depth, num_heads=2),
        "decoder": TransformerConfig(dim=15, depth=1, num_heads=3),
        "encoder_weights": "private",
    }
    generator = torch.Generator().manual_seed(seed)
    return MaskedAutoencoder(MaskedAutoencoderConfig(**(settings | changes)), generator=generator)


def loss_of(model, batch) -> torch.Tensor:
    plan = draw_masks(model.config.mask, batch, model.config.patch_shapes, torch.Generator().manual_seed(5))
    return masked_reconstruction(model(batch, plan), global_size=batch.global_size)


def test_each_instance_goes_through_the_encoder_of_its_own_view(ecg_batch):
    model = build().eval()
    batch = ecg_batch([LIMB[::-1], LIMB[1:4]])
    before = model.features(batch).tokens
    with torch.no_grad():
        for parameter in model.encoders["ecg"].views[2].parameters():
            parameter.mul_(1.5)
    changed = (model.features(batch).tokens - before).abs().amax(dim=(1, 2)) > 1e-6
    names = [LIMB[view] for view, moved in zip(batch.streams["ecg"].view_of, changed, strict=True) if moved]
    assert names == ["III", "III"]


def test_private_encoders_with_equal_weights_are_a_shared_one(ecg_batch):
    private = build(latent_depth=1)
    shared = build(latent_depth=1, encoder_weights="shared", view_identity="none")
    rest = {k: v for k, v in private.state_dict().items() if "encoders.ecg" not in k and "identity" not in k}
    weights = shared.state_dict() | rest
    shared.load_state_dict(weights)
    same = {k.replace("encoders.ecg.", ""): v for k, v in weights.items() if k.startswith("encoders.ecg")}
    for encoder in private.encoders["ecg"].views:
        encoder.load_state_dict(same)
    valid = torch.ones(9, 77, dtype=torch.bool)
    valid[4, 30:] = False
    batch = ecg_batch([LIMB, LIMB[2:5]], valid=valid)
    found, expected = (model.features(batch) for model in (private, shared))
    torch.testing.assert_close(found.tokens, expected.tokens, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.encoder_tokens, expected.encoder_tokens, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kernel", ["sdpa", "matmul"])
def test_a_view_that_no_study_has_gets_a_gradient_of_zero(ecg_batch, kernel):
    """Not None: with several processes all of them must agree on which parameters take part."""
    model = build(latent_depth=1, attention_kernel=kernel)
    loss_of(model, ecg_batch([LIMB[:2], LIMB[3:]])).backward()
    views = model.encoders["ecg"].views
    assert all(p.grad is not None and p.grad.abs().max() == 0 for p in views[2].parameters())
    assert all(p.grad.abs().max() > 0 for p in views[3].parameters())


def test_bf16_with_an_absent_view(ecg_batch):
    model, batch = build(latent_depth=1), ecg_batch([LIMB[:2], LIMB[3:]])
    exact = loss_of(model, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = loss_of(model, batch)
    rough.backward()
    torch.testing.assert_close(rough, exact, rtol=0.02, atol=0.02)


def test_names_choose_the_encoder_whatever_their_order_in_the_batch(ecg_batch):
    model = build(view_identity="none").eval()
    one, other = ecg_batch([LIMB[:4]]), ecg_batch([LIMB[:4]], names=LIMB[::-1])
    torch.testing.assert_close(model.features(one).tokens, model.features(other).tokens, rtol=0, atol=0)


def test_an_unknown_view_has_no_encoder(ecg_batch):
    stream = StreamConfig(patch=(7,), grid=(77,), view_names=LIMB[:5])
    model = build(view_identity="none", streams={"ecg": stream})
    with pytest.raises(ConfigError, match=r"views aVF that the model does not know .* encoder_weights 'shared'"):
        model.features(ecg_batch())


def test_parameters_of_private_encoders_are_counted():
    private, shared = count_parameters(build()), count_parameters(build(encoder_weights="shared"))
    identity = len(LIMB) * 22
    assert private["encoder"] == len(LIMB) * (shared["encoder"] - identity)
    assert private["decoder"] == shared["decoder"]


def joint(**changes) -> MaskedAutoencoder:
    return build(encoder_depth=0, latent_depth=3, encoder_weights="shared", **changes)


def test_joint_tokens_of_all_leads_meet_in_the_first_block(ecg_batch):
    model, batch = joint(target="raw"), ecg_batch()
    plan = draw_masks(model.config.mask, batch, model.config.patch_shapes, torch.Generator().manual_seed(5))
    place = int(plan.streams["ecg"][0].context[4, 0])
    values = batch.streams["ecg"].values.clone()
    values[4, 0, 7 * place : 7 * place + 7] += 499
    changed = replace(batch, streams={"ecg": replace(batch.streams["ecg"], values=values)})
    one, other = (model(b, plan).predictions["ecg"][0].predicted for b in (batch, changed))
    assert (one - other).abs().amax(dim=(1, 2)).gt(1e-7).nonzero().flatten().tolist() == [0, 1, 2, 3, 4]


def test_before_joint_attention_a_token_is_its_patch_with_place_and_lead(ecg_batch):
    model, batch = joint(), ecg_batch([LIMB[:2]])
    encoder = model.encoders["ecg"]
    patches = (batch.streams["ecg"].values * 0.001).view(2, 11, 7)
    expected = encoder.embed(patches) + encoder.positions.table + encoder.identity[:2].unsqueeze(1)
    torch.testing.assert_close(model.features(batch).encoder_tokens, expected, rtol=1e-5, atol=1e-6)


def test_joint_tokens_know_a_latent_mask_and_hidden_leads(ecg_batch):
    mask = MaskConfig(strategy="view", hidden_views=2, latent_ratio=0.3)
    loss = loss_of(joint(decoder_context="summaries", mask=mask), ecg_batch([LIMB, LIMB[:3]]))
    assert bool(loss.isfinite())
