"""Artefacts: their size and band, and that the frozen simulator still makes the same noise of them."""

import numpy as np
import pytest
from scipy.signal import periodogram

from lamae.ecg.noise import artefacts
from lamae.ecg.simulate.noise import NoiseLevels, electrode_noise

NUM_SAMPLES = 5003


def share_of_power(values: np.ndarray, low_hz: float, high_hz: float) -> float:
    hz, power = periodogram(values, fs=artefacts.ARTEFACT_RATE_HZ, axis=1)
    return float(power[:, (hz >= low_hz) & (hz <= high_hz)].sum() / power.sum())


@pytest.mark.parametrize(
    ("make", "low_hz", "high_hz"),
    [
        (artefacts.wander, 0.0, 0.8),
        (artefacts.muscle, 20.0, 200.0),
        (lambda rng, rows, num: artefacts.mains(rng, rows, num, hz=50.0), 49.0, 51.0),
        (lambda rng, rows, num: artefacts.mains(rng, rows, num, hz=60.0), 59.0, 61.0),
    ],
)
def test_size_and_band(make, low_hz: float, high_hz: float):
    values = make(np.random.default_rng(5), 101, NUM_SAMPLES)
    assert values.shape == (101, NUM_SAMPLES)
    assert np.sqrt(np.square(values).mean()) == pytest.approx(1.0, abs=0.45)
    assert share_of_power(values, low_hz, high_hz) > 0.8


def test_a_jump_begins_at_nothing_and_comes_back():
    values = artefacts.jump(np.random.default_rng(2), NUM_SAMPLES)
    assert values[0] == 0
    assert np.abs(values).argmax() < 0.5 * artefacts.ARTEFACT_RATE_HZ
    assert abs(values[-1]) < 1e-3 * np.abs(values).max()


def test_the_frozen_simulator_makes_the_noise_that_it_made():
    """Figures of simulator 1.0, written down before the generators moved out of it."""
    levels = NoiseLevels(
        wander_mv=0.04, muscle_mv=0.01, mains_mv=0.003, mains_hz=60.0, motion_events=3, bad_electrode=4
    )
    noise = electrode_noise(levels, np.random.default_rng(17), num_samples=1237)
    np.testing.assert_allclose(noise[[0, 4, 8], [3, 700, 1236]], GOLDEN, rtol=1e-6)


GOLDEN = (-0.016441519407599088, -0.16594744583803842, 0.021042636739490406)
