from dataclasses import replace

import pytest
import torch

from lamae.errors import ConfigError
from lamae.models import MaskedAutoencoder, MaskedAutoencoderConfig, StreamConfig, masked_autoencoder
from lamae.models.attention_maps import summarise_attention
from lamae.nn.masks import MaskConfig, draw_masks
from lamae.nn.transformer import TransformerConfig

LIMB = ("I", "II", "III", "aVR", "aVL", "aVF")


def build(*, latent_depth=2, **changes) -> MaskedAutoencoder:
    settings = {
        "streams": {"ecg": StreamConfig(patch=(7,), grid=(77,), view_names=LIMB)},
        "encoder": TransformerConfig(dim=22, depth=1, num_heads=2),
        "latent": TransformerConfig(dim=22, depth=latent_depth, num_heads=2),
        "decoder": TransformerConfig(dim=15, depth=1, num_heads=3),
    }
    return MaskedAutoencoder(
        MaskedAutoencoderConfig(**(settings | changes)), generator=torch.Generator().manual_seed(3)
    )


def draw(model, batch):
    return draw_masks(model.config.mask, batch, model.config.patch_shapes, torch.Generator().manual_seed(5))


def test_maps_by_hand():
    """One study with a token of view a and two of view b; one study with a token of view b."""
    first = [[0.1, 0.2, 0.3, 0.4], [0.0, 0.5, 0.2, 0.3], [0.3, 0.1, 0.4, 0.2], [0.1, 0.3, 0.3, 0.3]]
    second = [[0.5, 0.5, 0, 0], [0.2, 0.8, 0, 0], [0.9, 0.1, 0, 0], [0.9, 0.1, 0, 0]]
    token_view = torch.tensor([[0, 1, 1], [1, -1, -1]])
    maps = summarise_attention([torch.tensor([first, second])], token_view, ("a", "b", "c"))
    expected = torch.tensor([[0.5, 0.5, 0], [(0.2 + 0) / 2, (0.6 + 0.8) / 2, 0], [0, 0, 0]])
    torch.testing.assert_close(maps.views[0], expected)
    torch.testing.assert_close(maps.cls[0], torch.tensor([0.1, (0.7 + 0.5) / 2, 0]))


@pytest.mark.parametrize("studies", [[LIMB] * 3, [LIMB, LIMB[:2], LIMB[1:]]], ids=["dense", "ragged"])
def test_rows_and_the_share_of_cls_sum_to_one(ecg_batch, studies):
    maps = build().latent_attention_maps(ecg_batch(studies))
    assert maps.views.shape == (2, 6, 6)
    assert maps.cls.shape == (2, 6)
    missing = 1 - maps.views.sum(dim=-1)
    assert bool(((missing > 0) & (missing < 0.2)).all())
    assert maps.view_names == LIMB


def test_maps_of_a_study_do_not_depend_on_its_companions(ecg_batch):
    model = build()
    together = model.latent_attention_maps(ecg_batch([LIMB, LIMB[:2]])).views
    alone = [
        model.latent_attention_maps(ecg_batch([leads], positions=[position], global_size=2)).views
        for position, leads in enumerate((LIMB, LIMB[:2]))
    ]
    torch.testing.assert_close(together[:, 3], alone[0][:, 3])
    torch.testing.assert_close(together[:, 1], (alone[0] + alone[1])[:, 1] / 2)


def test_a_model_without_latent_attention_has_no_maps(ecg_batch):
    with pytest.raises(ConfigError, match="no latent attention"):
        build(latent_depth=0).latent_attention_maps(ecg_batch())


@pytest.mark.parametrize("target", ["raw", "patch-normalised"])
@pytest.mark.parametrize("normalise", ["fixed", "view", "study"])
def test_reconstructions_are_in_millivolts_and_differ_only_where_masked(ecg_batch, target, normalise):
    stream = StreamConfig(patch=(7,), grid=(77,), view_names=LIMB, normalise=normalise)
    model, batch = build(target=target, streams={"ecg": stream}), ecg_batch()
    plan = draw(model, batch)
    found = model.reconstruct(batch, plan)
    torch.testing.assert_close(found.original, batch.streams["ecg"].values * 0.001, rtol=1e-5, atol=1e-6)
    same = (found.original == found.reconstructed)[:, 0]
    assert bool(same[~found.masked].all())
    assert not bool(same[found.masked].any())
    expected = torch.zeros(15, 11, dtype=torch.bool).scatter(1, plan.streams["ecg"][0].target, True)
    assert torch.equal(found.masked, expected.repeat_interleave(7, dim=1))


@pytest.mark.parametrize("target", ["raw", "patch-normalised"])
def test_a_perfect_prediction_gives_the_recording_back(ecg_batch, target, monkeypatch):
    model, batch = build(target=target), ecg_batch()
    plan = draw(model, batch)
    prediction = model(batch, plan).predictions["ecg"][0]
    mask = plan.streams["ecg"][0]
    whole = torch.zeros(15, 11, 7)
    whole[:, mask.context.shape[1] :] = prediction.target
    monkeypatch.setattr(model.decoder("ecg"), "predict", lambda slots: whole)
    found = model.reconstruct(batch, plan)
    torch.testing.assert_close(found.reconstructed, found.original, rtol=1e-4, atol=1e-5)


def test_a_reconstruction_measures_each_stream_once(ecg_batch, monkeypatch):
    model, batch = build(), ecg_batch()
    plan, measured, real = draw(model, batch), [], masked_autoencoder.measure
    monkeypatch.setattr(masked_autoencoder, "measure", lambda *what, **how: measured.append(1) or real(*what, **how))
    model.reconstruct(batch, plan)
    assert len(measured) == 1


def test_hidden_leads_are_masked_whole_and_missing_places_not_at_all(ecg_batch):
    valid = torch.ones(15, 77, dtype=torch.bool)
    valid[:, 70:] = False
    batch = ecg_batch(valid=valid)
    model = build(decoder_context="cls", mask=MaskConfig(strategy="view", hidden_views=2))
    plan = draw(model, batch)
    found = model.reconstruct(batch, plan)
    hidden = sorted(set(range(15)) - set(plan.streams["ecg"][0].encoded.tolist()))
    assert bool(found.masked[hidden][:, :70].all())
    assert not bool(found.masked[:, 70:].any())
    assert found.original[:, 0, 70:].abs().max() == 0
    assert bool(found.reconstructed.isfinite().all())


def test_two_streams_are_named(ecg_batch):
    batch = ecg_batch()
    stream = StreamConfig(patch=(7,), grid=(77,), view_names=LIMB)
    model = build(streams={"one": stream, "two": stream})
    batch = replace(batch, streams={"one": batch.streams["ecg"], "two": batch.streams["ecg"]})
    assert model.reconstruct(batch, draw(model, batch), stream="two").masked.any()
    assert model.latent_attention_maps(batch, stream="one").views.shape == (2, 6, 6)
    with pytest.raises(ConfigError, match="name the stream"):
        model.reconstruct(batch, draw(model, batch))
