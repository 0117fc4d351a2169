"""A file that another program changes while it is read is refused, in whatever format."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file

import lamae
from lamae.cohorts import folder_labels, open_cohort, tables
from lamae.ecg.leads import LEADS
from lamae.ecg.readers import (
    aecg,
    any_format,
    array_description,
    arrays,
    code15,
    dicom,
    read_code15_row,
    wfdb,
    wfdb_segments,
)
from lamae.errors import DataError

NUM_SAMPLES = 101


def write_wfdb(folder: Path, *, storage: str = "16") -> Path:
    values = range(NUM_SAMPLES)
    width = int(storage) // 8
    (folder / "rec.dat").write_bytes(b"".join(value.to_bytes(width, "little") for value in values))
    (folder / "rec.hea").write_text(f"rec 1 250 {NUM_SAMPLES}\nrec.dat {storage} 200/mV 16 0 0 0 0 I\n")
    return folder / "rec.hea"


def write_csv(folder: Path) -> Path:
    (folder / "ecg.csv").write_text("I,II\n" + "0.1,0.2\n" * NUM_SAMPLES)
    (folder / "ecg.csv.json").write_text('{"rate_hz": 250, "units": "mV"}')
    return folder / "ecg.csv"


def write_npy(folder: Path) -> Path:
    np.save(folder / "ecg.npy", np.zeros((2, NUM_SAMPLES)))
    (folder / "ecg.npy.json").write_text('{"rate_hz": 250, "units": "mV", "leads": ["I", "II"]}')
    return folder / "ecg.npy"


def write_dicom(folder: Path) -> Path:
    return Path(shutil.copy(str(get_testdata_file("waveform_ecg.dcm")), folder / "ecg.dcm"))


def change_at(monkeypatch, module, name: str, path: Path) -> None:
    """Let another program append to a file at the moment at which the reader calls a function."""
    function = getattr(module, name)

    def changed_meanwhile(*args, **kwargs):
        with path.open("ab") as file:
            file.write(b"\n")
        return function(*args, **kwargs)

    monkeypatch.setattr(module, name, changed_meanwhile)


@pytest.mark.parametrize(
    ("write", "module", "function", "changed"),
    [
        (write_csv, arrays, "load_csv", "ecg.csv"),
        (write_csv, arrays, "make_ecg_study", "ecg.csv"),
        (write_csv, array_description, "read_json_object", "ecg.csv.json"),
        (write_npy, arrays, "make_ecg_study", "ecg.npy"),
        (write_dicom, dicom, "make_ecg_study", "ecg.dcm"),
        (write_wfdb, any_format, "read_wfdb", "rec.hea"),
        (write_wfdb, wfdb, "read_signals", "rec.hea"),
        (write_wfdb, wfdb, "_count_values", "rec.dat"),
    ],
)
def test_a_file_that_changes_is_refused(tmp_path, monkeypatch, write, module, function, changed):
    path = write(tmp_path)
    lamae.read(path)
    change_at(monkeypatch, module, function, tmp_path / changed)
    with pytest.raises(DataError, match=f"{changed} has changed while it was read: wait until") as caught:
        lamae.read(path)
    assert caught.value.reason == "changed-while-read"


def test_what_looks_damaged_only_because_it_is_being_written(tmp_path, monkeypatch):
    path = write_wfdb(tmp_path)
    (tmp_path / "rec.dat").write_bytes(bytes(2 * NUM_SAMPLES - 31))
    with pytest.raises(DataError, match="is cut short"):
        lamae.read(path)
    change_at(monkeypatch, wfdb, "_count_values", tmp_path / "rec.dat")
    with pytest.raises(DataError, match="has changed while it was read") as caught:
        lamae.read(path)
    assert caught.value.reason == "changed-while-read"


def test_a_file_that_is_removed_meanwhile(tmp_path, monkeypatch):
    path = write_npy(tmp_path)
    monkeypatch.setattr(arrays, "orient", lambda *_: path.unlink() or np.zeros((2, NUM_SAMPLES)))
    with pytest.raises(DataError, match="has changed while it was read"):
        lamae.read(path)


@pytest.mark.parametrize("changed", ["rec.dat", "one.hea", "rec.hea"])
def test_segments_and_signals_through_the_package(tmp_path, monkeypatch, changed):
    pytest.importorskip("wfdb")
    from lamae.ecg.readers import wfdb_package

    (write_wfdb(tmp_path, storage="24")).rename(tmp_path / "one.hea")
    path = tmp_path / "rec.hea"
    path.write_text(f"rec/1 1 250 {NUM_SAMPLES}\none {NUM_SAMPLES}\n")
    assert np.nanmax(lamae.read(path).views["I"].values) == np.float32(0.5)
    at = (wfdb_segments, "read_limited") if changed == "one.hea" else (wfdb_package, "_samples")
    change_at(monkeypatch, *at, tmp_path / changed)
    with pytest.raises(DataError, match=f"{changed} has changed while it was read"):
        lamae.read(path)


def test_an_annotated_ecg_and_a_part_of_code_15(tmp_path, monkeypatch):
    h5py = pytest.importorskip("h5py")
    part = tmp_path / "exams_part0.hdf5"
    with h5py.File(part, "w") as file:
        file["exam_id"], file["tracings"] = [7], np.ones((1, NUM_SAMPLES, len(LEADS)), np.float32)
    change_at(monkeypatch, code15, "make_ecg_study", part)
    with pytest.raises(DataError, match="has changed while it was read"):
        read_code15_row(part, 7)
    code15.close_parts()
    (tmp_path / "ecg.xml").write_text("<AnnotatedECG/>")
    change_at(monkeypatch, aecg, "_rhythm_series", tmp_path / "ecg.xml")
    with pytest.raises(DataError, match="has changed while it was read"):
        lamae.read(tmp_path / "ecg.xml")


@pytest.mark.parametrize(("cohort", "module"), [("folder", folder_labels), ("code-15", tables)])
def test_a_table_that_changes_is_refused(tmp_path, monkeypatch, cohort, module):
    (tmp_path / "a.npy").touch()
    table = tmp_path / "exams.csv"
    table.write_text("study_id,MI\na,1\n")
    change_at(monkeypatch, module, "check_columns", table)
    with pytest.raises(DataError, match="has changed while it was read") as caught:
        open_cohort(cohort, tmp_path, labels=table if cohort == "folder" else None).table()
    assert caught.value.reason == "changed-while-read"
