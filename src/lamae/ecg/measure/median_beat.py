"""Beat detection, and the median beat with the boundaries of its waves.

All leads are used jointly: beats are detected in the slope energy summed over leads, and waves are delineated on the
spatial magnitude and the spatial velocity of the median beat, so that an isoelectric lead does not hide an onset. The
slope-energy detector follows Pan and Tompkins (1985); the threshold on the spatial velocity is the one of the CSE
working party (Willems et al. 1985); the end of the T wave is where its steepest tangent meets the baseline (Lepeschkin
and Surawicz 1952).
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

ANALYSIS_RATE_HZ = 250.0
BEFORE_S, AFTER_S = 0.40, 0.60

_MIN_RR_S = 0.24
_QRS_VELOCITY = 0.09
_QRS_CORE_VELOCITY = 0.30


@dataclass(frozen=True, kw_only=True)
class MedianBeat:
    """Median of the beats of the most common shape, with onset and end of its waves.

    Times are in samples from the start of the window, may be fractional, and are NaN if a wave was not found.

    Attributes:
        values: ``[leads, samples]`` in mV, relative to the level just before QRS.
        beats: ``[beats, leads, samples]``, the beats it was computed from, relative to the same level.
        rate_hz: Sampling rate.
        qrs_onset: Start of the QRS.
        qrs_end: The J point.
        t_peak: Time of the largest magnitude of the T wave.
        t_end: End of the T wave.
        p_onset: Start of the P wave.
        p_peak: Time of the largest magnitude of the P wave.
        p_consistency: Mean correlation of the beats with the median beat in the P window, -1 to 1.
        dominant_fraction: Fraction of beats with the most common shape.
    """

    values: np.ndarray
    beats: np.ndarray
    rate_hz: float
    qrs_onset: float
    qrs_end: float
    t_peak: float
    t_end: float
    p_onset: float
    p_peak: float
    p_consistency: float
    dominant_fraction: float


def to_analysis_rate(signal: np.ndarray, rate_hz: float) -> tuple[np.ndarray, float]:
    """Resample ``[leads, samples]`` to about ``ANALYSIS_RATE_HZ``; return the signal and its exact rate."""
    ratio = Fraction(ANALYSIS_RATE_HZ / rate_hz).limit_denominator(12)
    if ratio == 1:
        return signal, rate_hz
    from scipy.signal import resample_poly

    resampled = resample_poly(signal, ratio.numerator, ratio.denominator, axis=-1, padtype="line")
    return resampled.astype(np.float32), rate_hz * ratio.numerator / ratio.denominator


def lead_trust(signal: np.ndarray) -> np.ndarray:
    """Return ``[leads]`` weights from 0 to 1 that say how much each lead of ``[leads, samples]`` looks like an ECG.

    In noise the median slope power is close to the highest; in an ECG it is a hundredth of it or less.
    """
    power = _slope_power(signal)[:, ::2]
    high, usual = np.quantile(power, 0.98, axis=1), np.median(power, axis=1)
    weights = np.where(high > 0, np.clip(1 - 20 * usual / np.where(high > 0, high, 1), 0, 1), 0)
    return weights if weights.any() else (high > 0).astype(np.float64)


def find_beats(signal: np.ndarray, rate_hz: float, trust: np.ndarray) -> np.ndarray:
    """Return the sample index of each QRS (largest magnitude) in ``[leads, samples]`` without missing values."""
    from scipy.signal import find_peaks

    if not trust.any():
        return np.zeros(0, dtype=np.int64)
    power = _slope_power(signal)
    high = np.quantile(power[:, ::2], 0.99, axis=1, keepdims=True)
    normalised = np.minimum(power / np.where(high > 0, high, 1), 3.0)
    energy = np.sqrt(smooth((trust / trust.sum()) @ normalised, 0.1, rate_hz))
    stretch = max(1, round(2.4 * rate_hz))
    starts = np.arange(0, max(1, len(energy) - stretch // 2), stretch)
    usual_peak = np.median(np.maximum.reduceat(energy, starts))
    peaks, _ = find_peaks(energy, height=0.35 * usual_peak, distance=max(1, round(_MIN_RR_S * rate_hz)))
    peaks = _without_other_waves(peaks, energy, rate_hz)
    return _at_largest_magnitude(signal * trust[:, None], peaks, rate_hz)


def _without_other_waves(peaks: np.ndarray, energy: np.ndarray, rate_hz: float) -> np.ndarray:
    """Remove peaks so close to another one, and so much smaller, that they are its T wave or an atrial spike."""
    kept: list[int] = []
    for peak in peaks.tolist():
        if kept:
            distance, share = (peak - kept[-1]) / rate_hz, energy[peak] / energy[kept[-1]]
            if (distance < 0.36 and share < 0.7) or (distance < 0.5 and share < 0.5):
                continue
            if distance < 0.3 and share > 1 / 0.6:
                kept.pop()
        kept.append(peak)
    return np.array(kept, dtype=np.int64)


def _slope_power(signal: np.ndarray) -> np.ndarray:
    power = np.zeros(signal.shape)
    power[:, 1:-1] = (signal[:, 2:] - signal[:, :-2]) ** 2
    return power


def _at_largest_magnitude(signal: np.ndarray, peaks: np.ndarray, rate_hz: float) -> np.ndarray:
    magnitude = ((signal - smooth(signal, 0.4, rate_hz)) ** 2).sum(axis=0)
    reach = round(0.07 * rate_hz)
    starts = np.maximum(peaks - reach, 0)
    moved = [int(at + magnitude[at : peak + reach + 1].argmax()) for at, peak in zip(starts, peaks, strict=True)]
    return np.unique(np.array(moved, dtype=np.int64))


def smooth(signal: np.ndarray, width_s: float, rate_hz: float) -> np.ndarray:
    """Return the moving average over ``width_s`` along the last axis, with edge padding."""
    width = max(1, round(width_s * rate_hz)) | 1
    if width == 1:
        return signal
    half = width // 2
    padding = np.array([(0, 0)] * (signal.ndim - 1) + [(half + 1, half)])
    sums = np.cumsum(np.pad(signal, padding, mode="edge"), axis=-1, dtype=np.float64)
    return (sums[..., width:] - sums[..., :-width]) / width


def median_beat(signal: np.ndarray, rate_hz: float, peaks: np.ndarray, trust: np.ndarray) -> MedianBeat:
    """Return the median beat of ``[leads, samples]`` around ``peaks`` (at least one), with delineated waves.

    Args:
        signal: In mV, without missing values.
        rate_hz: Sampling rate.
        peaks: QRS samples from `find_beats`.
        trust: ``[leads]``, weight of each lead in the delineation, from `lead_trust`.
    """
    beats = _cut(signal, peaks, rate_hz)
    centre = round(BEFORE_S * rate_hz)
    around = slice(centre - round(0.10 * rate_hz), centre + round(0.10 * rate_hz))
    weighted = beats[..., around] * trust[:, None]
    alike = _correlation(weighted, np.median(weighted, axis=0)) > 0.8
    chosen = beats[alike] if alike.sum() >= max(1, len(beats) // 3) else beats
    values = np.median(chosen, axis=0)
    onset, end = _bound_qrs(values * trust[:, None], rate_hz, centre)
    level = slice(max(0, int(onset - 0.03 * rate_hz)), max(1, int(onset - 0.006 * rate_hz)) + 1)
    chosen = chosen - chosen[..., level].mean(axis=-1, keepdims=True)
    values = values - values[..., level].mean(axis=-1, keepdims=True)
    rr = float(np.median(np.diff(peaks))) if len(peaks) > 1 else AFTER_S * rate_hz
    weighted, weighted_beats = values * trust[:, None], chosen * trust[:, None]
    t_peak, t_end = _bound_t(weighted, rate_hz, centre, end, rr)
    room = rr - (t_end - onset) if t_end > 0 else rr
    p_onset, p_peak, consistency = _bound_p(weighted, weighted_beats, rate_hz, onset, room)
    return MedianBeat(
        values=values,
        beats=chosen,
        rate_hz=rate_hz,
        qrs_onset=onset,
        qrs_end=end,
        t_peak=t_peak,
        t_end=t_end,
        p_onset=p_onset,
        p_peak=p_peak,
        p_consistency=consistency,
        dominant_fraction=float(alike.mean()),
    )


def _cut(signal: np.ndarray, peaks: np.ndarray, rate_hz: float) -> np.ndarray:
    """Return ``[beats, leads, samples]`` of the beats completely inside the signal, or all if fewer than three are."""
    before, after = round(BEFORE_S * rate_hz), round(AFTER_S * rate_hz)
    whole = peaks[(peaks >= before) & (peaks + after <= signal.shape[1])]
    if len(whole) < 3:
        whole = peaks
    padded = np.pad(signal, np.array([(0, 0), (before, after)]), mode="edge")
    beats = padded[:, whole[:, None] + np.arange(before + after)].swapaxes(0, 1)
    return beats - beats.mean(axis=-1, keepdims=True)


def _correlation(beats: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Return ``[beats]``, the correlation of each beat with the template over all leads and samples."""
    ours = beats.reshape(len(beats), -1)
    theirs = template.reshape(-1)
    ours = ours - ours.mean(axis=1, keepdims=True)
    theirs = theirs - theirs.mean()
    norm = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs)
    return (ours @ theirs) / np.where(norm > 0, norm, 1)


def _bound_qrs(values: np.ndarray, rate_hz: float, centre: int) -> tuple[float, float]:
    velocity = smooth(np.sqrt((np.gradient(values, axis=-1) ** 2).sum(axis=0)), 0.012, rate_hz)
    first, last = centre - round(0.12 * rate_hz), centre + round(0.14 * rate_hz)
    steepest = float(velocity[first:last].max())
    core = first + np.flatnonzero(velocity[first:last] >= _QRS_CORE_VELOCITY * steepest)
    before_qrs = velocity[max(0, first - round(0.10 * rate_hz)) : first]
    threshold = max(_QRS_VELOCITY * steepest, 1.5 * float(np.median(before_qrs)))
    threshold = min(threshold, 0.9 * _QRS_CORE_VELOCITY * steepest)
    return _leave(velocity, int(core[0]), -1, threshold), _leave(velocity, int(core[-1]), 1, threshold)


def _leave(curve: np.ndarray, start: int, step: int, threshold: float) -> float:
    """Return the interpolated position where the curve, from ``start``, falls below the threshold, or its end."""
    here = start
    while 0 < here < len(curve) - 1:
        following = here + step
        if curve[following] < threshold:
            fall = curve[here] - curve[following]
            return here + step * float((curve[here] - threshold) / fall if fall > 0 else 0.0)
        here = following
    return float(here)


def _bound_t(values: np.ndarray, rate_hz: float, centre: int, qrs_end: float, rr: float) -> tuple[float, float]:
    magnitude = smooth(np.sqrt((values**2).mean(axis=0)), 0.04, rate_hz)
    first = int(qrs_end + 0.06 * rate_hz)
    last = int(min(len(magnitude) - 1, centre + max(rr - 0.20 * rate_hz, 0.65 * rr)))
    if last - first < 0.08 * rate_hz:
        return float("nan"), float("nan")
    peak = first + int(magnitude[first : last - 2].argmax())
    slope = np.gradient(magnitude[peak : last + 1])
    steepest = peak + int(slope.argmin())
    if slope.min() >= 0:
        return float(peak), float("nan")
    floor = magnitude[steepest : last + 1].min()
    end = steepest + float((magnitude[steepest] - floor) / -slope.min())
    return float(peak), min(end, float(last))


def _bound_p(
    values: np.ndarray, beats: np.ndarray, rate_hz: float, qrs_onset: float, room: float
) -> tuple[float, float, float]:
    """Return onset, peak and consistency of the P wave before ``qrs_onset``, ``room`` samples after the end of T."""
    first = int(max(qrs_onset - 0.30 * rate_hz, qrs_onset - room, 0))
    last = int(qrs_onset - 0.03 * rate_hz)
    if last - first < 0.06 * rate_hz:
        return float("nan"), float("nan"), float("nan")
    window = values[:, first:last]
    window = window - np.median(window, axis=-1, keepdims=True)
    own = beats[..., first:last]
    own = own - np.median(own, axis=-1, keepdims=True)
    consistency = float(_correlation(own, window).mean()) if len(beats) > 1 else float("nan")
    floor = np.quantile(values[:, first:last], 0.25, axis=-1, keepdims=True)
    magnitude = smooth(np.sqrt(((values - floor)[:, first:last] ** 2).mean(axis=0)), 0.02, rate_hz)
    inner = round(0.02 * rate_hz)
    peak = inner + int(magnitude[inner:-inner].argmax())
    level = magnitude.min()
    onset = _leave(magnitude - level, peak, -1, 0.2 * float(magnitude[peak] - level))
    return first + onset, float(first + peak), consistency
