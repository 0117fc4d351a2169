"""Electrodes and their faults: from the cardiac dipole to potentials to the 12 leads.

Coordinates are Frank's: x to the patient's left, y to the feet, z to the back.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lamae.ecg.leads import LEADS
from lamae.errors import DataError

ELECTRODES = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")
"""The nine exploring electrodes; potentials are relative to the right leg, whose own noise cancels."""

DOWER = np.array(
    [
        [0.632, -0.235, 0.059],  # I
        [0.235, 1.066, -0.132],  # II
        [-0.515, 0.157, -0.917],  # V1
        [0.044, 0.164, -1.387],  # V2
        [0.882, 0.098, -1.277],  # V3
        [1.213, 0.127, -0.601],  # V4
        [1.125, 0.127, -0.086],  # V5
        [0.831, 0.076, 0.230],  # V6
    ]
)
"""Lead vectors of the eight independent leads (Dower et al. 1980; its inverse in Edenbrandt and Pahlm 1988)."""

FAULT_RATES = {
    "swap-RA-LA": 0.006,
    "swap-LA-LL": 0.003,
    "swap-RA-LL": 0.001,
    "swap-RA-RL": 0.001,
    "swap-V1-V2": 0.003,
    "swap-V2-V3": 0.002,
    "swap-V1-V3": 0.001,
}
"""Fraction of studies recorded with two electrodes exchanged."""


@dataclass(frozen=True, kw_only=True)
class Torso:
    """Position of a patient's heart in the chest, and placement of the electrodes.

    Attributes:
        rotation_rad: ``[3]`` rotation of the heart about x, y and z, in radians.
        scale: Factor on all potentials (body build, conductivity).
        strip_shift: ``[6]`` displacement of V1 to V6 along the chest, in units of the electrode spacing.
        height_shift: ``[6]`` displacement of V1 to V6 downwards, in the same unit.
    """

    rotation_rad: np.ndarray
    scale: float
    strip_shift: np.ndarray
    height_shift: np.ndarray


STANDARD_TORSO = Torso(rotation_rad=np.zeros(3), scale=1.0, strip_shift=np.zeros(6), height_shift=np.zeros(6))
"""The torso described by ``DOWER``."""


def draw_torso(rng: np.random.Generator, *, age_years: float) -> Torso:
    """Draw a patient's torso; the frontal axis turns to the left with age (about a quarter of a degree a year)."""
    degrees = rng.normal([0.0, 0.0, -0.25 * (age_years - 50.0)], [8.0, 11.0, 16.0])
    shifts = rng.normal(0.0, 0.15, (2, 6)) + rng.normal(0.0, 0.12, (2, 1))
    scale = float(np.exp(rng.normal(0.0, 0.20)))
    return Torso(rotation_rad=np.deg2rad(degrees), scale=scale, strip_shift=shifts[0], height_shift=shifts[1])


def vary_torso(torso: Torso, rng: np.random.Generator) -> Torso:
    """Return the torso for another recording: changed posture, electrodes placed anew."""
    shifts = rng.normal(0.0, 0.09, (2, 6))
    return Torso(
        rotation_rad=torso.rotation_rad + np.deg2rad(rng.normal(0.0, 3.0, 3)),
        scale=torso.scale * float(np.exp(rng.normal(0.0, 0.05))),
        strip_shift=torso.strip_shift + shifts[0],
        height_shift=torso.height_shift + shifts[1],
    )


def rotation(angles_rad: np.ndarray) -> np.ndarray:
    """Return the ``[3, 3]`` rotation about x, then y, then z."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles_rad), np.sin(angles_rad)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def electrode_field(torso: Torso = STANDARD_TORSO) -> np.ndarray:
    """Return ``[9, 3]``, the potential in mV at each electrode for a unit dipole, relative to Wilson's terminal.

    RA, LA and LL follow from leads I and II, since the three sum to zero; a displaced chest electrode sees a mixture
    of its own and its neighbour's lead vector.
    """
    limb_i, limb_ii, chest = DOWER[0], DOWER[1], DOWER[2:].copy()
    right_arm = -(limb_i + limb_ii) / 3.0
    gaps = np.diff(chest, axis=0)
    forward, backward = np.vstack([gaps, gaps[-1:]]), np.vstack([gaps[:1], gaps])
    shift = torso.strip_shift[:, None]
    chest += np.where(shift >= 0, shift * forward, shift * backward)
    chest[:, 1] += 0.25 * torso.height_shift
    field = np.vstack([right_arm, right_arm + limb_i, right_arm + limb_ii, chest])
    return torso.scale * field @ rotation(torso.rotation_rad)


def lead_matrix(leads: Sequence[str] = LEADS) -> np.ndarray:
    """Return ``[leads, 9]``, each lead as a combination of electrode potentials (Einthoven, Goldberger, Wilson)."""
    ra, la, ll = np.eye(9)[:3]
    by_name = {
        "I": la - ra,
        "II": ll - ra,
        "III": ll - la,
        "aVR": ra - (la + ll) / 2.0,
        "aVL": la - (ra + ll) / 2.0,
        "aVF": ll - (ra + la) / 2.0,
    }
    terminal = (ra + la + ll) / 3.0
    by_name |= {name: row - terminal for name, row in zip(ELECTRODES[3:], np.eye(9)[3:], strict=True)}
    return np.stack([by_name[name] for name in leads])


def fault_matrix(fault: str) -> np.ndarray:
    """Return ``[9, 9]``, the effect on the potentials of a fault: ``"none"`` or a key of ``FAULT_RATES``.

    ``"swap-RA-RL"`` puts the right-arm electrode on a leg, where the potential is nearly that of LL.

    Raises:
        DataError: The fault is not known.
    """
    if fault == "none":
        return np.eye(9)
    if fault not in FAULT_RATES:
        raise DataError(f"unknown electrode fault {fault!r}: expected 'none' or one of {', '.join(FAULT_RATES)}")
    first, second = fault.split("-")[1:]
    mixed = np.eye(9)
    if second == "RL":
        mixed[0] = 0.98 * mixed[2]
        return mixed
    rows = [ELECTRODES.index(first), ELECTRODES.index(second)]
    mixed[rows] = mixed[rows[::-1]]
    return mixed


def draw_fault(rng: np.random.Generator) -> str:
    """Draw the electrode fault of a study, ``"none"`` for most."""
    point = rng.random()
    for fault, rate in FAULT_RATES.items():
        if point < rate:
            return fault
        point -= rate
    return "none"
