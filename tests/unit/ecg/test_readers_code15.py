"""CODE-15 parts: rows by exam_id, padding, open parts across processes."""

import os
from pathlib import Path

import numpy as np
import pytest

from lamae.ecg.leads import LEADS
from lamae.ecg.readers import code15, read_code15_row
from lamae.ecg.readers.code15 import close_parts, trim_padding
from lamae.errors import DataError, FormatError

h5py = pytest.importorskip("h5py")

WIDTH = 4096
RECORDED = {1169160: 4000, 2873686: 2800, 168405: 4096}


@pytest.fixture
def tracings() -> np.ndarray:
    made = np.zeros((len(RECORDED) + 1, WIDTH, 12), np.float32)
    rng = np.random.default_rng(11)
    for row, length in zip(made, RECORDED.values(), strict=False):
        start = (WIDTH - length) // 2
        row[start : start + length] = rng.normal(size=(length, 12))
    return made


@pytest.fixture
def part(tmp_path, tracings) -> Path:
    path = tmp_path / "exams_part3.hdf5"
    with h5py.File(path, "w") as file:
        file["exam_id"] = [*RECORDED, 0]
        file["tracings"] = tracings
    yield path
    close_parts()


def test_rows_are_found_by_exam_and_padding_is_cut_off(part, tracings):
    for row, (exam_id, length) in enumerate(RECORDED.items()):
        study = read_code15_row(part, exam_id)
        assert study.study_id == str(exam_id)
        assert list(study.views) == list(LEADS)
        start = (WIDTH - length) // 2
        for lead, expected in zip(LEADS, tracings[row, start : start + length].T, strict=True):
            assert study.views[lead].rate_hz == 400.0
            np.testing.assert_array_equal(study.views[lead].values, expected)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([0, 0, 1, 2, 3, 0, 0], [1, 2, 3]),
        ([0, 0, 0, 2, 3, 0, 0], [0, 2, 3]),  # a recording that begins with a zero
        ([0, 1, 0, 0, 3, 0, 0], [1, 0, 0, 3, 0]),
        ([1, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0]),
    ],
)
def test_padding_worked_by_hand(column, expected):
    tracing = np.array([column, np.zeros(7)]).T  # a flat second lead is no padding
    np.testing.assert_array_equal(trim_padding(tracing)[:, 0], expected)


def test_several_parts_stay_open_but_not_too_many(tmp_path, tracings):
    for number in range(6):
        with h5py.File(tmp_path / f"part{number}.hdf5", "w") as file:
            file["exam_id"], file["tracings"] = [number + 1], tracings[2:3] + number
    for number in (0, 1, 2, 3, 4, 5, 0, 5):
        first = read_code15_row(tmp_path / f"part{number}.hdf5", number + 1).views["I"].values[0]
        assert first == tracings[2, 0, 0] + number
    assert len(code15._open_parts) == 4
    close_parts()
    assert not code15._open_parts


def test_a_changed_part_is_read_anew(part, tracings):
    read_code15_row(part, 168405)
    part.unlink()
    with h5py.File(part, "w") as file:
        file["exam_id"], file["tracings"] = [7], tracings[:1]
    os.utime(part, ns=(1, 1))
    assert read_code15_row(part, 7).study_id == "7"
    with pytest.raises(DataError, match="no exam 168405"):
        read_code15_row(part, 168405)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_opens_its_own(part):
    expected = read_code15_row(part, 1169160).views["V6"].values
    child = os.fork()
    if child == 0:
        same = np.array_equal(read_code15_row(part, 1169160).views["V6"].values, expected)
        owners = {key[0] for key in code15._open_parts if key[1] == str(part)}
        os._exit(0 if same and os.getpid() in owners else 1)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(read_code15_row(part, 1169160).views["V6"].values, expected)


def test_exams_that_are_not_there(part):
    for exam_id in (5, 0):
        with pytest.raises(DataError, match=f"this part has no exam {exam_id}") as caught:
            read_code15_row(part, exam_id)
        assert caught.value.reason == "missing-record"
        assert str(part) in str(caught.value)
    with pytest.raises(DataError, match="there is no such file") as caught:
        read_code15_row(part.with_name("exams_part4.hdf5"), 5)
    assert caught.value.reason == "missing-file"


def test_an_exam_of_zeros_and_an_exam_twice(tmp_path, tracings):
    path = tmp_path / "part.hdf5"
    with h5py.File(path, "w") as file:
        file["exam_id"], file["tracings"] = [3, 4, 4], tracings[[3, 0, 1]]
    with pytest.raises(DataError, match="holds only zeros") as caught:
        read_code15_row(path, 3)
    assert caught.value.reason == "no-samples"
    with pytest.raises(DataError, match="has exam 4 more than once") as caught:
        read_code15_row(path, 4)
    assert caught.value.reason == "duplicated-record"
    close_parts()


def test_what_is_no_part(tmp_path, tracings):
    (tmp_path / "garbage.hdf5").write_bytes(b"garbage" * 99)
    with pytest.raises(FormatError, match="not a readable CODE-15 part"):
        read_code15_row(tmp_path / "garbage.hdf5", 1)
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["ecg"] = tracings
    with pytest.raises(FormatError, match="not a readable CODE-15 part"):
        read_code15_row(tmp_path / "other.hdf5", 1)
    with h5py.File(tmp_path / "shape.hdf5", "w") as file:
        file["exam_id"], file["tracings"] = [1, 2, 3], tracings[:2]
    with pytest.raises(FormatError, match=r"tracings of shape \[2, 4096, 12\] for 3 exams") as caught:
        read_code15_row(tmp_path / "shape.hdf5", 1)
    assert caught.value.reason == "malformed-file"


@pytest.mark.parametrize("name", ["exam_id", "tracings"])
def test_values_in_another_file_are_refused(part, tmp_path, name):
    linked = tmp_path / "linked.hdf5"
    with h5py.File(part) as source, h5py.File(linked, "w") as file:
        other = "tracings" if name == "exam_id" else "exam_id"
        file[other] = source[other][()]
        file[name] = h5py.ExternalLink(str(part), name)
    with pytest.raises(FormatError, match=f"'{name}' is a link to another file, which is not followed"):
        read_code15_row(linked, 1169160)


@pytest.mark.parametrize("odd", ["group", "empty", "scalar"])
@pytest.mark.parametrize("name", ["exam_id", "tracings"])
def test_a_part_of_odd_members_is_refused(tmp_path, tracings, name, odd):
    path = tmp_path / "exams_part0.hdf5"
    with h5py.File(path, "w") as file:
        file["exam_id"], file["tracings"] = np.arange(len(tracings)), tracings
        del file[name]
        file[name] = 3 if odd == "scalar" else h5py.Empty("f4") if odd == "empty" else h5py.SoftLink("/folder")
        file.create_group("folder")
    with pytest.raises(FormatError):
        read_code15_row(path, 1)


@pytest.mark.parametrize(("height_mv", "reason"), [(np.inf, "infinite-values"), (2e6, "implausible-values")])
def test_voltages_of_no_heart_are_refused(part, height_mv, reason):
    with h5py.File(part, "r+") as file:
        file["tracings"][2, 2017, 3] = height_mv
    with pytest.raises(DataError, match=r"voltages|are no ECG") as caught:
        read_code15_row(part, 168405)
    assert caught.value.reason == reason
