"""Whether the limb leads are what their labels say.

Three electrodes give six limb leads, so four of them follow from I and II (Einthoven 1912, Goldberger 1942)::

    III = II - I    aVR = -(I + II) / 2    aVL = I - II / 2    aVF = II - I / 2

Labels that were exchanged break these equations. Electrodes that were exchanged do not: the six leads stay consistent
with each other, and only the shape of the beats against the chest leads can tell. So:

- Exchanged labels aVF / aVL, and other broken equations, are found from the equations (exact up to noise).
- Right arm / left arm and right arm / left leg are found by shape, in sinus rhythm with a normal chest lead V6 or V5.
  Without P waves (atrial fibrillation, pacing) nothing is said; dextrocardia looks like right arm / left arm.
- Left arm / left leg cannot be told from a change of the heart's axis in a single ECG and is not looked for; neither
  are exchanges with the right leg (neutral) electrode or among the chest leads.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from lamae.signals.polarity import beat_polarity
from lamae.studies import Study

SWAPPED_AVF_AVL = "avf-avl-swapped"
REVERSED_RA_LA = "limb-leads-reversed-ra-la"
REVERSED_RA_LL = "limb-leads-reversed-ra-ll"
BROKEN = "limb-identity-broken"

EXPECTED = {"III": (-1.0, 1.0), "aVR": (-0.5, -0.5), "aVL": (1.0, -0.5), "aVF": (-0.5, 1.0)}
"""Each derived limb lead as factors of I and II."""

CORRECTIONS: Mapping[str, Mapping[str, tuple[str, int]]] = {
    SWAPPED_AVF_AVL: {"aVL": ("aVF", 1), "aVF": ("aVL", 1)},
    REVERSED_RA_LA: {"I": ("I", -1), "II": ("III", 1), "III": ("II", 1), "aVR": ("aVL", 1), "aVL": ("aVR", 1)},
    REVERSED_RA_LL: {"I": ("III", -1), "II": ("II", -1), "III": ("I", -1), "aVR": ("aVF", 1), "aVF": ("aVR", 1)},
}
"""For each fault that can be repaired: the true lead, the label under which it was recorded, and its sign."""

LARGEST_RESIDUAL = 0.3
"""Share of a lead's amplitude that may differ from its equation: rounding and filters stay far below, an exchange far
above."""

LARGEST_CORRELATION = -0.3
"""Correlation with the chest lead below which a limb lead counts as inverted."""

SMALLEST_P_MV = 0.02
"""Deflections below this are no P wave."""

_SMALLEST_AMPLITUDE_MV = 0.05


@dataclass(frozen=True, kw_only=True)
class LeadIdentity:
    """What the limb leads say about their labels.

    Attributes:
        residuals: For each derived limb lead that could be checked, the RMS difference from its equation over the RMS
            of what the equation says; empty when I or II is absent.
        study_flags: Faults found, a subset of the four names above.
        correction: True lead, to the label under which it was recorded and its sign; empty if none is known.
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
        rate_hz: Samples a second of the arrays; without it only the equations are checked.

    Returns:
        Residuals and faults; no faults when I or II is absent or the leads of a study differ in length.
    """
    if isinstance(leads, Study):
        leads, rate_hz = _of_study(leads)
    if "I" not in leads or "II" not in leads or len(leads["I"]) < 2:
        return LeadIdentity(residuals={})
    residuals = {name: _residual(leads, name, name) for name in EXPECTED if name in leads}
    broken = {name for name, residual in residuals.items() if residual > LARGEST_RESIDUAL}
    if broken == {"aVL", "aVF"} and _exchanged(leads):
        return _found(residuals, SWAPPED_AVF_AVL)
    if broken:
        return LeadIdentity(residuals=residuals, study_flags=(BROKEN,))
    reversed_leads = _reversed_electrodes(leads, rate_hz) if rate_hz else None
    return _found(residuals, reversed_leads) if reversed_leads else LeadIdentity(residuals=residuals)


def repair(leads: Mapping[str, np.ndarray], identity: LeadIdentity) -> dict[str, np.ndarray]:
    """Return the leads under their true names and with their true signs; leads whose record is absent are absent."""
    places = {name: identity.correction.get(name, (name, 1)) for name in (*leads, *identity.correction)}
    return {name: sign * leads[label] for name, (label, sign) in places.items() if label in leads}


def _found(residuals: Mapping[str, float], flag: str) -> LeadIdentity:
    return LeadIdentity(residuals=residuals, study_flags=(flag,), correction=CORRECTIONS[flag])


def _of_study(study: Study) -> tuple[dict[str, np.ndarray], float | None]:
    forms = {(view.rate_hz, view.values.shape) for view in study.views.values()}
    if len(forms) != 1:
        return {}, None
    values = np.stack([view.values for view in study.views.values()])
    recorded = np.isfinite(values).all(axis=0)
    return dict(zip(study.views, values[:, recorded], strict=True)), forms.pop()[0]


def _residual(leads: Mapping[str, np.ndarray], name: str, label: str) -> float:
    """Return how far the lead recorded as ``label`` is from the equation of ``name``, without regard to offsets."""
    factor_i, factor_ii = EXPECTED[name]
    expected = factor_i * leads["I"] + factor_ii * leads["II"]
    return float(np.std(leads[label] - expected) / max(np.std(expected), _SMALLEST_AMPLITUDE_MV))


def _exchanged(leads: Mapping[str, np.ndarray]) -> bool:
    return max(_residual(leads, "aVL", "aVF"), _residual(leads, "aVF", "aVL")) <= LARGEST_RESIDUAL


def _reversed_electrodes(leads: Mapping[str, np.ndarray], rate_hz: float) -> str | None:
    """Find an exchange by shape: the lead that it inverts and the one that holds aVR point down, the chest lead up."""
    chest = next((name for name in ("V6", "V5") if name in leads), None)
    if chest is None:
        return None
    one, two, six = leads["I"], leads["II"], leads[chest]
    candidates = {REVERSED_RA_LA: (one, one - two / 2), REVERSED_RA_LL: (two, two - one / 2)}
    for flag, (inverted, holds_avr) in candidates.items():
        if _correlation(inverted, six) < LARGEST_CORRELATION:
            polarity = beat_polarity(np.stack([inverted, holds_avr, six]), rate_hz)
            if polarity is not None and _points(polarity.p_mv, SMALLEST_P_MV) and _points(polarity.qrs_mv, 0.0):
                return flag
    return None


def _points(heights_mv: np.ndarray, smallest_mv: float) -> bool:
    inverted, holds_avr, chest = heights_mv
    return inverted < -smallest_mv and holds_avr < -smallest_mv and chest > smallest_mv


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    norm = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / norm) if norm > 0 else 0.0
