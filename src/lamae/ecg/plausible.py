"""Rates and voltages beyond any ECG: there the unit, the gain or the rate is wrong, or the file is damaged.

Readers and preprocessing share these checks, so that whatever can be read can be prepared, as far as they go.
"""

import numpy as np

from lamae.errors import DataError

LOWEST_RATE_HZ = 50.0
HIGHEST_RATE_HZ = 50_000.0

LARGEST_MV = 1e6
"""A kilovolt: beyond it filters in float32 would overflow, too."""


def check_rate(rate_hz: float | None) -> float:
    """Return a sampling rate that is one of an ECG.

    Raises:
        DataError: It is unknown, below ``LOWEST_RATE_HZ`` or above ``HIGHEST_RATE_HZ`` (``wrong-rate``).
    """
    if rate_hz is None or not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
        found = "an unknown number of" if rate_hz is None else f"{rate_hz:g}"
        raise DataError(
            f"{found} samples a second are not an ECG (expected {LOWEST_RATE_HZ:g} to {HIGHEST_RATE_HZ:g}); check the "
            "file's rate",
            reason="wrong-rate",
        )
    return rate_hz


def check_voltages(values: np.ndarray) -> None:
    """Check that voltages in mV, NaN where none was recorded, are ones of an ECG.

    Raises:
        DataError: One is infinite (``infinite-values``) or beyond ``LARGEST_MV`` (``implausible-values``).
    """
    if not (np.abs(values) > LARGEST_MV).any():
        return
    if np.isinf(values).any():
        raise DataError("the file holds infinite voltages: use NaN for what is missing", reason="infinite-values")
    raise DataError(
        f"{np.nanmax(np.abs(values)):g} mV are no ECG; the unit or gain is wrong, or the file is damaged",
        reason="implausible-values",
    )
