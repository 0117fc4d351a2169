"""Polarity of the P wave of the median beat in each lead, with its uncertainty."""

from dataclasses import dataclass

import numpy as np

_BEFORE_S, _AFTER_S = 0.36, 0.30
"""Window of a beat around the peak of its QRS complex."""

_P_BEFORE_QRS_S = 0.22
"""Search window for the P wave before the onset of QRS; longer PR intervals are missed."""

_SHORTEST_P_WINDOW_S = 0.10
_SHORTEST_INTERVAL_S = 0.3
_FEWEST_BEATS = 3
_QRS_SHARE = 0.12
"""Fraction of the steepest slope above which a sample belongs to the QRS complex."""

_SD_OF_MAD = 1.4826
"""Ratio of standard deviation to median absolute deviation of a normal distribution."""


@dataclass(frozen=True)
class PWave:
    """P wave of the median beat, and duration of the QRS complex that follows it.

    Attributes:
        heights_mv: ``[leads]`` amplitude in mV, at the instant of the largest amplitude over all leads.
        errors_mv: ``[leads]`` standard error of the amplitude over the beats: large if no P wave precedes QRS.
        qrs_s: Duration of the QRS complex.
    """

    heights_mv: np.ndarray
    errors_mv: np.ndarray
    qrs_s: float


def measure_p_wave(values: np.ndarray, rate_hz: float) -> PWave | None:
    """Measure the P wave relative to the line from the level before it to the level at the onset of QRS.

    Args:
        values: ``[leads, samples]`` in mV without NaN.
        rate_hz: Sampling rate.

    Returns:
        The P wave (of any amplitude: the caller applies a threshold), or None if fewer than three beats were found or
        there is too little room before the QRS complex.
    """
    before, after = round(_BEFORE_S * rate_hz), round(_AFTER_S * rate_hz)
    peaks = _find_beats(values, rate_hz)
    peaks = peaks[(peaks >= before) & (peaks < values.shape[1] - after)]
    if len(peaks) < _FEWEST_BEATS:
        return None
    beats = values[:, peaks[:, None] + np.arange(-before, after)]
    onset, end = _bound_qrs(np.median(beats, axis=1), before, rate_hz)
    first, last = max(onset - round(_P_BEFORE_QRS_S * rate_hz), 0), onset - round(0.01 * rate_hz)
    if last - first < _SHORTEST_P_WINDOW_S * rate_hz:
        return None
    humps = _above_line(beats[:, :, first : last + 1])
    typical = np.median(humps, axis=1)
    highest = int(np.argmax(np.square(typical).sum(axis=0)))
    heights = typical[:, highest]
    deviation = np.median(np.abs(humps[:, :, highest] - heights[:, None]), axis=1)
    return PWave(heights, _SD_OF_MAD * deviation / np.sqrt(len(peaks)), (end - onset) / rate_hz)


def _find_beats(values: np.ndarray, rate_hz: float) -> np.ndarray:
    from scipy.signal import find_peaks

    width = max(round(0.08 * rate_hz), 1)
    slope = np.abs(np.diff(values, axis=1, prepend=values[:, :1])).sum(axis=0)
    activity = np.convolve(slope, np.ones(width) / width, mode="same")
    height = 0.4 * np.quantile(activity, 0.98)
    return find_peaks(activity, height=height, distance=max(round(_SHORTEST_INTERVAL_S * rate_hz), 1))[0]


def _bound_qrs(beat: np.ndarray, peak: int, rate_hz: float) -> tuple[int, int]:
    """Return first and last sample of the steep part of a beat ``[leads, samples]`` around ``peak``."""
    lag = max(round(0.01 * rate_hz), 1)
    slope = np.abs(beat[:, lag:] - beat[:, :-lag]).sum(axis=0)
    slope = (slope[1:] + slope[:-1]) / 2
    near = round(0.06 * rate_hz)
    steepest = peak - near + int(np.argmax(slope[peak - near : peak + near + 1]))
    calm = np.flatnonzero(slope <= _QRS_SHARE * slope[steepest])
    place = int(np.searchsorted(calm, steepest))
    onset = int(calm[place - 1]) + 1 if place else 0
    end = int(calm[place]) if place < len(calm) else len(slope)
    return onset, end


def _above_line(parts: np.ndarray) -> np.ndarray:
    """Subtract from each segment ``[leads, beats, samples]`` the straight line between its ends."""
    rise = np.linspace(0.0, 1.0, parts.shape[2])
    return parts - parts[..., :1] * (1.0 - rise) - parts[..., -1:] * rise
