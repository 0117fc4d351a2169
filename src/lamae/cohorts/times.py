# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported.)
"""Times of recordings in tables, however they are written; what is not certain is refused."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lamae.ages_and_dates import YEARS, known_time, parse_time
from lamae.errors import DataError

TIME = pa.timestamp("us")

_FIRST_DIGITAL = datetime(1980, 1, 1, tzinfo=UTC)
"""Before it no number stands for the time of a recording: so the ranges of days, seconds and digits do not meet."""

_END = datetime(YEARS.stop, 1, 1, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXCEL_DAY_0 = datetime(1899, 12, 30, tzinfo=UTC)
_UNITS_IN_SECOND = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
_DIGITS = (8, 12, 14)
_ZONE = r"(\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?) ?(?:Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$"


def times(column: pa.Array | pa.ChunkedArray, what: str) -> pa.Array | pa.ChunkedArray:
    """Return a column of times as timestamps without a zone: the clock time as it was written.

    Understood are timestamps and dates, texts such as ``2022-02-10 14:30:00+01:00``, and numbers, also as text: days as
    Excel counts them, Unix time, ``YYYYMMDD``, ``YYYYMMDDhhmm`` and ``YYYYMMDDhhmmss``.

    Args:
        column: Of any type.
        what: File or folder and column, for messages.

    Raises:
        DataError: Texts are no such times (``unreadable-date``); numbers may be several of these, are none, or are not
            all of one kind (``ambiguous-date``); or it is of another type (``wrong-column-type``).
    """
    kind = column.type
    if pa.types.is_timestamp(kind):
        return pc.cast(column if kind.tz is None else pc.local_timestamp(column), TIME, safe=False)
    if pa.types.is_date(kind) or pa.types.is_null(kind):
        return column.cast(TIME)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _from_texts(column, what)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _from_numbers(column, what)
    raise DataError(f"{what} should hold times, found {kind}; correct the table", reason="wrong-column-type")


def _from_texts(column: pa.Array | pa.ChunkedArray, what: str) -> pa.Array | pa.ChunkedArray:
    trimmed = pc.utf8_trim_whitespace(column.cast(pa.string()))
    texts = pc.if_else(pc.equal(trimmed, ""), None, trimmed)
    if pc.all(pc.match_substring_regex(texts, r"^\d+(?:\.\d*)?$")).as_py():
        return _from_numbers(texts, what)
    texts = pc.replace_substring_regex(texts, _ZONE, r"\1")
    texts = pc.replace_substring_regex(texts, r"(\.\d{6})\d+$", r"\1")
    try:
        return texts.cast(TIME)
    except pa.ArrowInvalid:
        raise DataError(
            f"{what} should hold times such as 2022-02-10 14:30:00, found texts that are none, or that may be read in "
            "several ways (03/04/2022); write all in this one way",
            reason="unreadable-date",
        ) from None  # Arrow quotes the value, which may be private


def _from_numbers(column: pa.Array | pa.ChunkedArray, what: str) -> pa.Array:
    numbers = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    known = np.isfinite(numbers)
    result = np.full(len(numbers), None, object)
    if known.any():
        readings = [found for read in _READ.values() if (found := _read_all(numbers[known], read)) is not None]
        if len(readings) != 1:
            found = "that fit several of" if readings else "that do not all fit one of"
            raise DataError(
                f"{what} holds numbers {found} {', '.join(_READ)} (of the years {_FIRST_DIGITAL.year} to {YEARS[-1]}), "
                "so that their meaning is not certain; write times such as 2022-02-10 14:30:00",
                reason="ambiguous-date",
            )
        result[known] = readings[0]
    return pa.array(result.tolist(), TIME)


def _read_all(numbers: np.ndarray, read: Callable[[float], datetime | None]) -> list[datetime] | None:
    """Return the time of each number; None as soon as one has none."""
    found: list[datetime] = []
    for number in numbers.tolist():
        if (moment := read(number)) is None:
            return None
        found.append(moment)
    return found


def _excel_days(number: float) -> datetime | None:
    """Read days since the end of 1899, with the time of day as their fraction, to the millisecond."""
    if not (_FIRST_DIGITAL - _EXCEL_DAY_0).days <= number < (_END - _EXCEL_DAY_0).days:
        return None
    return _EXCEL_DAY_0.replace(tzinfo=None) + timedelta(milliseconds=round(number * 86_400_000))


def _digits(number: float) -> datetime | None:
    """Read ``YYYYMMDD``, ``YYYYMMDDhhmm`` or ``YYYYMMDDhhmmss``; or one that is as well Unix time, ``YYYYMMDDhh``."""
    text = str(int(number))
    is_whole = number == int(number) and len(text) in (*_DIGITS, 10)
    return known_time(parse_time(text)) if is_whole else None


def _unix(units_in_second: int) -> Callable[[float], datetime | None]:
    first, end = ((moment - _EPOCH).total_seconds() * units_in_second for moment in (_FIRST_DIGITAL, _END))

    def read(number: float) -> datetime | None:
        if not first <= number < end:
            return None
        return _EPOCH.replace(tzinfo=None) + timedelta(microseconds=round(number * 10**6 / units_in_second))

    return read


_READ = {
    "days as Excel counts them": _excel_days,
    "YYYYMMDD[hhmm[ss]]": _digits,
    **{f"Unix time in {unit}": _unix(number) for unit, number in _UNITS_IN_SECOND.items()},
}
