"""Training on recordings that are shorter than the model's grid: what is visible, what is learned, what is counted."""

import logging

import numpy as np
import pyarrow as pa
import pytest
import torch
from train_fakes import NUM_SAMPLES, fake_config, write_fake_pack

from lamae.batch import ClipConfig
from lamae.data import PackDataset
from lamae.ecg.leads import LEADS
from lamae.errors import ConfigError, DataError
from lamae.models import StreamConfig
from lamae.models.pretrainable import total_loss
from lamae.nn.masks import MaskConfig, MaskFamily
from lamae.pack import write_pack
from lamae.run_files import read_metrics
from lamae.studies import MISSING_CODE, PreparedRecording, PreparedStudy
from lamae.train import pretrain
from lamae.train.choose_studies import choose_studies
from lamae.train.loop import make_trainer
from lamae.train.run_folder import RunFolder
from lamae.train.step import draw_batch, train_step, validation_loss
from lamae.train.without_targets import without_targets
from lamae.train.workers import Workers

ALONE = Workers(rank=0, world_size=1, device=torch.device("cpu"))
LATENT_FREE = {"model__latent__depth": 0, "model__decoder_context": "none"}


JOINT, TUBE = {"model__encoder__depth": 0}, {"model__mask__strategy": "tube"}


@pytest.mark.parametrize("overrides", [{}, LATENT_FREE, JOINT, TUBE])
def test_a_run_on_recordings_of_a_quarter_of_the_grid_learns(tmp_path, overrides):
    """Of 11 patches 3 are recorded; 6 would be visible of a whole recording, 2 are of these."""
    pack = write_fake_pack(tmp_path / "pack", recorded=lambda study, lead: 30)
    config = fake_config(model__mask__ratio=0.5, optim__steps=60, optim__lr=1e-2, **overrides)
    summary = pretrain(config, [pack.path], tmp_path / "run", progress=False)
    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert 0 < summary.loss < 0.95 * lines[0]["loss"]
    assert all(line["grad_norm"] > 0 for line in lines)
    assert summary.validation_loss > 0
    assert RunFolder(tmp_path / "run").info["training"]["without_targets"] == 0


def one_patch_of_some(study, lead):
    """One patch of 10 samples of every third study, two patches and more of one lead of the others."""
    return 10 if study % 3 == 0 or lead else 20 + 10 * (study % 9)


def test_studies_without_anything_to_predict_are_left_out_and_said(tmp_path, capfd, caplog):
    caplog.set_level(logging.WARNING, logger="lamae")  # a test of the command line may have turned messages on
    pack = write_fake_pack(tmp_path / "pack", recorded=one_patch_of_some)
    config = fake_config(optim__steps=6)
    pretrain(config, [pack.path], tmp_path / "run", progress=True)
    studies = RunFolder(tmp_path / "run").info["training"]
    assert (studies["studies"], studies["without_targets"]) == (16, 8)
    assert RunFolder(tmp_path / "run").info["validation"]["studies"] == 4  # of seven
    assert "starts; 16 studies (8 more are left out: they have nothing to predict)" in capfd.readouterr().err


def test_studies_without_anything_to_predict_change_no_weight(tmp_path):
    """The same studies, with and without others of one patch between them."""
    with_others = write_fake_pack(tmp_path / "with", recorded=one_patch_of_some)
    table = with_others.studies
    keep = [row for row in range(37) if row % 3]
    studies = [with_others.study(row) for row in keep]
    without = write_pack(
        tmp_path / "without", studies, table.take(keep), preprocessing=with_others.info.preprocessing, cohort="fake"
    )
    losses = []
    for pack in (with_others, without):
        run = tmp_path / f"run of {pack.path.name}"
        pretrain(fake_config(), [pack.path], run, progress=False)
        lines = read_metrics(run / "metrics.jsonl")
        losses.append([(line["loss"], line["grad_norm"], line.get("validation_loss")) for line in lines])
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ({"strategy": "random"}, [False, True, False, True, True, False]),
        ({"strategy": "view", "hidden_views": 1}, [False, True, False, True, True, False]),
        ({"strategy": "tube"}, [False, True, False, True, False, False]),
        ({"families": (MaskFamily(), MaskFamily(strategy="tube"))}, [False, True, False, True, False, False]),
    ],
)
def test_studies_without_anything_to_predict_by_hand(tmp_path, mask, expected):
    """Two patches of both leads; one; one and two; one in two parts; one each that together are two; all samples."""
    places = [[(0, 20), (5, 25)], [(0, 9), (1, 10)], [(10, 20), (90, 110)], [(0, 3), (7, 10)], [(0, 5), (15, 20)]]
    studies = []
    for number in range(6):
        values = np.full((2, NUM_SAMPLES), 7 if number == 5 else MISSING_CODE, np.int16)
        for lead, (start, stop) in enumerate(places[number] if number < 5 else []):
            values[lead, start:stop] = 7
        studies.append(
            PreparedStudy.of_waveforms(
                view_names=("I", "II"),
                values=values,
                scale=np.full(2, 0.001, np.float32),
                rate_hz=20.0,
                has_missing=number < 5,
            )
        )
    pack = write_pack(tmp_path / "pack", studies, pa.table({"study_id": list("abcdef")}), view_names=LEADS)
    dataset = PackDataset([pack], view_names=LEADS)
    found = without_targets(dataset, fake_config().model.streams["ecg"], MaskConfig(**mask))
    assert found.tolist() == expected


@pytest.mark.parametrize(("patch", "expected"), [((4, 8, 8), [True, False]), ((4, 4, 8), [False, False])])
def test_videos_of_one_patch_have_nothing_to_predict(tmp_path, patch, expected):
    """A clip of every second frame of 16; the first study's video has 8 frames, 4 of which are taken."""
    rng = np.random.default_rng(3)
    studies = [
        PreparedStudy(
            recordings=(
                PreparedRecording(
                    key="a",
                    name="A4C",
                    values=rng.integers(0, 255, (frames, 8, 8)).astype(np.uint8),
                    scale=1.0,
                    rate_hz=30.0,
                    has_missing=False,
                ),
            )
        )
        for frames in (8, 20)
    ]
    pack = write_pack(
        tmp_path / "pack", studies, pa.table({"study_id": ["a", "b"]}), view_names=("A4C",), modality="echo"
    )
    clip = ClipConfig(frames=8, window=16)
    stream = StreamConfig(patch=patch, grid=(8, 8, 8), view_names=("A4C",), clip=clip)
    dataset = PackDataset([pack], view_names=("A4C",), clip=clip)
    assert without_targets(dataset, stream, MaskConfig(noise="by-recording")).tolist() == expected


def test_what_is_dropped_at_random_leaves_no_study_out(tmp_path):
    """Each study has one long lead, which the first steps may drop."""
    pack = write_fake_pack(tmp_path / "pack", recorded=lambda study, lead: 110 if lead == study % 12 else 10)
    training, validation = choose_studies(fake_config(data__min_views=1), [pack])
    assert (len(training), training.num_without_targets, len(validation)) == (24, 0, 7)


def test_packs_without_anything_to_predict_are_refused(tmp_path):
    pack = write_fake_pack(tmp_path / "pack", recorded=lambda study, lead: 10)
    words = r"none of the 24 studies has anything to predict, .*use a smaller patch \(model.streams.ecg.patch\)"
    with pytest.raises(ConfigError, match=words):
        pretrain(fake_config(), [pack.path], tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def unfiltered(tmp_path, **overrides):
    """Return a trainer whose data set still has the studies without anything to predict."""
    pack = write_fake_pack(tmp_path / "pack", recorded=one_patch_of_some)
    config = fake_config(optim__batch_size=9, **overrides)
    return make_trainer(config, PackDataset([pack], view_names=LEADS, seed=config.seed), ALONE)


@pytest.mark.parametrize("num_masks", [1, 2])
@pytest.mark.parametrize("accumulation", [1, 3])
def test_the_loss_of_a_step_is_the_mean_over_studies_with_anything_to_predict(tmp_path, accumulation, num_masks):
    overrides = {"optim__accumulation": accumulation, "model__mask__num_masks": num_masks}
    trainer = unfiltered(tmp_path, **overrides)
    rows = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8])  # three of them are without
    trainer.model.zero_grad()
    batch = trainer.dataset.batch(rows[rows % 3 > 0], positions=rows[rows % 3 > 0], global_size=9)
    batch, plan = draw_batch(trainer, batch, 0)
    loss = total_loss(trainer.model.losses(trainer.model(batch, plan), global_size=6))
    loss.backward()
    norm = torch.nn.utils.get_total_norm([p.grad for p in trainer.model.parameters()])
    trainer.model.zero_grad()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("lamae.train.step.global_batch", lambda *args, **options: rows)
        result = train_step(trainer, 0)
    assert loss.item() > 0
    assert result.loss == pytest.approx(loss.item(), rel=1e-5)
    assert result.grad_norm == pytest.approx(norm.item(), rel=1e-4)


def test_a_step_without_anything_to_predict_is_an_error_with_words(tmp_path, monkeypatch):
    trainer = unfiltered(tmp_path)
    before = [parameter.clone() for parameter in trainer.model.parameters()]
    monkeypatch.setattr("lamae.train.step.global_batch", lambda *args, **options: np.arange(0, 27, 3))
    with pytest.raises(DataError, match=r"step 4: none of the 9 studies has anything to predict.*data.min_views"):
        train_step(trainer, 4)
    assert all(torch.equal(*pair) for pair in zip(before, trainer.model.parameters(), strict=True))


def test_the_validation_loss_is_the_mean_over_studies_with_anything_to_predict(tmp_path):
    trainer = unfiltered(tmp_path, data__validation_studies=2)
    one, both = (PackDataset(trainer.dataset.packs, view_names=LEADS, rows=np.array(rows)) for rows in ([4], [4, 3]))
    expected = validation_loss(trainer, one)
    assert expected > 0
    assert validation_loss(trainer, both) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("noise", ["by-name", "by-recording"])
def test_recordings_of_several_lengths_want_noise_that_does_not_depend_on_the_longest(tmp_path, noise):
    lengths = [NUM_SAMPLES, 60, 80]
    rng = np.random.default_rng(3)
    studies = [
        PreparedStudy.of_waveforms(
            view_names=LEADS,
            values=rng.integers(-900, 900, (12, lengths[number % 3])).astype(np.int16),
            scale=np.full(12, 0.001, np.float32),
            rate_hz=20.0,
            has_missing=False,
        )
        for number in range(21)
    ]
    whole = write_fake_pack(tmp_path / "whole", num=21)
    pack = write_pack(tmp_path / "pack", studies, whole.studies, preprocessing=whole.info.preprocessing, cohort="fake")
    config = fake_config(model__mask__noise=noise, model__streams__ecg__any_grid=True, optim__steps=5)
    assert pretrain(config, [whole.path], tmp_path / "of one length", progress=False).loss > 0
    if noise == "by-name":
        with pytest.raises(ConfigError, match=r"60 to 110 samples, .*set model.mask.noise to by-recording"):
            pretrain(config, [pack.path], tmp_path / "run", progress=False)
        return
    losses = []
    for accumulation in (1, 3):
        cut = fake_config(
            model__mask__noise=noise, model__streams__ecg__any_grid=True, optim__accumulation=accumulation, log_every=1
        )
        run = tmp_path / f"run in {accumulation}"
        pretrain(cut, [pack.path], run, progress=False)
        losses.append([line["loss"] for line in read_metrics(run / "metrics.jsonl")])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
