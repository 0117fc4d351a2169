"""Correction of p-values for having looked at many labels."""

from collections.abc import Sequence

import numpy as np

from lamae.errors import DataError


def holm(p_values: Sequence[float | None] | np.ndarray) -> np.ndarray:
    """Return p-values adjusted by Holm's step-down method (1979, Scandinavian Journal of Statistics 6:65).

    Calling all with an adjusted value up to alpha holds the chance of even one false call to alpha, however the labels
    depend on each other.

    Args:
        p_values: ``[tests]``; None or NaN for a test that could not be made, which does not count as one.

    Returns:
        ``[tests]`` float64 in the same order, at most 1, NaN where there was no test.

    Raises:
        DataError: A value lies outside of 0 to 1.
    """
    values = np.array([np.nan if one is None else one for one in p_values], dtype=np.float64)
    tested = np.flatnonzero(~np.isnan(values))
    if ((values[tested] < 0) | (values[tested] > 1)).any():
        raise DataError("p-values must lie between 0 and 1, or be NaN where there was no test", reason="wrong-p-value")
    order = tested[np.argsort(values[tested], kind="stable")]
    adjusted = np.full(len(values), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * np.arange(len(order), 0, -1)), 1)
    return adjusted
