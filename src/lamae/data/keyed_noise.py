"""Random numbers that depend on what they are for, not on the order in which they are drawn."""

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def keyed_uniform(*keys: int | np.ndarray) -> np.ndarray:
    """Return numbers in [0, 1) that are a hash of their keys (splitmix64, Steele et al. 2014), chained over the keys.

    So a recording has the same number on any rank, in any micro-batch, and beside any other recordings.

    Args:
        keys: Integers of at least 0, or arrays of them that broadcast; another order of keys gives other numbers.

    Returns:
        float64 of the shape to which the keys broadcast.
    """
    with np.errstate(over="ignore"):
        state = np.zeros((), np.uint64)
        for key in keys:
            state = _mixed(state ^ _mixed(np.asarray(key).astype(np.uint64) + _GOLDEN))
    return (state >> np.uint64(11)) * 2.0**-53


def _mixed(state: np.ndarray) -> np.ndarray:
    state = (state ^ (state >> np.uint64(30))) * _MIX_1
    state = (state ^ (state >> np.uint64(27))) * _MIX_2
    return (state ^ (state >> np.uint64(31))) + _GOLDEN
