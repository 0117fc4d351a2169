import numpy as np
import pytest

from lamae.ecg.measure.p_wave import measure_p_wave


def rhythm(p_mv: float, r_mv: float, *, rate_hz: float, p_s: float = 0.16, qrs_sd_s: float = 0.012) -> np.ndarray:
    """Ten seconds, 75 beats a minute: P before R by ``p_s``."""
    times = np.arange(round(10 * rate_hz)) / rate_hz
    total = np.zeros(len(times))
    for r_s in np.arange(0.4, 10, 0.8):
        total += p_mv * np.exp(-0.5 * ((times - r_s + p_s) / 0.02) ** 2)
        total += r_mv * np.exp(-0.5 * ((times - r_s) / qrs_sd_s) ** 2)
    return total


@pytest.mark.parametrize("rate_hz", [100.0, 257.0, 500.0])
def test_heights_and_directions_are_those_that_were_drawn(rate_hz):
    leads = np.stack([rhythm(p, r, rate_hz=rate_hz) for p, r in ((0.11, 1.0), (-0.07, 0.5), (0.0, -0.9))])
    found = measure_p_wave(leads, rate_hz)
    assert found is not None
    np.testing.assert_allclose(found.heights_mv, [0.11, -0.07, 0.0], atol=0.012)
    assert found.errors_mv.max() < 0.003
    assert found.qrs_s == pytest.approx(0.06, abs=0.031)


def test_wander_and_an_offset_do_not_pass_for_a_p_wave():
    lead = rhythm(0.0, 1.0, rate_hz=100) + np.linspace(2.0, 5.0, 1000)
    found = measure_p_wave(np.stack([lead, lead]), 100)
    assert found is not None
    assert np.abs(found.heights_mv).max() < 1e-3


def test_waves_that_do_not_keep_step_with_the_beats_have_a_large_error():
    rng = np.random.default_rng(3)
    fibrillation = 0.05 * np.sin(2 * np.pi * 6.1 * np.arange(1000) / 100 + np.cumsum(rng.normal(0, 0.3, 1000)))
    found = measure_p_wave(np.stack([rhythm(0.0, 1.0, rate_hz=100) + fibrillation] * 2), 100)
    assert found is not None
    assert found.errors_mv.min() > 0.005


def test_a_broad_complex_is_measured_as_broad():
    found = measure_p_wave(rhythm(0.1, 1.0, rate_hz=100, p_s=0.22, qrs_sd_s=0.045)[None], 100)
    assert found is not None
    assert found.qrs_s > 0.18


@pytest.mark.parametrize("num_samples", [3, 97, 151])
def test_fewer_than_three_whole_beats_are_none(num_samples):
    assert measure_p_wave(rhythm(0.1, 1.0, rate_hz=100)[None, :num_samples], 100) is None


def test_silence_is_none():
    assert measure_p_wave(np.zeros((2, 1009)), 100) is None
