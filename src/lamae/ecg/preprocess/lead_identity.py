"""Checks of the limb leads against their labels: exchanged labels and exchanged electrodes.

Three electrodes give six limb leads, so four of them follow from I and II (Einthoven 1912, Goldberger 1942)::

    III = II - I    aVR = -(I + II) / 2    aVL = I - II / 2    aVF = II - I / 2

Exchanged labels break these equations. Exchanged electrodes do not: the six leads stay mutually consistent, and only
the shape of the beats relative to the chest leads can reveal the exchange. So:

- Exchanged labels aVF / aVL, and other violations, are found from the equations (exact up to noise).
- Right arm / left arm and right arm / left leg are found if the lead I implied by the exchange correlates better with
  the chest lead V6 (or V5) than the recorded one, and the P wave confirms it. Without P waves (atrial fibrillation), or
  with a QRS complex too broad for its axis to be informative (pacing, left bundle branch block), hardly any exchange is
  found; dextrocardia looks like right arm / left arm.
- An arm electrode exchanged with the neutral one (right leg) leaves one lead without signal, since both legs have
  nearly the same potential.
- Left arm / left leg cannot be distinguished from a change of the heart's axis in a single ECG and is not checked;
  neither are exchanges among the chest leads.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from lamae.ecg.measure.p_wave import PWave, measure_p_wave
from lamae.studies import Study

SWAPPED_AVF_AVL = "avf-avl-swapped"
REVERSED_RA_LA = "limb-leads-reversed-ra-la"
REVERSED_RA_LL = "limb-leads-reversed-ra-ll"
REVERSED_RA_RL = "limb-leads-reversed-ra-rl"
REVERSED_LA_RL = "limb-leads-reversed-la-rl"
BROKEN = "limb-identity-broken"

EXPECTED = {"III": (-1.0, 1.0), "aVR": (-0.5, -0.5), "aVL": (1.0, -0.5), "aVF": (-0.5, 1.0)}
"""Each derived limb lead as coefficients of I and II."""

CHEST_LEADS = ("V1", "V2", "V3", "V4", "V5", "V6")

CORRECTIONS: Mapping[str, Mapping[str, tuple[str, int]]] = {
    SWAPPED_AVF_AVL: {"aVL": ("aVF", 1), "aVF": ("aVL", 1)},
    REVERSED_RA_LA: {"I": ("I", -1), "II": ("III", 1), "III": ("II", 1), "aVR": ("aVL", 1), "aVL": ("aVR", 1)},
    REVERSED_RA_LL: {"I": ("III", -1), "II": ("II", -1), "III": ("I", -1), "aVR": ("aVF", 1), "aVF": ("aVR", 1)},
}
"""For each repairable fault: true lead, to the label under which it was recorded and its sign."""

LARGEST_RESIDUAL = 0.3
"""Maximum deviation from the equation, as a fraction of a lead's amplitude: rounding and filters stay far below it, an
exchange lies far above."""

SMALLEST_SIMILARITY = 0.3
"""Minimum correlation of the implied lead I with the chest lead."""

MIRROR_IMAGE = 0.9
"""Correlation of -I with the chest lead above which the P wave need not confirm an exchange, only not contradict it."""

SMALLEST_P_MV = 0.015
"""Minimum amplitude of a P wave."""

SMALLEST_P_ERRORS = 3.0
"""Minimum amplitude of a P wave, in standard errors over the beats."""

LONGEST_QRS_S = 0.16
"""Maximum QRS duration; with a broader QRS (pacing, bundle branch block) shapes are not informative."""

LARGEST_SILENCE = 0.05
"""Maximum RMS of the lead between the legs, relative to the quieter of the two other leads among I, II, III."""

_SMALLEST_AMPLITUDE_MV = 0.05
_SMALLEST_SIGNAL_MV = 0.02
"""RMS below which a limb lead is not informative."""


@dataclass(frozen=True, kw_only=True)
class LeadIdentity:
    """Result of checking the limb leads against their labels.

    Attributes:
        residuals: RMS difference of each derived limb lead from its equation, relative to the RMS of the value given
            by the equation; empty if I or II is absent.
        study_flags: Faults found, among the names above.
        correction: True lead, to the label under which it was recorded and its sign; empty if unknown.
    """

    residuals: Mapping[str, float]
    study_flags: tuple[str, ...] = ()
    correction: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    def recorded_as(self, name: str) -> str:
        """Return the label under which a lead was recorded."""
        return self.correction.get(name, (name, 1))[0]


def check_leads(leads: Study | Mapping[str, np.ndarray], *, rate_hz: float | None = None) -> LeadIdentity:
    """Check the limb leads of one recording against each other and against the chest leads.

    Args:
        leads: A study, or ``[samples]`` in mV by canonical lead name, all of one length, without NaN.
        rate_hz: Sampling rate of the arrays; without it only the equations are checked.

    Returns:
        Residuals and faults; no faults if I or II is absent or the leads of a study differ in length.
    """
    if isinstance(leads, Study):
        leads, rate_hz = _of_study(leads)
    if "I" not in leads or "II" not in leads or len(leads["I"]) < 2:
        return LeadIdentity(residuals={})
    residuals = {name: _residual(leads, name, name) for name in EXPECTED if name in leads}
    broken = {name for name, residual in residuals.items() if residual > LARGEST_RESIDUAL}
    if broken:
        flag = SWAPPED_AVF_AVL if broken == {"aVL", "aVF"} and _exchanged(leads) else BROKEN
    else:
        flag = _exchanged_with_neutral(leads) or (_reversed_electrodes(leads, rate_hz) if rate_hz else None)
    if flag is None:
        return LeadIdentity(residuals=residuals)
    return LeadIdentity(residuals=residuals, study_flags=(flag,), correction=CORRECTIONS.get(flag, {}))


def repair(leads: Mapping[str, np.ndarray], identity: LeadIdentity) -> dict[str, np.ndarray]:
    """Return the leads with their true names and signs, except leads whose recording is absent."""
    places = {name: identity.correction.get(name, (name, 1)) for name in (*leads, *identity.correction)}
    return {name: sign * leads[label] for name, (label, sign) in places.items() if label in leads}


def _of_study(study: Study) -> tuple[dict[str, np.ndarray], float | None]:
    forms = {(view.rate_hz, view.values.shape) for view in study.views.values()}
    if len(forms) != 1:
        return {}, None
    values = np.stack([view.values for view in study.views.values()])
    recorded = np.isfinite(values).all(axis=0)
    return dict(zip(study.views, values[:, recorded], strict=True)), forms.pop()[0]


def _residual(leads: Mapping[str, np.ndarray], name: str, label: str) -> float:
    """Return the relative deviation of the lead labelled ``label`` from the equation of ``name``, ignoring offsets."""
    factor_i, factor_ii = EXPECTED[name]
    expected = factor_i * leads["I"] + factor_ii * leads["II"]
    return float(np.std(leads[label] - expected) / max(np.std(expected), _SMALLEST_AMPLITUDE_MV))


def _exchanged(leads: Mapping[str, np.ndarray]) -> bool:
    return max(_residual(leads, "aVL", "aVF"), _residual(leads, "aVF", "aVL")) <= LARGEST_RESIDUAL


def _exchanged_with_neutral(leads: Mapping[str, np.ndarray]) -> str | None:
    """Detect an arm electrode on the right leg: the lead between the legs, II or III, is nearly flat."""
    one, two = leads["I"], leads["II"]
    rms = {"I": np.std(one), "II": np.std(two), "III": np.std(two - one)}
    for flag, silent in ((REVERSED_RA_RL, "II"), (REVERSED_LA_RL, "III")):
        others = min(rms[name] for name in rms if name != silent)
        if others >= _SMALLEST_SIGNAL_MV and rms[silent] < LARGEST_SILENCE * others:
            return flag
    return None


def _reversed_electrodes(leads: Mapping[str, np.ndarray], rate_hz: float) -> str | None:
    """Detect the right-arm exchange whose implied lead I correlates best with the chest lead, if P confirms it.

    The lead I implied by an exchange follows from ``CORRECTIONS``: -I for right arm / left arm, -III for right arm /
    left leg. If the recorded lead I correlates at least as well, no exchange is reported.
    """
    chest = next((name for name in ("V6", "V5") if name in leads), None)
    if chest is None:
        return None
    one, two = leads["I"], leads["II"]
    supposed = {REVERSED_RA_LA: -one, REVERSED_RA_LL: one - two}
    likeness = {flag: _correlation(lead, leads[chest]) for flag, lead in supposed.items()}
    flag = max(likeness, key=likeness.__getitem__)
    if likeness[flag] <= max(SMALLEST_SIMILARITY, _correlation(one, leads[chest])):
        return None
    chest_leads = [leads[name] for name in CHEST_LEADS if name in leads]
    p_wave = measure_p_wave(np.stack([one, two, leads[chest], *chest_leads]), rate_hz)
    if p_wave is None or p_wave.qrs_s > LONGEST_QRS_S:
        return None
    if _p_wave_is_turned(p_wave, flag):
        return flag
    mirrored = flag == REVERSED_RA_LA and likeness[flag] > MIRROR_IMAGE
    return flag if mirrored and _p_wave_allows_mirror(p_wave) else None


def _p_wave_is_turned(p_wave: PWave, flag: str) -> bool:
    """Check that P is clearly inverted in the lead that the exchange inverts, and normal after correction."""
    one, two, chest = p_wave.heights_mv[:3]
    inverted = 0 if flag == REVERSED_RA_LA else 1
    true_one, true_two = (-one, two - one) if flag == REVERSED_RA_LA else (one - two, -two)
    least = max(SMALLEST_P_MV, SMALLEST_P_ERRORS * p_wave.errors_mv[inverted])
    return bool(-p_wave.heights_mv[inverted] > least and true_two > 0 and true_one + true_two > 0 and chest > 0)


def _p_wave_allows_mirror(p_wave: PWave) -> bool:
    """Check that P is not clearly upright in lead I, nor inverted in II as after an exchange with the left leg."""
    one, two, _ = p_wave.heights_mv[:3]
    return bool(one < 2 * SMALLEST_P_MV and two >= 0)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    norm = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / norm) if norm > 0 else 0.0
