"""No file ends a run: each kind of bad file beside two good ones, and files that hang or crash what reads them."""

import os
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from bad_files import GOOD, NOT_UTF_8, write_bad, write_good

import lamae
from lamae.boundary import escaped
from lamae.checkpoint import save_checkpoint
from lamae.cli.main import main
from lamae.config import to_dict
from lamae.ecg.leads import LEADS
from lamae.ecg.preprocess import EcgPreprocessing
from lamae.errors import ConfigError, DataError
from lamae.models import MaskedAutoencoder, MaskedAutoencoderConfig, StreamConfig
from lamae.nn.transformer import TransformerConfig
from lamae.pack import Pack
from lamae.prepare import prepare
from lamae.provenance import UNTRAINED
from lamae.reading import files as reading_files
from lamae.studies import Study, View, Views

CONFIG = EcgPreprocessing(duration_s=3.0, rate_hz=50.0, bandpass_hz=None, min_duration_s=1.0)
TIMEOUT_S = 3.0


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("archive")
    write_good(folder)
    return folder, write_bad(folder)


@pytest.fixture(scope="module")
def embedding_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of a small model."""
    config = MaskedAutoencoderConfig(
        streams={"ecg": StreamConfig(patch=(10,), grid=(150,), view_names=LEADS)},
        encoder=TransformerConfig(dim=16, depth=1, num_heads=2),
        latent=TransformerConfig(dim=16, depth=1, num_heads=2),
        decoder=TransformerConfig(dim=8, depth=1, num_heads=2),
    )
    folder = tmp_path_factory.mktemp("run")
    save_checkpoint(
        folder / "checkpoint",
        model=MaskedAutoencoder(config, generator=torch.Generator().manual_seed(7)),
        modality="ecg",
        preprocessing=to_dict(CONFIG),
        readout="mean",
        step=3,
        provenance=UNTRAINED,
    )
    return folder


@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=[pytest.mark.slow, pytest.mark.dist])])
def test_no_kind_of_bad_file_ends_a_prepare(archive, tmp_path, capfd, workers):
    root, reasons = archive
    words = ["prepare", "folder", str(root), str(tmp_path / "pack"), "--workers", workers, "--shard-size", "5"]
    assert main([*words, "--option", "keep_suffix=true"]) == 0
    rejected = pq.read_table(tmp_path / "pack" / "rejected.parquet").to_pylist()
    assert {row["path"]: row["reason"] for row in rejected} == {escaped(name): why for name, why in reasons.items()}
    assert pq.read_table(tmp_path / "pack" / "studies.parquet")["study_id"].to_pylist() == list(GOOD)
    assert not any(name in "".join(capfd.readouterr()) for name in reasons)


def test_no_kind_of_bad_file_ends_an_embed(archive, embedding_run, tmp_path):
    root, reasons = archive
    (folder := tmp_path / "folder.npy").mkdir()
    files = [root / name for name in (GOOD[0], *reasons)] + [folder, root / GOOD[1]]
    assert main(["embed", str(embedding_run), *map(str, files), "--out", str(tmp_path / "out.parquet")]) == 0
    rejected = pq.read_table(tmp_path / "out.rejected.parquet").to_pylist()
    assert [(row["source"], row["reason"]) for row in rejected] == [
        *((escaped(str(root / name)), reason) for name, reason in reasons.items()),
        (str(folder), "unreadable-file"),
    ]
    assert pq.read_table(tmp_path / "out.parquet")["source"].to_pylist() == [str(root / name) for name in GOOD]


def test_read_raises_errors_of_its_own_alone(archive):
    root, reasons = archive
    for name, reason in reasons.items():
        if name not in (NOT_UTF_8, "bomb.dcm"):  # which can be read, and which takes a second more
            with pytest.raises(DataError) as caught:
                lamae.read(root / name)
            assert caught.value.reason == reason


@dataclass(frozen=True)
class Faults:
    """A cohort whose paths say what reading them does: a number makes a study, a word a fault."""

    paths: tuple[str, ...]
    name: str = "faults"
    version: str = "1"
    modality: str = "ecg"
    simulated: bool = True
    options: dict[str, Any] = field(default_factory=dict)

    def table(self) -> pa.Table:
        return pa.table({"study_id": [f"s{i}" for i in range(len(self.paths))], "path": list(self.paths)})

    def read(self, path: str, record: str | None = None) -> Study:
        if path.isdecimal():
            values = np.random.default_rng(int(path)).standard_normal((3, 389)).astype(np.float32)
            views = Views(
                View(name=lead, values=row, rate_hz=100.0) for lead, row in zip(LEADS[:3], values, strict=True)
            )
            return Study(study_id=path, views=views)
        FAULTS[path]()
        raise AssertionError(path)


def _deep(levels: int = 10**6) -> int:
    return _deep(levels - 1) + 1


def _crash() -> None:
    import ctypes

    ctypes.string_at(0)


FAULTS: dict[str, Any] = {
    "sleeps": lambda: sleep(600),
    "loops in C": lambda: re.match(r"(a+)+$", "a" * 61 + "b"),
    "aborts": os.abort,
    "crashes": _crash,
    "leaves": lambda: os._exit(3),
    "wants memory": lambda: np.ones(2**30),
    "recursion": _deep,
    "damaged": lambda: zlib.decompress(b"nothing"),
    "no text": lambda: b"\xff".decode(),
    "half a pair": lambda: (_ for _ in ()).throw(ValueError("\udcff" * 10**6)),
    "prints": lambda: print("x" * 10**6) or int("x"),
    "asks": lambda: int(input()),
}


def run(paths: tuple[str, ...], pack: Path, **settings: Any) -> dict[str, str]:
    settings = {"preprocessing": CONFIG, "workers": 0, "progress": False, "file_timeout_s": TIMEOUT_S} | settings
    prepare(Faults(paths), pack, **settings)
    return {row["path"]: row["reason"] for row in pq.read_table(pack / "rejected.parquet").to_pylist()}


def test_a_file_that_hangs_or_crashes_its_reader_is_a_row(tmp_path):
    paths = ("1", "sleeps", "2", "aborts", "crashes", "leaves", "3", "loops in C")
    found = run(paths, tmp_path / "pack")
    assert found == dict.fromkeys(("sleeps", "loops in C"), "file-timeout") | dict.fromkeys(
        ("aborts", "crashes", "leaves"), "reader-crashed"
    )
    whole = run(("1", "2", "3"), tmp_path / "whole")
    assert whole == {}
    for row in range(3):
        ours, theirs = Pack.open(tmp_path / "pack").study(row), Pack.open(tmp_path / "whole").study(row)
        np.testing.assert_array_equal(ours.values, theirs.values)


@pytest.mark.slow
@pytest.mark.dist
def test_a_file_that_hangs_or_crashes_its_reader_is_a_row_of_two_workers(tmp_path):
    paths = ("1", "sleeps", "2", "aborts", "3", "4")
    found = run(paths, tmp_path / "pack", workers=2, shard_size=2)
    assert found == {"sleeps": "file-timeout", "aborts": "reader-crashed"}


@pytest.mark.parametrize("file_timeout_s", [60.0, None])
def test_whatever_reading_raises_is_a_row(tmp_path, file_timeout_s):
    faults = ("recursion", "damaged", "no text", "half a pair")
    faults += ("prints", "asks", "wants memory") if file_timeout_s else ()
    found = run(("1", *faults, "2"), tmp_path / "pack", file_timeout_s=file_timeout_s)
    assert found == {name: "file-too-large" if name == "wants memory" else "unreadable-file" for name in faults}
    rows = pq.read_table(tmp_path / "pack" / "rejected.parquet").to_pylist()
    assert max(len(row["message"]) for row in rows) < 9000
    assert Pack.open(tmp_path / "pack").studies["study_id"].to_pylist() == ["s0", f"s{len(faults) + 1}"]


def test_what_is_read_apart_is_the_same_to_the_byte(tmp_path):
    paths = tuple(map(str, range(7)))
    run(paths, tmp_path / "apart", shard_size=3)
    run(paths, tmp_path / "here", shard_size=3, file_timeout_s=None)
    assert Pack.open(tmp_path / "apart").info.content_hash == Pack.open(tmp_path / "here").info.content_hash


def test_one_process_is_kept_for_the_next_files_and_ends_with_its_parent(tmp_path):
    run(("1",), tmp_path / "one")
    (process,) = reading_files._idle
    run(("2",), tmp_path / "two")
    assert reading_files._idle == [process]
    pid = process._process.pid
    process._to.close()
    deadline = monotonic() + 20
    while process._process.poll() is None and monotonic() < deadline:
        sleep(0.01)
    assert process._process.poll() == 0
    assert run(("3", "x"), tmp_path / "three") == {"x": "unreadable-file"}
    assert reading_files._idle[0]._process.pid != pid


def test_a_fork_does_not_use_the_process_of_its_parent(tmp_path):
    run(("1",), tmp_path / "one")
    (process,) = reading_files._idle
    if (forked := os.fork()) == 0:
        os._exit(not (reading_files._idle_or_new() is not process and process._process.returncode == 0))
    assert os.waitpid(forked, 0)[1] == 0
    assert process.is_usable()
    run(("2",), tmp_path / "two")
    assert reading_files._idle == [process]


def test_the_process_that_reads_knows_no_torch(tmp_path):
    run(("1",), tmp_path / "pack")
    maps = Path(f"/proc/{reading_files._idle[0]._process.pid}/maps").read_text()
    assert "numpy" in maps
    assert "libtorch" not in maps


def test_a_cohort_that_cannot_be_sent_is_told(tmp_path):
    @dataclass(frozen=True)
    class Unsendable(Faults):
        stream: Any = None

    with open(os.devnull, "wb") as stream, pytest.raises(ConfigError, match=r"cannot be sent .*--file-timeout 0"):
        prepare(Unsendable(("1",), stream=stream), tmp_path / "pack", workers=0, progress=False)


@pytest.mark.parametrize("file_timeout_s", [0.0, -1.0, float("nan")])
def test_a_time_that_no_file_has_is_refused(tmp_path, file_timeout_s):
    with pytest.raises(ConfigError, match="file_timeout_s must be above 0"):
        run(("1",), tmp_path / "pack", file_timeout_s=file_timeout_s)
