"""Which way P wave and QRS complex point in the typical beat of each lead."""

from dataclasses import dataclass

import numpy as np

_BEFORE_S, _AFTER_S = 0.30, 0.10
_P_WINDOW_S = (-0.24, -0.08)
_QRS_WINDOW_S = (-0.06, 0.06)
_SHORTEST_INTERVAL_S = 0.3
_FEWEST_BEATS = 3


@dataclass(frozen=True)
class Polarity:
    """Signed heights in the median beat, ``[leads]`` in mV: the largest deflection of either sign in its window.

    Attributes:
        p_mv: P wave, above the level at the start of the beat.
        qrs_mv: QRS complex, above the same level.
    """

    p_mv: np.ndarray
    qrs_mv: np.ndarray


def beat_polarity(values: np.ndarray, rate_hz: float) -> Polarity | None:
    """Measure the median beat of each lead.

    Args:
        values: ``[leads, samples]`` in mV without NaN.
        rate_hz: Samples a second.

    Returns:
        The polarities, or None when fewer than three beats were found.
    """
    before, after = round(_BEFORE_S * rate_hz), round(_AFTER_S * rate_hz)
    peaks = _find_beats(values, rate_hz)
    peaks = peaks[(peaks >= before) & (peaks < values.shape[1] - after)]
    if len(peaks) < _FEWEST_BEATS:
        return None
    beat = np.median(values[:, peaks[:, None] + np.arange(-before, after)], axis=1)
    beat -= beat[:, : max(round(0.04 * rate_hz), 1)].mean(axis=1, keepdims=True)
    return Polarity(
        p_mv=_deflection(beat, before, rate_hz, _P_WINDOW_S), qrs_mv=_deflection(beat, before, rate_hz, _QRS_WINDOW_S)
    )


def _find_beats(values: np.ndarray, rate_hz: float) -> np.ndarray:
    from scipy.signal import find_peaks

    width = max(round(0.08 * rate_hz), 1)
    slope = np.abs(np.diff(values, axis=1, prepend=values[:, :1])).sum(axis=0)
    activity = np.convolve(slope, np.ones(width) / width, mode="same")
    height = 0.4 * np.quantile(activity, 0.98)
    return find_peaks(activity, height=height, distance=max(round(_SHORTEST_INTERVAL_S * rate_hz), 1))[0]


def _deflection(beat: np.ndarray, origin: int, rate_hz: float, window_s: tuple[float, float]) -> np.ndarray:
    part = beat[:, origin + round(window_s[0] * rate_hz) : origin + round(window_s[1] * rate_hz) + 1]
    low, high = part.min(axis=1), part.max(axis=1)
    return np.where(high >= -low, high, low)
