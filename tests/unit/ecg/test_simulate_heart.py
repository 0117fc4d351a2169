"""The physics: lead vectors, dipole, beats; each condition changes the signal in the way that the docs state."""

import numpy as np
import pytest

from lamae.ecg.leads import LEADS
from lamae.ecg.simulate import CONDITIONS, simulate_study
from lamae.ecg.simulate.electrodes import (
    DOWER,
    FAULT_RATES,
    STANDARD_TORSO,
    draw_fault,
    electrode_field,
    fault_matrix,
    lead_matrix,
    rotation,
)
from lamae.ecg.simulate.heart import MARGIN_S, RATE_HZ, add_waves, waves
from lamae.ecg.simulate.rhythm import RHYTHMS
from lamae.errors import ConfigError, DataError
from lamae.studies import Study


def leads_of(study: Study) -> dict[str, np.ndarray]:
    return {name: view.values.astype(np.float64) for name, view in study.views.items()}


def clean(seed: int, **conditions: float) -> tuple[dict[str, np.ndarray], dict]:
    study, truth = simulate_study(seed, conditions=conditions, clean=True)
    return leads_of(study), truth


def r_peaks(leads: dict[str, np.ndarray]) -> np.ndarray:
    from scipy.signal import find_peaks

    speed = np.sqrt(sum(np.gradient(leads[name]) ** 2 for name in ("I", "aVF", "V2", "V5")))
    speed = np.convolve(speed, np.ones(41) / 41, mode="same")
    return find_peaks(speed, height=0.4 * speed.max(), distance=100)[0]


def median_beat(leads: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Each lead's median from 0.3 s before to 0.5 s after the QRS, zero before the P wave's end."""
    peaks = [peak for peak in r_peaks(leads) if 150 <= peak < 4750]
    return {name: np.median([values[p - 150 : p + 250] for p in peaks], axis=0) for name, values in leads.items()}


def qrs_width_ms(leads: dict[str, np.ndarray]) -> float:
    """How long some lead moves fast without 30 ms of rest, around the QRS of the median beat."""
    beat = median_beat(leads)
    speed = np.max([np.abs(np.gradient(values)) for values in beat.values()], axis=0)
    fast = np.flatnonzero(speed > 0.07 * speed[100:225].max())
    rests = np.flatnonzero(np.diff(fast) > 15)
    middle = np.searchsorted(fast, 100 + speed[100:225].argmax())
    first = max((rest + 1 for rest in rests if rest < middle), default=0)
    last = min((rest for rest in rests if rest >= middle), default=len(fast) - 1)
    return 2.0 * (fast[last] - fast[first])


def mean_beat_at(condition: str, lead: str, from_ms: float, to_ms: float, severity: float = 0.9) -> float:
    """Change of one lead (mV) that a condition makes at a time after the QRS, averaged over several patients."""
    change = []
    for seed in range(5):
        with_it, without = (median_beat(clean(seed, **c)[0])[lead] for c in ({condition: severity}, {}))
        window = slice(150 + int(from_ms / 2), 150 + int(to_ms / 2))
        change.append(with_it[window].mean() - without[window].mean())
    return float(np.mean(change))


def test_unit_dipoles_give_dowers_rows() -> None:
    field = lead_matrix(("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")) @ electrode_field(STANDARD_TORSO)
    np.testing.assert_allclose(field, DOWER, atol=1e-12)


def test_lead_matrix_by_hand() -> None:
    potentials = np.array([1.0, 2.0, 6.0, 4.0, 0, 0, 0, 0, 0])  # RA, LA, LL, V1; Wilson's terminal is 3
    expected = {"I": 1.0, "II": 5.0, "III": 4.0, "aVR": -3.0, "aVL": -1.5, "aVF": 4.5, "V1": 1.0}
    for name, value in expected.items():
        assert lead_matrix((name,)) @ potentials == pytest.approx(value)


def test_rotation_by_hand() -> None:
    np.testing.assert_allclose(rotation(np.array([0, 0, np.pi / 2])) @ [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], atol=1e-12)


@pytest.mark.parametrize("seed", [3, 5])
def test_limb_leads_obey_einthoven_and_goldberger_with_noise(seed: int) -> None:
    leads = leads_of(simulate_study(seed)[0])
    good = np.all([np.isfinite(values) for values in leads.values()], axis=0)
    assert good.mean() > 0.5
    for left, right in (
        (leads["III"], leads["II"] - leads["I"]),
        (leads["aVR"], -(leads["I"] + leads["II"]) / 2),
        (leads["aVL"], leads["I"] - leads["II"] / 2),
        (leads["aVF"], leads["II"] - leads["I"] / 2),
    ):
        np.testing.assert_allclose(left[good], right[good], atol=1e-5)


def test_swapped_arms_turn_lead_i_over_and_exchange_the_others() -> None:
    potentials = np.arange(9.0) ** 2
    swapped = lead_matrix() @ fault_matrix("swap-RA-LA") @ potentials
    straight = dict(zip(LEADS, lead_matrix() @ potentials, strict=True))
    expected = [-straight["I"], straight["III"], straight["II"], straight["aVL"], straight["aVR"], straight["aVF"]]
    np.testing.assert_allclose(swapped[:6], expected)


def test_faults_come_at_their_rates() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_fault(rng) for _ in range(20_000)]
    for fault, rate in FAULT_RATES.items():
        assert drawn.count(fault) / 20_000 == pytest.approx(rate, abs=0.0025)
        assert fault_matrix(fault).shape == (9, 9)


def test_unknown_fault_is_refused() -> None:
    with pytest.raises(DataError, match="unknown electrode fault 'swap-V1-LL'"):
        fault_matrix("swap-V1-LL")


def test_one_wave_by_hand() -> None:
    dipole = np.zeros((3, int((2 * MARGIN_S + 1) * RATE_HZ)))
    add_waves(dipole, waves((100, 20, 40, 1.0, -2.0, 0.5)), np.array([0.3]), gain=np.array([2.0]))
    peak = round((MARGIN_S + 0.4) * RATE_HZ)
    np.testing.assert_allclose(dipole[:, peak], [2.0, -4.0, 1.0], atol=1e-9)
    assert dipole[0, peak - 10] == pytest.approx(2.0 * np.exp(-0.5))  # 20 ms before
    assert dipole[0, peak + 20] == pytest.approx(2.0 * np.exp(-0.5))  # 40 ms after


def test_waves_outside_the_margins_are_left_out() -> None:
    dipole = np.zeros((3, 5 * RATE_HZ))
    add_waves(dipole, waves((0, 20, 20, 1.0, 1.0, 1.0)), np.array([-1.9, 2.9]))
    assert not dipole.any()


def test_normal_beats_look_normal() -> None:
    r_in_v5, s_in_v1, t_in_v5, p_in_ii, r_in_v1 = [], [], [], [], []
    for seed in range(11):
        leads, truth = clean(seed)
        assert truth["rhythm"] == "sinus"
        assert 50 <= truth["heart_rate_bpm"] <= 101
        assert 70 < qrs_width_ms(leads) < 118
        beat = median_beat(leads)
        r_in_v5.append(beat["V5"].max())
        s_in_v1.append(beat["V1"].min())
        r_in_v1.append(beat["V1"][100:200].max())
        t_in_v5.append(beat["V5"][220:].max())
        p_in_ii.append(beat["II"][50:115].max())
    assert 0.8 < np.median(r_in_v5) < 1.9
    assert -1.6 < np.median(s_in_v1) < -0.4
    assert np.median(r_in_v1) < 0.5
    assert 0.1 < np.median(t_in_v5) < 0.7
    assert 0.05 < np.median(p_in_ii) < 0.25


@pytest.mark.parametrize("seed", [2, 7])
@pytest.mark.parametrize("severity", [0.2, 0.9])
@pytest.mark.parametrize("name", ["left_bundle_branch_block", "right_bundle_branch_block"])
def test_bundle_branch_block_is_broad_and_points_the_right_way(name: str, severity: float, seed: int) -> None:
    leads, truth = clean(seed, **{name: severity})
    assert truth["qrs_ms"] > 120
    assert qrs_width_ms(leads) > 115
    late = median_beat(leads)
    if name == "left_bundle_branch_block":
        assert late["V1"].min() < -2 * late["V1"][75:225].max()
        assert late["V6"][140:190].mean() > 0
    else:
        assert late["V1"][160:215].max() > 0.15
        assert late["V6"][150:215].min() < -0.1


@pytest.mark.parametrize(
    ("condition", "up", "down"),
    [
        ("acute_anterior_infarction", "V3", "III"),
        ("acute_inferior_infarction", "III", "aVL"),
        ("acute_lateral_infarction", "aVL", "III"),
        ("pericarditis", "II", "aVR"),
    ],
)
def test_st_rises_over_the_territory_and_falls_opposite(condition: str, up: str, down: str) -> None:
    assert mean_beat_at(condition, up, 80, 120) > 0.08
    assert mean_beat_at(condition, down, 80, 120) < -0.04


@pytest.mark.parametrize(
    ("condition", "lead"),
    [("old_anterior_infarction", "V2"), ("old_inferior_infarction", "III"), ("old_lateral_infarction", "V6")],
)
def test_old_infarction_takes_from_the_start_of_the_qrs(condition: str, lead: str) -> None:
    assert mean_beat_at(condition, lead, -30, 0) < -0.1


def test_ischaemia_lowers_st_in_v5() -> None:
    assert mean_beat_at("subendocardial_infarction", "V5", 80, 120) < -0.08


def test_hypertrophy_raises_voltage() -> None:
    changes = []
    for seed in range(5):
        high, low = (median_beat(clean(seed, **c)[0]) for c in ({"left_ventricular_hypertrophy": 0.8}, {}))
        changes.append((high["V5"].max() - high["V1"].min()) / (low["V5"].max() - low["V1"].min()))
    assert np.median(changes) > 1.4


def test_right_hypertrophy_turns_the_axis_right() -> None:
    turned = [
        clean(s, right_ventricular_hypertrophy=0.8)[1]["qrs_axis_deg"] - clean(s)[1]["qrs_axis_deg"] for s in range(5)
    ]
    assert np.median(np.mod(turned, 360)) > 15


def test_left_anterior_fascicular_block_turns_the_axis_left() -> None:
    axes = [clean(seed, left_anterior_fascicular_block=0.7)[1]["qrs_axis_deg"] for seed in range(7)]
    assert np.median(axes) < -30


def test_fibrillation_is_irregular_and_has_no_p() -> None:
    for seed in (1, 2, 3):
        leads, truth = clean(seed, atrial_fibrillation=0.7)
        regular, _ = clean(seed)
        spread, usual = (np.diff(r_peaks(x)).std() / np.diff(r_peaks(x)).mean() for x in (leads, regular))
        assert spread > 0.1
        assert spread > 1.5 * usual
        assert np.isnan(truth["pr_ms"])


def test_complete_block_is_slow_and_long_qt_long() -> None:
    assert clean(3, complete_av_block=0.7)[1]["heart_rate_bpm"] < 45
    assert clean(3, long_qt=0.5)[1]["qt_ms"] > clean(3)[1]["qt_ms"] + 40
    assert 205 <= clean(3, first_degree_av_block=0.5)[1]["pr_ms"] <= 320


def test_ectopic_beats_are_counted() -> None:
    assert clean(3, premature_ventricular_beats=0.5)[1]["num_ventricular_ectopic"] >= 1
    assert clean(3, premature_atrial_beats=0.5)[1]["num_atrial_ectopic"] >= 1


def test_pacing_spikes_are_sharp() -> None:
    sharpest = [
        np.abs(np.diff(clean(5, **c)[0]["V4"])).max() for c in ({"paced": 0.5}, {"left_bundle_branch_block": 0.5})
    ]
    assert sharpest[0] > 2 * sharpest[1]


@pytest.mark.parametrize("name", [name for name, condition in CONDITIONS.items() if not condition.traceless])
def test_every_condition_with_a_trace_changes_the_signal(name: str) -> None:
    with_it, truth = clean(13, **{name: 0.9})
    assert truth[f"condition_{name}"] == 0.9
    assert max(np.abs(with_it[lead] - clean(13)[0][lead]).max() for lead in LEADS) > 0.03
    assert all(np.isfinite(values).all() and np.abs(values).max() < 12 for values in with_it.values())


def test_conditions_without_a_trace_leave_none() -> None:
    traceless = [name for name, condition in CONDITIONS.items() if condition.traceless]
    assert {"diabetes", "copd", "chronic_kidney_disease", "hyperlipidaemia"} <= set(traceless)
    for name in traceless:
        np.testing.assert_array_equal(clean(17, **{name: 1.0})[0]["V2"], clean(17)[0]["V2"])


def test_what_another_condition_hides_is_not_in_the_truth() -> None:
    _, truth = clean(5, atrial_fibrillation=0.5, sinus_tachycardia=0.5, first_degree_av_block=0.5)
    assert truth["rhythm"] == "atrial-fibrillation"
    assert truth["condition_sinus_tachycardia"] == 0
    assert truth["condition_first_degree_av_block"] == 0
    _, truth = clean(5, paced=0.5, left_bundle_branch_block=0.5, atrial_fibrillation=0.4)
    assert truth["rhythm"].startswith("paced")
    assert truth["condition_left_bundle_branch_block"] == 0


def test_every_rhythm_is_a_condition_and_all_together_work() -> None:
    assert set(RHYTHMS) <= set(CONDITIONS)
    leads, _ = clean(19, **dict.fromkeys(CONDITIONS, 1.0))
    assert all(np.isfinite(values).all() for values in leads.values())


def test_same_seed_same_study() -> None:
    for left, right in zip(simulate_study(7)[0].views.values(), simulate_study(7)[0].views.values(), strict=True):
        np.testing.assert_array_equal(left.values, right.values)


def test_unknown_condition_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown condition 'gout'"):
        simulate_study(0, conditions={"gout": 0.5})


def test_severity_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"severity must be between 0 and 1, found 1\.5"):
        simulate_study(0, conditions={"long_qt": 1.5})
