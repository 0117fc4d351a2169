"""Effects of diseases on the beat: functions that map a heart and a severity from 0 to 1 to a changed heart.

Moments are along x (left), y (feet), z (back). Effect sizes follow the criteria of the AHA/ACCF/HRS recommendations for
the standardisation and interpretation of the electrocardiogram, parts III to VI (2009).
"""

from dataclasses import replace

import numpy as np

from lamae.ecg.simulate.heart import APEX, BASE, FREE_WALL, SEPTUM, Heart, Waves, waves

ANTERIOR = np.array([0.14, -0.12, -0.34])
INFERIOR = np.array([-0.08, 0.32, 0.14])
LATERAL = np.array([0.30, -0.16, 0.10])
"""Directions of the injury current by territory: positive over the injured wall, negative opposite it."""


def left_bundle_branch_block(heart: Heart, severity: float, rng: np.random.Generator) -> Heart:
    """Replace QRS by a slurred one of 126 to 176 ms, leftward and posterior, without septal q; ST and T discordant."""
    duration_s = 0.126 + 0.050 * severity
    size = rng.normal(1.0, 0.15)
    qrs = waves(
        (20, 9, 9, 0.12, 0.12, -0.10),
        (46, 14, 14, 0.75, 0.40, 0.45),
        (82, 17, 17, 0.62, 0.18, 0.85),
        (112, 13, 13, 0.62, 0.05, 0.42),
    )
    qrs = qrs.scaled(size).stretched(duration_s / 0.150)
    against = np.array([-0.44, -0.16, -0.36]) * size
    t = replace(heart.t, moment=0.25 * heart.t.moment + np.vstack([against, np.zeros((len(heart.t) - 1, 3))]))
    return replace(heart, qrs=qrs, qrs_s=duration_s, st=heart.st.shifted(0.3 * against), t=t)


def right_bundle_branch_block(heart: Heart, severity: float, rng: np.random.Generator) -> Heart:
    """Add a late rightward anterior wave after a normal onset: rsR' in V1, a broad S in I and V6."""
    duration_s = 0.122 + 0.036 * severity
    width = 13 * duration_s / 0.14
    size = rng.normal(1.0, 0.15)
    late = waves((1e3 * duration_s - 2.3 * width, width, width, -0.48 * size, 0.0, -0.58 * size))
    t = _turned(heart, np.array([0.12, 0.0, 0.22]) * rng.uniform(0.6, 1.1))
    return replace(heart, qrs=heart.qrs.joined(late), qrs_s=duration_s, t=t)


def left_anterior_fascicular_block(heart: Heart, severity: float, rng: np.random.Generator) -> Heart:
    """Activate the left ventricle from below upwards: small r then deep S in II, III, aVF; axis left of -45 degrees."""
    moment = heart.qrs.moment.copy()
    moment[SEPTUM] += [-0.02, 0.22, 0.0]
    moment[APEX] += [0.05, -0.05, 0.10]
    moment[FREE_WALL, 1] = -0.35 - 0.40 * severity
    moment[BASE] += [0.05, -0.35 - 0.15 * severity, 0.0]
    heart = replace(heart, qrs=replace(heart.qrs, moment=moment))
    return replace(heart, qrs=heart.qrs.stretched(1.1), qrs_s=heart.qrs_s * 1.1)


def intraventricular_delay(heart: Heart, severity: float, rng: np.random.Generator) -> Heart:
    """Stretch a QRS of normal shape to 112 to 140 ms."""
    duration_s = 0.112 + 0.028 * severity
    return replace(heart, qrs=heart.qrs.stretched(duration_s / heart.qrs_s), qrs_s=duration_s)


def ventricular_pacing(heart: Heart, severity: float, rng: np.random.Generator) -> Heart:
    """Activate from the apex of the right ventricle: as slow as left bundle branch block, but directed upwards."""
    duration_s = 0.140 + 0.040 * severity
    qrs = waves(
        (28, 11, 11, 0.30, -0.25, 0.15),
        (62, 17, 17, 0.70, -0.75, 0.70),
        (105, 17, 17, 0.35, -0.85, 0.85),
    )
    qrs = qrs.scaled(rng.normal(1.0, 0.12)).stretched(duration_s / 0.150)
    against = np.array([-0.22, 0.32, -0.30])
    t = waves((0, 55, 42, *against))
    return replace(heart, qrs=qrs, qrs_s=duration_s, st=heart.st.shifted(0.25 * against), t=t)


def first_degree_block(heart: Heart, severity: float, rng: np.random.Generator) -> Heart:
    """Prolong PR to 205 to 320 ms."""
    return replace(heart, pr_s=0.205 + 0.115 * severity**1.5)


def left_ventricular_hypertrophy(heart: Heart, severity: float, rng: np.random.Generator) -> Heart:
    """Add leftward posterior voltage; if severe also strain: ST depression and T inversion in I, aVL, V5, V6."""
    moment = heart.qrs.moment.copy()
    moment[FREE_WALL] *= 1.20 + 0.75 * severity
    moment[FREE_WALL, 2] += 0.10 + 0.35 * severity
    moment[BASE, 2] += 0.25 * severity
    strain = np.array([-0.68, -0.24, 0.26]) * max(0.0, severity - 0.25)
    heart = _with_larger_left_atrium(heart, 0.4 * severity)
    return replace(
        heart,
        qrs=replace(heart.qrs, moment=moment).stretched(1.0 + 0.10 * severity),
        qrs_s=heart.qrs_s * (1.0 + 0.10 * severity),
        st=heart.st.shifted(0.30 * strain),
        t=_turned(heart, 1.2 * strain),
    )


def right_ventricular_hypertrophy(heart: Heart, severity: float, rng: np.random.Generator) -> Heart:
    """Add rightward anterior forces: R in V1, S in V6, right axis, T inversion in V1 to V3, tall P in II."""
    moment = heart.qrs.moment.copy()
    moment[FREE_WALL] += np.array([-1.15, 0.10, -0.95]) * severity
    moment[BASE] += np.array([-0.45, 0.0, -0.35]) * severity
    p = heart.p.scaled([1.0 + 0.9 * severity, 1.0])
    strain = np.array([0.06, -0.08, 0.32]) * severity
    return replace(heart, qrs=replace(heart.qrs, moment=moment), p=p, t=_turned(heart, strain))


def acute_infarction(heart: Heart, severity: float, rng: np.random.Generator, *, injury: np.ndarray) -> Heart:
    """Elevate ST over the injured wall and depress it opposite; later Q waves and T inversion.

    Anterior: up in V1 to V4, down in the inferior leads. Inferior: up in II, III, aVF, down in I, aVL and V1 to V3.
    Lateral: up in I, aVL, V5, V6, down in III and V1.
    """
    injury = injury * (0.35 + 1.0 * severity) + rng.normal(0.0, 0.03, 3)
    phase = rng.uniform(-0.4, 1.0)  # early with upright T, or reperfused with inverted T
    heart = _with_q(heart, -injury / np.linalg.norm(injury) * 0.40 * rng.random() * severity)
    return replace(heart, st=heart.st.shifted(injury), t=_turned(heart, injury * phase))


def old_infarction(
    heart: Heart, severity: float, rng: np.random.Generator, *, injury: np.ndarray, q: np.ndarray
) -> Heart:
    """Leave Q waves over the dead wall, in some with flat or inverted T there.

    Anterior: QS or a small r in V1 to V4. Inferior: Q in II, III, aVF. Lateral: Q and smaller R in I, aVL, V5, V6.
    """
    heart = _with_q(heart, q * (0.35 + 0.85 * severity))
    return replace(heart, t=_turned(heart, -injury * rng.uniform(0.0, 0.9) * severity))


def ischaemia(heart: Heart, severity: float, rng: np.random.Generator) -> Heart:
    """Depress ST over the left ventricle (most in V4 to V6) or invert T, without Q waves."""
    down = np.array([-0.13, -0.07, 0.05]) * (0.40 + 1.2 * severity) + rng.normal(0.0, 0.02, 3)
    return replace(heart, st=heart.st.shifted(down), t=_turned(heart, down * rng.uniform(0.2, 2.6)))


def pericarditis(heart: Heart, severity: float, rng: np.random.Generator) -> Heart:
    """Elevate ST and depress PR almost everywhere, with reciprocal changes in aVR and V1 only."""
    injury = np.array([0.10, 0.13, -0.05]) * (0.35 + 1.0 * severity)
    atrial = waves((115, 25, 25, *(-0.35 * injury)))
    return replace(heart, st=heart.st.shifted(injury), p=heart.p.joined(atrial))


def pericardial_effusion(heart: Heart, severity: float, rng: np.random.Generator) -> Heart:
    """Lower the voltage; add electrical alternans if the effusion is large."""
    return replace(_quieter(heart, 0.75 - 0.45 * severity), alternans=max(0.0, 0.5 * (severity - 0.5)))


def pulmonary_embolism(heart: Heart, severity: float, rng: np.random.Generator) -> Heart:
    """Strain the right heart: S in I, Q in III, T inversion in III and V1 to V3."""
    moment = heart.qrs.moment.copy()
    moment[BASE] += np.array([-0.40, -0.05, -0.15]) * severity
    moment[SEPTUM, 1] -= 0.15 * severity
    return replace(
        heart, qrs=replace(heart.qrs, moment=moment), t=_turned(heart, np.array([0.08, -0.16, 0.26]) * severity)
    )


def hyperkalaemia(heart: Heart, severity: float, rng: np.random.Generator) -> Heart:
    """Make T tall and narrow; if severe, flatten P and broaden QRS."""
    slow = 1.0 + 0.55 * max(0.0, severity - 0.5)
    t = replace(heart.t.scaled(1.2 + 1.1 * severity), rise_s=heart.t.rise_s * 0.60, fall_s=heart.t.fall_s * 0.78)
    return replace(
        heart, t=t, p=heart.p.scaled(1.0 - 0.8 * severity), qrs=heart.qrs.stretched(slow), qrs_s=heart.qrs_s * slow
    )


def hypokalaemia(heart: Heart, severity: float, rng: np.random.Generator) -> Heart:
    """Flatten T, add a U wave, depress ST slightly."""
    t = heart.t.scaled([1.0 - 0.85 * severity] + [1.0 + 6.0 * severity] * (len(heart.t) - 1))
    return replace(
        heart, t=t, st=heart.st.shifted(np.array([-0.05, -0.03, 0.02]) * severity), qtc_s=heart.qtc_s + 0.02 * severity
    )


def long_qt(heart: Heart, severity: float, rng: np.random.Generator) -> Heart:
    """Prolong QTc to 468 to 570 ms."""
    return replace(heart, qtc_s=0.468 + 0.102 * severity)


def coronary_disease(heart: Heart, severity: float, rng: np.random.Generator) -> Heart:
    """Leave a weak trace: flatter T, slight ST depression."""
    down = np.array([-0.10, -0.05, 0.035]) * severity
    return replace(heart, t=heart.t.scaled(1.0 - 0.70 * severity), st=heart.st.shifted(down))


def heart_failure(heart: Heart, severity: float, rng: np.random.Generator) -> Heart:
    """Leave a weak trace: slightly broader QRS, flatter T, larger left atrium, lower voltage."""
    slow = 1.0 + 0.22 * severity
    heart = _quieter(_with_larger_left_atrium(heart, 1.0 * severity), 1.0 - 0.22 * severity)
    t = heart.t.scaled(1.0 - 0.7 * severity)
    return replace(heart, t=t, qrs=heart.qrs.stretched(slow), qrs_s=heart.qrs_s * slow)


def cardiomyopathy(heart: Heart, severity: float, rng: np.random.Generator) -> Heart:
    """Reduce R progression, broaden QRS, invert T in the lateral leads if severe."""
    heart = _with_q(heart, np.array([0.0, 0.0, 0.40]) * severity)
    slow = 1.0 + 0.25 * severity
    t = _turned(heart, np.array([-0.35, -0.15, 0.05]) * severity)
    return replace(heart, qrs=heart.qrs.stretched(slow), qrs_s=heart.qrs_s * slow, t=t)


def aortic_stenosis(heart: Heart, severity: float, rng: np.random.Generator) -> Heart:
    """Apply the pressure load on the left ventricle: a weaker form of its hypertrophy."""
    return left_ventricular_hypertrophy(heart, 0.75 * severity, rng)


def hypertension(heart: Heart, severity: float, rng: np.random.Generator) -> Heart:
    """Leave a weak trace: slightly more leftward posterior voltage, a slightly larger left atrium."""
    moment = heart.qrs.moment.copy()
    moment[FREE_WALL] *= 1.0 + 0.28 * severity
    heart = replace(heart, qrs=replace(heart.qrs, moment=moment))
    return _with_larger_left_atrium(heart, 0.6 * severity)


def mitral_disease(heart: Heart, severity: float, rng: np.random.Generator) -> Heart:
    """Enlarge the left atrium: long P, notched in II, with a negative terminal part in V1."""
    return _with_larger_left_atrium(heart, 0.3 + 1.6 * severity)


def low_voltage(heart: Heart, severity: float, rng: np.random.Generator) -> Heart:
    """Leave the weak trace of obesity: lower voltage, a more horizontal heart."""
    moment = (
        heart.qrs.moment + np.array([0.05, -0.25, 0.0]) * severity * (np.arange(len(heart.qrs)) == FREE_WALL)[:, None]
    )
    return _quieter(replace(heart, qrs=replace(heart.qrs, moment=moment)), 1.0 - 0.30 * severity)


def _with_q(heart: Heart, q: np.ndarray) -> Heart:
    """Remove the contribution of the infarcted wall from the first 40 ms of activation."""
    share = np.zeros((len(heart.qrs), 1))
    share[: min(3, len(share)), 0] = (0.9, 1.0, 0.35)[: min(3, len(share))]
    return replace(heart, qrs=replace(heart.qrs, moment=heart.qrs.moment + share * q))


def _turned(heart: Heart, moment: np.ndarray) -> Waves:
    """Return the T wave with a moment added, the U wave unchanged."""
    first = (np.arange(len(heart.t)) == 0)[:, None]
    return replace(heart.t, moment=heart.t.moment + first * moment)


def _with_larger_left_atrium(heart: Heart, much: float) -> Heart:
    """Make the second half of P larger, later and more posterior."""
    late = (np.arange(len(heart.p)) == 1).astype(float)
    moment = heart.p.moment + late[:, None] * np.array([0.035, 0.01, 0.055]) * much
    p = replace(heart.p, time_s=heart.p.time_s + 0.010 * much * late, moment=moment)
    return replace(heart, p=p, p_s=heart.p_s + 0.010 * much)


def _quieter(heart: Heart, factor: float) -> Heart:
    groups = {name: getattr(heart, name).scaled(factor) for name in ("p", "qrs", "st", "t")}
    return replace(heart, **groups)
