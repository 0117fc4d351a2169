"""The format is told by the content, whatever the file is called."""

import errno
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.data import get_testdata_file

import lamae
from lamae.ecg.readers import find_format
from lamae.errors import ConfigError, DataError, FormatError

HEADER = "rec 1 250 3\nrec.dat 16 1000/mV 16 0 0 0 0 II\n"


@pytest.fixture
def record(tmp_path) -> Path:
    (tmp_path / "rec.hea").write_text(HEADER)
    (tmp_path / "rec.dat").write_bytes(np.array([1, 2, 3], "<i2").tobytes())
    return tmp_path / "rec"


@pytest.mark.parametrize("suffix", ["", ".hea", ".dat"])
def test_wfdb_records(record, suffix):
    study = lamae.read(f"{record}{suffix}")
    np.testing.assert_allclose(study.views["II"].values, [0.001, 0.002, 0.003])
    assert study.metadata["source_format"] == "wfdb"


def test_a_header_by_another_name(record):
    shutil.copy(f"{record}.hea", record.with_name("header.txt"))
    assert find_format(str(record.with_name("header.txt"))) == "wfdb"


def test_a_record_may_share_its_name_with_a_folder(record):
    record.mkdir()
    assert find_format(str(record)) == "wfdb"


@pytest.mark.parametrize("name", ["ecg.dcm", "ecg.dat", "ecg", "ecg.hea"])
def test_dicom_by_any_name(tmp_path, name):
    shutil.copy(str(get_testdata_file("waveform_ecg.dcm")), tmp_path / name)
    assert lamae.read(tmp_path / name).metadata["source_format"] == "dicom-ecg"


@pytest.mark.parametrize("name", ["ecg.npy", "ecg.csv", "ecg.mat", "ecg"])
def test_numpy_by_any_name(tmp_path, name):
    with open(tmp_path / name, "wb") as file:
        np.save(file, np.zeros((2, 7)))
    study = lamae.read(tmp_path / name, leads=["I", "V2"], rate_hz=100, units="mV")
    assert study.metadata["source_format"] == "npy"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\xef\xbb\xbf<?xml?>", "xml"),
        (b"\n\n  <a/>", "xml"),
        ("<a/>".encode("utf-16"), "xml"),
        (b"PK\x03\x04rest", "npz"),
        (b"MATLAB 7.3 MAT-file, whatever".ljust(512) + b"\x89HDF\r\n\x1a\n", "hdf5"),
        (bytes(512) + b"\x89HDF\r\n\x1a\n", "hdf5"),
        (b"MATLAB 5.0 MAT-file", "matlab"),
        (b"1 2 3\n4 5 6\n", "csv"),
        (b"I,II\n1,2\n", "csv"),
        (b"1;2\n", "csv"),
        (b"0.1\n0.2\n", "csv"),
        (b"# comment\nrec/2 12 500 9\none 4\ntwo 5\n", "wfdb"),
        (b"rec 12 500\r\nrec.dat 16\r\n", "wfdb"),
    ],
)
def test_signs_of_each_format(tmp_path, content, expected):
    (tmp_path / "file").write_bytes(content)
    assert find_format(str(tmp_path / "file")) == expected


@pytest.mark.parametrize("name", ["x.hea", "x.dat", "x.dcm", "x.xml", "x.npy", "x.csv", "x.mat", "x"])
@pytest.mark.parametrize(
    "content", [b"\x01\x02garbage\xff\xfe" * 50, b"Dear colleague,\nno numbers here.\n", bytes(999), b"\x93NUMP"]
)
def test_unknown_content(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError, match="the content is of no known format") as caught:
        lamae.read(tmp_path / name)
    assert caught.value.reason == "unknown-format"


@pytest.mark.parametrize("name", ["x.hea", "x.dcm", "x.xml", "x.npy", "x"])
def test_empty_files(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(FormatError, match="the file is empty") as caught:
        lamae.read(tmp_path / name)
    assert caught.value.reason == "empty-file"


def test_an_empty_signal_file(record):
    Path(f"{record}.dat").write_bytes(b"")
    with pytest.raises(DataError, match="cut short") as caught:
        lamae.read(f"{record}.dat")
    assert caught.value.reason == "truncated-file"


def test_a_signal_file_without_its_header(record):
    Path(f"{record}.hea").unlink()
    with pytest.raises(FormatError, match=r"needs its \.hea file beside it"):
        lamae.read(f"{record}.dat")


def test_a_header_beside_a_file_that_it_does_not_name(record):
    np.save(f"{record}.npy", np.zeros((1, 7)))
    assert find_format(f"{record}.npy") == "npy"


@pytest.mark.parametrize("name", ["nothing", "nothing.hea", "nothing.npy"])
def test_missing_files(tmp_path, name):
    with pytest.raises(DataError, match="there is no such file") as caught:
        lamae.read(tmp_path / name)
    assert caught.value.reason == "missing-file"


def test_a_folder(tmp_path):
    with pytest.raises(DataError, match="cannot be read") as caught:
        lamae.read(tmp_path)
    assert caught.value.reason == "unreadable-file"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="this user may read everything")
def test_a_file_that_may_not_be_read(record):
    os.chmod(f"{record}.dat", 0)
    with pytest.raises(DataError, match="cannot be read") as caught:
        lamae.read(record)
    assert caught.value.reason == "unreadable-file"


def test_studies_and_errors_travel_between_processes(record):
    study = pickle.loads(pickle.dumps(lamae.read(record)))
    np.testing.assert_allclose(study.views["ii"].values, [0.001, 0.002, 0.003])
    with pytest.raises(DataError) as caught:
        lamae.read("nowhere")
    assert pickle.loads(pickle.dumps(caught.value)).reason == "missing-file"


def test_read_is_found_on_the_package():
    assert "read" in dir(lamae)
    with pytest.raises(AttributeError, match="has no attribute 'reed'"):
        lamae.reed  # noqa: B018


@pytest.mark.parametrize("name", ["rec", "a.npy", "a.xml", "a.dcm"])
def test_a_fault_of_the_system_is_not_blamed_on_the_file(record, tmp_path, monkeypatch, name):
    for file in ("a.npy", "a.xml", "a.dcm"):
        (tmp_path / file).write_bytes({"a.npy": b"\x93NUMPY", "a.xml": b"<?xml ", "a.dcm": bytes(128) + b"DICM"}[file])
    found = find_format(str(record) if name == "rec" else str(tmp_path / name))

    def gone(*arguments, **settings):
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr("lamae.ecg.readers.any_format._look_into", lambda path: (found, None))
    monkeypatch.setattr("builtins.open", gone)
    with pytest.raises(OSError, match="Stale file handle"):
        lamae.read(record if name == "rec" else tmp_path / name)


@pytest.mark.parametrize("comment", ["", "# Dx: 59118001\n", f"# {'long ' * 500}\n"])
def test_a_header_is_opened_once_and_read_whole(record, monkeypatch, comment):
    header = record.with_suffix(".hea")
    header.write_text(header.read_text() + comment + "# Age: 74\n")
    opened: list[str] = []
    really_open = os.open
    monkeypatch.setattr("os.open", lambda path, *more: opened.append(Path(path).name) or really_open(path, *more))
    assert lamae.read(header).metadata["age_years"] == 74
    assert opened == [*["rec.hea"] * (2 if len(comment) > 2000 else 1), "rec.dat"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"extra_channels": "ignored"}, "unknown extra_channels 'ignored': did you mean 'ignore'"),
        ({"layout": "leads_first"}, "unknown layout 'leads_first': did you mean 'leads-first'"),
    ],
)
def test_a_wrong_word_is_named_whatever_the_format(tmp_path: Path, words: dict[str, Any], said: str):
    (tmp_path / "a.hea").write_text("a 1 500 1000\na.dat 16 1000/mV 16 0 0 0 0 I\n")
    (tmp_path / "a.dat").write_bytes(bytes(2000))
    with pytest.raises(ConfigError, match=said):
        lamae.read(tmp_path / "a.hea", **words)
