"""A folder with one of each kind of bad file beside good ones, by the command line; and the page that lists them."""

import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from lamae.cli.main import main
from lamae.ecg.leads import LEADS

ROOT = Path(__file__).parents[2]
NUM_SAMPLES = 1511
NUM_GOOD = 5

HEADERS = {
    "short": ("truncated-file", {"num_bytes": NUM_SAMPLES}),
    "promising": ("header-signal-count", {"num_signals": 14}),
    "alone": ("missing-file", {"num_bytes": None}),
    "nothing": ("truncated-file", {"num_bytes": 0}),
    "gainless": ("zero-gain", {"gain": "0"}),
    "twice": ("duplicated-lead", {"leads": ("I", "II", "II", *LEADS[3:])}),
    "stranger": ("unknown-lead", {"leads": (*LEADS[:11], "Pleth")}),
    "silent": ("all-missing", {"fill": -32768}),
    "constant": ("all-flat", {"fill": 251}),
    "still": ("wrong-rate", {"rate": "0"}),
    "backwards": ("wrong-rate", {"rate": "-500"}),
    "absurd": ("wrong-rate", {"rate": "1e9"}),
}
FILES = {
    "empty.dcm": ("empty-file", b""),
    "noise.npy": ("unknown-format", bytes(range(256)) * 7),
    "cut.xml": ("malformed-xml", b"<AnnotatedECG><series>"),
    "bomb.xml": (
        "xml-entities",
        b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><AnnotatedECG>&c;</AnnotatedECG>',
    ),
    "deep.xml": ("xml-too-large", b"<AnnotatedECG>" + b"<a>" * 1009),
    "other.csv": ("missing-rate", b"time,foo\n0,1\n1,2\n"),
}


def write_record(
    folder: Path,
    name: str,
    *,
    leads: tuple[str, ...] = LEADS,
    rate: str = "500",
    gain: str = "200",
    num_signals: int = 12,
    fill: int | None = None,
    num_bytes: int | None = 24 * NUM_SAMPLES,
) -> None:
    lines = [f"{name}.dat 16 {gain}/mV 16 0 0 0 0 {lead}" for lead in leads]
    (folder / f"{name}.hea").write_text("\n".join([f"{name} {num_signals} {rate} {NUM_SAMPLES}", *lines]) + "\n")
    samples = np.random.default_rng(7).integers(-211, 211, (NUM_SAMPLES, 12)).astype("<i2")
    if fill is not None:
        samples[:] = fill
    if num_bytes is not None:
        (folder / f"{name}.dat").write_bytes(samples.tobytes()[:num_bytes])


def test_bad_files_are_listed_and_the_good_ones_prepared(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "archive"
    root.mkdir()
    for number in range(NUM_GOOD):
        write_record(root, f"good{number}")
    for name, (_, changes) in HEADERS.items():
        write_record(root, name, **changes)
    for name, (_, content) in FILES.items():
        (root / name).write_bytes(content)
    pack = tmp_path / "pack"
    words = ["prepare", "folder", str(root), str(pack), "--workers", "0", "--shard-size", "3"]
    assert main([*words, "--option", "keep_suffix=true"]) == 0
    rejected = {row["path"]: row for row in pq.read_table(pack / "rejected.parquet").to_pylist()}
    expected = {f"{name}.hea": reason for name, (reason, _) in HEADERS.items()}
    expected |= {name: reason for name, (reason, _) in FILES.items()}
    assert {path: row["reason"] for path, row in rejected.items()} == expected
    assert pq.read_metadata(pack / "studies.parquet").num_rows == NUM_GOOD
    told = "".join(capfd.readouterr())
    assert f"{len(expected):,} refused, listed in {pack / 'rejected.parquet'}" in told
    assert not [path for path in expected if path in told], "a path of the data was printed"
    assert str(root) not in told


def test_the_page_names_tests_that_exist() -> None:
    text = (ROOT / "docs" / "bad-input.md").read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", text)
    assert len(named) > 31
    sources = {file.name: file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py")}
    assert not [f"{file}::{test}" for file, test in named if f"def {test}(" not in sources.get(file, "")]
