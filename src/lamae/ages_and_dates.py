"""Ages and dates as files and tables tell them: one rule for all readers and cohorts.

An age that nobody has (PTB-XL writes 300 for "above 89", others -1 for unknown) and a date that no recording has count
as unknown. A time is the clock time as it was written: a time zone is left out, since most files tell none, and the
hour of the day is what it was where the patient was. A date without a time of day is its midnight.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

OLDEST_AGE_YEARS = 120.0

YEARS = range(1900, 2300)
"""Years in which a recording may have been made; the shifted dates of MIMIC-IV lie in 2100 to 2212."""

_MOMENT = re.compile(
    r"(\d{4})(\d\d)(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d+))?)?)?)?(?:[+-]\d{2}(?:\d{2})?)?", re.ASCII
)


def with_known_age(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of a study without an ``age_years`` that is none: negative, NaN, or above the oldest."""
    is_known = 0 <= metadata.get("age_years", 0) <= OLDEST_AGE_YEARS
    return {key: value for key, value in metadata.items() if key != "age_years" or is_known}


def known_time(moment: datetime | None) -> datetime | None:
    """Return the time of a recording, or None where no recording was made in such a year."""
    return moment if moment is not None and moment.year in YEARS else None


def parse_time(text: str | None) -> datetime | None:
    """Parse a time of DICOM (DT) or HL7 (TS), such as ``20021122091000.000+0100``, given to the day or finer.

    Returns:
        The clock time as written; None where there is none, since a recording is usable without.
    """
    found = _MOMENT.fullmatch((text or "").strip(" \0"))
    if found is None:
        return None
    *whole, fraction = found.groups(default="0")
    try:
        year, month, day, hour, minute, second = map(int, whole)
        return datetime(year, month, day, hour, minute, second, int(fraction.ljust(6, "0")[:6]))
    except ValueError:  # a 13th month
        return None
