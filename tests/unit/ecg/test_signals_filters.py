import numpy as np
import pytest
from scipy import signal

from lamae.ecg.preprocess import EcgPreprocessing, preprocess
from lamae.ecg.preprocess.filters import bandpass, notch, rational_ratio, resample
from lamae.ecg.preprocess.gaps import bridge, longer_than, resample_mask
from lamae.studies import Study, View, Views


def noise(num_leads: int, num_samples: int) -> np.ndarray:
    return np.random.default_rng(5).standard_normal((num_leads, num_samples))


@pytest.mark.parametrize(
    ("rate_hz", "new_rate_hz", "expected"),
    [
        (500.0, 100.0, (1, 5)),
        (1000.0, 100.0, (1, 10)),
        (257.0, 100.0, (100, 257)),
        (62.5, 100.0, (8, 5)),
        (499.9999, 100.0, (1, 5)),
        (100.0, 100.0, (1, 1)),
    ],
)
def test_ratio_of_rates(rate_hz, new_rate_hz, expected):
    assert rational_ratio(rate_hz, new_rate_hz) == expected


@pytest.mark.parametrize(
    ("up", "down", "num_samples"), [(1, 5, 995), (1, 2, 1006), (1, 10, 4990), (1, 3, 21), (5, 18, 997), (8, 5, 997)]
)
def test_resampling_is_scipys(up, down, num_samples):
    values = noise(3, num_samples) + 5.0
    np.testing.assert_allclose(
        resample(values, up, down), signal.resample_poly(values, up, down, axis=1, padtype="line"), atol=1e-12
    )


def test_a_straight_line_stays_one_whatever_the_length():
    line = 3.0 - 0.01 * np.arange(997)
    np.testing.assert_allclose(resample(line[None], 1, 5)[0], line[::5], atol=1e-12)


def test_resampling_in_single_precision_stays_close():
    values = noise(3, 4999)
    single = resample(values.astype(np.float32), 1, 5)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, resample(values, 1, 5), atol=2e-6)


def test_bandpass_is_scipys():
    values = noise(3, 1009)
    design = signal.butter(3, (0.5, 40.0), btype="bandpass", fs=100.0, output="sos")
    expected = np.stack([signal.sosfiltfilt(design, row, padlen=200) for row in values])
    np.testing.assert_allclose(bandpass(values, 100.0, (0.5, 40.0), 3), expected, atol=1e-10)


def test_bandpass_moves_nothing_in_time_and_removes_drift():
    times = np.arange(1000) / 100.0
    beat, drift = np.sin(2 * np.pi * 10 * times), 3.0 + 2.0 * np.sin(2 * np.pi * 0.05 * times)
    filtered = bandpass((beat + drift)[None], 100.0, (0.5, 40.0), 3)[0]
    np.testing.assert_allclose(filtered[200:-200], beat[200:-200], atol=0.02)


def test_bandpass_has_half_the_amplitude_at_its_edges():
    times = np.arange(100_000) / 100.0
    filtered = bandpass(np.sin(2 * np.pi * 40.0 * times)[None], 100.0, (0.5, 40.0), 3)[0]
    assert np.sqrt(2) * filtered[5000:-5000].std() == pytest.approx(0.5, rel=1e-3)


def test_notch_removes_the_powerline_and_little_else():
    times = np.arange(10_000) / 500.0
    mains, beat = np.sin(2 * np.pi * 50 * times), np.sin(2 * np.pi * 12 * times)
    filtered = notch((mains + beat)[None], 500.0, 50.0)[0]
    np.testing.assert_allclose(filtered[1500:-1500], beat[1500:-1500], atol=0.01)


def test_preprocess_filters_after_resampling():
    values = noise(1, 5000).astype(np.float32)
    study = Study(study_id="s", views=Views([View(name="V2", values=values[0], rate_hz=500.0)]))
    config = EcgPreprocessing(notch_hz=25.0)
    expected = bandpass(notch(resample(values, 1, 5), 100.0, 25.0), 100.0, (0.5, 40.0), 3)
    prepared = preprocess(study, config)
    np.testing.assert_allclose(prepared.values * prepared.scale[:, None], expected, atol=0.00051)


def test_a_recording_shorter_than_the_edges_can_be_filtered():
    assert bandpass(noise(2, 61), 100.0, (0.5, 40.0), 3).shape == (2, 61)


def test_bridging_worked_by_hand():
    nan = np.nan
    values = np.array([[nan, 1.0, nan, nan, 4.0, nan], [nan] * 6, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
    filled = bridge(values, np.isnan(values))
    np.testing.assert_array_equal(filled, [[1.0, 1.0, 2.0, 3.0, 4.0, 4.0], [0.0] * 6, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])


def test_long_gaps_worked_by_hand():
    missing = np.array([[1, 1, 0, 1, 0, 1, 1, 1], [0, 1, 0, 0, 1, 1, 0, 1]], dtype=bool)
    np.testing.assert_array_equal(
        longer_than(missing, 1), np.array([[1, 1, 0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1, 0, 0]], dtype=bool)
    )
    np.testing.assert_array_equal(longer_than(missing, 0), missing)


def test_masks_through_resampling_worked_by_hand():
    missing = np.array([[0, 0, 0, 1, 0, 0, 0]], dtype=bool)
    # New samples lie at old positions 0, 2, 4, 6 and at 0, 0.5, 1, ... 6.
    np.testing.assert_array_equal(resample_mask(missing, 1, 2, 4), [[False, False, False, False]])
    np.testing.assert_array_equal(np.flatnonzero(resample_mask(missing, 2, 1, 13)[0]), [5, 6, 7])
    # At 0, 1.5, 3, 4.5.
    np.testing.assert_array_equal(np.flatnonzero(resample_mask(missing, 2, 3, 4)[0]), [2])


@pytest.mark.parametrize("rate_hz", [1000.0, 500.0, 250.0])
@pytest.mark.parametrize(
    ("of_new_rate", "amplitude"), [(0.1, 1.0), (0.42, 0.998), (0.45, 0.93), (0.47, 0.80), (0.49, 0.61), (0.55, 0.07)]
)
def test_the_low_pass_of_resampling_is_what_the_docs_say(rate_hz, of_new_rate, amplitude):
    """docs/signals.md: amplitudes of sines near half the new rate (100 Hz)."""
    time_s = np.arange(round(10 * rate_hz)) / rate_hz
    sine = np.sin(2 * np.pi * 100 * of_new_rate * time_s)[None]
    found = resample(sine, *rational_ratio(rate_hz, 100.0))[0, 250:750]
    assert np.sqrt(2 * np.mean(found**2)) == pytest.approx(amplitude, abs=0.006)
