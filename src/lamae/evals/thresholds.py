"""Thresholds: the score from which on a study is called positive, chosen without test data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamae.errors import DataError
from lamae.evals.settings import EvalSettings
from lamae.evals.tasks.task import Task
from lamae.metrics import best_f1_thresholds
from lamae.metrics.thresholds import DEFAULT_THRESHOLD


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """The scores from which on a study is called positive.

    Attributes:
        by_division: ``[divisions, labels]``.
        by_study: ``[tested studies, labels]``, in the order of ``task.tested``.
        policy: ``"0.5"`` or ``"validation"``, as done and not only asked for.
        note: The reason why it is not as asked for; None where it is.
    """

    by_division: np.ndarray
    by_study: np.ndarray
    policy: str
    note: str | None

    def describe(self, label_names: Sequence[str]) -> dict[str, Any]:
        """Return the entry of ``result.json``."""
        values = {name: self.by_division[:, label].tolist() for label, name in enumerate(label_names)}
        return {"policy": self.policy, "values": values} | ({"note": self.note} if self.note else {})


def choose_thresholds(task: Task, settings: EvalSettings, validation_scores: Sequence[np.ndarray] | None) -> Thresholds:
    """Return the thresholds of F1 for each division of a task, which its test studies have no say in.

    Args:
        task: Labels and divisions; not a regression.
        settings: ``f1_threshold`` says what to do.
        validation_scores: For each division ``[validation studies, labels]`` in the order of ``part.validation``, NaN
            where there is none; None where a protocol has none, which makes all thresholds 0.5.

    Raises:
        DataError: There is not one array a division, or not one row a validation study.
    """
    by_division = np.full((len(task.parts), len(task.label_names)), DEFAULT_THRESHOLD)
    policy, note = settings.f1_threshold, None
    if policy == "validation" and validation_scores is None:
        policy, note = "0.5", "this protocol has no validation scores to choose a threshold on"
    elif policy == "validation" and validation_scores is not None:
        _check(task, validation_scores)
        for division, (part, scores) in enumerate(zip(task.parts, validation_scores, strict=True)):
            targets = np.where(np.isnan(scores), np.nan, task.targets[part.validation])
            by_division[division] = best_f1_thresholds(targets, np.nan_to_num(scores))
    by_study = np.empty((len(task.tested), len(task.label_names)))
    for part, thresholds in zip(task.parts, by_division, strict=True):
        by_study[np.searchsorted(task.tested, part.test)] = thresholds
    return Thresholds(by_division=by_division, by_study=by_study, policy=policy, note=note)


def _check(task: Task, validation_scores: Sequence[np.ndarray]) -> None:
    expected = [(len(part.validation), len(task.label_names)) for part in task.parts]
    found = [np.shape(one) for one in validation_scores]
    if found != expected:
        raise DataError(
            f"validation scores must be one [validation studies, labels] a division, {expected}, found {found}",
            reason="wrong-shape",
        )
