"""Artefacts of ECG recordings (baseline wander, muscle, mains, motion) at 500 Hz, with a magnitude of about 1.

The simulator adds them to its electrodes, and `lamae.ecg.noise.perturb` to the leads of packs. The simulator is
frozen: any change here needs a new simulator version.
"""

from functools import cache

import numpy as np

ARTEFACT_RATE_HZ = 500
"""Sampling rate of all artefacts: high enough for muscle noise and mains."""


def wander(rng: np.random.Generator, num_rows: int, num_samples: int) -> np.ndarray:
    """Draw baseline wander ``[rows, samples]`` of 0.05 to 0.6 Hz (breathing, sweat) with standard deviation 1."""
    return rng.normal(size=(num_rows, 24)) @ _slow_waves(num_samples)


def muscle(rng: np.random.Generator, num_rows: int, num_samples: int) -> np.ndarray:
    """Draw muscle noise ``[rows, samples]`` of about 20 to 150 Hz with a slow envelope shared by all rows.

    White noise goes through a difference and a mean of neighbouring samples.
    """
    white = rng.standard_normal((num_rows, num_samples + 3), dtype=np.float32)
    shaped = white[:, 1:-2] + white[:, 2:-1] - 0.7 * (white[:, :-3] + white[:, 3:])
    envelope = 1.0 + 0.5 * np.clip(rng.normal(size=(1, 24)) @ _slow_waves(num_samples), -1.5, 3.0)
    return shaped * (envelope / 1.73).astype(np.float32)


def mains(rng: np.random.Generator, num_rows: int, num_samples: int, *, hz: float) -> np.ndarray:
    """Draw mains interference ``[rows, samples]``: a sine with random phase and amplitude for each row."""
    phase = 2 * np.pi * hz * np.arange(num_samples) / ARTEFACT_RATE_HZ
    parts = rng.normal(size=(num_rows, 2)) / np.sqrt(2.0)
    return parts @ np.stack([np.sin(phase), np.cos(phase)])


def jump(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Draw a motion artefact ``[samples]``: an electrode moves at the first sample and recovers in about a second."""
    after_s = np.arange(num_samples) / ARTEFACT_RATE_HZ
    size = rng.normal(0.0, 0.5)
    return size * (1.0 - np.exp(-after_s / 0.03)) * np.exp(-after_s / rng.uniform(0.15, 0.8))


@cache
def _slow_waves(num_samples: int) -> np.ndarray:
    """Return sines and cosines of 0.05 to 0.6 Hz, ``[24, samples]``, with amplitudes that decrease with frequency."""
    hz = np.linspace(0.05, 0.60, 12)[:, None]
    phase = 2 * np.pi * hz * np.arange(num_samples) / ARTEFACT_RATE_HZ
    size = 1.0 / (1.0 + np.square(hz / 0.2))
    both = np.concatenate([size * np.sin(phase), size * np.cos(phase)])
    return both / np.sqrt(np.square(size).sum())
