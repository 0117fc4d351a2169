"""The heart as a moving dipole: each wave of a beat is a Gaussian in time with a direction in space.

The sum of Gaussians follows McSharry et al. 2003 (one lead) and Sameni et al. 2007 (three dimensions), with two
differences: wave times are in seconds instead of phase, since QT shortens at faster rates and the QRS complex does not;
and rise and fall may have different widths, which a T wave needs.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from lamae.ecg.simulate.electrodes import rotation

RATE_HZ = 500
"""Sampling rate of the simulation, as in MIMIC-IV-ECG."""

MARGIN_S = 2.0
"""Time rendered before the start and after the end, so that waves at the edges are complete."""


@dataclass(frozen=True, kw_only=True)
class Waves:
    """A group of Gaussian waves of a beat.

    Attributes:
        time_s: ``[waves]`` time of each peak after the reference of its group.
        rise_s: ``[waves]`` standard deviation before the peak.
        fall_s: ``[waves]`` standard deviation after the peak.
        moment: ``[waves, 3]`` dipole moment at the peak along x (left), y (feet), z (back), in units in which the lead
            vectors give mV.
    """

    time_s: np.ndarray
    rise_s: np.ndarray
    fall_s: np.ndarray
    moment: np.ndarray

    def __len__(self) -> int:
        return len(self.time_s)

    def scaled(self, factor: ArrayLike) -> "Waves":
        """Return the waves with moments times ``factor`` (a scalar, or one per wave)."""
        return replace(self, moment=self.moment * np.reshape(factor, (-1, 1)))

    def stretched(self, factor: float) -> "Waves":
        """Return the waves with times and widths multiplied by ``factor``."""
        return replace(self, time_s=self.time_s * factor, rise_s=self.rise_s * factor, fall_s=self.fall_s * factor)

    def joined(self, other: "Waves") -> "Waves":
        """Return these waves followed by the other ones."""
        return Waves(
            time_s=np.concatenate([self.time_s, other.time_s]),
            rise_s=np.concatenate([self.rise_s, other.rise_s]),
            fall_s=np.concatenate([self.fall_s, other.fall_s]),
            moment=np.concatenate([self.moment, other.moment]),
        )

    def shifted(self, moment: ArrayLike) -> "Waves":
        """Return the waves with ``moment`` added to each."""
        return replace(self, moment=self.moment + np.asarray(moment))


def waves(*rows: tuple[float, float, float, float, float, float]) -> Waves:
    """Build waves from rows of (time in ms, rise in ms, fall in ms, x, y, z)."""
    table = np.array(rows, dtype=np.float64).reshape(-1, 6)
    return Waves(time_s=table[:, 0] / 1e3, rise_s=table[:, 1] / 1e3, fall_s=table[:, 2] / 1e3, moment=table[:, 3:])


@dataclass(frozen=True, kw_only=True)
class Heart:
    """Waves and intervals of a beat; conditions map one heart to another.

    Attributes:
        p: Atrial depolarisation, times after the onset of P.
        qrs: Ventricular depolarisation, times after its onset.
        st: Displacement of the ST segment, times after the end of QRS.
        t: Repolarisation (and U), times after the peak of T.
        p_s: Duration of P, in seconds.
        pr_s: Onset of P to onset of QRS.
        qrs_s: Duration of QRS.
        qtc_s: QT at 60 beats a minute, for a QRS of 90 ms (Fridericia's cube root for other rates).
        ectopic_qrs: The QRS of a ventricular ectopic or escape beat.
        alternans: Relative change in amplitude of every second beat.
    """

    p: Waves
    qrs: Waves
    st: Waves
    t: Waves
    p_s: float = 0.100
    pr_s: float = 0.160
    qrs_s: float = 0.090
    qtc_s: float = 0.410
    ectopic_qrs: Waves
    alternans: float = 0.0


NORMAL_HEART = Heart(
    p=waves((34, 15, 17, 0.020, 0.085, -0.045), (66, 17, 15, 0.070, 0.045, 0.040)),
    qrs=waves(
        (17, 6, 6, -0.16, 0.01, -0.20),  # the septum, from left to right
        (32, 7, 7, 0.38, 0.28, -0.42),  # the apex and the anterior wall
        (44, 8, 8, 1.10, 0.76, 0.38),  # the free wall of the left ventricle
        (64, 8, 9, -0.12, -0.12, 0.55),  # the base
    ),
    st=waves((50, 30, 70, 0.01, 0.01, -0.01)),
    t=waves((0, 52, 34, 0.32, 0.22, -0.20), (150, 30, 35, 0.015, 0.01, -0.02)),
    ectopic_qrs=waves((35, 16, 18, -0.35, 0.65, -0.5), (75, 20, 22, -0.6, 0.95, -0.9), (115, 18, 18, 0.1, 0.25, -0.35)),
)
"""Beat of a healthy adult in the standard torso."""

SEPTUM, APEX, FREE_WALL, BASE = range(4)
"""Rows of the normal QRS."""


def draw_heart(rng: np.random.Generator, *, age_years: float, female: bool) -> Heart:
    """Draw the healthy beat of a patient: the same waves, varied in size, direction and timing."""
    heart = NORMAL_HEART
    old = (age_years - 50.0) / 10.0
    spread = rng.normal(0.0, 0.05, heart.qrs.moment.shape)
    qrs = replace(heart.qrs, moment=heart.qrs.moment + spread).scaled(np.exp(rng.normal(0.0, 0.14, len(heart.qrs))))
    t_size = np.exp(rng.normal(-0.10 * old - 0.12 * female, 0.22))
    turned = np.array([*rng.normal(0.0, 0.035, 2), rng.normal(0.06 * female, 0.05)])
    t = replace(heart.t, moment=heart.t.moment + np.array([[1.0], [0.2]]) * turned)
    early_repolarisation = max(0.0, rng.normal(0.05 - 0.02 * old - 0.04 * female, 0.03))
    qrs_s = float(np.clip(rng.normal(0.092 - 0.006 * female, 0.007), 0.074, 0.110))
    return replace(
        heart,
        p=heart.p.scaled(np.exp(rng.normal(0.0, 0.2, 2))),
        p_s=float(np.clip(rng.normal(0.101 + 0.003 * old, 0.007), 0.08, 0.119)),
        qrs=qrs.stretched(qrs_s / 0.090),
        st=heart.st.shifted(early_repolarisation * np.array([0.6, 0.4, -1.0])),
        t=t.scaled(t_size),
        pr_s=float(np.clip(rng.normal(0.155 + 0.006 * old, 0.015), 0.120, 0.198)),
        qrs_s=qrs_s,
        qtc_s=float(np.clip(rng.normal(0.408 + 0.012 * female, 0.016), 0.365, 0.450)),
        ectopic_qrs=_draw_ectopic(rng),
    )


def _draw_ectopic(rng: np.random.Generator) -> Waves:
    """Draw a ventricular focus at any site: the standard ectopic beat, rotated about the vertical and frontal axes."""
    angles = rng.uniform([-1.0, -2.6, -1.6], [1.0, 2.6, 1.6])
    ectopic = NORMAL_HEART.ectopic_qrs
    return replace(ectopic, moment=ectopic.moment @ rotation(angles).T).stretched(rng.uniform(0.9, 1.2))


def qt_s(heart: Heart, rr_s: np.ndarray) -> np.ndarray:
    """Return QT for each RR interval (Fridericia's cube root), prolonged by a broad QRS."""
    return heart.qtc_s * np.cbrt(np.clip(rr_s, 0.3, 1.6)) + (heart.qrs_s - 0.090)


def add_waves(
    dipole: np.ndarray,
    group: Waves,
    at_s: np.ndarray,
    *,
    gain: np.ndarray | None = None,
    stretch: np.ndarray | None = None,
) -> None:
    """Add a group of waves to a dipole at several times, in place.

    Args:
        dipole: ``[3, samples]`` at ``RATE_HZ``, with ``MARGIN_S`` of margin on both sides.
        group: The waves.
        at_s: ``[beats]`` reference times in seconds; those outside the margins are skipped.
        gain: ``[beats]`` factor on the moments, 1 by default.
        stretch: ``[beats]`` factor on times and widths, 1 by default.
    """
    num_samples = dipole.shape[1]
    end_s = num_samples / RATE_HZ - MARGIN_S
    inside = (at_s > -0.6 * MARGIN_S) & (at_s < end_s - 0.45 * MARGIN_S)
    at_s = at_s[inside]
    slow = np.ones(len(at_s)) if stretch is None else stretch[inside]
    size = np.ones(len(at_s)) if gain is None else gain[inside]
    if not len(at_s) or not len(group):
        return
    centre = (at_s[:, None] + group.time_s * slow[:, None] + MARGIN_S).ravel()
    rise, fall = ((width * slow[:, None]).ravel()[:, None] for width in (group.rise_s, group.fall_s))
    half = int(np.ceil(4.0 * max(rise.max(), fall.max()) * RATE_HZ))
    index = np.rint(centre * RATE_HZ).astype(np.int64)[:, None] + np.arange(-half, half + 1)
    offset = index / RATE_HZ - centre[:, None]
    shape = np.exp(-0.5 * np.square(offset / np.where(offset < 0, rise, fall)))
    moment = (size[:, None, None] * group.moment).reshape(-1, 3)
    flat = np.clip(index, 0, num_samples - 1).ravel()
    for axis in range(3):
        weights = (shape * moment[:, axis, None]).ravel()
        dipole[axis] += np.bincount(flat, weights=weights, minlength=num_samples)
