"""Merging of leads that were not all recorded at the same time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lamae.errors import DataError

BEAT_WORDS = ("BEAT", "MEDIAN", "TEMPLATE", "AVERAGE")
"""Words that mark a derived beat in labels and codes."""

_MOST_EMPTY = 4
"""Maximum length of the common time axis, relative to the total length of the segments."""


_MOST_SAMPLES = 2**53


@dataclass(frozen=True, kw_only=True, eq=False)
class Segment:
    """Leads recorded together.

    Attributes:
        start_s: Time of the first sample, on a clock shared by all segments of the file.
        rate_hz: Sampling rate.
        leads: ``[samples]`` float32 in mV by canonical name, all of the same length.
    """

    start_s: float
    rate_hz: float
    leads: Mapping[str, np.ndarray]

    @property
    def num_samples(self) -> int:
        """Number of samples of each lead."""
        return len(next(iter(self.leads.values())))

    @property
    def duration_s(self) -> float:
        """Duration in seconds."""
        return self.num_samples / self.rate_hz


def merge_segments(segments: Sequence[Segment]) -> tuple[tuple[str, ...], np.ndarray, float]:
    """Merge the leads of several segments on one time axis.

    The longest segment comes first (ties: the one with most leads); the others add leads that are still missing. So
    four groups of three leads beside a rhythm strip become twelve leads, each at its own time, and a second recording
    of the same leads is dropped.

    Args:
        segments: At least one segment.

    Returns:
        Lead names, ``[leads, samples]`` float32 in mV with NaN where a lead was not recorded, and the rate in Hz.

    Raises:
        DataError: The segments used differ in rate (``mixed-rates``) or are too far apart (``not-simultaneous``).
    """
    ranked = sorted(segments, key=lambda segment: (-segment.duration_s, -len(segment.leads)))
    source_of: dict[str, Segment] = {}
    for segment in ranked:
        source_of |= {lead: segment for lead in segment.leads if lead not in source_of}
    used = list(dict.fromkeys(source_of.values()))
    if len(used) == 1:
        leads = used[0].leads
        return tuple(leads), np.stack(list(leads.values())), used[0].rate_hz
    rates = {segment.rate_hz for segment in used}
    if len(rates) > 1:
        raise DataError(f"leads recorded apart have different rates: {sorted(rates)} Hz", reason="mixed-rates")
    return _on_one_axis(source_of, used)


def _on_one_axis(
    source_of: Mapping[str, Segment], used: Sequence[Segment]
) -> tuple[tuple[str, ...], np.ndarray, float]:
    start_s, rate_hz = min(segment.start_s for segment in used), used[0].rate_hz
    span_s = max(segment.start_s for segment in used) - start_s
    if not span_s * rate_hz < _MOST_SAMPLES:
        raise DataError(
            f"the leads were recorded {span_s:g} s apart: too far to be one study", reason="not-simultaneous"
        )
    offset_of = {segment: round((segment.start_s - start_s) * rate_hz) for segment in used}
    total = max(offset_of[segment] + segment.num_samples for segment in used)
    if total > _MOST_EMPTY * sum(segment.num_samples for segment in used):
        raise DataError(
            f"the leads were recorded at times too far apart to be one study: {total / rate_hz:.0f} s in all",
            reason="not-simultaneous",
        )
    values = np.full((len(source_of), total), np.nan, np.float32)
    for row, (lead, segment) in zip(values, source_of.items(), strict=True):
        offset = offset_of[segment]
        row[offset : offset + segment.num_samples] = segment.leads[lead]
    return tuple(source_of), values, rate_hz
