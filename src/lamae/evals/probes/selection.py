"""Selection on the validation studies, by the same measures for every protocol."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from lamae.errors import DataError
from lamae.evals.settings import EvalSettings, SelectBy
from lamae.evals.tasks.task import Part, Task
from lamae.metrics import auroc, mean_absolute_error

Predicted = tuple[np.ndarray, dict[str, Any], list[np.ndarray]]
"""``[tested studies, labels]`` in the order of ``task.tested``: probabilities, or values of a regression; what was
chosen; and for each division its ``[validation studies, labels]`` in the order of ``part.validation``."""

T = TypeVar("T")

_SPREADS = np.geomspace(0.02, 1.5, 25)


def criterion(task: Task, settings: EvalSettings) -> SelectBy:
    """Return the measure to choose by: that of the settings for classes, the error for values."""
    return "mae" if task.is_regression else settings.select_by


def validation_value(scores: np.ndarray, bias: np.ndarray, targets: np.ndarray, by: SelectBy) -> float:
    """Return the mean over labels of the measure to choose by; NaN where no label has any.

    Args:
        scores: ``[rows, labels]`` logits, or values.
        bias: ``[labels]``, the logits of a study that nothing is known of.
        targets: ``[rows, labels]``, NaN where unknown.
        by: ``"macro-auroc"`` (higher is better), or ``"log-loss"`` and ``"mae"`` (lower is better; the error is in
            standard deviations of the targets).
    """
    if by == "macro-auroc":
        values = auroc(targets, scores)
    elif by == "mae":
        values = mean_absolute_error(targets, scores) / np.maximum(np.nanstd(targets, axis=0), 1e-12)
    else:
        values = scaled_log_loss(scores, bias, targets)
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def is_better(value: float, best: float | None, by: SelectBy) -> bool:
    """Return True if a value on the validation studies beats the best one so far; the first one always does.

    Raises:
        DataError: The value is NaN: no label can be chosen by.
    """
    if np.isnan(value):
        raise DataError(
            "no label has positives and negatives among the validation studies, so no penalty can be chosen by "
            f"{by}: prepare more studies, choose other folds, or choose by 'log-loss'",
            reason="empty-validation",
        )
    return best is None or (value > best if by == "macro-auroc" else value < best)


def best_of(
    candidates: Iterable[tuple[T, np.ndarray, np.ndarray]],
    targets: np.ndarray,
    by: SelectBy,
    *,
    patience: int | None = None,
) -> tuple[T, float]:
    """Return the candidate that is best on the validation studies, the first one among equals, and its value.

    Args:
        candidates: Each with its scores and bias as in `validation_value`; may be lazy.
        targets: ``[rows, labels]``, NaN where unknown.
        by: The measure.
        patience: Number of candidates that were no better after which the rest is not looked at; None for all.

    Raises:
        DataError: No label can be chosen by.
    """
    best: tuple[T, float] | None = None
    since_best = 0
    for candidate, scores, bias in candidates:
        value = validation_value(scores, bias, targets, by)
        if is_better(value, None if best is None else best[1], by):
            best, since_best = (candidate, value), 0
        else:
            since_best += 1
        if since_best == patience:
            break
    assert best is not None
    return best


def predict_divisions(
    task: Task,
    settings: EvalSettings,
    predict: Callable[[int, Part], tuple[np.ndarray, np.ndarray, dict[str, Any]]],
    say: Callable[[list[dict[str, Any]]], dict[str, Any]],
) -> Predicted:
    """Predict the validation and the tested studies of each division of a task.

    Args:
        task: Labels and divisions.
        settings: Say what is chosen by.
        predict: Gives for the number of a division and its studies the scores of the validation and of the tested
            ones, and what was chosen with the ``"value"`` that it reached.
        say: Further entries of the selection, such as the grid, from what was chosen in all divisions.
    """
    scores = np.full((len(task.rows), len(task.label_names)), np.nan)
    validation: list[np.ndarray] = []
    chosen: list[dict[str, Any]] = []
    for number, part in enumerate(task.parts):
        in_validation, scores[part.test], what = predict(number, part)
        validation.append(in_validation)
        chosen.append(what)
    selected = chosen[0] if task.num_folds is None else {name: [one[name] for one in chosen] for name in chosen[0]}
    said = {**selected, "on": "validation", "metric": criterion(task, settings)}
    return scores[task.tested], said | say(chosen), validation


def scaled_log_loss(scores: np.ndarray, bias: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return ``[labels]``: the log loss at the best of several spreads of each label's scores around its bias.

    A weak penalty makes scores too wide, which the log loss punishes even where they rank well. What remains at the
    best spread is how well they tell the classes apart, and it is steadier than the AUROC of a few positives.

    Args:
        scores: ``[rows, labels]`` logits.
        bias: ``[labels]``, the logits of a study of average features.
        targets: ``[rows, labels]`` of 0, 1 or NaN (unknown); NaN is returned for a label without a known one.
    """
    known = ~np.isnan(targets)
    count = np.where(known.any(axis=0), known.sum(axis=0), np.nan)
    best = np.full(scores.shape[1], np.inf)
    for spread in _SPREADS:
        logits = bias + spread * (scores - bias)
        loss = np.where(known, np.logaddexp(0, logits) - np.nan_to_num(targets) * logits, 0).sum(axis=0)
        best = np.minimum(best, loss)
    return best / count


def base_rate_logits(targets: np.ndarray) -> np.ndarray:
    """Return ``[labels]`` logits of the fraction of positives among known training targets ``[rows, labels]``."""
    rate = np.clip(np.nanmean(targets, axis=0), 1e-4, 1 - 1e-4)
    return np.log(rate / (1 - rate))
