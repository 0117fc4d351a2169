"""The threshold at which a probability becomes a call, chosen on validation studies."""

import numpy as np

from lamae.metrics.ranking import check_binary, check_predictions, check_weights

DEFAULT_THRESHOLD = 0.5
"""Threshold where none can be chosen."""


def best_f1_thresholds(
    targets: np.ndarray, scores: np.ndarray, *, weights: np.ndarray | None = None, default: float = DEFAULT_THRESHOLD
) -> np.ndarray:
    """Return for each label the threshold of the greatest F1, to be used on other studies than these.

    Candidates are cuts between neighbouring distinct scores (calling all with a score at or above), half-way, so that
    tied rows are called together and a rounded score falls on the same side; below the lowest score, half of it. Of
    equal F1 the highest threshold is taken: the fewest calls. A label without positives or without negatives among
    these rows says nothing about where to cut and gets the default. From few positives the choice is unsteady, and F1
    on the rows that it was made on is too high.

    Args:
        targets: ``[rows]`` or ``[rows, labels]`` of 0, 1 or NaN (unknown).
        scores: The same shape, finite and not negative: probabilities.
        weights: ``[rows]``, how much each row counts; None for 1 each.
        default: Threshold of labels without one of the classes.

    Returns:
        A scalar array or ``[labels]`` float64.

    Raises:
        DataError: Shapes differ, a target is not 0, 1 or NaN, or a score is not finite.
    """
    is_flat = np.ndim(targets) == 1
    targets, scores = check_predictions(targets, scores)
    check_binary(targets)
    weights = check_weights(weights, len(targets))
    chosen = np.array([_best(targets[:, k], scores[:, k], weights, default) for k in range(targets.shape[1])])
    return chosen[0] if is_flat else chosen


def _best(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray, default: float) -> float:
    known = ~np.isnan(targets) & (weights > 0)
    targets, scores, weights = targets[known], scores[known], weights[known]
    if not (targets == 1).any() or not (targets == 0).any():
        return default
    levels, level_of = np.unique(-scores, return_inverse=True)  # highest score first
    hits = np.cumsum(np.bincount(level_of, weights=weights * targets, minlength=len(levels)))
    called = np.cumsum(np.bincount(level_of, weights=weights, minlength=len(levels)))
    values = 2 * hits / (called + hits[-1])  # 2 TP + FP + FN = (TP + FP) + (TP + FN)
    at = int(np.argmax(values > values.max() - 1e-12))
    upper, lower = -levels[at], -levels[at + 1] if at + 1 < len(levels) else 0.0
    middle = (upper + lower) / 2
    return float(middle if lower < middle else upper)
