"""Reader of WFDB records with signal files in format 16 or 212, without the ``wfdb`` package.

Formats as in signal(5) of the WFDB Applications Guide. The samples of everything else (other formats, FLAC, skew,
several samples per frame) are unpacked by the ``wfdb`` package, see ``lamae.ecg.readers.wfdb_package``; names, gains,
units and dates always come from our own parse of the header. Records of several segments are joined in
``lamae.ecg.readers.wfdb_segments``.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import NamedTuple

import numpy as np

from lamae.ecg.readers.leads import ExtraChannels, as_float32, choose_leads, make_ecg_study, naming, study_id_of
from lamae.ecg.readers.limits import open_descriptor, read_limited
from lamae.ecg.readers.wfdb_header import Header, decode_header, parse_comments, parse_header
from lamae.errors import DataError, FormatError
from lamae.files import unchanged
from lamae.studies import Study

FAST_FORMATS = {16: -32768, 212: -2048}
"""Storage formats read here, each with its missing-sample code: the smallest representable value."""

LARGEST_SCRATCH_BYTES = 4 * 2**20
"""Longer signal files are read into memory of their own, so that no thread keeps more than twice this."""

_scratch_of_thread = threading.local()


class HeaderFile(NamedTuple):
    """The whole content of a header, and its status when it was opened."""

    content: bytes
    status: os.stat_result


def read_wfdb(
    path: str | os.PathLike[str],
    *,
    lead_names: Mapping[str, str] | None = None,
    extra_channels: ExtraChannels = "error",
    verify_checksum: bool = False,
    opened: HeaderFile | None = None,
) -> Study:
    """Read a WFDB record into mV.

    Values are the physical values by the header's gain and baseline, rounded once to float32; the missing-sample code
    of the format becomes NaN.

    Args:
        path: The header (``.hea``), the record name without extension, or a signal file beside a header of its name.
        lead_names: Maps signal descriptions in the header to leads.
        extra_channels: ``"error"`` rejects a signal that is not an ECG lead; ``"ignore"`` skips it.
        verify_checksum: Compare the first sample and the 16-bit checksum of each signal with the header. Formats 16 and
            212 only; many published records have wrong checksums.
        opened: The header that ``path`` names, if it was read before.

    Returns:
        A study named after its file; ``metadata`` has ``age_years``, ``sex`` and SNOMED CT ``codes`` if the comments of
        the header give them.

    Raises:
        DataError: With the reasons ``missing-file``, ``truncated-file``, ``length-mismatch``, ``header-signal-count``,
            ``zero-gain``, ``unknown-unit``, ``wrong-rate``, ``unknown-lead``, ``duplicated-lead``, ``no-leads``,
            ``no-samples``, ``infinite-values``, ``wrong-checksum``, ``foreign-path``, ``array-too-large``,
            ``file-too-large``, ``too-many-channels``, ``not-a-file`` or ``unreadable-file``.
        FormatError: The header is malformed (``malformed-header``).
        MissingExtraError: The record needs the ``wfdb`` package, which is not installed.
    """
    header_path = find_header(os.fspath(path))
    with naming(header_path, opened and opened.status):
        header = parse_header(decode_header(opened.content if opened else read_limited(header_path, "the header")))
        if not is_plain(header):
            from lamae.ecg.readers.wfdb_segments import read_segments

            return read_segments(header_path, header, lead_names, extra_channels)
        chosen, leads = choose_leads(header.names, lead_names, extra_channels)
        header.check_scales(chosen)
        values = read_signals(os.path.dirname(header_path), header, verify_checksum)
        patient_id, metadata = parse_comments(header.comments) if header.comments else (None, None)
        return make_ecg_study(
            study_id=study_id_of(header_path),
            leads=leads,
            values=values if len(leads) == len(values) else values[list(chosen)],
            rate_hz=header.rate_hz,
            source_format="wfdb",
            patient_id=patient_id,
            acquired_at=header.acquired_at,
            metadata=metadata,
        )


def find_header(path: str) -> str:
    """Return the header of a path given as a header, a record name or a signal file."""
    if path.endswith(".hea"):
        return path
    candidates = (f"{path}.hea", f"{os.path.splitext(path)[0]}.hea")
    for candidate in candidates:
        if os.path.exists(candidate):
            return candidate
    raise DataError(
        f"{path}: there is no WFDB header {os.path.basename(candidates[0])} or {os.path.basename(candidates[1])} "
        "beside it: give the path of the .hea file",
        reason="missing-file",
    )


def is_plain(header: Header) -> bool:
    """Return True if this module can read all signals of the record."""
    return not header.num_segments and all(spec.is_plain and spec.format in FAST_FORMATS for spec in header.specs)


def read_signals(folder: str, header: Header, verify_checksum: bool) -> np.ndarray:
    """Read all signal files of a plain record into ``[signals, samples]`` float32 mV."""
    groups: list[np.ndarray] = []
    for file_name, signals in by_file(header):
        samples = _read_samples(folder, file_name, header, signals)
        if verify_checksum:
            _verify(samples, header, signals)
        groups.append(_to_mv(samples, header, signals))
    if len(groups) == 1:
        return groups[0]
    lengths = {group.shape[1] for group in groups}
    if len(lengths) > 1:
        raise DataError(
            f"the signal files differ in length ({sorted(lengths)} samples) and the header names none",
            reason="length-mismatch",
        )
    return np.concatenate(groups)


def by_file(header: Header) -> Iterator[tuple[str, range]]:
    """Yield each signal file with its interleaved signals, which are consecutive in the header."""
    start = 0
    for file_name, signals in groupby(header.files):
        stop = start + len(list(signals))
        if len({(spec.format, spec.byte_offset) for spec in header.specs[start:stop]}) > 1:
            raise DataError(
                f"the signals of {file_name} differ in format or byte offset: one file has one", reason="mixed-formats"
            )
        yield file_name, range(start, stop)
        start = stop


def _read_samples(folder: str, file_name: str, header: Header, signals: range) -> np.ndarray:
    """Read one signal file as ``[samples, signals]`` int16."""
    path = path_beside(folder, file_name)
    spec = header.specs[signals.start]
    descriptor, status = open_descriptor(path)
    try:
        content = _read_into_scratch(descriptor, status.st_size)
    finally:
        os.close(descriptor)
    with unchanged(path, status):
        found_bytes = max(0, len(content) - spec.byte_offset)
        num_values = _count_values(file_name, found_bytes, header.num_samples, len(signals), spec.format)
    if not num_values:
        return np.empty((0, len(signals)), np.int16)
    if spec.format == 16:
        values = np.frombuffer(content, "<i2", count=num_values, offset=spec.byte_offset)
    else:
        values = _unpack_212(np.frombuffer(content, np.uint8, offset=spec.byte_offset), num_values)
    return values.reshape(-1, len(signals))


def _read_into_scratch(descriptor: int, num_bytes: int) -> np.ndarray:
    """Return the bytes of a file, in memory that the thread's next file overwrites."""
    content, filled = _scratch("content", num_bytes), 0
    while filled < len(content) and (found := os.readv(descriptor, [content[filled:]])):  # pyright: ignore
        filled += found
    return content[:filled]


def _scratch(name: str, num_bytes: int) -> np.ndarray:
    """Return memory that the thread keeps from one record to the next, ``[num_bytes]`` uint8.

    Given back after each record, it would be cleared by the system before the next: glibc returns what is free at the
    end of its heap, and touching it again costs more than the whole conversion.
    """
    if num_bytes > LARGEST_SCRATCH_BYTES:
        return np.empty(num_bytes, np.uint8)
    held = getattr(_scratch_of_thread, name, None)
    if held is None or len(held) < num_bytes:
        held = np.empty(num_bytes, np.uint8)
        setattr(_scratch_of_thread, name, held)
    return held[:num_bytes]


def path_beside(folder: str, file_name: str) -> str:
    """Return the path of a file that a header names, which must lie beside it (``foreign-path``)."""
    if "\0" in file_name:
        raise FormatError(f"the header names the file {file_name!r}: no file is called so", reason="malformed-header")
    if os.path.basename(file_name) != file_name:
        raise DataError(
            f"the header names the file {file_name!r} in another folder: it must lie beside the header",
            reason="foreign-path",
        )
    return os.path.join(folder, file_name)


def _count_values(file_name: str, found_bytes: int, num_samples: int | None, num_signals: int, storage: int) -> int:
    """Return the number of values to read, after checking the size of the file against the header.

    An odd number of values in format 212 may be padded to three bytes, and a MATLAB file may hold further variables
    after the signals.
    """
    if num_samples is None:
        num_values = found_bytes // 2 if storage == 16 else found_bytes * 2 // 3
        left_over = found_bytes % (2 * num_signals) if storage == 16 else num_values % num_signals
        if left_over and not (storage == 212 and left_over == 1 and found_bytes % 3 == 0):
            raise DataError(
                f"{file_name} ends within a frame of {num_signals} signals: it is cut short", reason="truncated-file"
            )
        return num_values - num_values % num_signals
    num_values = num_samples * num_signals
    expected = 2 * num_values if storage == 16 else -(-3 * num_values // 2)
    if found_bytes < expected:
        raise DataError(
            f"{file_name} is cut short: the header promises {expected} bytes of samples, the file holds {found_bytes}",
            reason="truncated-file",
        )
    if found_bytes > expected + (storage == 212) and not file_name.endswith(".mat"):
        raise DataError(
            f"{file_name} is longer than its header says: {found_bytes} bytes of samples for {expected}; "
            "the number of signals or samples in the header is wrong",
            reason="length-mismatch",
        )
    return num_values


def _unpack_212(packed: np.ndarray, num_values: int) -> np.ndarray:
    """Unpack pairs of 12-bit two's complement values from three bytes each (signal(5), format 212).

    In bytes ``a b c``, the low nibble of ``b`` extends ``a`` to the first value, and its high nibble extends ``c`` to
    the second.
    """
    padded = np.zeros(3 * (-(-num_values // 2)), np.int16)
    padded[: min(len(padded), len(packed))] = packed[: len(padded)]
    low, middle, high = padded.reshape(-1, 3).T
    values = np.empty((len(low), 2), np.int16)
    values[:, 0] = low | (middle & 0x0F) << 8
    values[:, 1] = high | (middle & 0xF0) << 4
    values <<= 4  # move the sign bit to the top, then sign-extend
    values >>= 4
    return values.reshape(-1)[:num_values]


def _to_mv(samples: np.ndarray, header: Header, signals: range) -> np.ndarray:
    """Scale ``[samples, signals]`` integers to ``[signals, samples]`` float32 in mV, NaN for missing samples."""
    specs = header.specs[signals.start : signals.stop]
    if specs.count(specs[0]) == len(specs):
        specs = specs[:1]
    exact = all(spec.exact_in_float32 for spec in specs)
    rows = _scratch("rows", samples.nbytes).view(np.int16).reshape(samples.shape[::-1])
    rows[:] = samples.T
    values = rows.astype(np.float32 if exact else np.float64)
    if any(spec.baseline for spec in specs):
        values -= np.array([[spec.baseline] for spec in specs], values.dtype)
    values /= np.array([[spec.steps_per_mv] for spec in specs], values.dtype)
    values = values if exact else as_float32(values)
    code = FAST_FORMATS[specs[0].format]
    if samples.size and samples.min() == code:
        values[rows == code] = np.nan
    return values


def _verify(samples: np.ndarray, header: Header, signals: range) -> None:
    """Check first samples and checksums (sum of all samples modulo 2**16) against the header."""
    sums = samples.sum(axis=0, dtype=np.int64)
    for column, signal in enumerate(signals):
        if len(header.checks[signal]) < 2 or not len(samples):
            continue
        try:
            first, checksum = (int(field) for field in header.checks[signal])
        except ValueError as error:
            raise FormatError(
                f"signal {header.names[signal]!r}: first sample and checksum are malformed: {header.checks[signal]}",
                reason="malformed-header",
            ) from error
        if int(samples[0, column]) != first or (int(sums[column]) - checksum) % 65536:
            raise DataError(
                f"signal {header.names[signal]!r}: first sample and checksum do not match the header's",
                reason="wrong-checksum",
            )
