"""Mean absolute error and R squared, with unknown targets left out, in the form that the bootstrap can resample."""

import numpy as np

from lamae.errors import DataError
from lamae.metrics.ranking import check_predictions

METRICS = ("mae", "r2")
"""The regression metrics in the order in which this module returns them."""


def mean_absolute_error(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the mean absolute error in the unit of the targets.

    Args:
        targets: ``[rows]`` or ``[rows, labels]``; NaN is unknown and leaves the row out of that label.
        scores: The same shape, finite, the predicted values.

    Returns:
        A scalar array or ``[labels]`` float64; NaN for a label without a known target.

    Raises:
        DataError: Shapes differ, a target is infinite, or a score is not finite.
    """
    return _per_label(targets, scores)[0]


def r_squared(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the fraction of the targets' variance that is explained; NaN where they do not vary.

    Arguments, result and errors as in `mean_absolute_error`.
    """
    return _per_label(targets, scores)[1]


def regression_terms(targets: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the known rows of one label and ``[5, known]`` what each adds to the sums of `regression_from_sums`."""
    rows = np.flatnonzero(~np.isnan(targets))
    known = targets[rows]
    error = known - scores[rows]
    centred = known - known.mean() if len(known) else known
    return rows, np.stack([np.ones(len(rows)), np.abs(error), error**2, centred, centred**2])


def regression_from_sums(sums: np.ndarray) -> np.ndarray:
    """Return ``[2, draws]`` MAE and R squared from ``[5, draws]`` sums of the rows' terms; NaN where undefined."""
    count, absolute, squared, total, total_squares = sums
    has_rows = count > 0
    safe_count = np.where(has_rows, count, 1)
    variance = total_squares - total**2 / safe_count
    varies = has_rows & (variance > 1e-12 * np.maximum(total_squares, np.finfo(np.float64).tiny))
    mae = np.where(has_rows, absolute / safe_count, np.nan)
    return np.stack([mae, np.where(varies, 1 - squared / np.where(varies, variance, 1), np.nan)])


def check_real(targets: np.ndarray) -> None:
    """Raise `DataError` when a target is infinite."""
    if np.isinf(targets).any():
        raise DataError("targets of a regression must be finite, or NaN (unknown), found inf", reason="wrong-target")


def _per_label(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    is_flat = np.ndim(targets) == 1
    targets, scores = check_predictions(targets, scores)
    check_real(targets)
    columns = [
        regression_from_sums(regression_terms(targets[:, label], scores[:, label])[1].sum(axis=1, keepdims=True))[:, 0]
        for label in range(targets.shape[1])
    ]
    values = np.stack(columns, axis=1)
    return values[:, 0] if is_flat else values
