"""Rhythms as lists of atrial and ventricular beat times, with heart-rate variability."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

NORMAL, PREMATURE_ATRIAL, VENTRICULAR, PACED = range(4)
"""Kinds of ventricular beats."""

_START_S, _END_S = -1.6, 11.6
_NONE = np.empty(0)


@dataclass(frozen=True, kw_only=True)
class Rhythm:
    """Beat times of a recording, in seconds after its start; they extend beyond both ends.

    Attributes:
        name: ``"sinus"``, ``"atrial-fibrillation"`` and so on.
        p_s: Onsets of P waves.
        qrs_s: ``[beats]`` onsets of QRS complexes.
        kind: ``[beats]`` kind of each beat, such as ``NORMAL``.
        spikes_s: Times of pacing spikes.
        fibrillation: Relative amplitude of the fibrillatory waves; 0 for none.
        flutter_hz: Rate of flutter waves; 0 for none.
        retrograde_p: True if the P waves are retrograde (inverted).
    """

    name: str
    p_s: np.ndarray
    qrs_s: np.ndarray
    kind: np.ndarray
    spikes_s: np.ndarray = field(default_factory=lambda: _NONE)
    fibrillation: float = 0.0
    flutter_hz: float = 0.0
    retrograde_p: bool = False

    @property
    def rr_s(self) -> np.ndarray:
        """``[beats]`` RR interval before each beat in seconds; the first equals the second."""
        gaps = np.diff(self.qrs_s)
        return np.concatenate([gaps[:1], gaps]) if len(gaps) else np.full(len(self.qrs_s), 1.0)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """State of the patient that a rhythm depends on.

    Attributes:
        rate_bpm: Sinus rate.
        breath_hz: Respiratory rate.
        breath_phase: Phase of respiration at the start.
        variability: Amplitude of respiratory and low-frequency variability, as a fraction of RR.
        pr_s: PR interval.
    """

    rate_bpm: float
    breath_hz: float
    breath_phase: float
    variability: float
    pr_s: float


def variable_times(
    rate_bpm: float, pace: Pace, rng: np.random.Generator, *, variability: float | None = None
) -> np.ndarray:
    """Draw times whose intervals vary with respiration, a 0.1 Hz wave and white noise (Task Force 1996)."""
    mean_s = 60.0 / rate_bpm
    size = pace.variability if variability is None else variability
    count = int((_END_S - _START_S) / mean_s * 1.4) + 3
    about = _START_S + mean_s * np.arange(count)
    slow = 0.7 * np.sin(2 * np.pi * 0.1 * about + rng.uniform(0, 2 * np.pi))
    breathing = np.sin(2 * np.pi * pace.breath_hz * about + pace.breath_phase)
    gaps = mean_s * (1.0 + size * (slow + breathing) + 0.2 * size * rng.normal(size=count))
    times = _START_S - mean_s * rng.random() + np.cumsum(np.clip(gaps, 0.25, 3.0))
    return times[times < _END_S]


def sinus(pace: Pace, rng: np.random.Generator, severity: float = 0.0) -> Rhythm:
    """Draw sinus rhythm: a P wave before each QRS."""
    qrs_s = variable_times(pace.rate_bpm, pace, rng)
    return Rhythm(name="sinus", p_s=qrs_s - pace.pr_s, qrs_s=qrs_s, kind=np.zeros(len(qrs_s), dtype=np.int64))


def atrial_fibrillation(pace: Pace, rng: np.random.Generator, severity: float) -> Rhythm:
    """Draw atrial fibrillation: fibrillatory waves, no P waves, irregular RR, less visibly so at slow rates."""
    rate = float(np.clip(rng.normal(80 + 30 * severity, 16), 48, 170))
    spread = 0.12 + 0.13 * severity
    gaps = 60.0 / rate * np.exp(rng.normal(-0.5 * spread**2, spread, int(14.5 * rate / 60 * 1.5) + 5))
    times = _START_S - rng.random() + np.cumsum(np.maximum(gaps, 0.30))
    qrs_s = times[times < _END_S]
    kind = np.zeros(len(qrs_s), dtype=np.int64)
    return Rhythm(
        name="atrial-fibrillation", p_s=_NONE, qrs_s=qrs_s, kind=kind, fibrillation=float(rng.uniform(0.25, 1.3))
    )


def atrial_flutter(pace: Pace, rng: np.random.Generator, severity: float) -> Rhythm:
    """Draw atrial flutter at 230 to 320 per minute, conducted 2:1, 3:1, 4:1 or in changing ratios."""
    flutter_hz = float(rng.uniform(230, 320)) / 60.0
    num_cycles = int(15 * flutter_hz)
    ratio = int(rng.choice([2, 3, 4], p=[0.45, 0.15, 0.40]))
    steps = (
        rng.choice([2, 3, 4, 5], p=[0.35, 0.2, 0.35, 0.1], size=num_cycles)
        if rng.random() < 0.35
        else np.full(num_cycles, ratio)
    )
    times = _START_S + (rng.random() + np.cumsum(steps)) / flutter_hz
    qrs_s = times[times < _END_S]
    kind = np.zeros(len(qrs_s), dtype=np.int64)
    return Rhythm(name="atrial-flutter", p_s=_NONE, qrs_s=qrs_s, kind=kind, flutter_hz=flutter_hz)


def supraventricular_tachycardia(pace: Pace, rng: np.random.Generator, severity: float) -> Rhythm:
    """Draw a regular tachycardia with narrow QRS; P is retrograde, at the end of QRS or hidden in it."""
    qrs_s = variable_times(140 + 65 * severity, pace, rng, variability=0.004)
    p_s = qrs_s + rng.uniform(0.03, 0.12) if rng.random() < 0.6 else _NONE
    kind = np.zeros(len(qrs_s), dtype=np.int64)
    return Rhythm(name="supraventricular-tachycardia", p_s=p_s, qrs_s=qrs_s, kind=kind, retrograde_p=True)


def second_degree_block(pace: Pace, rng: np.random.Generator, severity: float) -> Rhythm:
    """Draw Wenckebach block (PR grows before a dropped beat) or Mobitz II (constant PR), 2:1 to 5:4."""
    p_s = variable_times(float(np.clip(pace.rate_bpm, 55, 100)), pace, rng)
    cycle = int(rng.integers(2, 4) if severity > 0.6 else rng.integers(3, 6))
    place = (np.arange(len(p_s)) + rng.integers(cycle)) % cycle
    wenckebach = rng.random() < 0.65 and cycle > 2
    growth = 0.09 * np.sqrt(place) if wenckebach else np.zeros(len(p_s))
    qrs_s = (p_s + pace.pr_s + growth)[place < cycle - 1]
    name = "second-degree-block-wenckebach" if wenckebach else "second-degree-block-mobitz"
    return Rhythm(name=name, p_s=p_s, qrs_s=qrs_s, kind=np.zeros(len(qrs_s), dtype=np.int64))


def complete_block(pace: Pace, rng: np.random.Generator, severity: float) -> Rhythm:
    """Draw independent P waves and QRS complexes; the escape is junctional, or ventricular and slower."""
    p_s = variable_times(float(np.clip(pace.rate_bpm * 1.1, 60, 115)), pace, rng)
    ventricular = severity > 0.45
    rate = rng.uniform(28, 40) if ventricular else rng.uniform(40, 55)
    qrs_s = variable_times(rate, pace, rng, variability=0.006)
    kind = np.full(len(qrs_s), VENTRICULAR if ventricular else NORMAL, dtype=np.int64)
    return Rhythm(name="complete-block", p_s=p_s, qrs_s=qrs_s, kind=kind)


def paced(pace: Pace, rng: np.random.Generator, severity: float) -> Rhythm:
    """Draw ventricular pacing after P waves (DDD), or without them in atrial fibrillation (VVI)."""
    rate = float(rng.choice([60, 70, 80])) if rng.random() < 0.6 else float(np.clip(pace.rate_bpm, 60, 100))
    qrs_s = variable_times(rate, pace, rng, variability=0.002)
    kind = np.full(len(qrs_s), PACED, dtype=np.int64)
    if rng.random() < 0.3:
        return Rhythm(
            name="paced-ventricular", p_s=_NONE, qrs_s=qrs_s, kind=kind, spikes_s=qrs_s - 0.004, fibrillation=0.6
        )
    p_s = qrs_s - 0.19
    atrial_spikes = p_s - 0.004 if rng.random() < 0.45 else _NONE
    spikes_s = np.concatenate([qrs_s - 0.004, atrial_spikes])
    return Rhythm(name="paced-dual-chamber", p_s=p_s, qrs_s=qrs_s, kind=kind, spikes_s=spikes_s)


RHYTHMS: Mapping[str, Callable[[Pace, np.random.Generator, float], Rhythm]] = {
    "paced": paced,
    "complete_av_block": complete_block,
    "atrial_fibrillation": atrial_fibrillation,
    "atrial_flutter": atrial_flutter,
    "supraventricular_tachycardia": supraventricular_tachycardia,
    "second_degree_av_block": second_degree_block,
}
"""Rhythms by the condition that causes them; of several, the first one dominates."""


def with_pauses(rhythm: Rhythm, rng: np.random.Generator, severity: float) -> Rhythm:
    """Insert pauses as in sick sinus syndrome: an atrial beat is dropped and all later beats are delayed."""
    pause_s = (rng.random(len(rhythm.qrs_s)) < 0.05 + 0.12 * severity) * (0.5 + severity) * np.median(rhythm.rr_s)
    late_s = np.cumsum(pause_s)
    p_s = rhythm.p_s + late_s if len(rhythm.p_s) == len(late_s) else rhythm.p_s
    return replace(rhythm, p_s=p_s, qrs_s=rhythm.qrs_s + late_s)


def with_premature_beats(rhythm: Rhythm, rng: np.random.Generator, *, kind: int, burden: float) -> Rhythm:
    """Make some beats premature: atrial ones with a P wave, ventricular ones without and with a full pause.

    At least one beat within the recording is premature.
    """
    inside = np.flatnonzero((rhythm.qrs_s > 0.8) & (rhythm.qrs_s < 9.2) & (rhythm.kind == NORMAL))
    if not len(inside):
        return rhythm
    early = rng.random(len(inside)) < burden
    early[rng.integers(len(inside))] = True
    chosen = inside[early]
    chosen = chosen[np.diff(chosen, prepend=-9) > 1]
    earlier_s = rhythm.rr_s[chosen] * rng.uniform(0.24, 0.42, len(chosen))
    qrs_s, kinds, p_s = rhythm.qrs_s.copy(), rhythm.kind.copy(), rhythm.p_s
    qrs_s[chosen] -= earlier_s
    kinds[chosen] = kind
    if len(p_s) == len(qrs_s) and kind == VENTRICULAR:
        p_s = np.delete(p_s, chosen)
    elif len(p_s) == len(qrs_s):
        p_s = p_s.copy()
        p_s[chosen] -= earlier_s
        qrs_s[chosen[-1] + 1 :] -= 0.5 * earlier_s[-1]
        p_s[chosen[-1] + 1 :] -= 0.5 * earlier_s[-1]
    return replace(rhythm, p_s=p_s, qrs_s=qrs_s, kind=kinds)
