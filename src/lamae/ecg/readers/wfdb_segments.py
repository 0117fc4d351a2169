"""Reader of WFDB records of several segments (header(5)), and of records in unusual storage formats."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lamae.ecg.plausible import check_rate
from lamae.ecg.readers.leads import ExtraChannels, choose_leads, study_id_of
from lamae.ecg.readers.limits import read_limited
from lamae.ecg.readers.wfdb import is_plain, path_beside, read_signals
from lamae.ecg.readers.wfdb_header import Header, decode_header, parse_comments, parse_header
from lamae.ecg.readers.wfdb_sizes import check_record
from lamae.errors import DataError, FormatError
from lamae.files import unchanged
from lamae.studies import Study, View, Views

_GAP = "~"


@dataclass(frozen=True)
class _Segment:
    """A segment: its header, the position of each lead in it, and where it lies in the whole record, in frames."""

    header: Header
    signal_of: Mapping[str, int]
    start: int = 0
    num_frames: int | None = None


def read_segments(
    header_path: str, header: Header, lead_names: Mapping[str, str] | None, extra_channels: ExtraChannels
) -> Study:
    """Read a record segment by segment; an ordinary record is a segment of its own.

    A lead that a segment lacks, and a gap (``~``), is NaN there. A lead with several samples in a frame keeps its own,
    higher rate. The layout segment is not needed: signals are found by name in each segment.

    Args:
        header_path: The record's header.
        header: Its content.
        lead_names: As of ``read_wfdb``.
        extra_channels: As of ``read_wfdb``.

    Raises:
        FormatError: A segment has segments itself (``malformed-header``); or as `unpack`.
        DataError: Segments differ in rate (``mixed-rates``); or as ``read_wfdb``.
        MissingExtraError: As `unpack`.
    """
    folder = os.path.dirname(header_path)
    parts = _open_segments(folder, header)
    check_record(folder, header, parts)
    if header.num_segments:
        signal_of = {name: _find_leads(part, lead_names, extra_channels) for name, part in parts.items()}
        segments = list(_placed(header, parts, signal_of))
    else:
        segments = [_Segment(header, _find_leads(header, lead_names, extra_channels))]
    samples_per_frame: dict[str, int] = {}
    for segment in segments:
        for lead, signal in segment.signal_of.items():
            _check_same_rate(lead, segment.header.specs[signal].samples_per_frame, samples_per_frame)
    if not samples_per_frame:
        choose_leads([name for segment in segments for name in segment.header.names], lead_names, extra_channels)
    for count in samples_per_frame.values():
        check_rate(header.rate_hz * count)
    rows = _join(folder, segments, samples_per_frame, sum(length for _, length in header.segments))
    patient_id, metadata = parse_comments(header.comments)
    if not all(len(row) for row in rows.values()):
        raise DataError("the record holds no samples", reason="no-samples")
    return Study(
        study_id=study_id_of(header_path),
        views=Views(
            View(name=lead, values=row, rate_hz=header.rate_hz * samples_per_frame[lead]) for lead, row in rows.items()
        ),
        patient_id=patient_id,
        acquired_at=header.acquired_at,
        metadata={"source_format": "wfdb", **metadata},
    )


def _open_segments(folder: str, header: Header) -> dict[str, Header]:
    """Read the header of each segment with samples; empty for an ordinary record."""
    found: dict[str, Header] = {}
    for name in {name: length for name, length in header.segments if name != _GAP and length}:
        path = path_beside(folder, f"{name}.hea")
        with unchanged(path):
            part = parse_header(decode_header(read_limited(path, f"segment {name}")))
        if part.num_segments:
            raise FormatError(f"segment {name} consists of segments itself", reason="malformed-header")
        if part.rate_hz != header.rate_hz:
            raise DataError(
                f"segment {name} has {part.rate_hz:g} Hz, its record {header.rate_hz:g} Hz", reason="mixed-rates"
            )
        found[name] = part
    return found


def _placed(
    header: Header, parts: Mapping[str, Header], signal_of: Mapping[str, Mapping[str, int]]
) -> Iterator[_Segment]:
    """Yield the segments with samples, each at its place."""
    start = 0
    for name, length in header.segments:
        if name in parts:
            yield _Segment(parts[name], signal_of[name], start, length)
        start += length


def _find_leads(header: Header, lead_names: Mapping[str, str] | None, extra_channels: ExtraChannels) -> dict[str, int]:
    """Return the signal of each lead; none where a segment holds other channels only."""
    try:
        chosen, leads = choose_leads(header.names, lead_names, extra_channels)
    except DataError as error:
        if error.reason != "no-leads":
            raise
        return {}
    header.check_scales(chosen)
    return dict(zip(leads, chosen, strict=True))


def _check_same_rate(lead: str, found: int, samples_per_frame: dict[str, int]) -> None:
    if samples_per_frame.setdefault(lead, found) != found:
        raise DataError(
            f"lead {lead} has {samples_per_frame[lead]} samples a frame in one segment and {found} in another",
            reason="mixed-rates",
        )


def _join(
    folder: str, segments: Sequence[_Segment], samples_per_frame: Mapping[str, int], num_frames: int
) -> dict[str, np.ndarray]:
    """Return ``[samples]`` float32 in mV of each lead, NaN where no segment holds it."""
    if segments[:1] and segments[0].num_frames is None:  # an ordinary record, whose header need not tell its length
        return _read(folder, segments[0])
    joined = {lead: np.full(num_frames * count, np.nan, np.float32) for lead, count in samples_per_frame.items()}
    for segment in segments:
        for lead, row in _read(folder, segment).items():
            start, length = (frames * samples_per_frame[lead] for frames in (segment.start, segment.num_frames or 0))
            if len(row) < length:
                raise DataError(
                    f"a segment of {length} samples holds {len(row)} of lead {lead}", reason="truncated-file"
                )
            joined[lead][start : start + length] = row[:length]
    return joined


def _read(folder: str, segment: _Segment) -> dict[str, np.ndarray]:
    signals = list(segment.signal_of.values())
    if is_plain(segment.header):
        values = read_signals(folder, segment.header, False)
        rows = [values[signal] for signal in signals]
    else:
        from lamae.ecg.readers.wfdb_package import unpack

        rows = unpack(folder, segment.header, signals)
    return dict(zip(segment.signal_of, rows, strict=True))
