"""The labels that are frequent enough, and the minimum count that gives a wanted number of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


def frequent(
    counts: Mapping[str, int], *, min_count: int, max_labels: int | None = None, order: Callable[[str], Any] = str
) -> tuple[tuple[str, ...], dict[str, int], tuple[str, ...]]:
    """Return the labels with enough positive studies.

    Args:
        counts: Number of positive studies of each label.
        min_count: Minimum number of positive studies.
        max_labels: Maximum number of labels; the most frequent ones are kept.
        order: Sort key of labels that are equally frequent.

    Returns:
        The labels, the most frequent first; those left out with their number of positive studies, the most frequent
        first; and those of them that are as frequent as the last one kept: only their names decided.
    """
    ranked = sorted(counts, key=lambda name: (-counts[name], order(name)))
    names = [name for name in ranked if counts[name] >= min_count][:max_labels]
    kept = set(names)
    dropped = {name: counts[name] for name in ranked if name not in kept}
    last = counts[names[-1]] if names else 0
    tied = tuple(name for name, count in dropped.items() if count == last and count >= min_count and names)
    return tuple(names), dropped, tied


@dataclass(frozen=True, kw_only=True)
class MinCount:
    """The minimum count that gives a wanted number of labels.

    Attributes:
        wanted: Number of labels asked for.
        highest: Highest minimum count that gives at least that many; None where there are fewer labels.
        lowest: Lowest minimum count that still gives the same labels.
        num_labels: Number of labels at that count; more than ``wanted`` if labels are tied there.
        tied: Labels that have exactly ``highest`` positives, where they are too many: some count above them gives too
            few labels, theirs too many.
    """

    wanted: int
    highest: int | None
    lowest: int | None
    num_labels: int
    tied: tuple[str, ...]

    @property
    def is_exact(self) -> bool:
        """True if a minimum count gives exactly the wanted number."""
        return self.num_labels == self.wanted

    def __str__(self) -> str:
        if self.highest is None:
            return f"{self.wanted} labels wanted: there are only {self.num_labels} with a positive study"
        span = f"{self.lowest}" if self.lowest == self.highest else f"{self.lowest} to {self.highest}"
        if self.is_exact:
            return f"{self.wanted} labels: a minimum count of {span} gives exactly these"
        above = self.num_labels - len(self.tied)
        return (
            f"{self.wanted} labels: no minimum count gives exactly so many: {self.highest} gives {self.num_labels}, "
            f"{self.highest + 1} gives {above}; tied at {self.highest}: {', '.join(self.tied)}"
        )


def min_count_for(counts: Mapping[str, int], wanted: int) -> MinCount:
    """Return the minimum count that gives a wanted number of labels.

    Args:
        counts: Number of positive studies of each label.
        wanted: Number of labels, at least 1.
    """
    falling = sorted((count for count in counts.values() if count > 0), reverse=True)
    if wanted > len(falling):
        return MinCount(wanted=wanted, highest=None, lowest=None, num_labels=len(falling), tied=())
    highest = falling[wanted - 1]
    num_labels = sum(count >= highest for count in falling)
    tied = tuple(sorted(name for name, count in counts.items() if count == highest)) if num_labels > wanted else ()
    below = falling[num_labels] if num_labels < len(falling) else 0
    return MinCount(wanted=wanted, highest=highest, lowest=below + 1, num_labels=num_labels, tied=tied)
