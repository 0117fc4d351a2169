"""Missing samples: interpolation of gaps, long gaps, and resampling of the mask."""

import numpy as np


def bridge(values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Fill gaps by linear interpolation, and gaps at an end with the nearest sample.

    Filters need a value everywhere; the caller decides which of the filled samples still count as missing.

    Args:
        values: ``[leads, samples]`` with NaN where ``missing``.
        missing: ``[leads, samples]`` bool; leads without any recorded sample are filled with 0.

    Returns:
        A copy without NaN.
    """
    filled = values.copy()
    positions = np.arange(values.shape[1])
    for lead in np.flatnonzero(missing.any(axis=1)):
        gone = missing[lead]
        filled[lead, gone] = 0.0 if gone.all() else np.interp(positions[gone], positions[~gone], values[lead, ~gone])
    return filled


def longer_than(missing: np.ndarray, num_samples: int) -> np.ndarray:
    """Return a mask ``[leads, samples]`` with only the gaps longer than ``num_samples`` samples."""
    edges = np.diff(np.pad(missing, np.array([(0, 0), (1, 1)])).astype(np.int8), axis=1)
    lead, first = np.nonzero(edges == 1)
    _, end = np.nonzero(edges == -1)
    kept = np.zeros_like(missing)
    for gap in np.flatnonzero(end - first > num_samples):
        kept[lead[gap], first[gap] : end[gap]] = True
    return kept


def resample_mask(missing: np.ndarray, up: int, down: int, num_samples: int) -> np.ndarray:
    """Resample a mask by ``up / down``: a sample is missing if either of its neighbours in time is.

    Args:
        missing: ``[leads, samples]`` bool at the old rate.
        up: Numerator of new rate over old rate.
        down: Its denominator.
        num_samples: Number of samples at the new rate.

    Returns:
        ``[leads, num_samples]`` bool.
    """
    last = missing.shape[1] - 1
    times = np.arange(num_samples) * down
    before = np.minimum(times // up, last)
    after = np.minimum(-(-times // up), last)
    return missing[:, before] | missing[:, after]
