import errno
import json
import logging
import os
import re
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from train_fakes import fake_config, write_fake_pack

import lamae
from lamae.checkpoint import checkpoints, find_checkpoint, load_model, read_meta, read_provenance
from lamae.errors import ConfigError, DataError
from lamae.models import StreamConfig
from lamae.pack import Pack
from lamae.run_files import read_metrics
from lamae.splits import patient_hashes, salt_fingerprint
from lamae.train import loop, pretrain
from lamae.train.run_folder import RunFolder


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    return write_fake_pack(tmp_path_factory.mktemp("pack") / "pack", whole=False).path


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory, pack):
    path = tmp_path_factory.mktemp("runs") / "whole"
    summary = pretrain(fake_config(), [pack], path, recipe_name="fake", progress=False)
    assert (summary.status, summary.step) == ("finished", 13)
    return path


def weights(run):
    return load_model(run)[0].state_dict()


def assert_same_bits(run_a, run_b):
    ours, theirs = weights(run_a), weights(run_b)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def stop_at(monkeypatch, step, error=None):
    """Ask the process to stop, or raise, during a step."""
    real_step = loop.train_step

    def step_and_stop(trainer, number):
        if number == step and error is not None:
            raise error
        result = real_step(trainer, number)
        if number == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    monkeypatch.setattr(loop, "train_step", step_and_stop)


def without_times(run):
    lines = read_metrics(run / "metrics.jsonl")
    return [{key: value for key, value in line.items() if key not in ("seconds", "studies_per_s")} for line in lines]


def test_a_run_learns(whole_run, tmp_path, pack):
    lines = read_metrics(whole_run / "metrics.jsonl")
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10, 12, 13]
    assert [path.name for path in checkpoints(whole_run / "checkpoint")] == ["step-00000010", "step-00000013"]  # keep 2
    assert lines[-1]["loss"] < 0.9 * lines[0]["loss"]
    assert all(line["feature_std"] > 0 and line["effective_rank"] > 1 for line in lines)
    assert ["validation_loss" in line for line in lines] == [False, True, False, True, False, True, True]


def test_the_same_seed_gives_the_same_bits(whole_run, tmp_path, pack):
    pretrain(fake_config(), [pack], tmp_path / "again", progress=False)
    assert_same_bits(whole_run, tmp_path / "again")
    assert without_times(whole_run) == without_times(tmp_path / "again")
    pretrain(fake_config(seed=12), [pack], tmp_path / "other", progress=False)
    assert not torch.equal(
        weights(whole_run)["decoders.ecg.head.weight"], weights(tmp_path / "other")["decoders.ecg.head.weight"]
    )


@pytest.mark.parametrize("step", [0, 3, 9])
def test_sigterm_saves_and_the_same_call_goes_on(whole_run, tmp_path, pack, monkeypatch, step):
    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        stop_at(patched, step)
        summary = pretrain(fake_config(), [pack], run, recipe_name="fake", progress=False)
    assert (summary.status, summary.step) == ("interrupted", step + 1)
    assert RunFolder(run).info["status"] == "interrupted"
    assert not (run / "examples").exists()
    assert checkpoints(run / "checkpoint")[-1].name == f"step-{step + 1:08d}"
    assert pretrain(fake_config(), [pack], run, recipe_name="fake", progress=False).status == "finished"
    assert_same_bits(whole_run, run)
    assert without_times(run) == without_times(whole_run)


def test_an_aligned_run_goes_on_with_the_same_bits_and_lines(tmp_path, pack, monkeypatch):
    config = fake_config(
        model__latent__depth=0, model__decoder_context="none", alignment={"metric": "mix"}, log_every=4, save_every=3
    )
    pretrain(config, [pack], tmp_path / "whole", progress=False)
    with monkeypatch.context() as patched:
        stop_at(patched, 8, error=RuntimeError("crash"))
        with pytest.raises(RuntimeError, match="crash"):
            pretrain(config, [pack], tmp_path / "cut", progress=False)
    pretrain(config, [pack], tmp_path / "cut", progress=False)
    assert_same_bits(tmp_path / "whole", tmp_path / "cut")
    lines = without_times(tmp_path / "whole")
    assert lines == without_times(tmp_path / "cut")
    assert all({"loss", "reconstruction", "alignment", "alignment_weight"} <= line.keys() for line in lines)
    assert lines[0]["alignment_weight"] < lines[-1]["alignment_weight"] == 2.0


def test_a_model_of_two_streams_goes_on_where_the_packs_teach_one(tmp_path, pack, monkeypatch):
    plain = fake_config(optim__steps=6)
    echo = StreamConfig(patch=(8, 8), grid=(16, 16), view_names=("A4C",))
    config = replace(plain, model=replace(plain.model, streams={**plain.model.streams, "echo": echo}))
    pretrain(config, [pack], tmp_path / "whole", progress=False)
    stop_at(monkeypatch, 3)
    assert pretrain(config, [pack], tmp_path / "cut", progress=False).status == "interrupted"
    monkeypatch.undo()
    assert pretrain(config, [pack], tmp_path / "cut", progress=False).status == "finished"
    assert_same_bits(tmp_path / "whole", tmp_path / "cut")


def test_a_run_says_that_it_is_running(tmp_path, pack, monkeypatch):
    said, real_step = [], loop.train_step

    def step_and_look(trainer, number):
        said.append(RunFolder(tmp_path / "run").info["status"])
        return real_step(trainer, number)

    monkeypatch.setattr(loop, "train_step", step_and_look)
    pretrain(fake_config(optim__steps=3), [pack], tmp_path / "run", progress=False)
    assert said == ["running"] * 3


@pytest.mark.parametrize("step", [4, 8])
def test_a_crash_loses_the_steps_since_the_checkpoint_only(whole_run, tmp_path, pack, monkeypatch, step):
    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        stop_at(patched, step, error=RuntimeError("crash"))
        with pytest.raises(RuntimeError, match="crash"):
            pretrain(fake_config(), [pack], run, recipe_name="fake", progress=False)
    assert RunFolder(run).info["status"] == "failed"
    pretrain(fake_config(), [pack], run, recipe_name="fake", progress=False)
    assert_same_bits(whole_run, run)
    assert without_times(run) == without_times(whole_run)


def test_a_finished_run_is_left_as_it_is(whole_run, pack):
    before = (whole_run / "metrics.jsonl").read_bytes()
    summary = pretrain(fake_config(), [pack], whole_run, recipe_name="fake", progress=False)
    assert (summary.status, summary.step, summary.loss is not None) == ("finished", 13, True)
    assert (whole_run / "metrics.jsonl").read_bytes() == before


def test_another_configuration_is_refused_with_the_difference(whole_run, pack):
    with pytest.raises(ConfigError, match=r"that run != this command\): optim.lr: 0.003 != 0.5; seed: 11 != 12"):
        pretrain(fake_config(optim__lr=0.5, seed=12), [pack], whole_run, progress=False)


def test_other_packs_are_refused(whole_run, tmp_path):
    other = write_fake_pack(tmp_path / "other", seed=5)
    with pytest.raises(ConfigError, match="holds a run on other packs"):
        pretrain(fake_config(), [other.path], whole_run, progress=False)


def test_a_folder_of_something_else_is_refused(tmp_path, pack):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ConfigError, match=r"holds files but no run \(config.yaml\); choose another folder"):
        pretrain(fake_config(), [pack], tmp_path, progress=False)


def test_two_processes_on_one_run_are_refused(tmp_path, pack):
    with (
        RunFolder(tmp_path / "run").claimed(fake_config(), []),
        pytest.raises(ConfigError, match="another process is working on this run"),
    ):
        pretrain(fake_config(), [pack], tmp_path / "run", progress=False)


def test_a_full_disk_keeps_the_old_checkpoint(whole_run, tmp_path, pack, monkeypatch):
    run = tmp_path / "run"
    real = os.replace

    def full(source, target):
        if str(target).endswith("step-00000010"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            pretrain(fake_config(), [pack], run, progress=False)
    assert os.listdir(run / "checkpoint") == ["step-00000005"]
    pretrain(fake_config(), [pack], run, progress=False)
    assert_same_bits(whole_run, run)


def test_a_nonfinite_loss_stops_and_names_the_rows(tmp_path, pack, monkeypatch):
    real = loop.PackDataset.batch
    bad = {3}  # a row whose values no loss survives

    def batch(self, indices, **more):
        found = real(self, indices, **more)
        hit = [k for k, row in enumerate(found.index.tolist()) if row in bad and more.get("step", 0) > 2]
        if not hit or self.rows[0] != 0:
            return found
        stream = found.streams["ecg"]
        values = stream.values.double()
        values[stream.study_of == hit[0]] = torch.nan
        return replace(found, streams={"ecg": replace(stream, values=values)})

    monkeypatch.setattr(loop.PackDataset, "batch", batch)
    run = tmp_path / "run"
    with pytest.raises(DataError, match=r"the loss is nan .*\(1 of them give no finite loss alone") as caught:
        pretrain(fake_config(save_every=1), [pack], run, progress=False)
    assert caught.value.reason == "non-finite-loss"
    content = json.loads((run / "nonfinite.json").read_text())
    opened = Pack.open(pack)
    assert content["suspects"] == [{"pack": opened.info.content_hash, "row": 3}]
    assert {"pack": opened.info.content_hash, "row": 3} in content["studies"]
    assert len(content["studies"]) == 7
    assert checkpoints(run / "checkpoint")[-1].name == f"step-{content['step']:08d}"
    assert all(value.isfinite().all() for value in weights(run).values())
    assert RunFolder(run).info["status"] == "failed"


def test_the_records_of_a_run(whole_run, pack):
    info, opened = RunFolder(whole_run).info, Pack.open(pack)
    assert (info["format"], info["format_version"], info["recipe"]) == ("lamae-run", 2, "fake")
    assert info["packs"][0]["studies_by_split"] == {"test": 6, "train": 24, "validation": 7}
    assert info["packs"][0]["simulated"] is True
    assert info["packs"][0]["content_hash"] == opened.info.content_hash
    assert info["training"] == {"studies": 24, "patients": 12, "without_views": 0, "without_targets": 0}
    assert info["parameters"]["total"] == sum(value.numel() for value in weights(whole_run).values())
    assert not (whole_run / "patients.parquet").exists()
    checkpoint = find_checkpoint(whole_run)
    known = read_provenance(checkpoint, read_meta(checkpoint))
    (trained,), hashes = known.trained_on, known.seen
    assert {key: trained[key] for key in ("verb", "recipe", "studies", "patients")} == {
        "verb": "pretrain",
        "recipe": "fake",
        "studies": 24,
        "patients": 12,
    }
    assert [one["content_hash"] for one in trained["packs"]] == [opened.info.content_hash]
    assert {**trained["card"], "seconds": 0} == {**info["card"], "seconds": 0}
    train = [row for row, split in enumerate(opened.studies.column("split").to_pylist()) if split == "train"]
    keys = opened.studies.column("patient_key").take(train).to_pylist()
    records = [key for key in opened.studies.column("record_key").take(train).to_pylist() if key]
    assert set(hashes.column("patient_hash").to_pylist()) == set(patient_hashes(keys).tolist())
    assert set(hashes.column("record_hash").to_pylist()) - {None} == set(patient_hashes(records).tolist())
    assert set(hashes.column("salt_hash").to_pylist()) == {salt_fingerprint()}


def test_no_identifier_is_in_a_run(whole_run):
    for file in whole_run.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert b"fake:" not in content, file
            assert b"study-" not in content, file


def test_examples_for_the_report(whole_run, pack):
    with np.load(whole_run / "examples" / "reconstruction.npz") as example:
        shape = (len(example["leads"]), 110)
        assert example["original"].shape == example["reconstructed"].shape == example["masked"].shape == shape
        assert 0.6 < example["masked"].mean() < 0.8
        np.testing.assert_allclose(
            example["original"][~example["masked"]], example["reconstructed"][~example["masked"]], atol=1e-5
        )
        assert bool(example["simulated"])
        opened = Pack.open(pack)
        first = opened.studies.column("split").to_pylist().index("validation")
        assert tuple(example["leads"]) == opened.study(first).view_names
    with np.load(whole_run / "examples" / "attention.npz") as example:
        assert example["weights"].shape == (1, 12, 12)
        assert example["cls"].shape == (12,)
        assert (example["weights"].sum(axis=-1) <= 1 + 1e-5).all()


def test_a_run_loads(whole_run, pack):
    assert lamae.load(whole_run).embed(Pack.open(pack)).shape == (37, 240 // 12)


def test_without_validation_studies_and_latent_attention(tmp_path, pack):
    config = fake_config(
        data__validation_splits=["dev"], model__latent__depth=0, model__decoder_context="none", optim__steps=3
    )
    assert pretrain(config, [pack], tmp_path / "run", progress=False).validation_loss is None
    assert sorted(os.listdir(tmp_path / "run" / "examples")) == ["reconstruction.npz"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"data__train_splits": ["training"]}, r"no studies are left in the split .*train \(24\)"),
        ({"data__views": ["V9"]}, "the model does not know the views V9"),
        ({"optim__batch_size": 2, "optim__accumulation": 3}, "a batch of 2 studies cannot be cut into"),
        ({"model__streams__ecg__grid": [90]}, "110 samples a lead .* but the model takes 90"),
        ({"device": "warp"}, "device 'warp' is unknown: expected auto, cpu, cuda"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, pack, overrides, words):
    with pytest.raises(ConfigError, match=words):
        pretrain(fake_config(**overrides), [pack], tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_progress_in_lines(tmp_path, pack, capfd, caplog):
    caplog.set_level(logging.WARNING, logger="lamae")  # a test of the command line may have turned messages on
    pretrain(fake_config(optim__steps=4), [pack], tmp_path / "run", progress=True)
    shown = capfd.readouterr().err
    assert "starts; 24 studies" in shown
    assert "step 2/4  loss " in shown
    assert " left" in shown
    pretrain(fake_config(optim__steps=4), [pack], tmp_path / "silent", progress=False)
    assert "step 2/4" not in capfd.readouterr().err


def test_tensorboard(tmp_path, pack):
    pytest.importorskip("tensorboard")
    pretrain(fake_config(optim__steps=4, tensorboard=True), [pack], tmp_path / "run", progress=False)
    assert len(os.listdir(tmp_path / "run" / "tensorboard")) == 1


def test_a_pack_of_another_length_than_the_model_takes(tmp_path, pack):
    config = fake_config(model__streams__ecg__grid="[100]")
    words = r"110 samples a lead \(20 Hz x 5\.5 s\), but the model takes 100: prepare the data with --rate-hz 18\.1818"
    with pytest.raises(ConfigError, match=words):
        pretrain(config, [pack], tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_shard_that_was_changed_on_disk_is_refused(tmp_path):
    """Its size always tells; a changed byte of the same size only when asked to hash."""
    shard = write_fake_pack(tmp_path / "pack").path / "views" / "00000.arrow"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    config = fake_config(optim__steps=3)
    assert pretrain(config, [tmp_path / "pack"], tmp_path / "unasked", progress=False).status == "finished"
    asked = fake_config(optim__steps=3, data__verify=True)
    with pytest.raises(DataError, match=r"00000\.arrow: the content is not what was written"):
        pretrain(asked, [tmp_path / "pack"], tmp_path / "asked", progress=False)
    assert not (tmp_path / "asked").exists()
    shard.write_bytes(content[:-7])
    with pytest.raises(DataError, match=r"00000\.arrow: expected \d+ bytes, found \d+; the file is damaged"):
        pretrain(config, [tmp_path / "pack"], tmp_path / "run", progress=False)


def test_hashes_of_patients_cannot_be_reversed_with_what_a_run_holds(whole_run, pack):
    """Whoever has the run and all ids tries each word of it as the salt."""
    opened, checkpoint = Pack.open(pack), checkpoints(whole_run / "checkpoint")[-1]
    known = read_provenance(checkpoint, read_meta(checkpoint)).seen
    texts = [file.read_text() for file in whole_run.rglob("*") if file.suffix in (".json", ".yaml", ".jsonl")]
    words = set(re.findall(r"[0-9a-f]{16,}", " ".join(texts))) | set(known["salt_hash"].to_pylist()) | {"", "fake"}
    assert len(words) > 5
    assert not any(opened.info.salt.encode() in file.read_bytes() for file in whole_run.rglob("*") if file.is_file())
    hashes, keys = set(known["patient_hash"].to_pylist()), opened.patient_keys()
    assert hashes & set(patient_hashes(keys, opened.info.salt).tolist()) == hashes
    for word in words:
        assert not hashes & set(patient_hashes(keys, word).tolist())
