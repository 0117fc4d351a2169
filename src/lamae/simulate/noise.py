"""What else the electrodes pick up: breathing, muscles, mains, motion. All of it in mV at each electrode.

Noise sits on the potentials and not on the leads, so that the limb leads of a noisy recording still obey Einthoven's
and Goldberger's equations, as those of a real machine do.
"""

from dataclasses import asdict, dataclass
from functools import cache

import numpy as np

from lamae.simulate.heart import RATE_HZ

_NUM_ELECTRODES = 9


@dataclass(frozen=True, kw_only=True)
class NoiseLevels:
    """How noisy one recording is.

    Attributes:
        wander_mv: Standard deviation of baseline wander.
        muscle_mv: Standard deviation of muscle noise.
        mains_mv: Amplitude of mains interference.
        mains_hz: Its frequency, 60 or 50.
        motion_events: Number of electrode movements.
        bad_electrode: Index of an electrode with poor contact, -1 for none.
    """

    wander_mv: float
    muscle_mv: float
    mains_mv: float
    mains_hz: float
    motion_events: int
    bad_electrode: int

    def as_dict(self) -> dict[str, float]:
        """Return the levels for the truth table."""
        return {f"noise_{name}": value for name, value in asdict(self).items()}


SILENCE = NoiseLevels(wander_mv=0.0, muscle_mv=0.0, mains_mv=0.0, mains_hz=60.0, motion_events=0, bad_electrode=-1)
"""No noise at all."""


def draw_levels(rng: np.random.Generator) -> NoiseLevels:
    """Draw the noise of a study: most are clean, the tails are long."""
    wander, muscle, mains = np.exp(rng.normal(np.log([0.040, 0.010, 0.003]), [0.7, 0.6, 1.0]))
    return NoiseLevels(
        wander_mv=float(min(wander, 0.5)),
        muscle_mv=float(min(muscle, 0.08)),
        mains_mv=float(min(mains, 0.06)),
        mains_hz=60.0 if rng.random() < 0.97 else 50.0,
        motion_events=int(rng.poisson(0.25)),
        bad_electrode=int(rng.integers(_NUM_ELECTRODES)) if rng.random() < 0.04 else -1,
    )


def electrode_noise(levels: NoiseLevels, rng: np.random.Generator, *, num_samples: int) -> np.ndarray:
    """Return noise ``[9, samples]`` in mV."""
    contact = np.exp(rng.normal(0.0, 0.3, (_NUM_ELECTRODES, 1)))
    if levels.bad_electrode >= 0:
        contact[levels.bad_electrode] *= 6.0
    noise = contact * levels.wander_mv * _wander(rng, num_samples)
    noise += contact * levels.muscle_mv * _muscle(rng, num_samples)
    noise += contact * levels.mains_mv * _mains(rng, levels.mains_hz, num_samples)
    for _ in range(levels.motion_events):
        _add_motion(noise, rng)
    return noise


@cache
def _slow_waves(num_samples: int) -> np.ndarray:
    """Sines and cosines from 0.05 to 0.6 Hz, ``[24, samples]``, each lower in amplitude the faster it is."""
    hz = np.linspace(0.05, 0.60, 12)[:, None]
    phase = 2 * np.pi * hz * np.arange(num_samples) / RATE_HZ
    size = 1.0 / (1.0 + np.square(hz / 0.2))
    both = np.concatenate([size * np.sin(phase), size * np.cos(phase)])
    return both / np.sqrt(np.square(size).sum())


def _wander(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    return rng.normal(size=(_NUM_ELECTRODES, 24)) @ _slow_waves(num_samples)


def _muscle(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Noise of about 20 to 150 Hz with a slow envelope: a difference of neighbours, then a mean of neighbours."""
    white = rng.standard_normal((_NUM_ELECTRODES, num_samples + 3), dtype=np.float32)
    shaped = white[:, 1:-2] + white[:, 2:-1] - 0.7 * (white[:, :-3] + white[:, 3:])
    envelope = 1.0 + 0.5 * np.clip(rng.normal(size=(1, 24)) @ _slow_waves(num_samples), -1.5, 3.0)
    return shaped * (envelope / 1.73).astype(np.float32)


def _mains(rng: np.random.Generator, hz: float, num_samples: int) -> np.ndarray:
    phase = 2 * np.pi * hz * np.arange(num_samples) / RATE_HZ
    parts = rng.normal(size=(_NUM_ELECTRODES, 2)) / np.sqrt(2.0)
    return parts @ np.stack([np.sin(phase), np.cos(phase)])


def _add_motion(noise: np.ndarray, rng: np.random.Generator) -> None:
    """One electrode jumps and comes back within a second or so."""
    electrode, start = int(rng.integers(_NUM_ELECTRODES)), int(rng.integers(noise.shape[1]))
    after_s = np.arange(noise.shape[1] - start) / RATE_HZ
    size = rng.normal(0.0, 0.5)
    noise[electrode, start:] += size * (1.0 - np.exp(-after_s / 0.03)) * np.exp(-after_s / rng.uniform(0.15, 0.8))
