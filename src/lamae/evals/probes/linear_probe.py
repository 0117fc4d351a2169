"""From a table of features to predictions: standardise, fit, choose the penalty on the validation set, test once."""

from collections.abc import Callable
from typing import Any

import numpy as np

from lamae.evals.probes.linear_models import LinearModel, fit_logistic, fit_ridge, standardise
from lamae.evals.probes.selection import Predicted, best_of, criterion, predict_divisions
from lamae.evals.settings import EvalSettings, Progress, silent
from lamae.evals.tasks.task import Part, Task
from lamae.metrics import sigmoid

_PATIENCE = 3
"""Penalties come from the highest down; after so many that were no better the others, the slowest, are not fitted."""

Design = Callable[[np.ndarray, Part], np.ndarray]
"""Turns the features of all of a task's studies into a finite matrix, learning from the training studies only."""


def predict_linearly(
    features: np.ndarray,
    task: Task,
    settings: EvalSettings,
    *,
    design: Design | None = None,
    progress: Progress = silent,
) -> Predicted:
    """Fit a linear probe for each division of a task and predict its test studies.

    Args:
        features: ``[studies, features]``, rows as in ``task.rows``.
        task: Labels and divisions.
        settings: Penalties, and the measure to choose by.
        design: Change of the features before they are standardised; None for none.
        progress: Called after each division.

    Returns:
        As `lamae.evals.probes.selection.Predicted`.

    Raises:
        DataError: A feature is not finite, or no label has both classes in a validation set.
    """
    fit = fit_ridge if task.is_regression else fit_logistic
    grid, converged = sorted(settings.l2_grid), []

    def predict(number: int, part: Part) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        matrix = features if design is None else design(features, part)
        standardiser = standardise(matrix[part.train])
        train, validation = standardiser(matrix[part.train]), standardiser(matrix[part.validation])
        models = fit(train, task.targets[part.train], standardiser.variance, settings.l2_grid)
        candidates = ((model, model.scores(validation), model.bias) for model in models)
        by = criterion(task, settings)
        model, value = best_of(candidates, task.targets[part.validation], by, patience=_PATIENCE)
        converged.append(model.converged)
        tested = _scores(model, standardiser(matrix[part.test]), task)
        progress("fitting the probe", number + 1, len(task.parts))
        return _scores(model, validation, task), tested, {"l2": model.l2, "value": value}

    def say(chosen: list[dict[str, Any]]) -> dict[str, Any]:
        at_edge = sum(one["l2"] in (grid[0], grid[-1]) for one in chosen)
        return {"grid": grid, "at_edge_of_grid": at_edge, "converged": all(converged)}

    return predict_divisions(task, settings, predict, say)


def _scores(model: LinearModel, features: np.ndarray, task: Task) -> np.ndarray:
    raw = model.scores(features)
    return raw if task.is_regression else sigmoid(raw)
