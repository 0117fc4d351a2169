"""Output of the ECG cart beside the waveform: measurements and a statement, both with errors."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

INTERVAL_MISSING, AXIS_MISSING, RR_MISSING = 29999, 32767, 65535
"""Codes in MIMIC-IV-ECG for what the machine could not measure."""

NUM_REPORT_LINES = 18

_STATEMENTS = {
    "acute_anterior_infarction": "Anterior infarct, acute (LAD)",
    "acute_inferior_infarction": "Inferior infarct, acute",
    "acute_lateral_infarction": "Lateral infarct, acute",
    "old_anterior_infarction": "Anterior infarct - age undetermined",
    "old_inferior_infarction": "Inferior infarct - age undetermined",
    "old_lateral_infarction": "Lateral infarct - age undetermined",
    "left_bundle_branch_block": "Left bundle branch block",
    "right_bundle_branch_block": "Right bundle branch block",
    "left_anterior_fascicular_block": "Left anterior fascicular block",
    "intraventricular_delay": "Intraventricular conduction delay",
    "left_ventricular_hypertrophy": "Left ventricular hypertrophy",
    "right_ventricular_hypertrophy": "Right ventricular hypertrophy",
    "subendocardial_infarction": "ST depression - consider ischemia",
    "unstable_angina": "Lateral T wave changes may be due to myocardial ischemia",
    "premature_ventricular_beats": "with PVC(s)",
    "premature_atrial_beats": "with PAC(s)",
    "long_qt": "Prolonged QT interval",
    "pericarditis": "ST elevation, consider pericarditis",
    "pericardial_effusion": "Low QRS voltages",
    "hyperkalaemia": "Tall T waves - consider hyperkalemia",
}

_RHYTHMS = {
    "atrial-fibrillation": "Atrial fibrillation",
    "atrial-flutter": "Atrial flutter",
    "supraventricular-tachycardia": "Supraventricular tachycardia",
    "second-degree-block-wenckebach": "Sinus rhythm with 2nd degree A-V block (Mobitz I)",
    "second-degree-block-mobitz": "Sinus rhythm with 2nd degree A-V block (Mobitz II)",
    "complete-block": "Complete A-V block",
    "paced-ventricular": "Ventricular pacing",
    "paced-dual-chamber": "A-V sequential pacemaker",
}


def measurements(truth: Mapping[str, Any], rng: np.random.Generator) -> dict[str, int]:
    """Return RR, onsets and ends (ms within the median beat) and axes (degrees), with measurement errors."""
    error = rng.normal(0.0, 1.0, 9)
    rr = RR_MISSING if rng.random() < 0.002 else round(60_000.0 / truth["heart_rate_bpm"] + 4.0 * error[0])
    has_p = not math.isnan(truth["pr_ms"])
    pr = truth["pr_ms"] if has_p else 0.0
    p_onset = 40.0 + 4.0 * error[1]
    qrs_onset = (p_onset + pr if has_p else 180.0) + 5.0 * error[2]
    qrs_end = qrs_onset + truth["qrs_ms"] + 5.0 * error[3]
    p_end = min(p_onset + truth["p_ms"] + 6.0 * error[4], qrs_onset) if has_p else 0.0
    t_end = qrs_onset + truth["qt_ms"] + 12.0 * error[5]
    axes = [truth[f"{wave}_axis_deg"] + 4.0 * e for wave, e in zip(("p", "qrs", "t"), error[6:], strict=True)]
    found = {
        "rr_interval": rr,
        "p_onset": round(p_onset) if has_p else INTERVAL_MISSING,
        "p_end": round(p_end) if has_p else INTERVAL_MISSING,
        "qrs_onset": round(qrs_onset),
        "qrs_end": round(qrs_end),
        "t_end": round(t_end),
        "p_axis": _turn(axes[0]) if has_p else AXIS_MISSING,
        "qrs_axis": _turn(axes[1]),
        "t_axis": _turn(axes[2]),
    }
    if rng.random() < 0.005:
        found |= {"qrs_onset": INTERVAL_MISSING, "qrs_end": INTERVAL_MISSING, "t_end": INTERVAL_MISSING}
        found |= {"qrs_axis": AXIS_MISSING, "t_axis": AXIS_MISSING}
    return found


def statement(truth: Mapping[str, Any], rng: np.random.Generator) -> list[str]:
    """Return the printed lines, at most ``NUM_REPORT_LINES``; mild findings are often missed."""
    seen = [
        text
        for name, text in _STATEMENTS.items()
        if truth[f"condition_{name}"] > 0 and rng.random() < 0.35 + 0.6 * truth[f"condition_{name}"]
    ]
    lines = [_rhythm_line(truth)]
    if not math.isnan(truth["pr_ms"]) and truth["pr_ms"] > 200 and truth["rhythm"] == "sinus":
        lines[0] += " with 1st degree A-V block"
    if any("acute" in text for text in seen):
        lines.insert(0, "*** CONSIDER ACUTE ST ELEVATION MI ***")
    if truth["noise_muscle_mv"] > 0.03 or truth["missing_samples"] or truth["flat_leads"]:
        lines.insert(0, "--- Warning: Data quality may affect interpretation ---")
    if truth["electrode_fault"] == "swap-RA-LA" and rng.random() < 0.6:
        lines.append("Possible arm lead reversal")
    if not seen:
        lines.append("Normal ECG" if truth["rhythm"] == "sinus" else "Abnormal ECG")
    return (lines + seen + (["Abnormal ECG"] if seen else []))[:NUM_REPORT_LINES]


def _rhythm_line(truth: Mapping[str, Any]) -> str:
    if truth["rhythm"] in _RHYTHMS:
        return _RHYTHMS[truth["rhythm"]]
    rate = truth["heart_rate_bpm"]
    return "Sinus tachycardia" if rate > 100 else "Sinus bradycardia" if rate < 60 else "Sinus rhythm"


def _turn(degrees: float) -> int:
    return round((degrees + 180.0) % 360.0 - 180.0)
