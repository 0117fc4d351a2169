"""Simulation of one 12-lead ECG from a body and its conditions: rhythm, beats, torso, noise, recording faults."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lamae.ecg.simulate.beats import beat
from lamae.ecg.simulate.conditions import CONDITIONS, check_names
from lamae.ecg.simulate.electrodes import (
    ELECTRODES,
    Torso,
    draw_fault,
    draw_torso,
    electrode_field,
    fault_matrix,
    lead_matrix,
    vary_torso,
)
from lamae.ecg.simulate.heart import MARGIN_S, RATE_HZ, Heart, draw_heart, qt_s
from lamae.ecg.simulate.noise import SILENCE, draw_levels, electrode_noise
from lamae.ecg.simulate.rhythm import (
    PREMATURE_ATRIAL,
    RHYTHMS,
    VENTRICULAR,
    Pace,
    Rhythm,
    sinus,
    with_pauses,
    with_premature_beats,
)

NUM_SAMPLES = 5000
"""Ten seconds at 500 Hz."""

MISSING_RATE, FLAT_RATE, SATURATED_RATE = 0.013, 0.004, 0.002
"""Fraction of studies with missing samples, with all-zero leads, and with saturated leads."""

RAIL_MV = 32767 / 200.0
"""Largest value that 16 bits hold at 200 steps per mV."""

_SINUS_ONLY = ("sinus_tachycardia", "sinus_bradycardia", "sick_sinus", "first_degree_av_block")
_OTHER_BLOCKS = ("right_bundle_branch_block", "left_anterior_fascicular_block")
_HIDES = {
    **{name: _SINUS_ONLY for name in RHYTHMS if name != "paced"},
    "paced": (*_SINUS_ONLY, *_OTHER_BLOCKS, "left_bundle_branch_block"),
    "left_bundle_branch_block": _OTHER_BLOCKS,
    "sinus_tachycardia": ("sinus_bradycardia", "sick_sinus"),
}
_REPLACE_QRS = ("left_bundle_branch_block", "paced")


@dataclass(frozen=True, kw_only=True)
class Body:
    """Properties shared by all ECGs of a patient."""

    torso: Torso
    heart: Heart
    resting_bpm: float
    breath_hz: float
    variability: float


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A simulated ECG.

    Attributes:
        leads_mv: ``[12, samples]`` float32, leads in the order requested, NaN for missing samples.
        truth: Ground truth in plain types; keys are the columns of the truth table.
    """

    leads_mv: np.ndarray
    truth: dict[str, Any]


def draw_body(rng: np.random.Generator, *, age_years: float, female: bool) -> Body:
    """Draw the torso, heart and resting rhythm of a patient."""
    return Body(
        torso=draw_torso(rng, age_years=age_years),
        heart=draw_heart(rng, age_years=age_years, female=female),
        resting_bpm=float(np.clip(rng.normal(74.0 + 2.0 * female, 9.0), 56.0, 98.0)),
        breath_hz=float(rng.uniform(0.18, 0.36)),
        variability=float(np.exp(rng.normal(np.log(0.035), 0.5)) * np.clip(1.8 - age_years / 70.0, 0.4, 1.6)),
    )


def record(
    body: Body,
    conditions: Mapping[str, float],
    rng: np.random.Generator,
    *,
    leads: tuple[str, ...],
    clean: bool = False,
) -> Recording:
    """Simulate a recording of ten seconds.

    Args:
        body: The patient.
        conditions: Severity (0 to 1) of each condition shown in this ECG; those masked by another one (sinus
            tachycardia in atrial fibrillation) are left out of the truth.
        rng: Random generator of this recording.
        leads: Leads in the order requested.
        clean: Simulate without noise and faults.
    """
    check_names(conditions)
    rhythm, visible = _draw_rhythm(body, conditions, rng)
    heart = _diseased_heart(body.heart, visible, rng)
    if rhythm.name == "sinus":  # the PR interval is the diseased heart's
        rhythm = _with_pr(rhythm, heart.pr_s)
    torso = vary_torso(body.torso, rng)
    field = electrode_field(torso)
    levels, fault = (SILENCE, "none") if clean else (draw_levels(rng), draw_fault(rng))
    potentials = field @ _breathing(beat(heart, rhythm, rng, num_samples=NUM_SAMPLES), body, rng)
    if not clean:
        potentials += electrode_noise(levels, rng, num_samples=NUM_SAMPLES)
    leads_mv = (lead_matrix(leads) @ fault_matrix(fault) @ potentials).astype(np.float32)
    broken = {"missing_samples": 0, "flat_leads": "", "saturated_leads": ""}
    if not clean:
        broken = _break(leads_mv, leads, rng)
    truth = _truth(heart, rhythm, field, visible) | levels.as_dict() | {"electrode_fault": fault} | broken
    return Recording(leads_mv=leads_mv, truth=truth)


def _draw_rhythm(
    body: Body, conditions: Mapping[str, float], rng: np.random.Generator
) -> tuple[Rhythm, dict[str, float]]:
    """Draw the dominant rhythm; return it with the conditions that remain visible in it."""
    ruling = next((name for name in RHYTHMS if name in conditions), None)
    visible = {name: severity for name, severity in conditions.items() if name == ruling or name not in RHYTHMS}
    for name, hidden in _HIDES.items():
        if name in visible:
            visible = {other: severity for other, severity in visible.items() if other not in hidden}
    pace = _pace(body, visible, rng)
    rhythm = RHYTHMS[ruling](pace, rng, visible[ruling]) if ruling else sinus(pace, rng)
    if "sick_sinus" in visible:
        rhythm = with_pauses(rhythm, rng, visible["sick_sinus"])
    return _with_ectopy(rhythm, visible, rng), visible


def _with_ectopy(rhythm: Rhythm, visible: dict[str, float], rng: np.random.Generator) -> Rhythm:
    for name, kind in (("premature_ventricular_beats", VENTRICULAR), ("premature_atrial_beats", PREMATURE_ATRIAL)):
        if name not in visible:
            continue
        before = rhythm
        possible = np.median(rhythm.rr_s) > 0.45 and (kind == VENTRICULAR or rhythm.name == "sinus")
        if possible:
            rhythm = with_premature_beats(rhythm, rng, kind=kind, burden=0.04 + 0.30 * visible[name] ** 2)
        if rhythm is before:
            visible.pop(name)
    return rhythm


def _pace(body: Body, visible: Mapping[str, float], rng: np.random.Generator) -> Pace:
    change = sum(CONDITIONS[name].sinus_rate_bpm * severity for name, severity in visible.items())
    rate = float(np.clip(body.resting_bpm + rng.normal(0.0, 6.0), 60.0, 98.0) + change)
    if "sinus_tachycardia" in visible:
        rate = float(np.clip(rate, 101.0, 165.0))
    elif "sinus_bradycardia" in visible or "sick_sinus" in visible:
        rate = float(np.clip(rate, 34.0, 59.0))
    rate = float(np.clip(rate, 34.0, 165.0))
    return Pace(
        rate_bpm=rate,
        breath_hz=body.breath_hz,
        breath_phase=float(rng.uniform(0.0, 2.0 * np.pi)),
        variability=min(0.12, body.variability * (75.0 / rate)),
        pr_s=body.heart.pr_s,
    )


def _diseased_heart(heart: Heart, visible: Mapping[str, float], rng: np.random.Generator) -> Heart:
    """Apply all effects in the order of the table; those that replace the whole QRS come last."""
    names = [name for name in CONDITIONS if name in visible and name not in _REPLACE_QRS]
    names += [name for name in _REPLACE_QRS if name in visible]
    for name in names:
        effect = CONDITIONS[name].effect
        if effect is not None:
            heart = effect(heart, visible[name], rng)
    return heart


def _with_pr(rhythm: Rhythm, pr_s: float) -> Rhythm:
    before = rhythm.qrs_s[rhythm.kind != VENTRICULAR]
    premature = rhythm.kind[rhythm.kind != VENTRICULAR] == PREMATURE_ATRIAL
    return replace(rhythm, p_s=before - np.where(premature, 0.9 * pr_s, pr_s))


def _breathing(dipole: np.ndarray, body: Body, rng: np.random.Generator) -> np.ndarray:
    """Remove the margins and modulate amplitude and frontal axis with respiration."""
    margin = int(MARGIN_S * RATE_HZ)
    dipole = dipole[:, margin:-margin]
    breath = np.sin(2 * np.pi * body.breath_hz * np.arange(dipole.shape[1]) / RATE_HZ + rng.uniform(0, 2 * np.pi))
    size, turn = rng.uniform(0.005, 0.05), rng.uniform(0.0, 0.06)
    turned = np.stack([-dipole[1], dipole[0], np.zeros_like(dipole[2])])
    return dipole * (1.0 + size * breath) + turned * (turn * breath)


def _break(leads_mv: np.ndarray, leads: tuple[str, ...], rng: np.random.Generator) -> dict[str, Any]:
    """Drop samples, zero or saturate leads in place; return the faults for the truth table."""
    missing, flat, saturated = 0, "", ""
    lost, off, railed = rng.random(3)
    chest = [leads.index(name) for name in ELECTRODES[3:] if name in leads]
    if off < FLAT_RATE:
        rows = rng.choice(chest, size=int(rng.integers(1, 3)), replace=False)
        leads_mv[rows] = 0.0
        flat = " ".join(leads[row] for row in rows)
    if railed < SATURATED_RATE:
        row = int(rng.choice(chest))
        start = int(rng.integers(0, leads_mv.shape[1] // 2))
        leads_mv[row, start : start + int(rng.integers(250, 2500))] = RAIL_MV * rng.choice([-1.0, 1.0])
        saturated = leads[row]
    if lost < MISSING_RATE:
        missing = int(np.exp(rng.uniform(np.log(5), np.log(2000))))
        start = leads_mv.shape[1] - missing if rng.random() < 0.6 else int(rng.integers(0, leads_mv.shape[1] - missing))
        rows = (
            np.arange(len(leads))
            if rng.random() < 0.6
            else rng.choice(len(leads), int(rng.integers(1, 7)), replace=False)
        )
        leads_mv[rows, start : start + missing] = np.nan
    return {"missing_samples": missing, "flat_leads": flat, "saturated_leads": saturated}


def _truth(heart: Heart, rhythm: Rhythm, field: np.ndarray, visible: Mapping[str, float]) -> dict[str, Any]:
    inside = (rhythm.qrs_s > 0.0) & (rhythm.qrs_s < 10.0)
    rr_s = rhythm.rr_s[inside]
    rr_s = rr_s if len(rr_s) else rhythm.rr_s
    mean_rr = float(rr_s.mean())
    conducted = rhythm.name == "sinus" or rhythm.name == "paced-dual-chamber"
    territory = [name.split("_")[1] for name in visible if name.endswith("_infarction") and "subendo" not in name]
    truth: dict[str, Any] = {
        "rhythm": rhythm.name,
        "heart_rate_bpm": 60.0 / mean_rr,
        "rr_sd_ms": 1e3 * float(rr_s.std()),
        "pr_ms": (190.0 if rhythm.name.startswith("paced") else 1e3 * heart.pr_s) if conducted else float("nan"),
        "p_ms": 1e3 * heart.p_s if len(rhythm.p_s) and not rhythm.retrograde_p else float("nan"),
        "qrs_ms": 1e3 * heart.qrs_s,
        "qt_ms": 1e3 * float(qt_s(heart, np.array([mean_rr]))[0]),
        "qtc_ms": 1e3 * (heart.qtc_s + heart.qrs_s - 0.090),
        "territory": " ".join(dict.fromkeys(territory)),
        "num_ventricular_ectopic": int(((rhythm.kind == VENTRICULAR) & inside).sum()),
        "num_atrial_ectopic": int(((rhythm.kind == PREMATURE_ATRIAL) & inside).sum()),
    }
    for name, group in (("p", heart.p), ("qrs", heart.qrs), ("t", heart.t)):
        area = ((group.rise_s + group.fall_s)[:, None] * group.moment).sum(axis=0)
        lead_i, lead_avf = lead_matrix(("I", "aVF")) @ field @ area
        truth[f"{name}_axis_deg"] = float(np.rad2deg(np.arctan2(lead_avf * 2.0 / np.sqrt(3.0), lead_i)))
    return truth | {
        f"condition_{name}": float(visible.get(name, 0.0)) for name in CONDITIONS if not CONDITIONS[name].traceless
    }
