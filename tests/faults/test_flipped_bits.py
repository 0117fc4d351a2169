"""One flipped bit in any file of a pack, run, feature cache, result, classifier: refused, or nothing depends on it."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compare_fakes import fake_evaluation
from train_fakes import fake_config, write_fake_pack

from lamae.checkpoint import find_checkpoint, load_model, read_meta, read_provenance, read_state, write_state
from lamae.errors import CheckpointError, ConfigError, DataError
from lamae.evals.finetuning.classifier import (
    HeadConfig,
    StudyClassifier,
    load_classifier,
    readout_width,
    save_classifier,
)
from lamae.evals.probes.features import extract
from lamae.pack import Pack, verify
from lamae.provenance import UNTRAINED
from lamae.report.folders import read_run
from lamae.results import read_result, write_result
from lamae.train import pretrain

REFUSED = (DataError, ConfigError, CheckpointError)
CONFIG = fake_config(optim__steps=4, log_every=2, eval_every=4, save_every=4)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_pack(tmp_path_factory.mktemp("bits") / "pack", num=11).path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, pack: Path) -> Path:
    folder = tmp_path_factory.mktemp("bits") / "run"
    pretrain(CONFIG, [pack], folder, progress=False)
    return folder


def use_pack(folder: Path) -> Any:
    if problems := verify(folder):
        raise DataError(problems[0])
    opened = Pack.open(folder)
    selection = opened.whole(np.arange(len(opened)), verify=True)
    return opened.info, opened.studies, opened.read(selection, verify=True).values


def use_run(folder: Path) -> Any:
    shown = read_run(folder)
    model, meta = load_model(folder)
    seen = read_provenance(find_checkpoint(folder), meta).seen
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    return vars(shown), vars(meta), seen, weights


def use_result(folder: Path) -> Any:
    return vars(read_result(folder))


def use_classifier(folder: Path) -> Any:
    model, meta = load_classifier(folder)
    return model.config, vars(meta), {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def use_state(folder: Path) -> Any:
    about, parts = read_state(folder / "training.safetensors")
    return about, {name: tensor.numpy() for part in parts.values() for name, tensor in part.items()}


def same(one: Any, other: Any) -> bool:
    """Compare results of using a folder, to the bit."""
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def flips(file: Path, count: int) -> Iterator[bytes]:
    """Yield the content of a file with one bit flipped: at the first, the last, and evenly between them."""
    content = file.read_bytes()
    places = np.unique(np.linspace(0, 8 * len(content) - 1, count).astype(int)) if content else []
    for place in places:
        changed = bytearray(content)
        changed[place // 8] ^= 1 << (place % 8)
        yield bytes(changed)


def check(folder: Path, use: Callable[[Path], Any], count: int, *, refused: set[str]) -> None:
    """Flip bits of every file; each flip is refused by an error of ours, or changes nothing of what is read.

    Args:
        folder: It is not changed: a copy is.
        use: Reads all that a result depends on.
        count: Flips of each file.
        refused: The files of which every flip is to be refused.
    """
    before, copy = use(folder), folder.with_name("copy")
    names = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert {name for name in names if Path(name).name in refused} or not refused
    for name in sorted(names):
        for changed in flips(folder / name, count):
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(folder, copy)
            (copy / name).write_bytes(changed)
            try:
                after = use(copy)
            except REFUSED:
                pass
            else:
                assert Path(name).name not in refused, f"{name}: a flipped bit is read as if nothing were"
                assert same(before, after), f"{name}: a flipped bit changes what is read"


COUNTS = [pytest.param(5, id="few"), pytest.param(97, id="many", marks=pytest.mark.slow)]


@pytest.mark.parametrize("count", COUNTS)
def test_a_pack(pack: Path, count: int):
    check(pack, use_pack, count, refused={"00000.arrow", "studies.parquet", "rejected.parquet"})


@pytest.mark.parametrize("count", COUNTS)
def test_a_run(run: Path, count: int):
    refused = {"config.yaml", "weights.safetensors", "patients.parquet"}
    check(run, use_run, count, refused=refused)


@pytest.mark.parametrize("count", COUNTS)
def test_a_run_that_goes_on(run: Path, pack: Path, count: int):
    def resume(folder: Path) -> Any:
        pretrain(CONFIG, [pack], folder, progress=False)
        return {name: tensor.numpy() for name, tensor in load_model(folder)[0].state_dict().items()}

    check(run, resume, min(count, 7), refused={"config.yaml", "weights.safetensors", "train_state.safetensors"})


@pytest.mark.parametrize("count", COUNTS)
def test_a_result(tmp_path: Path, count: int):
    folder = write_result(tmp_path / "result", fake_evaluation("LAMAE", studies=41))
    check(folder, use_result, count, refused={"predictions.parquet"})


@pytest.mark.parametrize("count", COUNTS)
def test_a_classifier(run: Path, tmp_path: Path, count: int):
    encoder, meta = load_model(run)
    names = CONFIG.model.streams["ecg"].view_names
    told: dict[str, Any] = {"label_names": ("a",), "kind": "binary", "readout": "mean", "view_names": names}
    config = HeadConfig(**told, offset=(0.0,), scale=(1.0,))
    model = StudyClassifier(encoder, config, width=readout_width(encoder, "mean", names))
    save_classifier(tmp_path / "result", model, meta=meta, step=4, provenance=UNTRAINED)
    check(tmp_path / "result", use_classifier, count, refused={"head.safetensors", "weights.safetensors"})


@pytest.mark.parametrize("count", COUNTS)
def test_the_state_of_a_fine_tuning(tmp_path: Path, count: int):
    weights = load_model_weights()
    (tmp_path / "progress").mkdir()
    write_state(tmp_path / "progress" / "training.safetensors", {"epoch": 3}, {"weights": weights})
    check(tmp_path / "progress", use_state, count, refused={"training.safetensors"})


def load_model_weights() -> dict[str, Any]:
    import torch

    return {"a": torch.arange(31.0), "b": torch.tensor(7)}


@pytest.mark.parametrize("count", COUNTS)
def test_kept_features_are_computed_anew(run: Path, pack: Path, tmp_path: Path, count: int):
    opened, cache = Pack.open(pack), tmp_path / "features"
    computed = extract(run, opened, cache=cache, readout="mean").values
    (kept,) = (file for file in cache.iterdir() if same(np.load(file), np.asarray(computed)))
    whole = kept.read_bytes()
    for changed in flips(kept, min(count, 23)):
        kept.write_bytes(changed)
        assert same(np.asarray(extract(run, opened, cache=cache, readout="mean").values), np.asarray(computed))
        assert kept.read_bytes() == whole


def test_every_bit_of_the_metadata_of_a_checkpoint(run: Path, tmp_path: Path):
    """A digit of ``bandpass_hz`` is one of them."""
    whole, file = read_meta(find_checkpoint(run)), tmp_path / "meta.json"
    content = (find_checkpoint(run) / "meta.json").read_bytes()
    place = content.index(b'"bandpass_hz"')
    for bit in range(8 * (place - 40), 8 * (place + 40)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << (bit % 8)
        file.write_bytes(changed)
        with contextlib.suppress(CheckpointError):
            assert read_meta(tmp_path) == whole
