"""From a table of features to predictions: standardise, fit, choose the penalty on the validation set, test once."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from lamae.errors import DataError
from lamae.evals.linear import LinearModel, fit_logistic, fit_ridge, standardise
from lamae.evals.settings import EvalSettings, Progress, SelectBy, silent
from lamae.evals.task import Part, Task
from lamae.metrics import auroc, mean_absolute_error

_PATIENCE = 3
_SPREADS = np.geomspace(0.02, 1.5, 25)

Design = Callable[[np.ndarray, Part], np.ndarray]
"""Turns the features of all of a task's studies into a finite matrix, learning from the training studies only."""


def as_they_are(features: np.ndarray, part: Part) -> np.ndarray:
    """Return the features unchanged."""
    del part
    return features


def predict_linearly(
    features: np.ndarray,
    task: Task,
    settings: EvalSettings,
    *,
    design: Design = as_they_are,
    progress: Progress = silent,
) -> tuple[np.ndarray, dict[str, Any], list[np.ndarray]]:
    """Fit a linear probe for each division of a task and predict its test studies.

    Args:
        features: ``[studies, features]``, rows as in ``task.rows``.
        task: Labels and divisions.
        settings: Penalties, and what to choose by.
        design: What to do with the features before they are standardised.
        progress: Called after each division.

    Returns:
        ``[tested studies, labels]`` in the order of ``task.tested``: probabilities, or values of a regression;
        what was chosen; and for each division its ``[validation studies, labels]`` in the order of ``part.validation``.

    Raises:
        DataError: A feature is not finite, or no label has both classes in a validation set.
    """
    scores = np.full((len(task.rows), len(task.label_names)), np.nan)
    validation: list[np.ndarray] = []
    chosen: list[dict[str, Any]] = []
    for number, part in enumerate(task.parts):
        matrix = design(features, part)
        standardiser = standardise(matrix[part.train])
        fit = fit_ridge if task.is_regression else fit_logistic
        models = fit(
            standardiser(matrix[part.train]), task.targets[part.train], standardiser.variance, settings.l2_grid
        )
        by: SelectBy = "mae" if task.is_regression else settings.select_by
        in_validation = standardiser(matrix[part.validation])
        model, value = _best(models, in_validation, task.targets[part.validation], by)
        scores[part.test] = _predict(model, standardiser(matrix[part.test]), task)
        validation.append(_predict(model, in_validation, task))
        chosen.append({"l2": model.l2, "value": value, "converged": model.converged})
        progress("fitting the probe", number + 1, len(task.parts))
    return scores[task.tested], _selection(chosen, task, settings), validation


def _predict(model: LinearModel, features: np.ndarray, task: Task) -> np.ndarray:
    raw = model.scores(features)
    return raw if task.is_regression else 1 / (1 + np.exp(-np.clip(raw, -500, 500)))


def _best(
    models: Iterable[LinearModel], features: np.ndarray, targets: np.ndarray, by: SelectBy
) -> tuple[LinearModel, float]:
    """Return the model that is best on the validation studies, the one of the highest penalty among equals.

    Models come with falling penalties; after ``_PATIENCE`` that were no better the others, the slowest, are not fitted.
    """
    best: tuple[LinearModel, float] | None = None
    since_best = 0
    for model in models:
        value = _validation_value(model.scores(features), model.bias, targets, by)
        if best is None or (value > best[1] if by == "macro-auroc" else value < best[1]):
            best, since_best = (model, value), 0
        else:
            since_best += 1
        if since_best == _PATIENCE:
            break
    if best is None or np.isnan(best[1]):
        raise DataError(
            "no label has positives and negatives among the validation studies, so no penalty can be chosen by "
            f"{by}: prepare more studies, choose other folds, or choose by 'log-loss'",
            reason="empty-validation",
        )
    return best


def _validation_value(scores: np.ndarray, bias: np.ndarray, targets: np.ndarray, by: SelectBy) -> float:
    if by == "macro-auroc":
        values = auroc(targets, scores)
    elif by == "mae":
        values = mean_absolute_error(targets, scores) / np.maximum(np.nanstd(targets, axis=0), 1e-12)
    else:
        values = scaled_log_loss(scores, bias, targets)
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


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


def _selection(chosen: list[dict[str, Any]], task: Task, settings: EvalSettings) -> dict[str, Any]:
    grid = sorted(settings.l2_grid)
    penalties = [one["l2"] for one in chosen]
    values = [one["value"] for one in chosen]
    return {
        "l2": penalties[0] if task.num_folds is None else penalties,
        "on": "validation",
        "metric": "mae" if task.is_regression else settings.select_by,
        "value": values[0] if task.num_folds is None else values,
        "grid": grid,
        "at_edge_of_grid": sum(l2 in (grid[0], grid[-1]) for l2 in penalties),
        "converged": all(one["converged"] for one in chosen),
    }
