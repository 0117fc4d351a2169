"""One call for all formats, with detection of the format from the content."""

import os
import re
from collections.abc import Mapping, Sequence
from typing import get_args

from lamae.boundary import faults_of_the_file
from lamae.ecg.readers.array_description import Layout
from lamae.ecg.readers.leads import ExtraChannels, refused
from lamae.ecg.readers.limits import MAX_TEXT_BYTES, open_descriptor, open_regular
from lamae.ecg.readers.wfdb import HeaderFile, read_wfdb
from lamae.errors import ConfigError, FormatError, MissingExtraError, check_choice
from lamae.studies import Study

_HEAD_BYTES = 2048
_MAGIC = (
    (b"\x93NUMPY", "npy"),
    (b"PK\x03\x04", "npz"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"MATLAB 7.3 MAT-file", "hdf5"),
    (b"MATLAB 5.0 MAT-file", "matlab"),
)
_WFDB_HEADER = re.compile(
    rb"(?:[ \t]*(?:\#[^\n]*)?\r?\n)*"  # comments before the record line
    rb"[^\s#/]+(?:/\d+)?[ \t]+\d+(?:[ \t][^\n]*)?\r?\n"  # record name, number of signals
    rb"(?:[ \t]*(?:\#[^\n]*)?\r?\n)*"
    rb"[ \t]*(?=[^\s#]*[A-Za-z_~])[^\s#]+[ \t]+\d+"  # a file and its format, or a segment and its length
)
_XML_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*<|\xff\xfe<\x00|\xfe\xff\x00<")
_DICOM_START = re.compile(rb"[\x02\x08]\x00[\x00-\x20]\x00(?:[A-Z]{2}|[\x00-\x40][\x00-\x02]\x00\x00)", re.DOTALL)
_CONTROL = bytes([*range(9), *range(14, 32), 127])
_NUMBER_FIELD = re.compile(r'["\s]*[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?["\s]*')


def read(
    path: str | os.PathLike[str],
    *,
    lead_names: Mapping[str, str] | None = None,
    extra_channels: ExtraChannels = "error",
    leads: Sequence[str] | None = None,
    rate_hz: float | None = None,
    units: str | Sequence[str] | None = None,
    layout: Layout | None = None,
    key: str | None = None,
) -> Study:
    """Read an examination from a file of any supported format: WFDB, DICOM ECG, HL7 aECG, or an array.

    Args:
        path: A file, or the name of a WFDB record without extension.
        lead_names: Maps names in the file to leads.
        extra_channels: ``"error"`` rejects a channel that is not an ECG lead; ``"ignore"`` skips it.
        leads: For arrays: lead names in the order of the array.
        rate_hz: For arrays: sampling rate.
        units: For arrays: one unit, or one per lead (V, mV, uV, nV).
        layout: For arrays: ``"leads-first"`` or ``"samples-first"``, if the shape is ambiguous.
        key: For arrays: name of the array in a file with several.

    Returns:
        The study: leads by canonical name, float32 in mV, NaN for missing samples.

    Raises:
        FormatError: The format is unknown (``unknown-format``, ``empty-file``), or the file violates it.
        DataError: The file cannot be used; ``reason`` says why (see the reader of the format).
        MissingExtraError: The format needs a package that is not installed.
    """
    if layout is not None:
        check_choice("layout", layout, get_args(Layout))
    source = os.fspath(path)
    with faults_of_the_file(source, passing=(ConfigError, MissingExtraError)):
        found, opened = _look_into(source)
        if found == "wfdb":
            return read_wfdb(source, lead_names=lead_names, extra_channels=extra_channels, opened=opened)
        if found == "dicom":
            from lamae.ecg.readers.dicom import read_dicom_ecg

            return read_dicom_ecg(source, lead_names=lead_names, extra_channels=extra_channels)
        if found == "xml":
            from lamae.ecg.readers.aecg import read_aecg

            return read_aecg(source, lead_names=lead_names, extra_channels=extra_channels)
        from lamae.ecg.readers.arrays import read_array

        return read_array(
            source,
            file_format=found,
            leads=leads,
            rate_hz=rate_hz,
            units=units,
            layout=layout,
            key=key,
            lead_names=lead_names,
            extra_channels=extra_channels,
        )


def find_format(path: str) -> str:
    """Detect the format of a file from its content: ``wfdb, dicom, xml, npy, npz, hdf5, matlab`` or ``csv``.

    Raises:
        FormatError: The format is unknown (``unknown-format``), or the file is empty (``empty-file``).
        DataError: There is no such file (``missing-file``), or it cannot be read (``unreadable-file``).
    """
    return _look_into(path)[0]


def _look_into(path: str) -> tuple[str, HeaderFile | None]:
    """Return the format of a file, and the file itself if it is a WFDB header and was read to its end."""
    if not path.endswith(".hea") and _has_header(path):
        return "wfdb", None
    try:
        descriptor, status = open_descriptor(path)
        try:
            head = os.read(descriptor, _HEAD_BYTES)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise refused(error, path) from error
    if not head:
        raise FormatError(f"{path}: the file is empty", reason="empty-file")
    found = _find_in(head)
    if found is None:
        raise FormatError(
            f"{path}: the content is of no known format (WFDB, DICOM ECG, HL7 aECG, .npy, .npz, HDF5, MATLAB, CSV); "
            "a WFDB signal file needs its .hea file beside it",
            reason="unknown-format",
        )
    is_whole_header = path.endswith(".hea") and len(head) == status.st_size < _HEAD_BYTES
    return found, HeaderFile(head, status) if is_whole_header else None


def _has_header(path: str) -> bool:
    """Return True if the path is a record name, or a signal file named in the header beside it."""
    if os.path.isfile(f"{path}.hea") and not os.path.isfile(path):
        return True
    header = f"{os.path.splitext(path)[0]}.hea"
    if not os.path.isfile(header) or not os.path.isfile(path):
        return False
    with open_regular(header) as file:
        text = file.read(MAX_TEXT_BYTES)
    name = re.escape(os.path.basename(path).encode())
    return re.search(rb"^[ \t]*" + name + rb"[ \t]", text, re.MULTILINE) is not None


def _find_in(head: bytes) -> str | None:
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head[128:132] == b"DICM":
        return "dicom"
    if b"\x89HDF\r\n\x1a\n" in (head[512:520], head[1024:1032]):  # behind a user block
        return "hdf5"
    if _XML_START.match(head):
        return "xml"
    if _WFDB_HEADER.match(head) and _is_text(head):
        return "wfdb"
    if _is_matlab_4(head):
        return "matlab"
    if _DICOM_START.match(head):
        return "dicom"
    return "csv" if _is_csv(head) else None


def _is_text(head: bytes) -> bool:
    return len(head.translate(None, _CONTROL)) == len(head)


def _is_matlab_4(head: bytes) -> bool:
    """Return True for the start of a MATLAB 4 matrix: type, rows, columns, imaginary flag, name length, name."""
    if len(head) < 24:
        return False
    for order in ("little", "big"):
        kind, rows, columns, imaginary, length = (
            int.from_bytes(head[start : start + 4], order) for start in range(0, 20, 4)
        )
        thousands, hundreds, tens, ones = kind // 1000, kind // 100 % 10, kind // 10 % 10, kind % 10
        if thousands > 4 or hundreds or tens > 5 or ones > 2 or imaginary > 1 or not 1 < length <= 64:
            continue
        name = head[20 : 20 + length]
        if rows and columns and name.endswith(b"\0") and name[:-1].isalnum():
            return True
    return False


def _is_csv(head: bytes) -> bool:
    """Return True for text whose second line (or only line) consists of numbers or empty fields."""
    if not _is_text(head):
        return False
    lines = head.decode("utf-8", errors="replace").lstrip("\ufeff").splitlines()
    line = lines[1] if len(lines) > 1 else lines[0] if lines else ""
    fields = re.split(r"[,;\t]| +", line.strip())
    return any(_NUMBER_FIELD.fullmatch(field) for field in fields) and all(
        not field or field.casefold() in ("nan", "na", "null") or _NUMBER_FIELD.fullmatch(field) for field in fields
    )
