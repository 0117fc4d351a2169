"""AUROC and average precision, aware of ties, of unknown targets and of labels that nobody has.

Both metrics need only three sums for each distinct score of a positive: the positives with that score, the negatives
tied with it, and the negatives between it and the next one. `RankTable` sorts the rows of a label into those segments
once; the metrics then follow from the sums over the segments, whether each row counts once or as often as a bootstrap
draw says. So a point estimate and its interval come from the same code.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lamae.errors import DataError

AbsentPolicy = Literal["skip", "0.5", "error"]
"""Policy for a label without positives, or without negatives: left out, counted at chance level, or an error."""

METRICS = ("auroc", "auprc")
"""The ranking metrics in the order in which this module returns them."""


@dataclass(frozen=True, kw_only=True)
class RankTable:
    """The rows of one label, sorted into segments of equal rank against the positives.

    Attributes:
        rows: ``[known]`` int64, the rows whose target is known.
        segment: ``[known]`` int64. With G distinct scores among the positives, highest first: ``g`` for a positive with
            the g-th score, ``G + g`` for a negative tied with it, ``2 G + j`` for a negative below j of the G scores.
        num_groups: G.
    """

    rows: np.ndarray
    segment: np.ndarray
    num_groups: int

    @property
    def num_segments(self) -> int:
        """Length of the sums that `ranking_from_sums` takes."""
        return 3 * self.num_groups + 1


def rank_table(targets: np.ndarray, scores: np.ndarray) -> RankTable:
    """Sort the rows of one label, ``targets [rows]`` in {0, 1, NaN} and finite ``scores [rows]``, into segments."""
    rows = np.flatnonzero(~np.isnan(targets))
    positive = targets[rows] == 1
    known = scores[rows]
    levels = np.unique(known[positive])
    num_groups = len(levels)
    left = np.searchsorted(levels, known, side="left")
    right = np.searchsorted(levels, known, side="right")
    group = num_groups - 1 - left
    segment = np.where(left == right, 3 * num_groups - right, num_groups + group)
    segment[positive] = group[positive]
    return RankTable(rows=rows, segment=segment, num_groups=num_groups)


def ranking_from_sums(sums: np.ndarray, num_groups: int) -> np.ndarray:
    """Return AUROC and average precision from the sums of the rows' weights over the segments of a `RankTable`.

    Args:
        sums: ``[3 * num_groups + 1, draws]``.
        num_groups: Number of distinct scores among the positives.

    Returns:
        ``[2, draws]`` float64; NaN in a draw without positives or without negatives.
    """
    sums = np.asarray(sums, dtype=np.float64)
    positives, tied, gaps = np.split(sums, [num_groups, 2 * num_groups])
    num_positives, num_negatives = positives.sum(axis=0), tied.sum(axis=0) + gaps.sum(axis=0)
    defined = (num_positives > 0) & (num_negatives > 0)
    safe_positives, safe_negatives = np.where(defined, num_positives, 1), np.where(defined, num_negatives, 1)
    false_positives = np.cumsum(gaps[:-1] + tied, axis=0)
    wins = (positives * (num_negatives - false_positives + 0.5 * tied)).sum(axis=0)
    true_positives = np.cumsum(positives, axis=0)
    called = np.maximum(true_positives + false_positives, np.finfo(np.float64).tiny)
    precision_sum = (positives * (true_positives / called)).sum(axis=0)
    values = np.stack([wins / safe_positives / safe_negatives, precision_sum / safe_positives])
    return np.where(defined, values, np.nan)


def auroc(targets: np.ndarray, scores: np.ndarray, *, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the area under the ROC curve: the chance that a positive scores above a negative, ties counting half.

    Args:
        targets: ``[rows]`` or ``[rows, labels]`` of 0, 1 or NaN; NaN is unknown and leaves the row out of that label.
        scores: The same shape, finite; higher means more likely positive.
        weights: ``[rows]``, how much each row counts; None for 1 each.

    Returns:
        A scalar array or ``[labels]`` float64; NaN for a label without positives or without negatives.

    Raises:
        DataError: Shapes differ, a target is not 0, 1 or NaN, or a score is not finite.
    """
    return _per_label(targets, scores, weights)[0]


def average_precision(targets: np.ndarray, scores: np.ndarray, *, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the average precision (area under the precision-recall curve, without interpolation).

    Arguments, result and errors as in `auroc`.
    """
    return _per_label(targets, scores, weights)[1]


def macro(values: np.ndarray, *, absent: AbsentPolicy = "skip") -> float:
    """Return the mean over labels of `auroc` under a policy for the labels without positives or without negatives.

    Args:
        values: ``[labels]``, NaN where the metric is undefined.
        absent: ``"skip"`` leaves such labels out of the mean, ``"0.5"`` counts them as 0.5, ``"error"`` refuses.

    Raises:
        DataError: A value is NaN and the policy is ``"error"``, or all are NaN and it is ``"skip"``.
    """
    values = np.asarray(values, dtype=np.float64)
    undefined = np.isnan(values)
    if absent == "0.5":
        return float(np.where(undefined, 0.5, values).mean())
    if undefined.any() and (absent == "error" or undefined.all()):
        raise DataError(
            f"{undefined.sum()} of {len(values)} labels have no positives or no negatives: choose another label set, "
            "or absent='skip' or '0.5'",
            reason="absent-label",
        )
    return float(values[~undefined].mean())


def chance_level(targets: np.ndarray) -> np.ndarray:
    """Return ``[2]``: AUROC and average precision of a blind guess where a label has lost one class, for ``"0.5"``.

    The chance level of the average precision is the prevalence, hence 0 where the positives are missing and 1 where the
    negatives are; the class that goes missing is taken to be the rarer one of ``targets [rows]``.
    """
    known = targets[~np.isnan(targets)]
    return np.array([0.5, 1.0 if len(known) and known.mean() > 0.5 else 0.0])


def check_predictions(targets: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both as ``[rows, labels]`` float64 after checking shapes and that the scores are finite."""
    targets, scores = np.asarray(targets, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if targets.shape != scores.shape or targets.ndim not in (1, 2):
        raise DataError(
            f"targets and scores must both be [rows] or [rows, labels], found {targets.shape} and {scores.shape}",
            reason="wrong-shape",
        )
    if not np.isfinite(scores).all():
        raise DataError(
            f"{np.count_nonzero(~np.isfinite(scores))} scores are not finite: the model that made them has diverged",
            reason="non-finite-score",
        )
    if targets.ndim == 1:
        return targets[:, None], scores[:, None]
    return targets, scores


def check_binary(targets: np.ndarray) -> None:
    """Raise `DataError` unless every target is 0, 1 or NaN."""
    other = targets[~(np.isnan(targets) | (targets == 0) | (targets == 1))]
    if len(other):
        raise DataError(
            f"targets of a ranking metric must be 0, 1 or NaN (unknown), found {other[0]:g}", reason="wrong-target"
        )


def check_weights(weights: np.ndarray | None, num_rows: int) -> np.ndarray:
    """Return ``[rows]`` float64 weights, ones for None; raise `DataError` unless they are finite and not negative."""
    if weights is None:
        return np.ones(num_rows)
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape != (num_rows,):
        raise DataError(f"{num_rows} rows but weights of shape {weights.shape}: give one a row", reason="wrong-shape")
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise DataError("weights must be finite and not negative", reason="wrong-weight")
    return weights


def _per_label(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    is_flat = np.ndim(targets) == 1
    targets, scores = check_predictions(targets, scores)
    check_binary(targets)
    weights = check_weights(weights, len(targets))
    values = np.empty((len(METRICS), targets.shape[1]))
    for label in range(targets.shape[1]):
        table = rank_table(targets[:, label], scores[:, label])
        sums = np.bincount(table.segment, weights=weights[table.rows], minlength=table.num_segments)
        values[:, label] = ranking_from_sums(sums[:, None], table.num_groups)[:, 0]
    return values[:, 0] if is_flat else values
