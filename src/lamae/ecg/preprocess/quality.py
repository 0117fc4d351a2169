"""Detection of faults of single leads in the recorded samples, before any filter."""

import numpy as np

from lamae.ecg.preprocess.settings import EcgPreprocessing

_MIN_RAIL_MV = 0.5
"""Smallest distance from the mean of a saturated value; closer to it, repeated values are rounding."""


def lead_faults(
    values: np.ndarray, missing: np.ndarray | None, rate_hz: float, config: EcgPreprocessing
) -> list[tuple[str, ...]]:
    """Return the faults of each lead: ``missing-samples``, ``flat``, ``saturated``, ``out-of-range``.

    Args:
        values: ``[leads, samples]`` in mV without NaN (gaps interpolated).
        missing: ``[leads, samples]`` bool, or None if every sample was recorded.
        rate_hz: Sampling rate.
        config: Thresholds.

    Returns:
        One tuple per lead, empty for a lead without faults.
    """
    low, high, mean = values.min(axis=1), values.max(axis=1), values.mean(axis=1)
    flat = _flat(values, missing, rate_hz, config.flat_mv)
    faults = {
        "missing-samples": missing.any(axis=1) if missing is not None else np.zeros(len(values), bool),
        "flat": flat,
        "saturated": ~flat & _saturated(values, low, high, mean, config.saturated_fraction),
        "out-of-range": np.maximum(high - mean, mean - low) > config.out_of_range_mv,
    }
    return [tuple(name for name, found in faults.items() if found[lead]) for lead in range(len(values))]


def _flat(values: np.ndarray, missing: np.ndarray | None, rate_hz: float, flat_mv: float) -> np.ndarray:
    length = min(round(rate_hz), values.shape[1])
    num_windows = values.shape[1] // length
    windows = values[:, : num_windows * length].reshape(len(values), num_windows, length)
    still = windows.max(axis=2) - windows.min(axis=2) <= flat_mv
    if missing is None:
        return still.mean(axis=1) >= 0.5
    recorded = ~missing[:, : num_windows * length].reshape(windows.shape).all(axis=2)
    return (still & recorded).sum(axis=1) >= np.maximum(0.5 * recorded.sum(axis=1), 1)


def _saturated(values: np.ndarray, low: np.ndarray, high: np.ndarray, mean: np.ndarray, fraction: float) -> np.ndarray:
    """Find leads that stay at an extreme value; peaks that only touch it do not count."""
    rests_low = _share_at_rest(values == low[:, None]) >= fraction
    rests_high = _share_at_rest(values == high[:, None]) >= fraction
    return (rests_low & (mean - low >= _MIN_RAIL_MV)) | (rests_high & (high - mean >= _MIN_RAIL_MV))


def _share_at_rest(at_extreme: np.ndarray) -> np.ndarray:
    return (at_extreme[:, 1:] & at_extreme[:, :-1]).mean(axis=1)
