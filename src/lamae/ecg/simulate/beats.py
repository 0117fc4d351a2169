"""The cardiac dipole over a whole recording: a heart beating in a rhythm."""

from dataclasses import replace

import numpy as np

from lamae.ecg.simulate.heart import MARGIN_S, RATE_HZ, Heart, add_waves, qt_s, waves
from lamae.ecg.simulate.rhythm import PREMATURE_ATRIAL, VENTRICULAR, Rhythm

SPIKE = waves((0, 0.8, 0.8, 0.9, 1.0, -0.5))
"""Pacing spike of 2 ms."""

_ECTOPIC_P = np.array([-0.5, -0.7, 1.0])


def beat(heart: Heart, rhythm: Rhythm, rng: np.random.Generator, *, num_samples: int) -> np.ndarray:
    """Return the dipole ``[3, samples + margins]`` of a heart that beats in a rhythm."""
    dipole = np.zeros((3, num_samples + 2 * int(MARGIN_S * RATE_HZ)))
    p = replace(heart.p, moment=heart.p.moment * _ECTOPIC_P) if rhythm.retrograde_p else heart.p
    add_waves(dipole, p, rhythm.p_s, gain=_p_gain(rhythm))
    ectopic = rhythm.kind == VENTRICULAR
    sway = (
        1.0
        + heart.alternans * np.where(np.arange(len(rhythm.qrs_s)) % 2, 1.0, -1.0)
        + rng.normal(0, 0.02, len(ectopic))
    )
    qt = qt_s(heart, rhythm.rr_s)
    _add_ventricular(dipole, heart, rhythm.qrs_s[~ectopic], qt[~ectopic], sway[~ectopic])
    if ectopic.any():
        wide = ectopic_heart(heart)
        _add_ventricular(dipole, wide, rhythm.qrs_s[ectopic], qt_s(wide, np.full(ectopic.sum(), 0.85)), sway[ectopic])
    if len(rhythm.spikes_s):
        add_waves(dipole, SPIKE.scaled(float(rng.uniform(0.15, 1.4))), rhythm.spikes_s)
    if rhythm.fibrillation:
        dipole += _fibrillatory_waves(dipole.shape[1], rhythm.fibrillation, rng)
    if rhythm.flutter_hz:
        dipole += _flutter_waves(dipole.shape[1], rhythm.flutter_hz, rng)
    return dipole


def ectopic_heart(heart: Heart) -> Heart:
    """Return the heart during a ventricular ectopic beat: broad QRS, discordant T."""
    against = -0.35 * heart.ectopic_qrs.moment.sum(axis=0)
    t = waves((0, 55, 45, *against))
    return replace(heart, qrs=heart.ectopic_qrs, qrs_s=0.150, st=waves((50, 30, 70, *(0.2 * against))), t=t)


def _p_gain(rhythm: Rhythm) -> np.ndarray:
    gain = np.ones(len(rhythm.p_s))
    if len(rhythm.p_s) == len(rhythm.kind):
        gain[rhythm.kind == PREMATURE_ATRIAL] = -0.7
    return gain


def _add_ventricular(dipole: np.ndarray, heart: Heart, at_s: np.ndarray, qt: np.ndarray, gain: np.ndarray) -> None:
    add_waves(dipole, heart.qrs, at_s, gain=gain)
    add_waves(dipole, heart.st, at_s + heart.qrs_s, gain=gain)
    slow = np.clip((qt - heart.qrs_s + 0.09) / 0.40, 0.55, 1.35)
    fall = float(heart.t.fall_s[0]) if len(heart.t) else 0.0
    add_waves(dipole, heart.t, at_s + qt - 2.2 * fall * slow, gain=gain, stretch=slow)


def _fibrillatory_waves(num_samples: int, size: float, rng: np.random.Generator) -> np.ndarray:
    """Return a sum of five sines between 4 and 9 Hz, strongest towards V1 (Stridh and Sörnmo 2001)."""
    time_s = np.arange(num_samples) / RATE_HZ
    centre_hz = rng.uniform(5.0, 7.5)
    hz = centre_hz + rng.normal(0.0, 0.5, 5)
    wave = np.sin(2 * np.pi * hz[:, None] * time_s + rng.uniform(0, 2 * np.pi, (5, 1)))
    directions = rng.normal([-0.010, 0.012, -0.022], 0.010, (5, 3))
    return size * (directions.T @ wave)


def _flutter_waves(num_samples: int, flutter_hz: float, rng: np.random.Generator) -> np.ndarray:
    """Return a saw-tooth of four harmonics, negative in the inferior leads, upright in V1."""
    phase = 2 * np.pi * flutter_hz * np.arange(num_samples) / RATE_HZ + rng.uniform(0, 2 * np.pi)
    order = np.arange(1, 5)[:, None]
    tooth = (np.sin(order * phase) / order).sum(axis=0)
    shifted = (np.sin(order * (phase + 0.8)) / order).sum(axis=0)
    size = rng.uniform(0.5, 1.4)
    return size * (np.array([[0.0], [0.065], [0.0]]) * tooth + np.array([[-0.01], [0.0], [-0.04]]) * shifted)
