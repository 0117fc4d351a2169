"""Damage that once left a reader as another error than ours, each at its source: the reader names it itself."""

import io
import zipfile
import zlib
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from lamae.ecg.readers import any_format, read_wfdb
from lamae.ecg.readers.segments import Segment, merge_segments
from lamae.errors import DataError

TOLD = b'{"leads": ["I"], "rate_hz": 500, "units": "mV"}'
LINE = "rec.dat 16 1000/mV 16 0 0 0 0 I"
LONG = "9" * 5003


@pytest.fixture(autouse=True)
def no_boundary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(any_format, "faults_of_the_file", lambda *_, **__: nullcontext())


def refusal(path: Path, read: Callable[[Path], object] = any_format.read) -> DataError:
    with pytest.raises(DataError) as caught:
        read(path)
    message = str(caught.value)
    assert str(path) in message
    assert len(message.encode()) < 2000
    return caught.value


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (f"rec {LONG} 500 7\n{LINE}\n", "malformed-header"),
        (f"rec 1 500 {LONG}\n{LINE}\n", "malformed-header"),
        (f"rec/{LONG} 1 500 7\npart 7\n", "malformed-header"),
        (f"rec/1 1 500 7\npart {LONG}\n", "malformed-header"),
        (f"rec 1 500 7\nrec.dat 16+{LONG} 1000/mV 16 0 0 0 0 I\n", "malformed-header"),
        (f"rec 1 500 7\nrec.dat 16 1000({LONG})/mV 16 0 0 0 0 I\n", "malformed-header"),
        ("rec 1 500 7\nrec.dat 16 1e308/nV 16 0 0 0 0 I\n", "zero-gain"),
        ("rec 1 500 7\nre\0c.dat 16 1000/mV 16 0 0 0 0 I\n", "malformed-header"),
        ("rec/1 1 500 7\npa\0rt 7\n", "malformed-header"),
        ("rec 1 500 14\nrec.dat 80 1000/mV\n", "unknown-lead"),  # no description, read through the wfdb package
        (f"rec 1 500 7 0:0:{LONG} 1/1/2001\nrec.dat 16 1000/mV 16 0 0 0 0 {'x' * 5003}\n", "unknown-lead"),
    ],
)
def test_wfdb_headers(tmp_path: Path, header: str, reason: str) -> None:
    (tmp_path / "rec.hea").write_text(header)
    (tmp_path / "rec.dat").write_bytes(bytes(14))
    assert refusal(tmp_path / "rec.hea", read_wfdb).reason == reason


def test_a_deflated_dicom_whose_stream_is_damaged(tmp_path: Path) -> None:
    syntax = b"1.2.840.10008.1.2.1.99"
    element = b"\x02\x00\x10\x00UI" + len(syntax).to_bytes(2, "little") + syntax
    group = b"\x02\x00\x00\x00UL\x04\x00" + len(element).to_bytes(4, "little")
    packed = zlib.compress(bytes(997))[2:-4]
    for name, body in (("cut", packed[:-3]), ("flipped", b"\xff" + packed)):
        path = tmp_path / f"{name}.dcm"
        path.write_bytes(bytes(128) + b"DICM" + group + element + body)
        assert refusal(path).reason == "malformed-dicom"


def test_an_npz_whose_text_is_no_text(tmp_path: Path) -> None:
    """Python makes a text of such numbers and fails with SystemError wherever it is used."""
    leads = np.array(["I"]).view("u4") + 2**31
    with zipfile.ZipFile(tmp_path / "ecg.npz", "w") as container:
        for name, array in (("ecg", np.ones((1, 7))), ("leads", leads.view("<U1")), ("rate_hz", np.array(500))):
            buffer = io.BytesIO()
            np.save(buffer, array)
            container.writestr(f"{name}.npy", buffer.getvalue())
    error = refusal(tmp_path / "ecg.npz")
    assert (error.reason, "no characters" in str(error)) == ("malformed-file", True)


@pytest.mark.parametrize(
    "sidecar",
    [b'{"layout": []}', b'{"rate_hz": 1' + b"0" * 400 + b"}", b'{"key": ["a"], "leads": "\\ud800"}', b'{"key": []}'],
)
def test_sidecars(tmp_path: Path, sidecar: bytes) -> None:
    np.save(tmp_path / "ecg.npy", np.ones((1, 7)))
    (tmp_path / "ecg.npy.json").write_bytes(sidecar)
    assert refusal(tmp_path / "ecg.npy").reason in ("malformed-sidecar", "missing-rate")


def test_a_matlab_text_of_numbers_that_are_no_characters(tmp_path: Path) -> None:
    from scipy.io import savemat

    buffer = io.BytesIO()
    savemat(buffer, {"val": np.ones((1, 7)), "leads": "I", "units": "mV"}, format="4")
    content = buffer.getvalue()
    text = content.rindex(b"units\0") + 6
    (tmp_path / "ecg.mat").write_bytes(content[:text] + np.array([np.nan, np.inf]).tobytes())
    (tmp_path / "ecg.mat.json").write_bytes(b'{"rate_hz": 500}')
    assert refusal(tmp_path / "ecg.mat").reason == "unknown-unit"


def test_a_message_that_cannot_be_written_is_made_so(tmp_path: Path) -> None:
    np.save(tmp_path / "ecg.npy", np.ones((1, 7)))
    (tmp_path / "ecg.npy.json").write_bytes(TOLD.replace(b'["I"]', b'["\\ud800"]'))
    assert refusal(tmp_path / "ecg.npy").reason == "unknown-lead"


def test_leads_recorded_further_apart_than_any_number_of_samples() -> None:
    rows = np.ones(7, np.float32)
    apart = [
        Segment(start_s=start_s, rate_hz=500, leads={lead: rows}) for lead, start_s in (("I", -1e308), ("II", 1e308))
    ]
    with pytest.raises(DataError, match="inf s apart") as caught:
        merge_segments(apart)
    assert caught.value.reason == "not-simultaneous"
