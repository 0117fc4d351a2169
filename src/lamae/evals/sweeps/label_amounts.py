"""Amounts of labels to judge a system with: fractions or numbers of training studies, in several draws of patients."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lamae.errors import ConfigError, DataError
from lamae.evals.settings import EvalSettings
from lamae.evals.tasks.task import Task

FRACTIONS = (0.05, 0.25, 1.0)
"""5, 25 and 100 % of the training patients, with which the literature compares."""


@dataclass(frozen=True, kw_only=True)
class LabelAmount:
    """An amount of labels, and the number of the draw.

    Attributes:
        fraction: Fraction of the training patients.
        count: Number of training studies in place of a fraction.
        draw: Number of the draw, from 0.
    """

    fraction: float = 1.0
    count: int | None = None
    draw: int = 0

    @property
    def name(self) -> str:
        """Name of its folder: ``"fraction-0.05-draw-0"``, ``"count-100-draw-2"``."""
        return f"{self.amount}-draw-{self.draw}"

    @property
    def amount(self) -> str:
        """Name that all draws of this amount have in common."""
        return f"fraction-{self.fraction:g}" if self.count is None else f"count-{self.count}"

    def settings(self, settings: EvalSettings) -> EvalSettings:
        """Return settings with this amount and this draw."""
        draw = settings.label_draw + self.draw
        return replace(settings, label_fraction=self.fraction, label_count=self.count, label_draw=draw)


def label_amounts(
    fractions: Sequence[float] | None, counts: Sequence[int] | None, draws: int
) -> tuple[LabelAmount, ...]:
    """Return every draw of every amount, fewest labels first; all labels are one draw.

    Raises:
        ConfigError: An amount is out of range or given twice, there is none, or there are no draws.
    """
    fractions = (FRACTIONS if counts is None else ()) if fractions is None else tuple(fractions)
    counts = () if counts is None else tuple(counts)
    if draws < 1:
        raise ConfigError(f"draws must be at least 1, found {draws}")
    if not fractions and not counts:
        raise ConfigError("no amount of labels was given: name fractions such as 0.05,0.25,1 or counts such as 100")
    if wrong := [one for one in fractions if not 0 < one <= 1] + [one for one in counts if one < 1]:
        raise ConfigError(
            f"label fractions lie above 0 and up to 1, counts are at least 1, found {', '.join(map(str, wrong))}"
        )
    amounts = [LabelAmount(count=one) for one in sorted(counts)]
    amounts += [LabelAmount(fraction=one) for one in sorted(fractions)]
    names = [amount.amount for amount in amounts]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"amounts of labels given twice: {', '.join(twice)}")
    return tuple(
        replace(amount, draw=draw)
        for amount in amounts
        for draw in range(1 if amount.amount == "fraction-1" else draws)
    )


def check_positives(task: Task, draws: int) -> None:
    """Check that every label has positives in at least as many training patients as there are draws.

    With fewer, draws are mostly the same few positives or none at all, and their spread says nothing.

    Raises:
        DataError: A label has not; all of them are named with their number.
    """
    if task.is_regression:
        return
    few: list[str] = []
    for label, name in enumerate(task.label_names):
        positives = min(
            len(np.unique(task.patient_hash[part.train][task.targets[part.train, label] == 1])) for part in task.parts
        )
        if positives < draws:
            few.append(f"{name} ({positives})")
    if few:
        raise DataError(
            f"fewer positives than draws: {len(few)} labels have positives in fewer than {draws} training patients, "
            f"{', '.join(few[:5])}{', ...' if len(few) > 5 else ''}: raise min_count, or ask for fewer draws",
            reason="fewer-positives-than-draws",
        )
