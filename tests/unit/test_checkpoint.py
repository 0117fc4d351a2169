import errno
import json
import os

import pytest
import torch
from train_fakes import fake_config

from lamae.checkpoint import (
    checkpoints,
    find_checkpoint,
    load_model,
    load_train_state,
    load_weights,
    optimiser_tensors,
    read_meta,
    read_state,
    restore_optimiser,
    save_checkpoint,
    write_state,
)
from lamae.errors import CheckpointError
from lamae.files import write_json
from lamae.models import MaskedAutoencoder
from lamae.train.optim import make_optimiser

PREPROCESSING = {"rate_hz": 20.0, "bandpass_hz": [0.5, 9.0], "notch_hz": None}


def make_model(**overrides):
    return MaskedAutoencoder(fake_config(**overrides).model, generator=torch.Generator().manual_seed(5))


def save(folder, *, model=None, step=3, **more):
    model = make_model() if model is None else model
    return save_checkpoint(
        folder, model=model, modality="ecg", preprocessing=PREPROCESSING, readout="cls", step=step, **more
    )


def moved_optimiser(model, kind="adamw"):
    """An optimiser that has made two steps."""
    optimiser = make_optimiser(model, fake_config(optim__optimiser=kind).optim)
    for seed in (1, 2):
        generator = torch.Generator().manual_seed(seed)
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimiser.step()
    return optimiser


def edit_meta(path, **changes):
    content = json.loads((path / "meta.json").read_text())
    for key, value in changes.items():
        content.pop(key) if value is None else content.update({key: value})
    write_json(path / "meta.json", content)


def test_there_and_back(tmp_path):
    model = make_model()
    path = save(tmp_path, model=model, loop={"seconds": 1.5})
    loaded, meta = load_model(path)
    assert loaded.config == model.config
    assert not loaded.training
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    assert (meta.step, meta.readout, meta.modality, meta.loop) == (3, "cls", "ecg", {"seconds": 1.5})
    assert meta.preprocessing == PREPROCESSING
    assert meta.weights_sha256 == json.loads((path / "meta.json").read_text())["files"]["weights.safetensors"]["sha256"]
    assert sorted(file.name for file in path.iterdir()) == ["meta.json", "weights.safetensors"]


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_the_optimiser_goes_on_bit_by_bit(tmp_path, kind):
    model = make_model()
    optimiser = moved_optimiser(model, kind)
    path = save(tmp_path, model=model, optimiser=optimiser)
    other = make_model()
    resumed = make_optimiser(other, fake_config(optim__optimiser=kind).optim)
    meta = read_meta(path)
    load_weights(path, meta, other)
    load_train_state(path, meta, other, resumed)
    for one, optim in ((model, optimiser), (other, resumed)):
        for parameter in one.parameters():
            parameter.grad = torch.full_like(parameter, 0.25)
        optim.step()
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_newest_is_found_and_old_ones_go(tmp_path):
    for step in (2, 5, 11, 100_000_007):
        save(tmp_path / "checkpoint", step=step, keep=2)
    names = [path.name for path in checkpoints(tmp_path / "checkpoint")]
    assert names == ["step-00000011", "step-100000007"]
    newest = tmp_path / "checkpoint" / "step-100000007"
    assert find_checkpoint(tmp_path) == find_checkpoint(tmp_path / "checkpoint") == find_checkpoint(newest) == newest
    assert sorted(os.listdir(tmp_path / "checkpoint")) == names


def test_what_a_killed_process_left_is_removed(tmp_path):
    (tmp_path / "step-00000002.writing-77").mkdir()
    assert checkpoints(tmp_path) == []
    save(tmp_path)
    assert os.listdir(tmp_path) == ["step-00000003"]


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    save(tmp_path, step=1)
    real, count = os.fsync, []

    def full(descriptor):
        count.append(descriptor)
        if len(count) == 3:  # the second file: the weights are written, meta.json is not
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="the disk is full; nothing half-written is kept"):
        save(tmp_path, step=2, keep=1)
    assert os.listdir(tmp_path) == ["step-00000001"]
    monkeypatch.undo()
    load_model(tmp_path)
    assert save(tmp_path, step=2, keep=1) == find_checkpoint(tmp_path)


def test_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint there; give the folder of a run"):
        find_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="absent: no such folder; give the folder of a run"):
        load_model(tmp_path / "absent")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format_version": 7}, "checkpoint format version 7, but this version of lamae reads 2"),
        ({"format": "other"}, 'expected "format": "lamae-checkpoint"'),
        ({"model": "jepa"}, "a model of the kind 'jepa'; known is 'masked-autoencoder'"),
        ({"readout": "best"}, "unknown read-out 'best'"),
        ({"step": None}, "entries are missing or unknown"),
        ({"colour": "red"}, "entries are missing or unknown"),
    ],
)
def test_meta_of_something_else(tmp_path, changes, words):
    path = save(tmp_path)
    edit_meta(path, **changes)
    with pytest.raises(CheckpointError, match=words):
        load_model(path)


def test_meta_that_is_no_json(tmp_path):
    path = save(tmp_path)
    (path / "meta.json").write_text("{")
    with pytest.raises(CheckpointError, match="not readable as JSON"):
        load_model(path)


def test_meta_is_missing(tmp_path):
    path = save(tmp_path)
    (path / "meta.json").unlink()
    with pytest.raises(CheckpointError, match=r"meta.json is missing, so this is no whole checkpoint"):
        read_meta(path)


def test_a_file_is_missing(tmp_path):
    path = save(tmp_path)
    (path / "weights.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"weights.safetensors is missing"):
        load_model(path)


def test_a_flipped_byte(tmp_path):
    path = save(tmp_path)
    content = bytearray((path / "weights.safetensors").read_bytes())
    content[-5] ^= 1
    (path / "weights.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"damaged.*remove this checkpoint's folder to use the one before"):
        load_model(path)


def test_weights_of_another_model(tmp_path):
    path = save(tmp_path)
    with pytest.raises(CheckpointError, match=r"weights are of another model: .* has shape .* and \d+ more"):
        load_weights(path, read_meta(path), make_model(model__encoder__mlp_ratio=3))
    with pytest.raises(CheckpointError, match=r"another model: .*encoders.ecg.transformer.*2.* is missing"):
        load_weights(path, read_meta(path), make_model(model__encoder__depth=3))
    with pytest.raises(
        CheckpointError, match=r"another model: decoders.*context_embed.* is unknown; .*latent\.cls is unknown"
    ):
        load_weights(path, read_meta(path), make_model(model__latent__depth=0, model__decoder_context="none"))


def test_train_state_of_another_model(tmp_path):
    model = make_model()
    path = save(tmp_path, model=model, optimiser=moved_optimiser(model))
    other = make_model(model__encoder__depth=1)
    with pytest.raises(CheckpointError, match=r"train_state.safetensors: the state is of another model's parameters"):
        load_train_state(path, read_meta(path), other, make_optimiser(other, fake_config().optim))


def test_without_train_state(tmp_path):
    model = make_model()
    path = save(tmp_path, model=model)
    with pytest.raises(CheckpointError, match=r"train_state.safetensors is missing"):
        load_train_state(path, read_meta(path), model, make_optimiser(model, fake_config().optim))


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_any_state_there_and_back(tmp_path, kind):
    model = make_model()
    optimiser = moved_optimiser(model, kind)
    state = optimiser_tensors(optimiser, model)
    write_state(tmp_path / "state", {"epoch": 3, "best": 0.5}, {"optimiser": state, "weights": model.state_dict()})
    about, parts = read_state(tmp_path / "state")
    assert about == {"epoch": 3, "best": 0.5}
    assert parts["weights"].keys() == model.state_dict().keys()
    resumed = make_optimiser(model, fake_config(optim__optimiser=kind).optim)
    restore_optimiser(resumed, model, parts["optimiser"], source="here")
    again = optimiser_tensors(resumed, model)
    assert state.keys() == again.keys()
    assert all(torch.equal(state[name], again[name]) for name in state)
    parts["optimiser"]["exp_avg/decoders.echo.mask_token"] = torch.zeros(3)
    with pytest.raises(CheckpointError, match="here: the state is of another model's parameters"):
        restore_optimiser(resumed, model, parts["optimiser"], source="here")


def test_a_damaged_state_is_refused(tmp_path):
    (tmp_path / "state").write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="state: damaged"):
        read_state(tmp_path / "state")
    with pytest.raises(FileNotFoundError):
        read_state(tmp_path / "absent")
