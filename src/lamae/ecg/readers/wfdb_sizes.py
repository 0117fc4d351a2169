"""Checks of a WFDB record before the ``wfdb`` package reads it: what its headers promise against the files beside them.

The package trusts headers: it allocates what they promise, follows the names of files and segments anywhere (also to
the network), and reads a record that names itself as its segment until the stack ends.
"""

import os
import stat
from collections.abc import Mapping

from lamae.ecg.readers.limits import Budget, check_channels
from lamae.ecg.readers.wfdb import by_file, path_beside
from lamae.ecg.readers.wfdb_header import Header
from lamae.errors import DataError, FormatError

_BITS = {8: 8, 16: 16, 24: 24, 32: 32, 61: 16, 80: 8, 160: 16, 212: 12, 310: 32 / 3, 311: 32 / 3}
"""Bits of each sample in the file (signal(5)); those of FLAC are compressed."""

_COMPRESSED = (508, 516, 524)
_VALUE_BYTES = 8
_PADDING_BYTES = 4
"""The last samples of a packed format may fill up its last bytes."""


def check_record(folder: str, header: Header, segments: Mapping[str, Header]) -> None:
    """Check the files, lengths and skews that the header of a record promises.

    Args:
        folder: Folder of the record.
        header: Header of the record.
        segments: Header of each segment by name; empty for an ordinary record.

    Raises:
        DataError: A file is missing (``missing-file``), cut short (``truncated-file``), longer than promised
            (``length-mismatch``), in another folder (``foreign-path``) or no regular file (``not-a-file``); the record
            unpacks to too much (``array-too-large``) or has too many signals (``too-many-channels``).
        FormatError: Segments or skews contradict the header (``malformed-header``).
    """
    stored: dict[str, int] = {}
    for part in segments.values() or [header]:
        stored |= _check_signals(folder, part)
    if header.num_segments:
        for name, length in header.segments:
            _check_length(name, length, segments.get(name))
    longest = max(part.num_samples or 0 for part in (header, *segments.values()))
    num_frames = max(longest, sum(length for _, length in header.segments))
    frame = max(sum(spec.samples_per_frame for spec in part.specs) for part in (header, *segments.values()))
    Budget("the record", sum(stored.values())).spend(_VALUE_BYTES * num_frames * max(frame, 1))


def _check_length(name: str, length: int, segment: Header | None) -> None:
    if segment is not None and segment.num_samples is not None and length > segment.num_samples:
        raise FormatError(
            f"segment {name} holds {segment.num_samples} samples and the header promises {length}",
            reason="malformed-header",
        )


def _check_signals(folder: str, header: Header) -> dict[str, int]:
    """Check the signal files of a record or segment; return the size of each."""
    check_channels(len(header.specs))
    stored: dict[str, int] = {}
    for file_name, signals in by_file(header):
        specs = header.specs[signals.start : signals.stop]
        if file_name == "~":
            continue
        stored[file_name] = size = _size_beside(folder, file_name)
        if header.num_samples is None and specs[0].format in _COMPRESSED:
            raise FormatError(
                f"{file_name} is compressed, so the header must say how many samples it holds",
                reason="malformed-header",
            )
        frame = max(1, sum(spec.samples_per_frame for spec in specs))
        most = 8 * size // frame if header.num_samples is None else header.num_samples
        if max(spec.skew for spec in specs) > most:
            raise FormatError(
                f"{file_name} has a signal that is shifted by {max(spec.skew for spec in specs)} samples of {most}",
                reason="malformed-header",
            )
        if header.num_samples is None or specs[0].format not in _BITS:
            continue
        num_values = header.num_samples * frame
        promised = int(num_values * _BITS[specs[0].format] // 8)
        if size - specs[0].byte_offset < promised:
            raise DataError(
                f"{file_name} is cut short: the header promises {promised} bytes of samples, the file holds "
                f"{max(0, size - specs[0].byte_offset)}",
                reason="truncated-file",
            )
        is_shifted = any(spec.skew for spec in specs)
        if (
            size - specs[0].byte_offset > promised + _PADDING_BYTES
            and not is_shifted
            and not file_name.endswith(".mat")
        ):
            raise DataError(
                f"{file_name} is longer than its header says: {size - specs[0].byte_offset} bytes of samples for "
                f"{promised}; the number of signals or samples in the header is wrong",
                reason="length-mismatch",
            )
    return stored


def _size_beside(folder: str, file_name: str) -> int:
    """Return the size of a regular file in the folder of the record."""
    found = os.stat(path_beside(folder, file_name))
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"the signal file {file_name!r} is no regular file", reason="not-a-file")
    return found.st_size
