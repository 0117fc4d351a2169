"""What electrodes pick up besides the heart: breathing, muscles, mains, motion; made at 500 Hz, about 1 in size.

The simulator puts these on its electrodes, and `lamae.ecg.noise.perturb` on the leads of packs. The simulator is
frozen: what is changed here changes its version.
"""

from functools import cache

import numpy as np

ARTEFACT_RATE_HZ = 500
"""Samples a second of all artefacts: fast enough for muscles and mains."""


def wander(rng: np.random.Generator, num_rows: int, num_samples: int) -> np.ndarray:
    """Return ``[rows, samples]``: slow waves from 0.05 to 0.6 Hz, as breathing and sweat make them, of deviation 1."""
    return rng.normal(size=(num_rows, 24)) @ _slow_waves(num_samples)


def muscle(rng: np.random.Generator, num_rows: int, num_samples: int) -> np.ndarray:
    """Return ``[rows, samples]``: noise of about 20 to 150 Hz with a slow envelope that all rows share.

    A difference of neighbours, then a mean of neighbours.
    """
    white = rng.standard_normal((num_rows, num_samples + 3), dtype=np.float32)
    shaped = white[:, 1:-2] + white[:, 2:-1] - 0.7 * (white[:, :-3] + white[:, 3:])
    envelope = 1.0 + 0.5 * np.clip(rng.normal(size=(1, 24)) @ _slow_waves(num_samples), -1.5, 3.0)
    return shaped * (envelope / 1.73).astype(np.float32)


def mains(rng: np.random.Generator, num_rows: int, num_samples: int, *, hz: float) -> np.ndarray:
    """Return ``[rows, samples]``: a sine of the frequency of the mains, its phase and size drawn for each row."""
    phase = 2 * np.pi * hz * np.arange(num_samples) / ARTEFACT_RATE_HZ
    parts = rng.normal(size=(num_rows, 2)) / np.sqrt(2.0)
    return parts @ np.stack([np.sin(phase), np.cos(phase)])


def jump(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Return ``[samples]``: an electrode that moves at the first sample and comes back within a second or so."""
    after_s = np.arange(num_samples) / ARTEFACT_RATE_HZ
    size = rng.normal(0.0, 0.5)
    return size * (1.0 - np.exp(-after_s / 0.03)) * np.exp(-after_s / rng.uniform(0.15, 0.8))


@cache
def _slow_waves(num_samples: int) -> np.ndarray:
    """Sines and cosines from 0.05 to 0.6 Hz, ``[24, samples]``, each lower in amplitude the faster it is."""
    hz = np.linspace(0.05, 0.60, 12)[:, None]
    phase = 2 * np.pi * hz * np.arange(num_samples) / ARTEFACT_RATE_HZ
    size = 1.0 / (1.0 + np.square(hz / 0.2))
    both = np.concatenate([size * np.sin(phase), size * np.cos(phase)])
    return both / np.sqrt(np.square(size).sum())
