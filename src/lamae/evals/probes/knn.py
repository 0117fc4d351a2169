"""Nearest neighbours on frozen features: nothing is fitted but the number of neighbours."""

from typing import Any

import numpy as np

from lamae.evals.probes.linear_models import mean_and_inverse
from lamae.evals.probes.selection import Predicted, base_rate_logits, best_of, criterion, predict_divisions
from lamae.evals.settings import EvalSettings, Progress, silent
from lamae.evals.tasks.task import Part, Task

K_GRID = (1, 3, 5, 10, 20, 50, 100, 200)
"""Numbers of neighbours to choose from; those above the number of training studies fall out."""

TEMPERATURE = 0.07
"""A neighbour weighs exp(cosine / temperature), as in Wu et al. 2018 and DINO (Caron et al. 2021)."""

_BLOCK_VALUES = 2**25


def predict_by_neighbours(
    features: np.ndarray, task: Task, settings: EvalSettings, *, progress: Progress = silent
) -> Predicted:
    """Predict each study by its nearest training studies, for each division of a task.

    Features are standardised on the training studies; nearness is the cosine. For each label the neighbours are those
    of the training studies for which it is known. A class's score is the weighted fraction of positives among them and
    one more neighbour, as near as the nearest, that is positive at the base rate: without it a single neighbour would
    say 0 or 1. A value is the weighted mean. One number of neighbours for all labels is chosen on validation.

    Args:
        features: ``[studies, features]``, rows as in ``task.rows``.
        task: Labels and divisions.
        settings: Measure to choose by.
        progress: Called after each division.

    Returns:
        As `lamae.evals.probes.selection.Predicted`.

    Raises:
        DataError: No label has both classes in a validation set.
    """

    def predict(number: int, part: Part) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        directions = _directions(features, part)
        grid = [k for k in K_GRID if k <= len(part.train)]
        found = _predict(directions, task, part.train, part.validation, grid)
        k, value = _best(found, task, part, settings)
        tested = _predict(directions, task, part.train, part.test, [k])[k]
        progress("finding neighbours", number + 1, len(task.parts))
        return found[k], tested, {"k": k, "value": value}

    def say(chosen: list[dict[str, Any]]) -> dict[str, Any]:
        at_edge = sum(one["k"] in (K_GRID[0], K_GRID[-1]) for one in chosen)
        return {"grid": list(K_GRID), "at_edge_of_grid": at_edge, "temperature": TEMPERATURE}

    return predict_divisions(task, settings, predict, say)


def _directions(features: np.ndarray, part: Part) -> np.ndarray:
    """Return ``[studies, features]`` of length 1: standardised on the training studies; 0 where nothing varies."""
    mean, inverse = mean_and_inverse(np.asarray(features[part.train], dtype=np.float64))
    scaled = ((features - mean) * inverse).astype(np.float32)
    return scaled / np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-12)


def _predict(
    directions: np.ndarray, task: Task, train: np.ndarray, asked: np.ndarray, grid: list[int]
) -> dict[int, np.ndarray]:
    """Return ``[asked studies, labels]`` for each number of neighbours; labels known for the same studies together."""
    found = {k: np.empty((len(asked), len(task.label_names))) for k in grid}
    known = ~np.isnan(task.targets[train])
    patterns, pattern_of = np.unique(known, axis=1, return_inverse=True)
    for pattern in range(patterns.shape[1]):
        labels = np.flatnonzero(pattern_of.reshape(-1) == pattern)
        from_these = train[patterns[:, pattern]]
        block = max(1, _BLOCK_VALUES // len(from_these))
        for start in range(0, len(asked), block):
            here = slice(start, start + block)
            cosine, nearest = _nearest(directions[asked[here]], directions[from_these], max(grid))
            targets = task.targets[from_these][:, labels]
            for k in grid:
                found[k][here, labels] = _vote(cosine[:, :k], nearest[:, :k], targets, task.is_regression)
    return found


def _nearest(asked: np.ndarray, held: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return cosine and index of the ``k`` nearest, nearest first; equally near ones in the order of the pack."""
    cosine = asked @ held.T
    k = min(k, cosine.shape[1])
    if k < cosine.shape[1]:
        nearest = np.sort(np.argpartition(-cosine, k - 1, axis=1)[:, :k], axis=1)
    else:
        nearest = np.broadcast_to(np.arange(k), cosine.shape)
    found = np.take_along_axis(cosine, nearest, axis=1)
    order = np.argsort(-found, axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(nearest, order, axis=1)


def _vote(cosine: np.ndarray, nearest: np.ndarray, targets: np.ndarray, is_regression: bool) -> np.ndarray:
    """Return ``[asked, labels]``: the neighbours' weighted mean target; of classes with one more at the base rate."""
    weight = np.exp((cosine - cosine[:, :1]) / TEMPERATURE).astype(np.float64)
    total = np.zeros((len(nearest), targets.shape[1]))
    for place in range(nearest.shape[1]):
        total += weight[:, place, None] * targets[nearest[:, place]]
    if is_regression:
        return total / weight.sum(axis=1, keepdims=True)
    return (total + targets.mean(axis=0)) / (weight.sum(axis=1, keepdims=True) + 1)


def _best(found: dict[int, np.ndarray], task: Task, part: Part, settings: EvalSettings) -> tuple[int, float]:
    """Return the number of neighbours that is best on the validation studies, the highest among equals."""
    by, targets = criterion(task, settings), task.targets[part.validation]
    bias = np.zeros(len(task.label_names)) if task.is_regression else base_rate_logits(task.targets[part.train])
    outputs = {k: one if task.is_regression else np.log(one / (1 - one)) for k, one in found.items()}
    return best_of(((k, outputs[k], bias) for k in sorted(found, reverse=True)), targets, by)
