from dataclasses import replace

import numpy as np
import pytest

from lamae.ecg.leads import LEADS
from lamae.ecg.preprocess import EcgPreprocessing, check_leads, preprocess
from lamae.ecg.preprocess.lead_identity import CORRECTIONS, repair
from lamae.ecg.simulate import simulate_study
from lamae.studies import Study, View, Views

RATE_HZ = 100.0
CONFIG = EcgPreprocessing(bandpass_hz=None)
LIMB_LEADS = LEADS[:6]


def wave(height_mv: float, centre_s: float, width_s: float, times: np.ndarray) -> np.ndarray:
    return height_mv * np.exp(-0.5 * ((times - centre_s) / width_s) ** 2)


def beats(p_mv: float, r_mv: float, t_mv: float, r_sd_s: float = 0.012) -> np.ndarray:
    """Ten seconds of sinus rhythm, 75 a minute: P 160 ms before R, T 280 ms after it."""
    times = np.arange(1000) / RATE_HZ
    total = np.zeros(1000)
    for r_s in np.arange(0.4, 10, 0.8):
        total += wave(p_mv, r_s - 0.16, 0.02, times) + wave(r_mv, r_s, r_sd_s, times)
        total += wave(t_mv, r_s + 0.28, 0.05, times)
    return total


def healthy() -> dict[str, np.ndarray]:
    """A heart with a normal axis; V1 to V5 stand between a negative V1 and a positive V6."""
    one, two = beats(0.08, 0.8, 0.2), beats(0.15, 1.1, 0.3)
    limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    first, last = beats(0.05, -0.9, -0.1), beats(0.09, 1.3, 0.35)
    chest = [first + (last - first) * share for share in np.linspace(0, 1, 6)]
    return dict(zip(LEADS, limb + chest, strict=True))


def with_limb_leads(one: np.ndarray, two: np.ndarray) -> dict[str, np.ndarray]:
    """Return the healthy chest leads with other limb leads."""
    limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return healthy() | dict(zip(LIMB_LEADS, limb, strict=True))


def record_as(fault: str, leads: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what is recorded when a fault hides the true leads."""
    recorded = dict(leads)
    for true, (label, sign) in CORRECTIONS[fault].items():
        recorded[label] = sign * leads[true]
    return recorded


def as_study(leads: dict[str, np.ndarray], rate_hz: float = RATE_HZ) -> Study:
    views = Views(View(name=name, values=row.astype(np.float32), rate_hz=rate_hz) for name, row in leads.items())
    return Study(study_id="s1", views=views)


def test_equations_worked_by_hand():
    one, two = np.array([1.0, 2.0, -1.0]), np.array([3.0, -2.0, 1.0])
    leads = {
        "I": one,
        "II": two,
        "III": np.array([2.0, -4.0, 2.0]),
        "aVR": np.array([-2.0, 0.0, 0.0]),
        "aVL": np.array([-0.5, 3.0, -1.5]),
        "aVF": np.array([2.5, -3.0, 1.5]),
    }
    assert check_leads(leads).residuals == {"III": 0.0, "aVR": 0.0, "aVL": 0.0, "aVF": 0.0}
    leads["III"] = np.array([2.0, -4.0, 5.0])
    # Differences 0, 0, 3: standard deviation sqrt(2), over that of 2, -4, 2: sqrt(8).
    assert check_leads(leads).residuals["III"] == pytest.approx(0.5)
    assert check_leads(leads).study_flags == ("limb-identity-broken",)


def test_a_healthy_recording_has_no_flags():
    identity = check_leads(healthy(), rate_hz=RATE_HZ)
    assert identity.study_flags == ()
    assert identity.correction == {}
    assert max(identity.residuals.values()) < 1e-12


@pytest.mark.parametrize("fault", CORRECTIONS)
def test_each_fault_is_found_and_its_repair_gives_the_true_leads(fault):
    recorded = record_as(fault, healthy())
    identity = check_leads(recorded, rate_hz=RATE_HZ)
    assert identity.study_flags == (fault,)
    repaired = repair(recorded, identity)
    for name, values in healthy().items():
        np.testing.assert_allclose(repaired[name], values, atol=1e-12)


@pytest.mark.parametrize("fault", CORRECTIONS)
def test_preprocess_reports_and_repairs_only_when_asked(fault):
    recorded, truth = as_study(record_as(fault, healthy())), preprocess(as_study(healthy()), CONFIG)
    reported = preprocess(recorded, CONFIG)
    assert reported.study_flags == (fault,)
    assert (reported.values[:6] != truth.values[:6]).any()
    repaired = preprocess(recorded, replace(CONFIG, lead_identity="repair"))
    assert repaired.study_flags == (fault, "lead-identity-repaired")
    assert repaired.view_names == LEADS
    np.testing.assert_allclose(repaired.values, truth.values, atol=1)
    assert preprocess(recorded, replace(CONFIG, lead_identity="off")).study_flags == ()


def test_flags_of_leads_move_with_a_repair():
    leads = record_as("avf-avl-swapped", healthy())
    leads["aVF"] = np.where(np.arange(1000) == 503, np.nan, leads["aVF"])
    assert preprocess(as_study(leads), CONFIG).flags == {"aVF": ("missing-samples",)}
    repaired = preprocess(as_study(leads), replace(CONFIG, lead_identity="repair"))
    assert repaired.flags == {"aVL": ("missing-samples",)}


def test_noise_and_rounding_do_not_break_the_equations():
    rng = np.random.default_rng(0)
    leads = {name: np.round(values + 0.004 * rng.standard_normal(1000), 2) for name, values in healthy().items()}
    identity = check_leads(leads, rate_hz=RATE_HZ)
    assert identity.study_flags == ()
    assert 0.01 < max(identity.residuals.values()) < 0.2


def test_a_limb_lead_that_is_none_breaks_the_equations():
    leads = healthy() | {"III": healthy()["V1"]}
    assert check_leads(leads, rate_hz=RATE_HZ).study_flags == ("limb-identity-broken",)


def test_without_p_waves_nothing_is_said_about_electrodes():
    without_p = {name: values.copy() for name, values in healthy().items()}
    one, two, six = beats(0, 0.8, 0.2), beats(0, 1.1, 0.3), beats(0, 1.3, 0.35)
    without_p |= {"I": one, "II": two, "III": two - one, "aVR": -(one + two) / 2, "V6": six}
    without_p |= {"aVL": one - two / 2, "aVF": two - one / 2}
    assert check_leads(record_as("limb-leads-reversed-ra-la", without_p), rate_hz=RATE_HZ).study_flags == ()


def test_a_left_axis_with_a_normal_p_wave_is_an_axis():
    """QRS points away from II, as in left anterior fascicular block, but P does not."""
    leads = with_limb_leads(beats(0.08, 0.8, 0.2), beats(0.12, -0.9, 0.1))
    assert check_leads(leads, rate_hz=RATE_HZ).study_flags == ()


def test_an_inverted_p_wave_before_an_upright_complex_is_a_rhythm():
    """P points away from II, as in a low atrial or junctional rhythm, while lead I resembles V6."""
    leads = with_limb_leads(beats(0.03, 0.8, 0.2), beats(-0.12, 1.1, 0.3))
    assert check_leads(leads, rate_hz=RATE_HZ).study_flags == ()


def test_broad_complexes_say_nothing_about_electrodes():
    broad = {name: beats(0.02 * p, r, 0.1, r_sd_s=0.05) for name, p, r in (("I", -4, -0.9), ("V6", 4, 1.0))}
    leads = with_limb_leads(broad["I"], beats(0.08, -0.5, 0.1, r_sd_s=0.05)) | {"V6": broad["V6"]}
    assert check_leads(leads, rate_hz=RATE_HZ).study_flags == ()


def test_a_mirror_image_of_v6_needs_no_clear_p_wave():
    six = beats(0.0, 1.3, 0.35)
    leads = with_limb_leads(-0.7 * six, beats(0.04, 0.6, 0.1)) | {"V6": six}
    assert check_leads(leads, rate_hz=RATE_HZ).study_flags == ("limb-leads-reversed-ra-la",)
    leads = with_limb_leads(-0.7 * six + beats(0.09, 0, 0), beats(0.04, 0.6, 0.1)) | {"V6": six}
    assert check_leads(leads, rate_hz=RATE_HZ).study_flags == ()


@pytest.mark.parametrize("condition", ["paced", "left_bundle_branch_block", "left_anterior_fascicular_block"])
def test_simulated_disease_does_not_pass_for_a_reversal(condition):
    flags = [
        preprocess(simulate_study(seed, conditions={condition: 0.9}, clean=True)[0], EcgPreprocessing()).study_flags
        for seed in range(13)
    ]
    assert flags == [()] * 13


@pytest.mark.parametrize(("arm", "flag"), [("RA", "limb-leads-reversed-ra-rl"), ("LA", "limb-leads-reversed-la-rl")])
def test_an_arm_exchanged_with_the_neutral_electrode_leaves_a_lead_between_two_legs(arm, flag):
    """With the arm's electrode on a leg its potential is LL's: II = LL - RA, or III = LL - LA, is nearly 0."""
    one, two = healthy()["I"], healthy()["II"]
    leads = with_limb_leads(one - two, 0.01 * two) if arm == "RA" else with_limb_leads(two, two - 0.01 * (two - one))
    identity = check_leads(leads, rate_hz=RATE_HZ)
    assert identity.study_flags == (flag,)
    assert identity.correction == {}


def test_silent_limb_leads_together_say_nothing_about_electrodes():
    silent = {name: 0.001 * values for name, values in healthy().items()}
    assert check_leads(silent, rate_hz=RATE_HZ).study_flags == ()


@pytest.mark.parametrize("absent", [("V5", "V6"), ("I",), ("II",)])
def test_without_the_needed_leads_nothing_is_said(absent):
    recorded = record_as("limb-leads-reversed-ra-la", healthy())
    left = {name: values for name, values in recorded.items() if name not in absent}
    assert check_leads(left, rate_hz=RATE_HZ).study_flags == ()


def test_too_few_beats_say_nothing():
    recorded = record_as("limb-leads-reversed-ra-la", healthy())
    assert check_leads({name: row[:150] for name, row in recorded.items()}, rate_hz=RATE_HZ).study_flags == ()


def test_a_study_is_checked_without_its_gaps():
    leads = record_as("avf-avl-swapped", healthy())
    leads["V3"] = leads["V3"].copy()
    leads["V3"][100:203] = np.nan
    assert check_leads(as_study(leads)).study_flags == ("avf-avl-swapped",)


def test_a_study_of_differing_rates_is_not_checked():
    views = [
        View(name="I", values=np.zeros(7, np.float32), rate_hz=100.0),
        View(name="II", values=np.zeros(11, np.float32), rate_hz=200.0),
    ]
    assert check_leads(Study(study_id="s", views=Views(views))).residuals == {}


def test_a_repair_without_the_recorded_lead_leaves_the_true_one_out():
    recorded = record_as("limb-leads-reversed-ra-la", healthy())
    del recorded["III"]
    study = preprocess(as_study(recorded), replace(CONFIG, lead_identity="repair"))
    assert "II" not in study.view_names
    assert "III" in study.view_names
