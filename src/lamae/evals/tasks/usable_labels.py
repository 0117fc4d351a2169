"""Usable labels: those that a task's training studies can teach, and the reasons of the others."""

from collections.abc import Mapping, Sequence

import numpy as np

from lamae.errors import DataError
from lamae.evals.tasks.folds import Part


def usable_labels(
    targets: np.ndarray, names: Sequence[str], parts: Sequence[Part], whole: Sequence[Part], *, is_regression: bool
) -> tuple[np.ndarray, tuple[Mapping[str, str], ...]]:
    """Find the labels that every training set has two values of.

    Args:
        targets: ``[studies, labels]``, NaN where unknown.
        names: Names of the labels.
        parts: Divisions whose training studies are those of the label draw.
        whole: The same divisions before the draw.
        is_regression: True if targets are values.

    Returns:
        ``[usable]`` indices of the labels; and the others, each with the reason.

    Raises:
        DataError: No label can be learned.
    """
    reasons: dict[int, str] = {}
    for number, (part, before) in enumerate(zip(parts, whole, strict=True)):
        where = "training studies" if len(parts) == 1 else f"training studies of division {number + 1} of {len(parts)}"
        for label in range(len(names)):
            values = _values(targets[part.train, label])
            if len(values) < 2 and label not in reasons:
                reasons[label] = _why(values, where, is_regression=is_regression)
                if len(part.train) < len(before.train):
                    reasons[label] += _before(targets[before.train, label], len(part.train), is_regression)
    if len(reasons) == len(names):
        raise DataError(f"no label can be learned; the first one: {reasons[0]}", reason="no-learnable-label")
    skipped = tuple({"label": names[label], "reason": reason} for label, reason in sorted(reasons.items()))
    return np.array([label for label in range(len(names)) if label not in reasons]), skipped


def _values(column: np.ndarray) -> np.ndarray:
    return np.unique(column[~np.isnan(column)])


def _why(values: np.ndarray, where: str, *, is_regression: bool) -> str:
    if len(values) == 0:
        return f"unknown for all {where}"
    if is_regression:
        return f"the same value for all {where}"
    return f"no positives among the {where}" if values[0] == 0 else f"no negatives among the {where}"


def _before(column: np.ndarray, num_drawn: int, is_regression: bool) -> str:
    """Say what the label draw left out, so that a small draw is not taken for a label that nobody has."""
    known = column[~np.isnan(column)]
    what = f"{len(_values(known))} different values" if is_regression else f"{int((known == 1).sum())} positives"
    return f" that the label draw took ({num_drawn} of {len(column)}, which have {what})"
