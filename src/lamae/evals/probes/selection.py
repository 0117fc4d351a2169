"""What is chosen on the validation studies, and by what: the same measures for every protocol."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamae.errors import DataError
from lamae.evals.settings import EvalSettings, SelectBy
from lamae.evals.tasks.task import Task
from lamae.metrics import auroc, mean_absolute_error

_SPREADS = np.geomspace(0.02, 1.5, 25)


def criterion(task: Task, settings: EvalSettings) -> SelectBy:
    """Return what is chosen by: the settings' measure for classes, the error for values."""
    return "mae" if task.is_regression else settings.select_by


def validation_value(scores: np.ndarray, bias: np.ndarray, targets: np.ndarray, by: SelectBy) -> float:
    """Return the mean over labels of what is chosen by; NaN where no label has any.

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
    """Whether a value on the validation studies beats the best one so far; the first one always does.

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


def probability(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities of logits."""
    return 1 / (1 + np.exp(-np.clip(logits, -500, 500)))


def base_rate_logits(targets: np.ndarray) -> np.ndarray:
    """Return ``[labels]`` logits of the share of positives among known training targets ``[rows, labels]``."""
    rate = np.clip(np.nanmean(targets, axis=0), 1e-4, 1 - 1e-4)
    return np.log(rate / (1 - rate))


def selected(chosen: Sequence[dict[str, Any]], task: Task, settings: EvalSettings, **more: Any) -> dict[str, Any]:
    """Return the entry ``selection`` of a result: what was chosen in each division, by what, and where.

    Args:
        chosen: For each division what was chosen, with the ``"value"`` that it reached.
        task: Says whether there are several divisions; what was chosen in the only one stands without a list.
        settings: Say what was chosen by.
        **more: Further entries, such as the grid.
    """
    apart = {name: [one[name] for one in chosen] for name in chosen[0]}
    whole = task.num_folds is None
    return {
        **{name: values[0] if whole else values for name, values in apart.items()},
        "on": "validation",
        "metric": criterion(task, settings),
        **more,
    }
