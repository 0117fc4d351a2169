import math
from dataclasses import replace

import pytest
import torch
from clip_fakes import NAMES, clip_batch

from lamae.batch import Instances, StudyBatch
from lamae.errors import ConfigError
from lamae.models import MaskedAutoencoder, MaskedAutoencoderConfig, StreamConfig, read_out
from lamae.nn import targets
from lamae.nn.masks import MaskConfig, MaskFamily, draw_masks
from lamae.nn.normalise import normalised_by
from lamae.nn.plan import MaskPlan, make_latent_plan, make_stream_mask
from lamae.nn.transformer import TransformerConfig
from lamae.objectives import masked_reconstruction

LIMB = ("I", "II", "III", "aVR", "aVL", "aVF")


def config(*, grid=(77,), patch=(7,), latent_depth=2, **changes) -> MaskedAutoencoderConfig:
    settings = {
        "streams": {"ecg": StreamConfig(patch=patch, grid=grid, view_names=LIMB)},
        "encoder": TransformerConfig(dim=22, depth=2, num_heads=2),
        "latent": TransformerConfig(dim=22, depth=latent_depth, num_heads=2),
        "decoder": TransformerConfig(dim=15, depth=2, num_heads=3),
    }
    return MaskedAutoencoderConfig(**(settings | changes))


def build(settings: MaskedAutoencoderConfig, seed=3) -> MaskedAutoencoder:
    return MaskedAutoencoder(settings, generator=torch.Generator().manual_seed(seed))


def draw(settings, batch, seed=5) -> MaskPlan:
    return draw_masks(settings.mask, batch, settings.patch_shapes, torch.Generator().manual_seed(seed))


def loss_of(model, batch, plan=None) -> torch.Tensor:
    plan = draw(model.config, batch) if plan is None else plan
    return masked_reconstruction(model(batch, plan), global_size=batch.global_size)


HIDDEN = MaskConfig(strategy="view", hidden_views=2, latent_ratio=0.3)
CONFIGS = {
    "paper": {},
    "raw": {"target": "raw"},
    "tube, cls": {"decoder_context": "cls", "mask": MaskConfig(strategy="tube", latent_ratio=0.3)},
    "hidden, cls": {"decoder_context": "cls", "mask": HIDDEN},
    "hidden, summaries": {"decoder_context": "summaries", "mask": HIDDEN},
    "two masks": {"mask": MaskConfig(num_masks=2, strategy="block")},
    "independent": {"latent_depth": 0},
    "independent with cls": {"latent_depth": 0, "instance_cls": True, "view_identity": "none"},
    "no identity": {"view_identity": "none", "latent_depth": 1},
    "matmul": {"attention_kernel": "matmul"},
    "joint": {"encoder": TransformerConfig(dim=22, depth=0, num_heads=2)},
    "joint, cls": {"encoder": TransformerConfig(dim=22, depth=0, num_heads=2), "decoder_context": "cls"},
    "private": {"encoder_weights": "private"},
    "private, independent": {"encoder_weights": "private", "latent_depth": 0, "view_identity": "none"},
    "private, cls": {"encoder_weights": "private", "decoder_context": "cls", "mask": MaskConfig(latent_ratio=0.3)},
}


@pytest.mark.parametrize("ragged", [False, True], ids=["dense", "ragged"])
@pytest.mark.parametrize("name", CONFIGS)
def test_every_parameter_of_every_configuration_gets_a_gradient(ecg_batch, name, ragged):
    model = build(config(**CONFIGS[name]))
    batch = ecg_batch([LIMB, LIMB[:3], LIMB[1:]] if ragged else [LIMB] * 3)
    loss = loss_of(model, batch)
    loss.backward()
    assert bool(loss.isfinite())
    without = [n for n, p in model.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    assert without == []


def test_outputs_have_the_promised_shapes(ecg_batch):
    settings = config(mask=MaskConfig(ratio=0.7, num_masks=2))
    batch = ecg_batch()
    output = build(settings)(batch, draw(settings, batch))
    assert len(output.predictions["ecg"]) == 2
    for prediction in output.predictions["ecg"]:
        assert prediction.predicted.shape == prediction.target.shape == (15, 8, 7)
        assert prediction.valid is None
        assert not prediction.target.requires_grad
    assert output.summary.shape == (3, 22)
    assert not output.summary.requires_grad


def test_the_target_is_the_hidden_part_of_the_input(ecg_batch):
    settings = config(target="raw")
    batch, model = ecg_batch(), build(config(target="raw"))
    plan = draw(settings, batch)
    prediction = model(batch, plan).predictions["ecg"][0]
    values = normalised_by(batch.streams["ecg"], model.measure(batch)["ecg"]).values.view(15, 11, 7)
    row, place = 4, int(plan.streams["ecg"][0].target[4, 2])
    torch.testing.assert_close(prediction.target[row, 2], values[row, place])


def test_patch_normalised_targets_by_hand(ecg_batch):
    settings = config()
    batch, model = ecg_batch(), build(settings)
    plan = draw(settings, batch)
    target = model(batch, plan).predictions["ecg"][0].target
    place = int(plan.streams["ecg"][0].target[4, 2])
    patch = normalised_by(batch.streams["ecg"], model.measure(batch)["ecg"]).values.view(15, 11, 7)[4, place]
    expected = (patch - patch.mean()) / (patch.var(correction=1) + 1e-6).sqrt()
    torch.testing.assert_close(target[4, 2], expected)


def test_hidden_patches_do_not_reach_the_prediction(ecg_batch):
    settings = config(streams={"ecg": replace(config().streams["ecg"], normalise="fixed")})
    batch, model = ecg_batch(), build(settings)
    plan = draw(settings, batch)
    place = int(plan.streams["ecg"][0].target[4, 2])
    values = batch.streams["ecg"].values.clone()
    values[4, 0, 7 * place : 7 * place + 7] += 499
    changed = replace(batch, streams={"ecg": replace(batch.streams["ecg"], values=values)})
    one, other = (model(b, plan).predictions["ecg"][0].predicted for b in (batch, changed))
    torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_latent_attention_reaches_the_other_leads_of_the_study_and_no_other_study(ecg_batch):
    for depth, expected in ((0, [4]), (1, [0, 1, 2, 3, 4])):
        settings = config(
            latent_depth=depth, streams={"ecg": replace(config().streams["ecg"], normalise="fixed")}, target="raw"
        )
        batch, model = ecg_batch(), build(settings)
        plan = draw(settings, batch)
        place = int(plan.streams["ecg"][0].context[4, 0])
        values = batch.streams["ecg"].values.clone()
        values[4, 0, 7 * place : 7 * place + 7] += 499
        changed = replace(batch, streams={"ecg": replace(batch.streams["ecg"], values=values)})
        one, other = (model(b, plan).predictions["ecg"][0].predicted for b in (batch, changed))
        assert (one - other).abs().amax(dim=(1, 2)).gt(1e-7).nonzero().flatten().tolist() == expected


def test_a_hidden_lead_is_predicted_from_the_others_through_the_context(ecg_batch):
    settings = config(decoder_context="cls", mask=MaskConfig(strategy="view", hidden_views=2))
    batch, model = ecg_batch(), build(settings)
    plan = draw(settings, batch)
    hidden = sorted(set(range(5)) - set(plan.streams["ecg"][0].encoded.tolist()))
    assert len(hidden) == 2
    model(batch, plan).predictions["ecg"][0].predicted[hidden[0]].sum().backward()
    assert model.encoders["ecg"].embed.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("ragged", [False, True], ids=["dense", "ragged"])
def test_the_encoders_features_are_those_of_the_same_encoder_alone(ecg_batch, ragged):
    """LAMAE_E: latent attention bypassed, so that the model equals an independent one with the same encoder."""
    model, alone = build(config()).eval(), build(config(latent_depth=0)).eval()
    alone.encoders.load_state_dict(model.encoders.state_dict())
    studies = [LIMB, LIMB[:2]] if ragged else [LIMB[:4]] * 2
    valid = torch.ones(8, 77, dtype=torch.bool)
    valid[2, 30:] = False
    valid[5] = False  # an instance that never enters the encoder
    batch = ecg_batch(studies, valid=valid if ragged else None)
    features, expected = model.features(batch), alone.features(batch)
    assert features.encoder_tokens is not None
    assert expected.encoder_tokens is None
    for how in ("mean", "view-concat"):
        found = read_out(features, f"encoder-{how}", LIMB)
        torch.testing.assert_close(found, read_out(expected, how, LIMB), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(found, read_out(expected, f"encoder-{how}", LIMB), rtol=1e-6, atol=1e-6)
        assert (found - read_out(features, how, LIMB)).abs().max() > 0.01


def by_name(features) -> dict:
    names = [features.view_names[view] for view in features.view_of]
    return {(int(s), n): features.tokens[row] for row, (s, n) in enumerate(zip(features.study_of, names, strict=True))}


@pytest.mark.parametrize("latent_depth", [0, 2])
def test_results_depend_on_lead_names_only(ecg_batch, latent_depth):
    model = build(config(latent_depth=latent_depth)).eval()
    one = ecg_batch([LIMB, LIMB[:4]])
    other = ecg_batch([LIMB[::-1], (LIMB[2], LIMB[0], LIMB[3], LIMB[1])], names=LIMB[2:] + LIMB[:2])
    features = [model.features(batch) for batch in (one, other)]
    tokens = [by_name(f) for f in features]
    assert tokens[0].keys() == tokens[1].keys()
    for key in tokens[0]:
        torch.testing.assert_close(tokens[0][key], tokens[1][key], rtol=1e-5, atol=1e-5)
    for how in ("mean", "view-concat", *(["cls"] if latent_depth else [])):
        vectors = [read_out(f, how, LIMB) for f in features]
        torch.testing.assert_close(*vectors, rtol=1e-5, atol=1e-5)
    losses = [loss_of(model, batch) for batch in (one, other)]
    torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-6)


def test_names_matter(ecg_batch):
    model = build(config()).eval()
    batch = ecg_batch([LIMB])
    renamed = replace(batch.streams["ecg"], view_of=batch.streams["ecg"].view_of.flip(0))
    one, other = (model.features(b).cls for b in (batch, replace(batch, streams={"ecg": renamed})))
    assert (one - other).abs().max() > 1e-4


def test_a_study_in_a_ragged_batch_equals_the_study_alone(ecg_batch):
    settings = config(decoder_context="summaries", mask=MaskConfig(latent_ratio=0.4))
    model = build(settings).eval()
    studies = [LIMB, LIMB[:2], LIMB[1:5]]
    together = model.features(ecg_batch(studies))
    losses = []
    for position, leads in enumerate(studies):
        alone = ecg_batch([leads], positions=[position], global_size=3)
        features = model.features(alone)
        torch.testing.assert_close(features.cls[0], together.cls[position], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(
            features.tokens, together.tokens[together.study_of == position], rtol=1e-5, atol=1e-5
        )
        losses.append(loss_of(model, alone))
    torch.testing.assert_close(sum(losses), loss_of(model, ecg_batch(studies)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["paper", "tube, cls", "hidden, summaries", "independent with cls"])
def test_gathering_and_reshaping_agree(ecg_batch, name):
    """A plan with explicit indices for equal studies gives what the fast path gives."""
    settings = config(**CONFIGS[name])
    model, batch = build(settings).eval(), ecg_batch()
    plan = draw(settings, batch)
    mask, latent = plan.streams["ecg"][0], plan.latent[0]
    num_encoded = 15 if mask.encoded is None else len(mask.encoded)
    if latent.gather_index is None:
        take = torch.arange(num_encoded * 3).view(3, -1)
        put = latent.scatter_index or {"ecg": torch.arange(45).view(15, 3)}
        explicit = replace(
            latent, gather_index=take, gather_valid=torch.ones_like(take, dtype=torch.bool), scatter_index=put
        )
    else:
        explicit = replace(latent, gather_valid=torch.ones_like(latent.gather_index, dtype=torch.bool))
    one, other = (loss_of(model, batch, replace(plan, latent=(layout,))) for layout in (latent, explicit))
    torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["paper", "tube, cls", "hidden, summaries", "independent with cls"])
def test_padding_in_time_changes_nothing(ecg_batch, name):
    """A recording of 56 samples, and the same one padded to 77 and marked as such, with the same visible patches."""
    short, long = config(**CONFIGS[name], grid=(56,)), config(**CONFIGS[name])
    valid = torch.ones(15, 77, dtype=torch.bool)
    valid[:, 56:] = False
    padded = ecg_batch(valid=valid)
    cut = replace(padded.streams["ecg"], values=padded.streams["ecg"].values[..., :56], valid=None)
    unpadded = replace(padded, streams={"ecg": cut})
    models = [build(short).eval(), build(long).eval()]
    models[1].load_state_dict(models[0].state_dict())
    plan = draw(short, unpadded)
    tail = torch.arange(8, 11).expand(15, -1)
    mask = plan.streams["ecg"][0]
    wide = replace(
        mask,
        target=torch.cat([mask.target, tail], dim=1),
        slot_valid=torch.cat([torch.ones(15, 8, dtype=torch.bool), torch.zeros(15, 3, dtype=torch.bool)], dim=1),
    )
    outputs = [models[0](unpadded, plan), models[1](padded, replace(plan, streams={"ecg": (wide,)}))]
    short_prediction, long_prediction = (output.predictions["ecg"][0] for output in outputs)
    torch.testing.assert_close(short_prediction.predicted, long_prediction.predicted[:, :-3], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(*[masked_reconstruction(output, global_size=3) for output in outputs])
    features = [models[0].features(unpadded), models[1].features(padded)]
    torch.testing.assert_close(features[0].tokens, features[1].tokens[:, :8], rtol=1e-5, atol=1e-5)
    assert features[1].token_valid[:, 8:].sum() == 0
    torch.testing.assert_close(*[read_out(f, "mean", LIMB) for f in features], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_what_stands_in_missing_places_is_never_read(ecg_batch, name):
    model = build(config(**CONFIGS[name])).eval()
    valid = torch.rand(15, 77, generator=torch.Generator().manual_seed(7)) < 0.8
    valid[3, 20:60] = False
    valid[9] = False
    batch = ecg_batch(valid=valid)
    stream = batch.streams["ecg"]
    garbage = torch.where(valid.unsqueeze(1), stream.values, -32768)
    other = replace(batch, streams={"ecg": replace(stream, values=garbage)})
    losses = [loss_of(model, b) for b in (batch, other)]
    assert bool(losses[0].isfinite())
    torch.testing.assert_close(*losses, rtol=0, atol=0)
    torch.testing.assert_close(*[model.features(b).tokens for b in (batch, other)], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["paper", "hidden, summaries", "independent with cls"])
def test_bf16_is_close_to_fp32(ecg_batch, name):
    model, batch = build(config(**CONFIGS[name])), ecg_batch([LIMB, LIMB[:5]])
    exact = loss_of(model, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = loss_of(model, batch)
    rough.backward()
    torch.testing.assert_close(rough, exact, rtol=0.02, atol=0.02)
    assert all(p.grad.dtype == torch.float32 for p in model.parameters())


@pytest.mark.parametrize(
    ("grid", "patch", "channels"), [((15, 14), (5, 7), 3), ((6, 15, 14), (2, 5, 7), 1)], ids=["frames", "clips"]
)
def test_frames_and_clips_go_the_same_way(grid, patch, channels):
    stream = StreamConfig(
        patch=patch, grid=grid, channels=channels, view_names=("PLAX", "A4C"), normalise="fixed", fixed_scale=255.0
    )
    settings = config(streams={"echo": stream}, decoder_context="cls", mask=MaskConfig(ratio=0.5))
    generator = torch.Generator().manual_seed(3)
    frames = Instances(
        values=torch.randint(0, 255, (7, channels, *grid), generator=generator).to(torch.uint8),
        scale=torch.ones(7),
        valid=None,
        study_of=torch.tensor([0, 0, 0, 0, 1, 1, 1]),
        recording_of=torch.tensor([0, 0, 0, 1, 0, 1, 1]),
        view_of=torch.tensor([0, 0, 0, 1, 1, 0, 0]),
        time_of=torch.arange(7.0),
        view_names=("PLAX", "A4C"),
    )
    batch = StudyBatch(
        streams={"echo": frames},
        num_studies=2,
        positions=torch.arange(2),
        global_size=2,
        index=torch.arange(2),
    )
    model = build(settings)
    loss_of(model, batch).backward()
    assert all(bool(p.grad.abs().sum() > 0) for p in model.parameters())
    assert model.features(batch).tokens.shape == (7, stream.num_patches, 22)


def test_two_streams_meet_in_latent_attention(ecg_batch):
    ecg = ecg_batch([LIMB[:3], LIMB[:2]])
    frames = Instances(
        values=torch.randint(0, 255, (3, 1, 10, 14), generator=torch.Generator().manual_seed(3)).to(torch.uint8),
        scale=torch.ones(3),
        valid=None,
        study_of=torch.tensor([0, 1, 1]),
        recording_of=torch.tensor([0, 0, 1]),
        view_of=torch.zeros(3, dtype=torch.int64),
        time_of=torch.zeros(3),
        view_names=("A4C",),
    )
    batch = replace(ecg, streams={"ecg": ecg.streams["ecg"], "echo": frames})
    streams = {"ecg": config().streams["ecg"], "echo": StreamConfig(patch=(5, 7), grid=(10, 14), view_names=("A4C",))}
    model = build(config(streams=streams, decoder_context="summaries"))
    loss_of(model, batch).backward()
    assert all(bool(p.grad.abs().sum() > 0) for p in model.parameters())
    features = model.features(batch, stream="echo")
    assert features.tokens.shape == (3, 4, 22)
    alone = model.features(ecg).cls
    assert (alone - features.cls).abs().max() > 1e-4
    with pytest.raises(ConfigError, match="name the stream"):
        model.features(batch)


def test_what_does_not_fit_the_model_is_refused(ecg_batch):
    model = build(config())
    with pytest.raises(ConfigError, match=r"made for 1 channels of \(77,\), found 1 of \(70,\)"):
        model.features(ecg_batch(num_samples=70))
    batch = ecg_batch()
    knows_five = build(config(streams={"ecg": replace(config().streams["ecg"], view_names=LIMB[:5])}))
    with pytest.raises(ConfigError, match="views aVF that the model does not know"):
        knows_five.features(batch)
    with pytest.raises(ConfigError, match=r"streams \['echo'\]"):
        model.features(replace(batch, streams={"echo": batch.streams["ecg"]}))


def test_the_same_generator_gives_the_same_weights():
    one, other, third = (build(config(), seed=seed).state_dict() for seed in (3, 3, 5))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not torch.equal(one["encoders.ecg.embed.weight"], third["encoders.ecg.embed.weight"])
    assert 0.01 < one["encoders.ecg.identity"].std() < 0.03
    assert one["decoders.ecg.mask_token"].abs().max() > 0


def test_the_whole_step_is_one_graph(ecg_batch):
    settings = config(decoder_context="cls", mask=MaskConfig(strategy="tube", latent_ratio=0.3))
    model, batch = build(settings), ecg_batch([LIMB, LIMB[:3]])
    plan = draw(settings, batch)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    one, other = (masked_reconstruction(m(batch, plan), global_size=2) for m in (model, compiled))
    torch.testing.assert_close(one, other)


def test_a_mask_made_by_hand(ecg_batch):
    """Even patches visible, odd ones to be predicted."""
    batch = ecg_batch()
    even, odd = torch.arange(0, 11, 2).expand(15, -1), torch.arange(1, 11, 2).expand(15, -1)
    mask = make_stream_mask(even, odd, patch_valid=None, hidden=None)
    plan = MaskPlan(streams={"ecg": (mask,)}, latent=(make_latent_plan(batch, {"ecg": mask}),))
    prediction = build(config())(batch, plan).predictions["ecg"][0]
    assert prediction.predicted.shape == (15, 5, 7)
    with pytest.raises(ValueError, match="needs noise"):
        make_latent_plan(batch, {"ecg": mask}, ratio=0.5)


@pytest.mark.parametrize(("grid", "patch", "other"), [((77,), (7,), (105,)), ((4, 10, 14), (2, 5, 7), (6, 15, 7))])
@pytest.mark.parametrize("weights", ["shared", "private"])
def test_another_grid_runs_where_the_configuration_allows_it(grid, patch, other, weights):
    stream = StreamConfig(patch=patch, grid=grid, view_names=NAMES, normalise="view")
    settings = config(streams={"echo": stream}, encoder_weights=weights)
    batch = clip_batch([[0, 1], [2, 5, 3]], grid=other)
    with pytest.raises(ConfigError, match="the model was made for 1 channels of"):
        build(settings).features(batch)
    model = build(replace(settings, streams={"echo": replace(stream, any_grid=True)}))
    loss = loss_of(model, batch)
    loss.backward()
    assert bool(loss.isfinite())
    num_patches = math.prod(o // p for o, p in zip(other, patch, strict=True))
    assert model.features(batch).tokens.shape == (10, num_patches, 22)
    assert model.reconstruct(batch, draw(settings, batch)).masked.shape == (10, *other)
    with pytest.raises(ConfigError, match="not divisible"):
        model.features(clip_batch([[0]], grid=tuple(o + 1 for o in other)))


def test_a_longer_recording_of_any_grid_is_one_of_its_own_grid():
    stream = StreamConfig(patch=(7,), grid=(77,), view_names=NAMES, any_grid=True)
    longer, batch = replace(stream, grid=(105,), any_grid=False), clip_batch([[0, 1], [2]], grid=(105,))
    models = [build(config(streams={"echo": one})).eval() for one in (stream, longer)]
    assert torch.equal(*[model.features(batch).tokens for model in models])


def test_a_model_of_several_families_of_masks_is_trained_on_all(ecg_batch):
    families = (MaskFamily(strategy="tube", ratio=0.5), MaskFamily(strategy="block", ratio=0.8, num_blocks=2))
    settings = config(mask=MaskConfig(families=families, noise="by-recording", latent_ratio=0.2))
    batch, model = ecg_batch([LIMB, LIMB[:4]]), build(settings)
    plan = draw(settings, batch)
    assert [mask.context.shape[1] for mask in plan.streams["ecg"]] == [6, 2]
    both = loss_of(model, batch, plan)
    parts = [
        loss_of(model, batch, MaskPlan(streams={"ecg": (plan.streams["ecg"][k],)}, latent=(plan.latent[k],)))
        for k in range(2)
    ]
    torch.testing.assert_close(both, sum(parts) / 2)


def test_no_float_copy_of_a_clip_is_made_where_nothing_is_measured(monkeypatch):
    """With fixed normalisation only the visible and the target patches ever become floats."""
    from lamae.nn import normalise

    seen, real = [], normalise.apply_statistics
    for module in (normalise, targets):
        monkeypatch.setattr(module, "apply_statistics", lambda v, *rest: seen.append(v.numel()) or real(v, *rest))
    stream = StreamConfig(patch=(2, 5, 7), grid=(4, 10, 14), view_names=NAMES, normalise="fixed", fixed_scale=255.0)
    settings = config(streams={"echo": stream}, mask=MaskConfig(ratio=0.75))
    batch = clip_batch([[0, 1], [2]], grid=(4, 10, 14))
    build(settings)(batch, draw(settings, batch))
    assert seen == [batch.streams["echo"].values.numel() // 4, batch.streams["echo"].values.numel() * 3 // 4]
