"""Hand-crafted features of a 12-lead ECG (rhythm, intervals, axes, amplitudes), as a control with domain knowledge.

A foundation model should tell more about a heart than these measurements. Every study has the same features in the
same order; what cannot be measured (no P wave, an absent lead) is NaN.
"""

import numpy as np

from lamae.ecg.leads import LEADS
from lamae.ecg.measure.median_beat import MedianBeat, find_beats, lead_trust, median_beat, smooth, to_analysis_rate
from lamae.studies import MISSING_CODE, PreparedStudy

LEAD_FEATURES = ("p_mv", "q_mv", "r_mv", "s_mv", "st_j60_mv", "t_mv", "qrs_area_mv_ms", "qrs_terminal_mv", "noise_mv")
FEATURES = (
    *("heart_rate_bpm", "rr_sdnn_ms", "rr_rmssd_ms", "rr_irregularity", "rr_shortest_ratio", "rr_longest_ratio"),
    *("dominant_beat_fraction", "p_consistency", "p_present", "atrial_residual_mv"),
    *("pr_ms", "qrs_ms", "qt_ms", "qtc_bazett_ms", "qtc_fridericia_ms", "t_peak_to_end_ms"),
    *("qrs_axis_deg", "qrs_axis_sin", "qrs_axis_cos", "t_axis_deg"),
    *("frontal_qrs_t_angle_deg", "spatial_qrs_t_angle_deg", "qrs_magnitude_mv", "t_magnitude_mv"),
    *("sokolow_lyon_mv", "cornell_mv", "num_leads_measured"),
    *(f"{lead}_{feature}" for lead in LEADS for feature in LEAD_FEATURES),
)
"""Names of all features, in the order returned by `measure`."""

KORS = np.array(
    [
        [0.38, -0.07, -0.13, 0.05, -0.01, 0.14, 0.06, 0.54],
        [-0.07, 0.93, 0.06, -0.02, -0.05, 0.06, -0.17, 0.13],
        [0.11, -0.23, -0.43, -0.06, -0.14, -0.20, -0.11, 0.31],
    ]
)
"""X, Y, Z from leads I, II, V1 to V6 by regression (Kors et al., European Heart Journal 1990;11:1083, table 1)."""

_KORS_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
_MIN_RECORDED = 0.5
_FLAT_MV = 0.005
_MIN_DURATION_S = 1.5
_MIN_P_CONSISTENCY, _MIN_P_MV, _MIN_R_MV = 0.35, 0.02, 0.05


def measure(study: PreparedStudy) -> dict[str, float]:
    """Return all ``FEATURES`` of a study, NaN where a feature cannot be measured.

    Args:
        study: A prepared ECG at any rate of at least 50 Hz, with any of the 12 leads in any order. Leads with less than
            half of their samples recorded, and flat leads, count as absent.
    """
    features = dict.fromkeys(FEATURES, float("nan"))
    leads, signal = _recorded_leads(study)
    features["num_leads_measured"] = float(len(leads))
    if not leads or study.rate_hz is None or signal.shape[1] < _MIN_DURATION_S * study.rate_hz:
        return features
    signal, rate_hz = to_analysis_rate(signal, study.rate_hz)
    trust = lead_trust(signal)
    peaks = find_beats(signal, rate_hz, trust)
    if len(peaks) == 0:
        return features
    beat = median_beat(signal, rate_hz, peaks, trust)
    features |= _rhythm(peaks, rate_hz, beat)
    features |= _intervals(beat, features["heart_rate_bpm"])
    features |= _vectors(beat, leads)
    features |= _amplitudes(beat, leads)
    return features | _hypertrophy(features)


def _recorded_leads(study: PreparedStudy) -> tuple[tuple[str, ...], np.ndarray]:
    """Return usable standard leads and ``[leads, samples]`` in mV, trimmed to the recorded part, gaps interpolated."""
    named = {name: row for row, name in enumerate(study.view_names) if name in LEADS}
    stored, scale = study.values, study.scale
    recorded = stored != MISSING_CODE
    enough = [name for name in LEADS if name in named and recorded[named[name]].any()]
    if not enough:
        return (), np.zeros((0, 0), dtype=np.float32)
    rows = [named[name] for name in enough]
    some = np.flatnonzero(recorded[rows].any(axis=0))
    inside = slice(int(some[0]), int(some[-1]) + 1)
    signal = stored[rows, inside].astype(np.float32) * scale[rows, None]
    here = recorded[rows, inside]
    usable = []
    for lead, (values, known) in enumerate(zip(signal, here, strict=True)):
        if known.mean() < _MIN_RECORDED or values[known].std() < _FLAT_MV:
            continue
        if not known.all():
            values[:] = np.interp(np.arange(len(values)), np.flatnonzero(known), values[known])
        usable.append(lead)
    return tuple(enough[lead] for lead in usable), signal[usable]


def _rhythm(peaks: np.ndarray, rate_hz: float, beat: MedianBeat) -> dict[str, float]:
    features = {
        "dominant_beat_fraction": beat.dominant_fraction,
        "p_consistency": beat.p_consistency,
        "p_present": float(_has_p(beat)),
        "atrial_residual_mv": _atrial_residual(beat),
    }
    if len(peaks) < 2:
        return features
    rr_ms = np.diff(peaks) * 1000 / rate_hz
    typical = float(np.median(rr_ms))
    features |= {
        "heart_rate_bpm": 60_000 / typical,
        "rr_shortest_ratio": float(rr_ms.min()) / typical,
        "rr_longest_ratio": float(rr_ms.max()) / typical,
    }
    if len(rr_ms) > 1:
        steps = np.diff(rr_ms)
        features |= {
            "rr_sdnn_ms": float(rr_ms.std(ddof=1)),
            "rr_rmssd_ms": float(np.sqrt((steps**2).mean())),
            "rr_irregularity": float(np.median(np.abs(steps))) / typical,
        }
    return features


def _has_p(beat: MedianBeat) -> bool:
    if np.isnan(beat.p_peak) or not beat.p_consistency > _MIN_P_CONSISTENCY:
        return False
    return float(np.sqrt((_extremes(beat.values, beat.p_peak, 0.03 * beat.rate_hz) ** 2).mean())) > _MIN_P_MV


def _atrial_residual(beat: MedianBeat) -> float:
    """Return the largest RMS in mV over leads of beat-to-beat differences before QRS, such as fibrillatory waves."""
    before = slice(max(0, int(beat.qrs_onset - 0.2 * beat.rate_hz)), max(1, int(beat.qrs_onset)))
    residual = smooth((beat.beats - beat.values)[..., before], 0.03, beat.rate_hz)
    residual = residual - residual.mean(axis=-1, keepdims=True)
    return float(np.sqrt((residual**2).mean(axis=(0, 2))).max()) if len(beat.beats) > 1 else float("nan")


def _intervals(beat: MedianBeat, heart_rate_bpm: float) -> dict[str, float]:
    ms = 1000 / beat.rate_hz
    qt_ms = (beat.t_end - beat.qrs_onset) * ms
    rr_s = 60 / heart_rate_bpm
    return {
        "pr_ms": (beat.qrs_onset - beat.p_onset) * ms if _has_p(beat) else float("nan"),
        "qrs_ms": (beat.qrs_end - beat.qrs_onset) * ms,
        "qt_ms": qt_ms,
        "qtc_bazett_ms": qt_ms / rr_s**0.5,
        "qtc_fridericia_ms": qt_ms / rr_s ** (1 / 3),
        "t_peak_to_end_ms": (beat.t_end - beat.t_peak) * ms,
    }


def _vectors(beat: MedianBeat, leads: tuple[str, ...]) -> dict[str, float]:
    qrs = beat.values[:, _qrs_samples(beat)]
    net_qrs = qrs.sum(axis=-1)
    features = {"qrs_magnitude_mv": float(np.sqrt((qrs**2).mean(axis=0)).max())}
    if np.isnan(beat.t_peak):
        return features | _axes(dict(zip(leads, net_qrs, strict=True)), {})
    reach = round(0.06 * beat.rate_hz)
    peak = int(beat.t_peak)
    t_wave = beat.values[:, max(peak - reach, 0) : peak + reach + 1]
    features["t_magnitude_mv"] = float(np.sqrt((t_wave**2).mean(axis=0)).max())
    if all(lead in leads for lead in _KORS_LEADS):
        rows = [leads.index(lead) for lead in _KORS_LEADS]
        features["spatial_qrs_t_angle_deg"] = _angle(KORS @ qrs[rows].sum(axis=-1), KORS @ t_wave[rows].sum(axis=-1))
    net_t = t_wave.sum(axis=-1)
    return features | _axes(dict(zip(leads, net_qrs, strict=True)), dict(zip(leads, net_t, strict=True)))


def _axes(net_qrs: dict[str, float], net_t: dict[str, float]) -> dict[str, float]:
    qrs, t_wave = _frontal(net_qrs), _frontal(net_t)
    features = {}
    if qrs is not None:
        axis = float(np.arctan2(qrs[1], qrs[0]))
        features = {"qrs_axis_deg": float(np.degrees(axis)), "qrs_axis_sin": np.sin(axis), "qrs_axis_cos": np.cos(axis)}
    if t_wave is not None:
        features["t_axis_deg"] = float(np.degrees(np.arctan2(t_wave[1], t_wave[0])))
    if qrs is not None and t_wave is not None:
        features["frontal_qrs_t_angle_deg"] = _angle(qrs, t_wave)
    return {name: float(value) for name, value in features.items()}


def _frontal(net: dict[str, float]) -> np.ndarray | None:
    """Return the net vector in the frontal plane (left, foot) from leads I and II: aVF = II - I / 2, rescaled."""
    if "I" not in net or "II" not in net:
        return None
    return np.array([net["I"], (net["II"] - net["I"] / 2) * 2 / np.sqrt(3)])


def _angle(one: np.ndarray, other: np.ndarray) -> float:
    norm = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.degrees(np.arccos(np.clip(one @ other / norm, -1, 1)))) if norm > 0 else float("nan")


def _amplitudes(beat: MedianBeat, leads: tuple[str, ...]) -> dict[str, float]:
    rate_hz, num_samples = beat.rate_hz, beat.values.shape[1]
    qrs = beat.values[:, _qrs_samples(beat)]
    r_at = qrs.argmax(axis=-1)
    before_r = np.arange(qrs.shape[1]) < r_at[:, None]
    after_r = np.arange(qrs.shape[1]) > r_at[:, None]
    is_qs = (qrs.max(axis=-1) < _MIN_R_MV)[:, None]  # without an R wave the one deflection is both Q and S
    j60 = min(int(beat.qrs_end + 0.06 * rate_hz), num_samples - 1)
    terminal = qrs[:, -max(1, round(0.04 * rate_hz)) :]
    columns = {
        "p_mv": _extremes(beat.values, beat.p_peak, 0.03 * rate_hz),
        "q_mv": np.minimum(np.where(before_r | is_qs, qrs, 0).min(axis=-1), 0),
        "r_mv": np.maximum(qrs.max(axis=-1), 0),
        "s_mv": np.minimum(np.where(after_r | is_qs, qrs, 0).min(axis=-1), 0),
        "st_j60_mv": beat.values[:, max(j60 - 1, 0) : j60 + 2].mean(axis=-1),
        "t_mv": _extremes(beat.values, beat.t_peak, 0.05 * rate_hz),
        "qrs_area_mv_ms": qrs.sum(axis=-1) * 1000 / rate_hz,
        "qrs_terminal_mv": terminal.mean(axis=-1),
        "noise_mv": 1.4826 * np.median(np.abs(beat.beats - beat.values)[..., ::2], axis=(0, 2)),
    }
    return {f"{lead}_{name}": float(values[row]) for row, lead in enumerate(leads) for name, values in columns.items()}


def _qrs_samples(beat: MedianBeat) -> slice:
    return slice(int(beat.qrs_onset), int(np.ceil(beat.qrs_end)) + 1)


def _extremes(values: np.ndarray, at: float, reach: float) -> np.ndarray:
    """Return ``[leads]``, the signed value of largest magnitude within ``reach`` samples of ``at``."""
    if np.isnan(at):
        return np.full(len(values), np.nan)
    window = values[:, max(int(at - reach), 0) : int(at + reach) + 1]
    return np.take_along_axis(window, np.abs(window).argmax(axis=-1)[:, None], axis=-1)[:, 0]


def _hypertrophy(features: dict[str, float]) -> dict[str, float]:
    return {
        "sokolow_lyon_mv": -features["V1_s_mv"] + np.fmax(features["V5_r_mv"], features["V6_r_mv"]),
        "cornell_mv": features["aVL_r_mv"] - features["V3_s_mv"],
    }
