"""Electrode noise in mV: baseline wander, muscle, mains, motion.

Noise is added to the potentials and not to the leads, so that the limb leads of a noisy recording still obey
Einthoven's and Goldberger's equations, as in a real machine.
"""

from dataclasses import asdict, dataclass

import numpy as np

from lamae.ecg.noise import artefacts

_NUM_ELECTRODES = 9


@dataclass(frozen=True, kw_only=True)
class NoiseLevels:
    """Noise levels of a recording.

    Attributes:
        wander_mv: Standard deviation of baseline wander.
        muscle_mv: Standard deviation of muscle noise.
        mains_mv: Amplitude of mains interference.
        mains_hz: Mains frequency, 60 or 50.
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
"""Levels of a recording without noise."""


def draw_levels(rng: np.random.Generator) -> NoiseLevels:
    """Draw the noise levels of a study from long-tailed distributions: most are clean."""
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
    """Draw noise ``[9, samples]`` in mV."""
    contact = np.exp(rng.normal(0.0, 0.3, (_NUM_ELECTRODES, 1)))
    if levels.bad_electrode >= 0:
        contact[levels.bad_electrode] *= 6.0
    noise = contact * levels.wander_mv * artefacts.wander(rng, _NUM_ELECTRODES, num_samples)
    noise += contact * levels.muscle_mv * artefacts.muscle(rng, _NUM_ELECTRODES, num_samples)
    noise += contact * levels.mains_mv * artefacts.mains(rng, _NUM_ELECTRODES, num_samples, hz=levels.mains_hz)
    for _ in range(levels.motion_events):
        electrode, start = int(rng.integers(_NUM_ELECTRODES)), int(rng.integers(num_samples))
        noise[electrode, start:] += artefacts.jump(rng, num_samples - start)
    return noise
