"""Parser of WFDB headers, as in header(5) of the WFDB Applications Guide.

Parsing the header is most of the cost of reading a short record, so the parts that repeat between lines and records
(format, gain, baseline, unit) are cached.
"""

import math
import re
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from lamae.ages_and_dates import known_time, with_known_age
from lamae.ecg.plausible import LARGEST_MV
from lamae.ecg.readers.leads import millivolts_in
from lamae.errors import DataError, FormatError

DEFAULT_RATE_HZ = 250.0
"""Sampling rate if the header does not give one (header(5), record line)."""

DEFAULT_GAIN = 200.0
"""Steps per mV if the signal line ends before the gain (header(5), ADC gain)."""

MAX_SEGMENTS = 10_000
"""Maximum number of segments of a record; a month in intensive care has some thousands."""

_FORMAT = re.compile(r"(\d{1,9})(?:x(\d{1,9}))?(?::(\d{1,18}))?(?:\+(\d{1,18}))?")
_GAIN = re.compile(r"([-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)(?:\((-?\d{1,18})\))?(?:/(\S+))?")
_START = re.compile(r"(\d+)[/-](\d+|[A-Za-z]{3})[/-](\d{4}) (\d+):(\d+):(\d+)(?:\.(\d+))?")
_SNOMED = re.compile(r"[0-9]{1,18}")
_MONTHS = "janfebmaraprmayjunjulaugsepoctnovdec"


class SignalSpec(NamedTuple):
    """Storage and scaling of a signal.

    Attributes:
        format: WFDB storage format, such as 16 or 212.
        byte_offset: Number of bytes in the file before the first sample.
        steps_per_mv: Gain, in steps per mV.
        baseline: Sample value at 0 mV.
        exact_in_float32: True if gain and baseline can be applied to 16 bits in float32 with one rounding, and no value
            of 16 bits would be a voltage beyond any ECG.
        is_plain: True if the samples are simply interleaved: one per frame, without skew.
        samples_per_frame: Number of samples of this signal in each frame.
        skew: Number of frames by which this signal lags behind.
        fault: Reason and words why the samples have no voltage (gain 0, no unit of voltage); None if they have one. It
            matters only if the signal is read.
    """

    format: int
    byte_offset: int
    steps_per_mv: float
    baseline: int
    exact_in_float32: bool
    is_plain: bool
    samples_per_frame: int
    skew: int
    fault: tuple[str, str] | None


class Header(NamedTuple):
    """Content of the header of a record.

    Attributes:
        num_segments: Number of segments of a multi-segment record, 0 for an ordinary one.
        rate_hz: Frames per second.
        num_samples: Number of samples per signal, ``None`` if not given.
        acquired_at: Base date and time, if both are given.
        files: File name of each signal.
        specs: Storage of each signal.
        names: Description of each signal.
        checks: First sample and checksum of each signal as text, if given.
        comments: Comment lines without ``#``.
        segments: Name and number of samples of each segment.
    """

    num_segments: int
    rate_hz: float
    num_samples: int | None
    acquired_at: datetime | None
    files: list[str]
    specs: list[SignalSpec]
    names: list[str]
    checks: list[list[str]]
    comments: list[str]
    segments: tuple[tuple[str, int], ...] = ()

    def check_scales(self, signals: Iterable[int]) -> None:
        """Check that the samples of some signals have a voltage.

        Raises:
            DataError: A gain is 0 (``zero-gain``), or a unit is not one of voltage (``unknown-unit``).
        """
        for signal in signals:
            if (fault := self.specs[signal].fault) is not None:
                raise DataError(f"signal line {signal + 1}: {fault[1]}", reason=fault[0])


def decode_header(content: bytes) -> str:
    """Return a header as text: UTF-8, in which units are written with a micro sign; otherwise latin-1."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def parse_header(text: str) -> Header:
    """Parse the text of a ``.hea`` file.

    Raises:
        FormatError: The text is not a WFDB header, or a line is malformed (``malformed-header``).
        DataError: The number of signal lines differs from the one stated (``header-signal-count``), or the rate is not
            above 0 (``wrong-rate``). Gains and units are checked for the signals that are read, see `check_scales`.
    """
    lines: list[str] = []
    comments: list[str] = []
    # not splitlines: in latin-1, bytes of other encodings look like line ends
    for line in text.replace("\r\n", "\n").removesuffix("\r").split("\n"):
        if line.startswith("#"):
            comments.append(line[1:])
        elif line and not line.isspace():
            lines.append(line)
    if not lines:
        raise FormatError("not a WFDB header: it has no record line", reason="malformed-header")
    num_segments, num_signals, rate_hz, num_samples, acquired_at = _parse_record_line(lines[0])
    if num_segments:
        segments = _parse_segments(lines[1:], num_segments, num_samples)
        return Header(num_segments, rate_hz, num_samples, acquired_at, [], [], [], [], comments, segments)
    if len(lines) - 1 != num_signals or num_signals == 0:
        raise DataError(
            f"the header promises {num_signals} signals and describes {len(lines) - 1}", reason="header-signal-count"
        )
    files, specs, names, checks = [], [], [], []
    for number, line in enumerate(lines[1:], start=1):
        fields = line.split(None, 8)
        if len(fields) < 2:
            raise FormatError(f"signal line {number} is malformed: {line!r}", reason="malformed-header")
        try:
            specs.append(_parse_spec(*fields[1:5]))
        except DataError as error:
            raise type(error)(f"signal line {number}: {error}", reason=error.reason) from error
        files.append(fields[0])
        names.append(fields[8].rstrip() if len(fields) > 8 else f"signal {number}")
        checks.append(fields[5:7])
    return Header(0, rate_hz, num_samples, acquired_at, files, specs, names, checks, comments)


def _parse_segments(lines: list[str], num_segments: int, num_samples: int | None) -> tuple[tuple[str, int], ...]:
    """Parse lines such as ``rec_0001 15000``; the layout segment has the length 0, and a gap the name ``~``."""
    if num_segments > MAX_SEGMENTS:
        raise DataError(
            f"the record has {num_segments} segments, more than the {MAX_SEGMENTS} allowed: split it",
            reason="array-too-large",
        )
    fields = [line.split() for line in lines]
    if len(fields) != num_segments or not all(len(words) == 2 for words in fields):
        raise FormatError(
            f"the header promises {num_segments} segments, a name and a length each, and has {len(fields)} lines",
            reason="malformed-header",
        )
    segments = tuple((name, parse_count(length, f"the length of segment {name}")) for name, length in fields)
    total = sum(length for _, length in segments)
    if num_samples not in (None, total):
        raise FormatError(
            f"the segments hold {total} samples and the header promises {num_samples}", reason="malformed-header"
        )
    return segments


def _parse_record_line(line: str) -> tuple[int, int, float, int | None, datetime | None]:
    """Parse number of segments and signals, rate, number of samples and start from the first line."""
    fields = line.split()
    name, _, segments = fields[0].partition("/")
    if len(fields) < 2 or not name or not fields[1].isdecimal() or (segments and not segments.isdecimal()):
        raise FormatError(
            f"not a WFDB header: its first line should give a record name and a number of signals, found {line[:80]!r}",
            reason="malformed-header",
        )
    rate_hz = _parse_rate(fields[2]) if len(fields) > 2 else DEFAULT_RATE_HZ
    num_samples = None
    if len(fields) > 3:
        num_samples = parse_count(fields[3], "the number of samples") or None  # 0 means "not known" (header(5))
    acquired_at = _parse_start(fields[4], fields[5]) if len(fields) > 5 else None
    num_segments = parse_count(segments or "0", "the number of segments")
    return num_segments, parse_count(fields[1], "the number of signals"), rate_hz, num_samples, acquired_at


def parse_count(field: str, what: str) -> int:
    """Return a number of things, of at most 18 digits.

    Raises:
        FormatError: It is no number, or of more digits (``malformed-header``).
    """
    if not field.isdecimal() or len(field) > 18:
        raise FormatError(f"{what} is malformed: {field!r}", reason="malformed-header")
    return int(field)


@lru_cache(maxsize=256)
def _parse_rate(field: str) -> float:
    """Parse ``500`` or ``500/counter(base)``."""
    try:
        rate_hz = float(field.partition("/")[0])
    except ValueError:
        raise FormatError(f"the sampling rate is malformed: {field!r}", reason="malformed-header") from None
    if not math.isfinite(rate_hz) or rate_hz <= 0:
        raise DataError(f"the sampling rate must be above 0 Hz, found {field!r}", reason="wrong-rate")
    return rate_hz


@lru_cache(maxsize=4096)
def _parse_spec(format_field: str, gain_field: str = "", _resolution: str = "", adc_zero: str = "0") -> SignalSpec:
    """Parse ``16+24`` and ``200.0(0)/mV``; the baseline defaults to the ADC zero (header(5))."""
    storage = _FORMAT.fullmatch(format_field)
    scaling = _GAIN.fullmatch(gain_field or f"{DEFAULT_GAIN}")
    if storage is None or scaling is None:
        raise FormatError(f"malformed format {format_field!r} or gain {gain_field!r}", reason="malformed-header")
    code, samples_per_frame, skew, byte_offset = storage.groups()
    gain, baseline, unit = scaling.groups()
    if int(samples_per_frame or 1) == 0:
        raise FormatError(f"malformed format {format_field!r}: no samples in a frame", reason="malformed-header")
    steps_per_mv, fault = _parse_scale(gain, unit or "mV")
    is_exact = 1e-9 < abs(steps_per_mv) < 1e12 and float(np.float32(steps_per_mv)) == steps_per_mv
    zero = int(baseline or (adc_zero if adc_zero.removeprefix("-").isdecimal() and len(adc_zero) < 19 else 0))
    return SignalSpec(
        format=int(code),
        byte_offset=int(byte_offset or 0),
        steps_per_mv=steps_per_mv,
        baseline=zero,
        exact_in_float32=is_exact and 2**15 + abs(zero) <= min(2**23, LARGEST_MV * abs(steps_per_mv)),
        is_plain=samples_per_frame in (None, "1") and int(skew or 0) == 0,
        samples_per_frame=int(samples_per_frame or 1),
        skew=int(skew or 0),
        fault=fault,
    )


def _parse_scale(gain: str, unit: str) -> tuple[float, tuple[str, str] | None]:
    """Return steps per mV, or 1 and why there is no such number."""
    if float(gain) == 0 or not math.isfinite(float(gain)):
        words = f"the gain is {gain}, so the signal has no physical unit: correct the header if the gain is known"
        return 1.0, ("zero-gain", words)
    try:
        steps_per_mv = float(gain) / millivolts_in(unit)
    except DataError as error:
        return 1.0, (error.reason, str(error))
    if not math.isfinite(steps_per_mv):
        return 1.0, ("zero-gain", f"the gain {gain} per {unit} is too large to be one of an ECG")
    return steps_per_mv, None


def _parse_start(first: str, second: str) -> datetime | None:
    """Parse time and date; headers of the Challenges have them in reverse order, with the month as a word."""
    time, date = (first, second) if ":" in first else (second, first)
    match = _START.fullmatch(f"{date} {time}")
    if match is None:
        return None
    day, month, year, hour, minute, second_, fraction = match.groups()
    if not month.isdecimal():
        month = _MONTHS.find(month.casefold()) // 3 + 1
    microsecond = int((fraction or "0").ljust(6, "0")[:6])
    try:
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second_), microsecond)
    except (ValueError, OverflowError):  # a 31st of February: the record is usable without its date
        return None
    return known_time(moment)


def parse_comments(comments: Iterable[str]) -> tuple[str | None, dict[str, Any]]:
    """Parse patient, age, sex and SNOMED CT codes from comments such as ``#Dx: 59118001,164889003`` or ``# Age: 74``.

    Returns:
        Identifier of the patient (``# <subject_id>: …``), and entries for ``Study.metadata``: ``age_years``, ``sex``,
        ``codes``. Absent and implausible values (an age of -1, NaN, or above 120) are left out.
    """
    patient_id: str | None = None
    metadata: dict[str, Any] = {}
    for comment in comments:
        key, colon, value = comment.partition(":")
        key, value = key.strip().strip("<>").casefold(), value.strip()
        if not colon or not value:
            continue
        if key == "subject_id":
            patient_id = value
        elif key == "age" and value.replace(".", "", 1).isdecimal():
            metadata["age_years"] = float(value)
        elif key == "sex" and value.casefold() in ("f", "female", "m", "male"):
            metadata["sex"] = "female" if value[0] in "fF" else "male"
        elif key == "dx":
            codes = tuple(code for code in map(str.strip, value.split(",")) if _SNOMED.fullmatch(code))
            if codes:
                metadata["codes"] = {"snomed": codes}
    return patient_id, with_known_age(metadata)
