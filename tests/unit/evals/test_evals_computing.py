"""Device, precision and batch size of frozen features: the run's own by default, said in every output."""

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import MethodType
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import lamae
from lamae.batch import StudyBatch
from lamae.checkpoint import read_meta
from lamae.cli.main import main
from lamae.config import to_dict
from lamae.ecg.preprocess import EcgPreprocessing
from lamae.errors import ConfigError
from lamae.evals import EvalSettings, FinetuneConfig, embed, extract, finetune, probe
from lamae.evals.probes.encoder import FrozenEncoder
from lamae.evals.probes.feature_cache import open_npy
from lamae.evals.sweeps.label_efficiency import label_efficiency
from lamae.evals.sweeps.robustness import robustness
from lamae.models import MaskedAutoencoder
from lamae.nn.precision import choose_device
from lamae.pack import Pack
from lamae.study_encoder import StudyEncoder

from .conftest import write_run, write_toy

SETTINGS = EvalSettings(draws=3, min_count=1)
CARD = {"precision": "bf16", "steps": 3}


PREPROCESSING = to_dict(EcgPreprocessing(rate_hz=20.0, duration_s=5.0, bandpass_hz=None))


@pytest.fixture(scope="module")
def toy_pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return write_toy(tmp_path_factory.mktemp("toy") / "pack", preprocessing=PREPROCESSING)


@pytest.fixture(scope="module")
def bf16_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that says it was trained in bf16, on nobody of the toy pack."""
    folder = tmp_path_factory.mktemp("bf16") / "run"
    return write_run(folder, ["somebody:else"], preprocessing=PREPROCESSING, card=CARD)


def test_the_precision_of_the_run_is_the_default_everywhere(bf16_run: Path, toy_pack: Pack, tmp_path: Path):
    own, asked = extract(bf16_run, toy_pack), extract(bf16_run, toy_pack, precision="bf16")
    np.testing.assert_array_equal(own.values, asked.values)
    assert (own.description["precision"], own.description["device"]) == ("bf16", choose_device("auto").type)
    np.testing.assert_array_equal(lamae.load(bf16_run).embed(toy_pack), own.values)
    np.testing.assert_array_equal(StudyEncoder(str(bf16_run)).fit().transform(toy_pack), own.values)
    out = embed(bf16_run, [toy_pack.path], tmp_path / "e.parquet").out
    np.testing.assert_array_equal(np.stack(pq.read_table(out)["embedding"].to_numpy()), own.values)
    assert np.abs(own.values - extract(bf16_run, toy_pack, precision="fp32").values).max() > 1e-4


def test_the_batch_of_the_run_is_the_default_everywhere(toy_pack: Pack, tmp_path: Path, monkeypatch):
    seen: list[int] = []
    features = MaskedAutoencoder.features

    def counted(model: MaskedAutoencoder, batch: StudyBatch, **options: Any) -> Any:
        seen.append(batch.num_studies)
        return features(model, batch, **options)

    monkeypatch.setattr(MaskedAutoencoder, "features", counted)
    for number, (said, expected) in enumerate([(7, 7), (512, 64), (None, 64)]):
        card = CARD | ({} if said is None else {"batch_size": said})
        run = write_run(tmp_path / f"run{number}", ["somebody:else"], preprocessing=PREPROCESSING, card=card)
        for call in (
            partial(extract, run, toy_pack),
            partial(lamae.load(run).embed, toy_pack),
            StudyEncoder(str(run)).fit().transform,
            partial(embed, run, [toy_pack.path], tmp_path / f"{number}.parquet"),
        ):
            seen.clear()
            call(toy_pack) if isinstance(call, MethodType) else call()
            assert max(seen) == min(expected, len(toy_pack))
            assert sum(seen) == len(toy_pack)


@pytest.mark.parametrize("readout", ["cls", "mean", "view-concat"])
def test_features_in_bf16_stay_near_those_in_fp32(bf16_run: Path, toy_pack: Pack, readout: Any):
    exact = extract(bf16_run, toy_pack, readout=readout, precision="fp32").values
    rounded = extract(bf16_run, toy_pack, readout=readout, precision="bf16").values
    assert rounded.dtype == np.float32
    assert np.abs(rounded - exact).max() < 0.03 * np.abs(exact).max()
    cosine = (rounded * exact).sum(1) / np.linalg.norm(rounded, axis=1) / np.linalg.norm(exact, axis=1)
    assert cosine.min() > 0.999


def test_embeddings_are_the_features_of_the_pack_to_the_bit(bf16_run: Path, toy_pack: Pack, tmp_path: Path):
    for precision in ("fp32", "bf16"):
        out = embed(bf16_run, [toy_pack.path], tmp_path / precision, precision=precision, batch_size=19).out
        features = extract(bf16_run, toy_pack, precision=precision, batch_size=19).values
        table = pq.read_table(out)
        np.testing.assert_array_equal(np.stack(table["embedding"].to_numpy()), features)
        said = json.loads(table.schema.metadata[b"lamae"])
        assert (said["precision"], said["device"]) == (precision, choose_device("auto").type)


def test_fine_tuned_weights_keep_the_precision_of_their_last_training(bf16_run: Path, toy_pack: Pack, tmp_path: Path):
    shared: dict[str, Any] = {"settings": SETTINGS}
    tuned = finetune(bf16_run, toy_pack, "inverted", tmp_path / "own", config=FinetuneConfig(epochs=1), **shared)
    assert tuned.info["finetune"]["precision"] == "bf16"
    assert tuned.info["finetune"]["device"] == str(choose_device("auto"))
    config = FinetuneConfig(epochs=1, precision="fp32")
    finetune(bf16_run, toy_pack, "inverted", tmp_path / "asked", config=config, **shared)
    assert read_meta(tmp_path / "own" / "checkpoint" / "step-00000003").precision() == "bf16"
    assert lamae.load(tmp_path / "asked").precision == "fp32"


Call = Callable[[Path, Pack, Path, dict[str, Any]], object]
VERBS: dict[str, Call] = {
    "load": lambda run, pack, out, how: lamae.load(run, **how),
    "embed": lambda run, pack, out, how: embed(run, [pack.path], out, **how),
    "extract": lambda run, pack, out, how: extract(run, pack, **how),
    "probe": lambda run, pack, out, how: probe(run, pack, "inverted", settings=SETTINGS, **how),
    "finetune": lambda run, pack, out, how: finetune(
        run, pack, "inverted", settings=SETTINGS, config=FinetuneConfig(**how)
    ),
    "efficiency": lambda run, pack, out, how: label_efficiency(
        run, pack, "inverted", out, settings=SETTINGS, draws=1, **how
    ),
    "robustness": lambda run, pack, out, how: robustness(
        run, pack, "inverted", out, conditions=["leads:II"], settings=SETTINGS, **how
    ),
    "encoder": lambda run, pack, out, how: FrozenEncoder(run=run, **how),
}


@pytest.mark.parametrize("verb", list(VERBS))
@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"device": "warp"}, "device 'warp' is unknown: expected auto, cpu, cuda"),
        ({"device": "meta"}, "device 'meta' is unknown: expected auto, cpu, cuda"),
        ({"device": "cuda"}, "device 'cuda' was asked for, but torch finds no GPU: use device auto or cpu"),
        ({"precision": "fp16"}, "unknown precision 'fp16': did you mean 'fp32'|unknown precision 'fp16'"),
    ],
)
def test_what_does_not_exist_is_one_sentence(
    bf16_run: Path,
    toy_pack: Pack,
    tmp_path: Path,
    verb: str,
    how: dict[str, Any],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=words):
        VERBS[verb](bf16_run, toy_pack, tmp_path / "out", how)
    assert not (tmp_path / "out").exists()


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda:0")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ConfigError, match="device cuda:2 was asked for, but torch finds 2 GPUs, counted from 0"):
        choose_device("cuda:2")


def test_features_of_another_precision_are_not_taken_from_the_cache(bf16_run: Path, toy_pack: Pack, tmp_path: Path):
    own = extract(bf16_run, toy_pack, cache=tmp_path).values
    exact = extract(bf16_run, toy_pack, cache=tmp_path, precision="fp32").values
    assert np.abs(own - exact).max() > 1e-4


COMPUTING = ["--device", "cpu", "--precision", "fp32", "--batch-size", "13"]


def told(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.mark.parametrize("verb", ["probe", "robustness", "efficiency"])
def test_the_command_line_of_frozen_features(verb: str, bf16_run: Path, toy_pack: Pack, tmp_path: Path):
    extra = {
        "probe": [],
        "robustness": ["--conditions", "leads:II"],
        "efficiency": ["--label-fractions", "1", "--label-draws", "1"],
    }
    given = ["--data", toy_pack.path, "--labels", "inverted", "--min-count", "1", "--draws", "3"]
    assert told(verb, bf16_run, *given, "--out", tmp_path / "out", *extra[verb], *COMPUTING) == 0
    results = [json.loads(file.read_text()) for file in (tmp_path / "out").rglob("result.json")]
    assert results
    assert {(one["run"]["precision"], one["run"]["device"]) for one in results} == {("fp32", "cpu")}


@pytest.mark.parametrize("verb", ["finetune", "efficiency"])
def test_the_command_line_of_fine_tuning(verb: str, bf16_run: Path, toy_pack: Pack, tmp_path: Path):
    extra = {"finetune": [], "efficiency": ["--protocol", "fine-tune", "--label-fractions", "1", "--label-draws", "1"]}
    given = ["--data", toy_pack.path, "--labels", "inverted", "--min-count", "1", "--draws", "3", "--epochs", "1"]
    assert told(verb, bf16_run, *given, "--out", tmp_path / "out", *extra[verb], *COMPUTING) == 0
    (file,) = (tmp_path / "out").rglob("result.json")
    said = json.loads(file.read_text())["finetune"]
    assert (said["precision"], said["device"], said["batch_size"]) == ("fp32", "cpu", 13)


def test_the_command_line_of_embed(bf16_run: Path, toy_pack: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "e.parquet"
    assert told("embed", bf16_run, toy_pack.path, "--out", out, *COMPUTING) == 0
    exact = extract(bf16_run, toy_pack, precision="fp32", device="cpu", batch_size=13).values
    np.testing.assert_array_equal(np.stack(pq.read_table(out)["embedding"].to_numpy()), exact)
    assert told("embed", bf16_run, toy_pack.path, "--out", tmp_path / "f.parquet", "--device", "warp") == 2
    assert "lamae: error: device 'warp' is unknown" in capsys.readouterr().err


def test_measurements_have_no_device(toy_pack: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    given = ["hand-made", "--data", toy_pack.path, "--labels", "inverted", "--out", tmp_path / "out"]
    for verb in ("probe", "robustness", "efficiency"):
        assert told(verb, *given, "--device", "cpu", "--batch-size", "3") == 2
        assert "hand-made features are measured without a model: leave --device, --batch-size out" in (
            capsys.readouterr().err
        )


@pytest.mark.parametrize("size", [0, -1, 2.5, "64"])
def test_a_batch_of_no_size_is_refused_before_anything_is_kept(
    bf16_run: Path, toy_pack: Pack, tmp_path: Path, size: Any
):
    out = tmp_path / "e.parquet"
    for ask in (
        lambda: extract(bf16_run, toy_pack, readout="cls", precision="fp32", batch_size=size),
        lambda: probe(bf16_run, toy_pack, "inverted", settings=SETTINGS, batch_size=size),
        lambda: embed(bf16_run, [toy_pack.path], out, batch_size=size),
        lambda: lamae.load(bf16_run).embed(toy_pack, batch_size=size),
        lambda: StudyEncoder(str(bf16_run), batch_size=size).fit().transform(toy_pack),
        lambda: FinetuneConfig(batch_size=size),
    ):
        with pytest.raises(ConfigError, match="batch_size must be a whole number of at least 1, found"):
            ask()
    assert not out.exists()


def test_kept_features_that_are_whole_but_no_array_are_made_anew(tmp_path: Path):
    kept = tmp_path / "features.npy"
    kept.write_bytes(hashlib.sha256(b"").digest())
    assert open_npy(kept, 3) is None
