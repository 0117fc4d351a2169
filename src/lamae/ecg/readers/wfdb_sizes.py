"""Checks of a WFDB record before the ``wfdb`` package reads it: what its headers promise against the files beside them.

The package trusts headers: it allocates what they promise, follows the names of files and segments anywhere (also to
the network), and reads a record that names itself as its segment until the stack ends.
"""

import os
import stat
from collections.abc import Iterator
from itertools import groupby

from lamae.ecg.readers.limits import check_channels, check_unpacked, read_limited
from lamae.ecg.readers.wfdb_header import Header, parse_count, parse_header
from lamae.errors import DataError, FormatError

MAX_SEGMENTS = 10_000
"""Maximum number of segments of a record; a month in intensive care has some thousands."""

_BITS = {8: 8, 16: 16, 24: 24, 32: 32, 61: 16, 80: 8, 160: 16, 212: 12, 310: 32 / 3, 311: 32 / 3}
"""Bits of each sample in the file (signal(5)); the FLAC formats 508, 516 and 524 are compressed."""

_VALUE_BYTES = 8


def check_record(header_path: str, header: Header) -> None:
    """Check the files, lengths, skews and segments that the header of a record promises.

    Raises:
        DataError: A file is missing (``missing-file``), cut short (``truncated-file``), in another folder
            (``foreign-path``) or no regular file (``not-a-file``); the record unpacks to too much
            (``array-too-large``) or has too many signals (``too-many-channels``).
        FormatError: Segments or skews contradict the header (``malformed-header``).
    """
    folder = os.path.dirname(header_path)
    if not header.num_segments:
        num_frames, stored = header.num_samples or 0, _check_signals(folder, header)
        num_values = num_frames * sum(spec.samples_per_frame for spec in header.specs)
    else:
        num_frames, num_signals, stored = _check_segments(folder, header_path, header)
        num_values = num_frames * num_signals
    check_unpacked("the record", _VALUE_BYTES * num_values, sum(stored.values()))


def _check_signals(folder: str, header: Header) -> dict[str, int]:
    """Check the signal files of a record or segment; return the size of each."""
    check_channels(len(header.specs))
    stored: dict[str, int] = {}
    start = 0
    for file_name, same in groupby(header.files):
        specs = header.specs[start : (start := start + len(list(same)))]
        if file_name == "~":
            continue
        stored[file_name] = size = _size_beside(folder, file_name, "signal file")
        if header.num_samples is None or specs[0].format not in _BITS:
            continue
        if max(spec.skew for spec in specs) > header.num_samples:
            raise FormatError(
                f"{file_name} has a signal that is shifted by {max(spec.skew for spec in specs)} samples of "
                f"{header.num_samples}",
                reason="malformed-header",
            )
        num_values = header.num_samples * sum(spec.samples_per_frame for spec in specs)
        promised = int(num_values * _BITS[specs[0].format] // 8)
        if size - specs[0].byte_offset < promised:
            raise DataError(
                f"{file_name} is cut short: the header promises {promised} bytes of samples, the file holds "
                f"{max(0, size - specs[0].byte_offset)}",
                reason="truncated-file",
            )
    return stored


def _check_segments(folder: str, header_path: str, header: Header) -> tuple[int, int, dict[str, int]]:
    """Check the segments of a record; return its number of frames and of signals, and the size of each file."""
    segments = list(_segments(header_path, header.num_segments))
    num_frames = sum(length for _, length in segments)
    if header.num_samples is not None and num_frames != header.num_samples:
        raise FormatError(
            f"the segments hold {num_frames} samples and the header promises {header.num_samples}",
            reason="malformed-header",
        )
    stored: dict[str, int] = {}
    num_signals = 1
    for name, length in dict.fromkeys(segments):
        if name == "~":
            continue
        _size_beside(folder, f"{name}.hea", "segment")
        part = parse_header(read_limited(os.path.join(folder, f"{name}.hea"), f"segment {name}").decode("latin-1"))
        if part.num_segments:
            raise FormatError(f"segment {name} consists of segments itself", reason="malformed-header")
        if part.num_samples is not None and length > part.num_samples:
            raise FormatError(
                f"segment {name} holds {part.num_samples} samples and the header promises {length}",
                reason="malformed-header",
            )
        num_signals = max(num_signals, len(part.specs))
        stored |= _check_signals(folder, part)
    return num_frames, num_signals, stored


def _segments(header_path: str, num_segments: int) -> Iterator[tuple[str, int]]:
    """Yield name and length of each segment."""
    if num_segments > MAX_SEGMENTS:
        raise DataError(
            f"the record has {num_segments} segments, more than the {MAX_SEGMENTS} allowed: split it",
            reason="array-too-large",
        )
    text = read_limited(header_path, "the header").decode("latin-1")
    lines = [fields for line in text.split("\n") if (fields := line.split()) and not line.startswith("#")]
    if len(lines) - 1 != num_segments or not all(len(fields) > 1 for fields in lines):
        raise FormatError(
            f"the header promises {num_segments} segments and describes {len(lines) - 1}", reason="malformed-header"
        )
    for name, length, *_ in lines[1:]:
        yield name, parse_count(length, f"the length of segment {name}")


def _size_beside(folder: str, file_name: str, what: str) -> int:
    """Return the size of a regular file in the folder of the record."""
    if os.path.basename(file_name) != file_name:
        raise DataError(
            f"the header names the {what} {file_name!r} in another folder: it must lie beside the header",
            reason="foreign-path",
        )
    found = os.stat(os.path.join(folder, file_name))
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"the {what} {file_name!r} is no regular file", reason="not-a-file")
    return found.st_size
