"""Hand-made features on synthetic beats whose intervals, amplitudes and axes are known."""

import numpy as np
import pytest

from lamae.ecg.leads import LEADS
from lamae.ecg.measure.features import FEATURES, LEAD_FEATURES, measure
from lamae.ecg.measure.median_beat import find_beats, lead_trust, to_analysis_rate
from lamae.studies import MISSING_CODE, PreparedStudy

GAIN = {"I": 0.6, "II": 1.0, "V1": -0.8, "V2": -0.5, "V3": 0.3, "V4": 0.9, "V5": 1.1, "V6": 0.8}


def bump(times_s: np.ndarray, start_s: float, width_s: float) -> np.ndarray:
    """Return a raised cosine of height 1 that lasts exactly from ``start_s`` for ``width_s``."""
    phase = (times_s - start_s) / width_s
    return np.where((phase > 0) & (phase < 1), 0.5 - 0.5 * np.cos(2 * np.pi * phase), 0.0)


def heart(
    rate_hz: float = 500.0,
    rr_s: float | np.ndarray = 0.85,
    pr_s: float = 0.16,
    qrs_s: float = 0.10,
    st_mv: float = 0.0,
    p_mv: float = 0.12,
    noise_mv: float = 0.004,
    duration_s: float = 10.0,
    seed: int = 0,
) -> PreparedStudy:
    """Beats of a P (90 ms), an R of 1 mV in lead II as one bump as long as the QRS, and a T of 180 ms, 0.3 mV."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(duration_s * rate_hz)) / rate_hz
    starts = np.cumsum(np.broadcast_to(rr_s, 60)) - 0.4
    p = sum(bump(times, start - pr_s, 0.09) for start in starts)
    qrs = sum(bump(times, start, qrs_s) for start in starts)
    after = sum(bump(times, start + qrs_s + 0.08, 0.18) for start in starts)
    st = sum(((times > start + qrs_s) & (times < start + qrs_s + 0.17)).astype(float) for start in starts)
    gains = GAIN | {
        "aVR": -(GAIN["I"] + GAIN["II"]) / 2,
        "aVL": GAIN["I"] - GAIN["II"] / 2,
        "aVF": GAIN["II"] - GAIN["I"] / 2,
    }
    gains["III"] = GAIN["II"] - GAIN["I"]
    wave = p_mv * p + qrs + 0.3 * after
    signal = np.stack([gains[lead] * wave + (st_mv if lead == "V3" else 0) * st for lead in LEADS])
    signal = signal + rng.normal(scale=noise_mv, size=signal.shape)
    values = np.round(signal * 1000).astype(np.int16)
    return PreparedStudy.of_waveforms(
        view_names=LEADS,
        values=values,
        scale=np.full(12, 0.001, np.float32),
        rate_hz=rate_hz,
        has_missing=False,
    )


@pytest.mark.parametrize("rate_hz", [100.0, 250.0, 257.0, 500.0])
@pytest.mark.parametrize("qrs_s", [0.08, 0.14])
def test_intervals_at_any_rate(rate_hz: float, qrs_s: float):
    found = measure(heart(rate_hz=rate_hz, qrs_s=qrs_s))
    assert found["heart_rate_bpm"] == pytest.approx(60 / 0.85, rel=0.01)
    assert found["qrs_ms"] == pytest.approx(1000 * qrs_s, abs=14)
    assert found["pr_ms"] == pytest.approx(160, abs=20)
    # The steepest tangent of a raised cosine of half width h meets zero at (1/2 + 1/pi) h after its peak.
    qt_ms = 1000 * (qrs_s + 0.08 + 0.09 + 0.09 * (0.5 + 1 / np.pi))
    assert found["qt_ms"] == pytest.approx(qt_ms, abs=20)
    assert found["qtc_bazett_ms"] == pytest.approx(found["qt_ms"] / np.sqrt(0.85), rel=0.01)
    assert found["p_present"] == 1.0


@pytest.mark.parametrize("pr_s", [0.12, 0.20, 0.28])
def test_pr_follows_the_p_wave(pr_s: float):
    assert measure(heart(pr_s=pr_s, rr_s=1.0))["pr_ms"] == pytest.approx(1000 * pr_s, abs=20)


def test_amplitudes_and_indices():
    found = measure(heart())
    assert found["II_r_mv"] == pytest.approx(1.0, abs=0.04)
    assert found["V1_s_mv"] == pytest.approx(-0.8, abs=0.04)
    assert found["V1_r_mv"] == pytest.approx(0.0, abs=0.03)
    assert found["V1_q_mv"] == found["V1_s_mv"]  # a QS complex is both
    assert found["II_p_mv"] == pytest.approx(0.12, abs=0.02)
    assert found["II_t_mv"] == pytest.approx(0.3, abs=0.03)
    assert found["V1_t_mv"] == pytest.approx(-0.24, abs=0.03)
    assert found["II_qrs_area_mv_ms"] == pytest.approx(50, abs=3)  # half of the width times the height
    assert found["sokolow_lyon_mv"] == pytest.approx(0.8 + 1.1, abs=0.06)
    assert found["cornell_mv"] == pytest.approx(0.1, abs=0.05)
    assert found["II_noise_mv"] < 0.01


def test_axis_is_that_of_leads_one_and_avf():
    found = measure(heart())
    expected = np.degrees(np.arctan2((1.0 - 0.3) * 2 / np.sqrt(3), 0.6))
    assert found["qrs_axis_deg"] == pytest.approx(expected, abs=2)
    assert found["qrs_axis_sin"] == pytest.approx(np.sin(np.radians(expected)), abs=0.03)
    assert found["frontal_qrs_t_angle_deg"] < 5
    assert found["spatial_qrs_t_angle_deg"] < 5


def test_st_elevation_in_one_lead():
    found = measure(heart(st_mv=0.25))
    assert found["V3_st_j60_mv"] == pytest.approx(0.25, abs=0.04)
    assert found["V5_st_j60_mv"] == pytest.approx(0.0, abs=0.04)


def test_irregular_rhythm_without_p_waves():
    rng = np.random.default_rng(7)
    chaotic = measure(heart(rr_s=rng.uniform(0.5, 1.1, size=60), p_mv=0.0, noise_mv=0.01))
    regular = measure(heart())
    assert chaotic["rr_irregularity"] > 0.1 > 0.02 > regular["rr_irregularity"]
    assert chaotic["rr_rmssd_ms"] > 100
    assert chaotic["p_present"] == 0.0
    assert np.isnan(chaotic["pr_ms"])
    assert chaotic["p_consistency"] < 0.5 < regular["p_consistency"]


def test_rr_variability_by_hand():
    # RR of 0.8 and 1.0 s in turn: steps of 200 ms, and a standard deviation of about 100 ms.
    found = measure(heart(rr_s=np.tile([0.8, 1.0], 30)))
    assert found["rr_rmssd_ms"] == pytest.approx(200, abs=3)
    assert found["rr_sdnn_ms"] == pytest.approx(105, abs=8)


@pytest.mark.parametrize("bpm", [38, 71, 149, 191])
def test_beats_are_counted_once(bpm: int):
    study = heart(rr_s=60 / bpm, qrs_s=0.08, pr_s=0.11, noise_mv=0.02)
    assert measure(study)["heart_rate_bpm"] == pytest.approx(bpm, rel=0.03)


def test_a_faulty_lead_does_not_hide_the_beats():
    study = heart(noise_mv=0.01)
    values = study.values.copy()
    values[LEADS.index("V2")] = np.random.default_rng(1).integers(-5000, 5000, size=values.shape[1])
    values[LEADS.index("V6")] = 0
    found = measure(study.with_waveforms(values, study.scale))
    assert found["heart_rate_bpm"] == pytest.approx(60 / 0.85, rel=0.01)
    assert found["num_leads_measured"] == 11
    assert np.isnan(found["V6_r_mv"])
    assert found["V2_noise_mv"] > 1


def test_features_do_not_depend_on_lead_order_and_absent_leads_are_nan():
    study = heart()
    order = [7, 2, 0, 1, 11]
    part = PreparedStudy.of_waveforms(
        view_names=tuple(LEADS[row] for row in order),
        values=study.values[order],
        scale=study.scale[order],
        rate_hz=study.rate_hz,
        has_missing=False,
    )
    found = measure(part)
    assert list(found) == list(FEATURES)
    assert found["num_leads_measured"] == 5
    assert found["qrs_ms"] == pytest.approx(100, abs=14)
    for lead in set(LEADS) - set(part.view_names):
        assert all(np.isnan(found[f"{lead}_{feature}"]) for feature in LEAD_FEATURES)
    assert np.isnan(found["spatial_qrs_t_angle_deg"])
    sorted_order = sorted(order)
    again = PreparedStudy.of_waveforms(
        view_names=tuple(LEADS[row] for row in sorted_order),
        values=study.values[sorted_order],
        scale=study.scale[sorted_order],
        rate_hz=study.rate_hz,
        has_missing=False,
    )
    assert measure(again) == pytest.approx(found, nan_ok=True)


def test_missing_samples_and_padding():
    study = heart()
    values = study.values.copy()
    values[:, 4000:] = MISSING_CODE
    values[3, 1000:1100] = MISSING_CODE
    values[5, 300:] = MISSING_CODE
    found = measure(study.with_waveforms(values, study.scale))
    assert found["heart_rate_bpm"] == pytest.approx(60 / 0.85, rel=0.01)
    assert found["num_leads_measured"] == 11  # aVF was recorded for less than half of the time
    assert np.isfinite(found["aVR_r_mv"])


@pytest.mark.parametrize("value", [0, MISSING_CODE])
def test_nothing_to_measure(value: int):
    values = np.full((12, 1000), value, np.int16)
    study = PreparedStudy.of_waveforms(
        view_names=LEADS, values=values, scale=np.full(12, 0.001, np.float32), rate_hz=100.0, has_missing=value != 0
    )
    found = measure(study)
    assert found["num_leads_measured"] == 0
    assert np.isnan([value for name, value in found.items() if name != "num_leads_measured"]).all()


def test_noise_and_short_records_do_not_fail():
    rng = np.random.default_rng(0)
    for length in (150, 151, 997):
        values = rng.integers(-300, 300, size=(12, length)).astype(np.int16)
        study = PreparedStudy.of_waveforms(
            view_names=LEADS, values=values, scale=np.full(12, 0.001, np.float32), rate_hz=100.0, has_missing=False
        )
        assert list(measure(study)) == list(FEATURES)


def test_a_faster_heart():
    assert measure(heart(rr_s=0.6))["heart_rate_bpm"] == pytest.approx(100, rel=0.01)


def test_beats_of_silence_are_none():
    assert len(find_beats(np.zeros((3, 500)), 250.0, lead_trust(np.zeros((3, 500))))) == 0
    signal, rate_hz = to_analysis_rate(np.zeros((2, 1000), np.float32), 100.0)
    assert rate_hz == 250.0
    assert signal.shape == (2, 2500)
