"""The axis of a chart of intervals, and where on it a value stands with its interval."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lamae.report.wording import number, with_interval

_STEPS, _WIDEST_STEP = ((0.05, 0.3), (0.1, 0.6)), 0.2
"""Distance of the ticks, with the widest spread of values that it serves: few enough ticks to read their numbers."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A horizontal axis from ``low`` to ``high`` with its ticks."""

    low: float
    high: float
    step: float

    def percent(self, value: float) -> float:
        """Return where a value lies on the axis, 0 to 100."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(1.0, max(0.0, share)), 2)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Places in percent with their words."""
        count = round((self.high - self.low) / self.step)
        values = [self.low + index * self.step for index in range(count + 1)]
        return [(self.percent(value), number(value, 2)) for value in values]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A value with its interval in a chart, places in percent of the axis."""

    centre: float
    low: float
    high: float
    words: str
    colour: str
    shape: str


def make_scale(intervals: Sequence[Mapping[str, float] | None]) -> Scale | None:
    """Return an axis that holds every interval between its round ends, None where there is none."""
    known = [interval for interval in intervals if interval is not None and is_known(interval)]
    values = [one[end] for one in known for end in ("value", "low", "high") if _is_number(one[end])]
    if not values:
        return None
    spread = max(values) - min(values)
    step = next((step for step, most in _STEPS if spread <= most), _WIDEST_STEP)
    low = max(0.0, math.floor(round(min(values) / step, 6)) * step)
    high = max(min(1.0, math.ceil(round(max(values) / step, 6)) * step), low + step)
    return Scale(low=round(low, 2), high=round(high, 2), step=step)


def make_mark(
    interval: Mapping[str, float] | None, scale: Scale | None, style: tuple[str, str], name: str
) -> Mark | None:
    """Place an interval of a system on an axis, with its colour and shape; None where there is no value or no axis."""
    if scale is None or not is_known(interval) or interval is None:
        return None
    ends = [interval["value"] if not _is_number(interval[end]) else interval[end] for end in ("low", "high")]
    return Mark(
        centre=scale.percent(interval["value"]),
        low=scale.percent(ends[0]),
        high=scale.percent(ends[1]),
        words=f"{name}: {with_interval(interval, number)}",
        colour=style[0],
        shape=style[1],
    )


def is_known(interval: Mapping[str, Any] | None) -> bool:
    """Whether there is a finite value."""
    return interval is not None and _is_number(interval.get("value"))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
