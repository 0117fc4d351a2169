"""A second modality goes all the way, from studies to a probe, without a line of the ECG wing."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_modality import HEIGHT, NAMES, WIDTH, Toy, ToyCohort, ToyPreprocessing, make_study

import lamae
from lamae import modality
from lamae.batch import ClipConfig
from lamae.data import PackDataset
from lamae.errors import ConfigError
from lamae.evals import EvalSettings, probe
from lamae.models import MaskedAutoencoder, MaskedAutoencoderConfig, StreamConfig
from lamae.nn.masks import MaskConfig, draw_masks
from lamae.nn.transformer import TransformerConfig
from lamae.pack import Pack, verify
from lamae.prepare import prepare
from lamae.report import write_report
from lamae.train import DataConfig, OptimConfig, PretrainConfig, pretrain

FRAMES = ClipConfig(frames=4, window=8, instances="frame")
CLIPS = ClipConfig(frames=4, window=8, instances="clip")


@pytest.fixture(autouse=True)
def toy_modality(monkeypatch):
    monkeypatch.setitem(modality.MODALITIES, "toy", Toy())


@pytest.fixture
def pack(tmp_path) -> Pack:
    summary = prepare(ToyCohort(), tmp_path / "pack", workers=0, shard_size=7, progress=False)
    assert (summary.num_studies, summary.num_rejected) == (60, 0)
    return Pack.open(tmp_path / "pack")


def model_config(clip: ClipConfig, **mask) -> MaskedAutoencoderConfig:
    of_frames = clip.instances == "frame"
    return MaskedAutoencoderConfig(
        streams={
            "toy": StreamConfig(
                patch=(8, 8) if of_frames else (2, 8, 8),
                grid=(HEIGHT, WIDTH) if of_frames else (4, HEIGHT, WIDTH),
                view_names=NAMES,
                clip=clip,
                normalise="fixed",
                fixed_scale=255.0,
                std_floor=1.0,
            )
        },
        encoder=TransformerConfig(dim=24, depth=1, num_heads=2),
        latent=TransformerConfig(dim=24, depth=1, num_heads=2),
        decoder=TransformerConfig(dim=16, depth=1, num_heads=2),
        mask=MaskConfig(**{"ratio": 0.5, "noise": "by-recording"} | mask),
    )


def config(clip: ClipConfig, **data) -> PretrainConfig:
    return PretrainConfig(
        model=model_config(clip),
        optim=OptimConfig(steps=7, batch_size=5, lr=1e-3, warmup_steps=2, accumulation=2),
        data=DataConfig(validation_studies=5, **data),
        readout="mean",
        precision="fp32",
        device="cpu",
        log_every=1,
        eval_every=3,
        save_every=2,
    )


def test_the_pack_holds_every_recording(pack):
    assert verify(pack.path) == []
    assert (pack.info.modality, pack.info.rate_hz, pack.info.view_names) == ("toy", None, NAMES)
    for row in (0, 3, 6):
        for ours, theirs in zip(pack.study(row).recordings, make_study(row).views.values(), strict=True):
            assert (ours.key, ours.name, ours.rate_hz) == (theirs.key, theirs.name or "unknown", theirs.rate_hz)
            np.testing.assert_array_equal(ours.values, theirs.values)


@pytest.mark.parametrize("clip", [FRAMES, CLIPS])
def test_batches_are_a_function_of_seed_step_and_recording(pack, clip):
    dataset = PackDataset([pack], view_names=NAMES, clip=clip, seed=3, random_clips=True)
    rows = np.array([7, 2, 11])
    whole = dataset.batch(rows, step=5).streams["toy"]
    assert whole.grid == ((HEIGHT, WIDTH) if clip is FRAMES else (4, HEIGHT, WIDTH))
    part = dataset.batch(rows[1:], positions=np.array([1, 2]), global_size=3, step=5).streams["toy"]
    torch.testing.assert_close(part.values, whole.values[whole.study_of > 0], rtol=0, atol=0)
    assert not torch.equal(dataset.batch(rows, step=6).streams["toy"].values, whole.values)
    group_of, study_of = whole.recordings()
    assert torch.bincount(study_of).tolist() == [5, 4, 5]
    counts = torch.bincount(group_of)
    assert set(counts.tolist()) == ({4} if clip is FRAMES else {1})
    unknown = whole.view_of == NAMES.index("unknown")
    assert bool(whole.time_of[unknown].isnan().all())
    assert bool(whole.time_of[~unknown].isfinite().all())


def test_recordings_are_dropped_whole(pack):
    dataset = PackDataset([pack], view_names=NAMES, clip=FRAMES, min_views=1, seed=5, random_clips=True)
    batch = dataset.batch(np.arange(60), step=1).streams["toy"]
    group_of, study_of = batch.recordings()
    assert set(torch.bincount(group_of).tolist()) == {4}
    assert set(torch.bincount(study_of).tolist()) >= {1, 2, 3}
    fewer = PackDataset(
        [pack], view_names=NAMES, clip=ClipConfig(frames=4, max_recordings=2), seed=5, random_clips=True
    )
    steps = [fewer.batch(np.array([3]), step=step).streams["toy"].recording_of.tolist() for step in range(20)]
    assert all(len(found) == 2 for found in steps)
    assert {number for found in steps for number in found} == {0, 1, 2, 3, 4}


def test_short_videos_are_padded_and_padding_enters_no_loss(pack):
    clip = ClipConfig(frames=16, instances="clip")
    instances = PackDataset([pack], view_names=NAMES, clip=clip).batch(np.arange(9)).streams["toy"]
    assert instances.valid is not None
    assert instances.valid.shape == instances.values[:, 0].shape
    assert not instances.valid.all()
    assert (instances.values[:, 0][~instances.valid] == 0).all()


@pytest.mark.parametrize("clip", [FRAMES, CLIPS])
@pytest.mark.parametrize("mask", [{}, {"strategy": "tube"}, {"latent_ratio": 0.5}])
def test_a_loss_with_patches_in_two_and_three_dimensions(pack, clip, mask):
    settings = model_config(clip, **mask)
    batch = PackDataset([pack], view_names=NAMES, clip=clip).batch(np.array([0, 5, 3]))
    model = MaskedAutoencoder(settings, generator=torch.Generator().manual_seed(1))
    plan = draw_masks(settings.mask, batch, settings.patch_shapes, torch.Generator().manual_seed(2))
    loss = model.losses(model(batch, plan), global_size=3)["reconstruction"].value
    loss.backward()
    assert 0 < loss.item() < 3
    assert all(bool(p.grad.abs().sum() > 0) for p in model.parameters() if p.grad is not None)
    features = model.features(batch)
    assert features.recording_of.tolist() == batch.streams["toy"].recording_of.tolist()


@pytest.mark.parametrize("clip", [FRAMES, CLIPS])
def test_from_pretraining_to_a_linear_probe(pack, tmp_path, clip):
    run = tmp_path / "run"
    assert pretrain(config(clip, min_views=1), [pack.path], run, progress=False).status == "finished"
    result = probe(run, pack, "label_large", tmp_path / "result", settings=EvalSettings(draws=20, min_count=1))
    assert result.metric("macro_auroc").value > 0.8
    control = probe(run, pack, "label_large", weights="random", settings=EvalSettings(draws=20, min_count=1))
    assert control.info["run"]["weights"] != result.info["run"]["weights"]


def test_stopping_and_augmenting_change_nothing(pack, tmp_path, monkeypatch):
    seen = []

    def darken(batch, seed, step):
        seen.append((seed, step))
        return batch

    whole = pretrain(config(FRAMES), [pack.path], tmp_path / "whole", augment=darken, progress=False)
    assert sorted(set(seen)) == [(0, step) for step in range(7)]
    monkeypatch.setattr("lamae.train.loop.stop_requests", StopAfter(3))
    assert pretrain(config(FRAMES), [pack.path], tmp_path / "cut", progress=False).status == "interrupted"
    monkeypatch.undo()
    resumed = pretrain(config(FRAMES), [pack.path], tmp_path / "cut", progress=False)
    assert (resumed.status, resumed.loss, resumed.validation_loss) == ("finished", whole.loss, whole.validation_loss)
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


class StopAfter:
    """Asks to stop after some steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def __bool__(self) -> bool:
        self.left -= 1
        return self.left <= 0


def weights(run: Path) -> bytes:
    return sorted((run / "checkpoint").iterdir())[-1].joinpath("weights.safetensors").read_bytes()


def test_a_grid_that_does_not_fit_is_named(pack, tmp_path):
    whole = model_config(CLIPS)
    stream = replace(whole.streams["toy"], grid=(4, 8, 16))
    with pytest.raises(ConfigError, match=r"instances of 4 x 16 x 24, but the model takes 4 x 8 x 16"):
        pretrain(replace(config(CLIPS), model=replace(whole, streams={"toy": stream})), [pack.path], tmp_path / "run")
    with pytest.raises(ConfigError, match=r"clip gives instances of 6 frames, but grid is \(4, 16, 24\)"):
        replace(whole.streams["toy"], clip=ClipConfig(frames=6))


def test_files_are_embedded_as_through_a_pack(pack, tmp_path):
    run = tmp_path / "run"
    pretrain(config(CLIPS), [pack.path], run, progress=False)
    embedder = lamae.load(run)
    np.testing.assert_allclose(embedder.embed(["3", make_study(8)]), embedder.embed(pack)[[3, 8]], atol=1e-6)


@pytest.mark.parametrize("clip", [FRAMES, CLIPS], ids=["frames", "clips"])
def test_a_report_shows_a_reconstruction(pack, tmp_path, clip):
    pretrain(config(clip), [pack.path], tmp_path / "run", progress=False)
    page = write_report([tmp_path / "run"], tmp_path / "report.html").read_text()
    assert "One frame as recorded and as filled in." in page
    assert re.search(r"root mean square error is\s+[\d.]+ grey levels", page)


def test_jpeg_frames_and_raw_ones_make_packs_alike(pack, tmp_path):
    prepare(
        ToyCohort(num=4), tmp_path / "jpeg", preprocessing=ToyPreprocessing(jpeg_quality=98), workers=0, progress=False
    )
    stored = Pack.open(tmp_path / "jpeg")
    for row in range(4):
        for ours, theirs in zip(stored.study(row).recordings, pack.study(row).recordings, strict=True):
            assert np.abs(ours.values.astype(int) - theirs.values).mean() < 3


def test_nothing_of_the_ecg_wing_is_imported(tmp_path):
    """All but the entry of the dictionary, which imports nothing of its wing."""
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1] / "fakes")!r})
from pathlib import Path
from toy_modality import Toy, ToyCohort
from lamae import modality
modality.MODALITIES = {{"toy": Toy()}}
from lamae.prepare import prepare
from lamae.data import PackDataset
from lamae.models import MaskedAutoencoder
import lamae.train, lamae.embedder
prepare(ToyCohort(num=3), Path({str(tmp_path / "pack")!r}), workers=0, progress=False)
print(*sorted(name for name in sys.modules if name.startswith("lamae.ecg")))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["lamae.ecg", "lamae.ecg.modality"]
