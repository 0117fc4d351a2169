"""From a table of features to predictions: standardise, fit, choose the penalty on the validation set, test once."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from lamae.evals.probes.linear import LinearModel, fit_logistic, fit_ridge, standardise
from lamae.evals.probes.selection import criterion, is_better, probability, selected, validation_value
from lamae.evals.settings import EvalSettings, Progress, SelectBy, silent
from lamae.evals.tasks.task import Part, Task

_PATIENCE = 3

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
        in_validation = standardiser(matrix[part.validation])
        model, value = _best(models, in_validation, task.targets[part.validation], criterion(task, settings))
        scores[part.test] = _predict(model, standardiser(matrix[part.test]), task)
        validation.append(_predict(model, in_validation, task))
        chosen.append({"l2": model.l2, "value": value, "converged": model.converged})
        progress("fitting the probe", number + 1, len(task.parts))
    return scores[task.tested], _selection(chosen, task, settings), validation


def _predict(model: LinearModel, features: np.ndarray, task: Task) -> np.ndarray:
    raw = model.scores(features)
    return raw if task.is_regression else probability(raw)


def _best(
    models: Iterable[LinearModel], features: np.ndarray, targets: np.ndarray, by: SelectBy
) -> tuple[LinearModel, float]:
    """Return the model that is best on the validation studies, the one of the highest penalty among equals.

    Models come with falling penalties; after ``_PATIENCE`` that were no better the others, the slowest, are not fitted.
    """
    best: tuple[LinearModel, float] | None = None
    since_best = 0
    for model in models:
        value = validation_value(model.scores(features), model.bias, targets, by)
        if is_better(value, None if best is None else best[1], by):
            best, since_best = (model, value), 0
        else:
            since_best += 1
        if since_best == _PATIENCE:
            break
    assert best is not None
    return best


def _selection(chosen: list[dict[str, Any]], task: Task, settings: EvalSettings) -> dict[str, Any]:
    grid = sorted(settings.l2_grid)
    apart = [{name: one[name] for name in ("l2", "value")} for one in chosen]
    return selected(
        apart,
        task,
        settings,
        grid=grid,
        at_edge_of_grid=sum(one["l2"] in (grid[0], grid[-1]) for one in chosen),
        converged=all(one["converged"] for one in chosen),
    )
