"""F1 and the Brier score, with unknown targets left out, in the form that the bootstrap can resample.

Both are functions of five sums over the rows: true positives, false positives, missed positives, known rows and squared
errors. Calibration is in `lamae.metrics.calibration`, the choice of thresholds in `lamae.metrics.thresholds`.
"""

import numpy as np

from lamae.errors import DataError
from lamae.metrics.ranking import check_binary, check_predictions, check_weights

METRICS = ("f1", "brier")
"""The metrics of probabilities in the order in which this module returns them."""


def f1(
    targets: np.ndarray, scores: np.ndarray, *, thresholds: float | np.ndarray = 0.5, weights: np.ndarray | None = None
) -> np.ndarray:
    """Return F1, the harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN).

    Args:
        targets: ``[rows]`` or ``[rows, labels]`` of 0, 1 or NaN; NaN is unknown and leaves the row out of that label.
        scores: The same shape, finite.
        thresholds: A row is called positive when its score is at or above: one number, ``[labels]``, or
            ``[rows, labels]`` where rows were scored by several models (the divisions of a cross-validation).
        weights: ``[rows]``, how much each row counts; None for 1 each.

    Returns:
        A scalar array or ``[labels]`` float64; NaN for a label without positives, for which F1 would be 0 whatever the
        scores. (scikit-learn's ``f1_score`` gives 0 there, or a warning.)

    Raises:
        DataError: Shapes do not fit, a target is not 0, 1 or NaN, or a score is not finite.
    """
    return _per_label(targets, scores, thresholds, weights)[0]


def brier(targets: np.ndarray, scores: np.ndarray, *, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the Brier score, the mean squared difference of probability and outcome: 0 is best.

    It needs no positives: of a label without them it is the mean squared probability. A constant guess of the
    prevalence p has p (1 - p), so a rare label has a small one whatever the model (Brier 1950).

    Arguments, result and errors as in `f1`; NaN for a label without a known target. Scores must be probabilities.
    """
    check_probabilities(np.asarray(scores))
    return _per_label(targets, scores, 0.5, weights)[1]


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities of logits, which are held within -500 and 500."""
    return 1 / (1 + np.exp(-np.clip(logits, -500, 500)))


def probability_terms(
    targets: np.ndarray, scores: np.ndarray, thresholds: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the known rows of one label and ``[5, known]`` what each adds to the sums of `probabilities_from_sums`."""
    rows = np.flatnonzero(~np.isnan(targets))
    known, probability = targets[rows], scores[rows]
    called = probability >= np.broadcast_to(thresholds, targets.shape)[rows]
    terms = [called * known, called * (1 - known), (1 - called) * known, np.ones(len(rows)), (probability - known) ** 2]
    return rows, np.stack(terms)


def probabilities_from_sums(sums: np.ndarray) -> np.ndarray:
    """Return ``[2, draws]`` F1 and Brier score from ``[5, draws]`` sums of the rows' terms; NaN where undefined."""
    hits, false_alarms, missed, count, squared = sums
    has_positives, has_rows = hits + missed > 0, count > 0
    harmonic = 2 * hits / np.where(has_positives, 2 * hits + false_alarms + missed, 1)
    mean_square = squared / np.where(has_rows, count, 1)
    return np.stack([np.where(has_positives, harmonic, np.nan), np.where(has_rows, mean_square, np.nan)])


def spread_thresholds(thresholds: float | np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return thresholds as ``[rows, labels]`` (a view).

    Raises:
        DataError: They fit neither the labels nor the rows and labels, or one is NaN.
    """
    given = np.asarray(thresholds, dtype=np.float64)
    if given.shape not in ((), shape[1:], shape):
        raise DataError(
            f"thresholds must be one number, [labels] or [rows, labels] = {shape}, found {given.shape}",
            reason="wrong-shape",
        )
    if np.isnan(given).any():
        raise DataError("a threshold is NaN: use 0.5 for a label without one of its own", reason="wrong-threshold")
    return np.broadcast_to(given, shape)


def check_probabilities(scores: np.ndarray) -> None:
    """Raise `DataError` when a score lies outside of 0 to 1."""
    outside = scores[(scores < 0) | (scores > 1)]
    if len(outside):
        raise DataError(
            f"{len(outside)} scores are no probabilities, for example {outside[0]:g}: F1, Brier score and calibration "
            "need scores from 0 to 1, such as the sigmoid of logits",
            reason="not-a-probability",
        )


def _per_label(
    targets: np.ndarray, scores: np.ndarray, thresholds: float | np.ndarray, weights: np.ndarray | None
) -> np.ndarray:
    is_flat = np.ndim(targets) == 1
    targets, scores = check_predictions(targets, scores)
    check_binary(targets)
    if is_flat and np.ndim(thresholds) == 1:
        thresholds = np.asarray(thresholds)[:, None]
    spread, weights = spread_thresholds(thresholds, targets.shape), check_weights(weights, len(targets))
    values = np.empty((len(METRICS), targets.shape[1]))
    for label in range(targets.shape[1]):
        rows, terms = probability_terms(targets[:, label], scores[:, label], spread[:, label])
        values[:, label] = probabilities_from_sums((terms * weights[rows]).sum(axis=1, keepdims=True))[:, 0]
    return values[:, 0] if is_flat else values
