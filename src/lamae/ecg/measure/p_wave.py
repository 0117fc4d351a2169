"""The P wave of the typical beat: which way it points in each lead, and how sure that is."""

from dataclasses import dataclass

import numpy as np

_BEFORE_S, _AFTER_S = 0.36, 0.30
"""How much of a beat is looked at, around the peak of its QRS complex."""

_P_BEFORE_QRS_S = 0.22
"""How long before the onset of QRS the P wave is looked for; a longer PR interval than that hides it."""

_SHORTEST_P_WINDOW_S = 0.10
_SHORTEST_INTERVAL_S = 0.3
_FEWEST_BEATS = 3
_QRS_SHARE = 0.12
"""Share of the steepest slope above which a sample belongs to the QRS complex."""

_SD_OF_MAD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


@dataclass(frozen=True)
class PWave:
    """The P wave of the median beat, and the width of the QRS complex that follows it.

    Attributes:
        heights_mv: ``[leads]`` height in mV, of all leads at the one moment at which they are highest together.
        errors_mv: ``[leads]`` standard error of the height over the beats: large where no P wave comes before QRS.
        qrs_s: Duration of the QRS complex.
    """

    heights_mv: np.ndarray
    errors_mv: np.ndarray
    qrs_s: float


def measure_p_wave(values: np.ndarray, rate_hz: float) -> PWave | None:
    """Measure the P wave against the straight line between the level before it and the level at the onset of QRS.

    Args:
        values: ``[leads, samples]`` in mV without NaN.
        rate_hz: Samples a second.

    Returns:
        The P wave (of whatever height: it is for the caller to say what is none), or None when fewer than three
        beats were found or the QRS complex leaves no room before it.
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
    """Return first and last sample of the steep part of a beat ``[leads, samples]`` around a sample within it."""
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
    """Take from each stretch ``[leads, beats, samples]`` the straight line between its ends."""
    rise = np.linspace(0.0, 1.0, parts.shape[2])
    return parts - parts[..., :1] * (1.0 - rise) - parts[..., -1:] * rise
