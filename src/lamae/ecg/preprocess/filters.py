"""Resampling and filtering of many leads at once, with cached filter designs.

SciPy is imported late, since its import takes longer than everything else needed to read a pack.
"""

from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np

_LARGEST_FACTOR = 5000
_BLOCK = 32
"""Output samples per row of the decimation's matrix product."""

_EDGE_S = 2.0
"""Length of the odd extension at both ends before filtering: the longest transient of a 0.5 Hz cutoff."""

NOTCH_QUALITY = 30.0
"""Quality factor (centre frequency over -3 dB bandwidth) of the notch filter: 1.7 Hz wide at 50 Hz."""


def rational_ratio(rate_hz: float, new_rate_hz: float) -> tuple[int, int]:
    """Return ``(up, down)`` such that ``up / down`` is ``new_rate_hz / rate_hz`` to one sample in ten minutes."""
    ratio = Fraction(new_rate_hz / rate_hz).limit_denominator(_LARGEST_FACTOR)
    return ratio.numerator, ratio.denominator


def resample(values: np.ndarray, up: int, down: int) -> np.ndarray:
    """Resample by a rational factor with a polyphase low-pass; edges are padded along the line between the end points.

    The low-pass is SciPy's default (Kaiser window, beta 5, ten zero crossings on each side).

    Args:
        values: ``[leads, samples]`` without NaN.
        up: Numerator of new rate over old rate.
        down: Its denominator.

    Returns:
        ``[leads, ceil(samples * up / down)]`` of the same type.
    """
    if up == down:
        return values
    if up == 1:
        return _decimate(values, down)
    from scipy.signal import resample_poly

    window = _resampling_window(up, down).astype(values.dtype)
    return resample_poly(values, up, down, axis=1, window=window, padtype="line")


def _decimate(values: np.ndarray, down: int) -> np.ndarray:
    """Decimate by ``down`` as a matrix product, about ten times as fast as filtering tap by tap.

    Each block of ``_BLOCK`` output samples is a window of input samples times one matrix, whose columns are shifted
    copies of the low-pass; BLAS computes all blocks of all leads at once.
    """
    num_leads, num_samples = values.shape
    num_new = -(-num_samples // down)
    num_blocks = -(-num_new // _BLOCK)
    matrix = _decimation_matrix(down, values.dtype.char)
    slope = (values[:, -1:] - values[:, :1]) / max(num_samples - 1, 1)
    line = values[:, :1] + slope * np.arange(num_samples, dtype=values.dtype)
    stride = _BLOCK * down
    padded = np.zeros((num_leads, (num_blocks - 1) * stride + len(matrix)), dtype=values.dtype)
    np.subtract(values, line, out=padded[:, 10 * down : 10 * down + num_samples])
    stretches = np.lib.stride_tricks.sliding_window_view(padded, len(matrix), axis=1)[:, ::stride]
    resampled = (stretches.reshape(-1, len(matrix)) @ matrix).reshape(num_leads, -1)[:, :num_new]
    return resampled + line[:, ::down]


@lru_cache(maxsize=32)
def _decimation_matrix(down: int, dtype: str) -> np.ndarray:
    taps = _resampling_window(1, down)
    matrix = np.zeros(((_BLOCK - 1) * down + len(taps), _BLOCK), dtype=dtype)
    for sample in range(_BLOCK):
        matrix[sample * down : sample * down + len(taps), sample] = taps
    return matrix


@lru_cache(maxsize=32)
def _resampling_window(up: int, down: int) -> np.ndarray:
    from scipy.signal import firwin

    largest = max(up, down)
    window: Any = ("kaiser", 5.0)
    return np.asarray(firwin(20 * largest + 1, 1.0 / largest, window=window))


def bandpass(values: np.ndarray, rate_hz: float, edges_hz: tuple[float, float], order: int) -> np.ndarray:
    """Apply a zero-phase Butterworth band-pass (forwards and backwards).

    Args:
        values: ``[leads, samples]`` without NaN, in mV.
        rate_hz: Sampling rate.
        edges_hz: Lower and upper cutoff, where the two passes together have -6 dB.
        order: Order of the design; the two passes double it.

    Returns:
        ``[leads, samples]`` float64.
    """
    return _forwards_and_backwards(_bandpass_design(rate_hz, edges_hz, order), values, rate_hz)


@lru_cache(maxsize=32)
def _bandpass_design(rate_hz: float, edges_hz: tuple[float, float], order: int) -> np.ndarray:
    from scipy.signal import butter

    return np.asarray(butter(order, edges_hz, btype="bandpass", fs=rate_hz, output="sos"))


def notch(values: np.ndarray, rate_hz: float, notch_hz: float) -> np.ndarray:
    """Apply a zero-phase notch filter (forwards and backwards).

    Args:
        values: ``[leads, samples]`` without NaN.
        rate_hz: Sampling rate.
        notch_hz: Centre frequency; the bandwidth follows from ``NOTCH_QUALITY``.

    Returns:
        ``[leads, samples]`` float64.
    """
    return _forwards_and_backwards(_notch_design(rate_hz, notch_hz), values, rate_hz)


@lru_cache(maxsize=32)
def _notch_design(rate_hz: float, notch_hz: float) -> np.ndarray:
    from scipy.signal import iirnotch, tf2sos

    numerator, denominator = iirnotch(notch_hz, NOTCH_QUALITY, fs=rate_hz)
    return tf2sos(numerator, denominator)


def _forwards_and_backwards(design: np.ndarray, values: np.ndarray, rate_hz: float) -> np.ndarray:
    from scipy.signal import sosfiltfilt

    num_edge = min(values.shape[1] - 1, round(_EDGE_S * rate_hz))
    return sosfiltfilt(design, values.astype(np.float64, copy=False), axis=1, padlen=num_edge)
