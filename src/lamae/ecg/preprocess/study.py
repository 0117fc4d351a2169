"""From a study in mV to what a pack stores: the one way that `prepare` and `embed` both go."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from lamae.ecg.plausible import check_rate, check_voltages
from lamae.ecg.preprocess.filters import bandpass, notch, rational_ratio, resample
from lamae.ecg.preprocess.gaps import bridge, longer_than, resample_mask
from lamae.ecg.preprocess.lead_identity import check_leads, repair
from lamae.ecg.preprocess.normalise import quantise
from lamae.ecg.preprocess.quality import lead_faults
from lamae.ecg.preprocess.settings import EcgPreprocessing
from lamae.errors import DataError
from lamae.studies import PreparedStudy, Study


@dataclass(frozen=True)
class _Leads:
    """Leads of one length: names, values ``[leads, samples]`` in mV, and where nothing was recorded."""

    names: tuple[str, ...]
    values: np.ndarray
    missing: np.ndarray


def preprocess(study: Study, config: EcgPreprocessing) -> PreparedStudy:
    """Prepare one ECG: choose, crop, judge, resample, filter, pad and quantise its leads.

    1. The leads of ``config.leads`` that the study has are cropped to ``duration_s``.
    2. Gaps are bridged so that filters can run; faults are flagged and leads left out by the policies.
    3. Leads are resampled, filtered at the new rate, and padded; long gaps become missing again.
    4. The limb leads are checked against each other.
    5. Values become int16 with a scale for each lead; gaps and padding become ``MISSING_CODE``.

    Args:
        study: An ECG in mV.
        config: Every parameter.

    Returns:
        The study as a pack stores it. Flags also name the faults of leads that were left out.

    Raises:
        DataError: The study must be refused. Reasons: ``not-an-ecg``, ``no-known-leads``, ``wrong-rate``,
            ``implausible-values``, ``all-missing``, ``all-flat``, ``too-short``, ``too-few-leads``, and
            ``missing-samples``, ``flat-lead``, ``saturated-lead``, ``out-of-range-lead`` where the policy is to reject.
    """
    flags: dict[str, tuple[str, ...]] = {}
    groups = _groups_of_one_form(study, config)
    parts = [_prepare_group(study, names, rate_hz, config, flags) for (rate_hz, _), names in groups.items()]
    leads = _assemble(parts, config)
    if len(leads.names) < config.min_leads:
        raise _too_few(study, leads.names, config, flags)
    leads, study_flags, lead_flags = _check_identity(leads, config, flags)
    return _quantise(leads, config, lead_flags, study_flags)


def _groups_of_one_form(study: Study, config: EcgPreprocessing) -> dict[tuple[float, int], list[str]]:
    if study.modality != "ecg":
        raise DataError(f"study {study.study_id}: expected an ECG, found {study.modality}", reason="not-an-ecg")
    groups: dict[tuple[float, int], list[str]] = {}
    for name in (name for name in config.leads if name in study.views):
        view = study.views[name]
        if view.values.ndim != 1 or view.values.dtype != np.float32:
            raise DataError(
                f"study {study.study_id}, lead {name}: expected [samples] float32 in mV, "
                f"found {view.values.shape} {view.values.dtype}",
                reason="not-an-ecg",
            )
        with _naming(f"study {study.study_id}, lead {name}"):
            rate_hz = check_rate(view.rate_hz)
        groups.setdefault((rate_hz, view.num_samples), []).append(name)
    if not groups:
        raise DataError(
            f"study {study.study_id}: none of the leads {', '.join(config.leads)} is there, "
            f"found {', '.join(study.views) or 'no lead'}",
            reason="no-known-leads",
        )
    return groups


def _prepare_group(
    study: Study, names: Sequence[str], rate_hz: float, config: EcgPreprocessing, flags: dict[str, tuple[str, ...]]
) -> _Leads:
    """Prepare leads of one rate and length together; record their faults in ``flags``."""
    values = _crop(np.stack([study.views[name].values for name in names]), rate_hz, config)
    if values.shape[1] < config.min_duration_s * rate_hz:
        flags.update(dict.fromkeys(names, ("too-short",)))
        return _Leads((), np.empty((0, 0)), np.empty((0, 0), bool))
    finite = np.isfinite(values)
    missing = None if finite.all() else ~finite
    if missing is not None:
        values = bridge(values, missing)
    with _naming(f"study {study.study_id}"):
        check_voltages(values)
    faults = lead_faults(values, missing, rate_hz, config)
    flags.update({name: found for name, found in zip(names, faults, strict=True) if found})
    kept = _usable(study, names, faults, missing, config)
    if missing is not None:
        num_bridged = round(config.max_gap_s * rate_hz) if config.nan == "interpolate-short" else 0
        missing = longer_than(missing[kept], num_bridged)
    return _resample_and_filter([names[lead] for lead in kept], values[kept], missing, rate_hz, config)


@contextmanager
def _naming(what: str) -> Iterator[None]:
    """Put the study, and perhaps the lead, in front of data errors."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{what}: {error}", reason=error.reason) from error


def _crop(values: np.ndarray, rate_hz: float, config: EcgPreprocessing) -> np.ndarray:
    wanted = int(np.ceil(config.duration_s * rate_hz))
    surplus = max(values.shape[1] - wanted, 0)
    start = surplus // 2 if config.crop == "centre" else 0
    return values[:, start : start + wanted]


def _usable(
    study: Study,
    names: Sequence[str],
    faults: Sequence[tuple[str, ...]],
    missing: np.ndarray | None,
    config: EcgPreprocessing,
) -> list[int]:
    """Return the positions of the leads that the policies keep."""
    policies = {
        "flat": (config.flat, "flat-lead"),
        "saturated": (config.saturated, "saturated-lead"),
        "out-of-range": (config.out_of_range, "out-of-range-lead"),
        "missing-samples": (config.nan, "missing-samples"),
    }
    kept = []
    for lead, (name, found) in enumerate(zip(names, faults, strict=True)):
        for fault in found:
            policy, reason = policies[fault]
            if policy == "reject":
                raise DataError(f"study {study.study_id}, lead {name}: {fault}, refused by the policy", reason=reason)
        dropped = any(policies[fault][0] == "drop-lead" for fault in found)
        if not dropped and (missing is None or missing[lead].mean() <= config.max_missing):
            kept.append(lead)
    return kept


def resample_and_filter(values: np.ndarray, rate_hz: float, config: EcgPreprocessing) -> np.ndarray:
    """Bring leads to the rate of a configuration and through its filters; a linear map of the samples.

    Args:
        values: ``[leads, samples]`` without NaN, in mV.
        rate_hz: Samples a second.
        config: New rate, notch and band-pass.

    Returns:
        ``[leads, new samples]``.
    """
    values = resample(values, *rational_ratio(rate_hz, config.rate_hz))
    if config.notch_hz is not None:
        values = notch(values, config.rate_hz, config.notch_hz)
    if config.bandpass_hz is not None:
        values = bandpass(values, config.rate_hz, config.bandpass_hz, config.bandpass_order)
    return values


def _resample_and_filter(
    names: Sequence[str], values: np.ndarray, missing: np.ndarray | None, rate_hz: float, config: EcgPreprocessing
) -> _Leads:
    up, down = rational_ratio(rate_hz, config.rate_hz)
    values = resample_and_filter(values, rate_hz, config) if len(names) else values
    values = values[:, : config.num_samples]
    if missing is None:
        missing = np.zeros(values.shape, dtype=bool)
    else:
        missing = resample_mask(missing, up, down, values.shape[1])
    return _Leads(tuple(names), values, missing)


def _assemble(parts: Sequence[_Leads], config: EcgPreprocessing) -> _Leads:
    """Put all leads into one array in the order of ``config.leads``, padded to the full length."""
    names = tuple(name for name in config.leads if any(name in part.names for part in parts))
    values = np.zeros((len(names), config.num_samples))
    missing = np.ones(values.shape, dtype=bool)
    for part in parts:
        rows = [names.index(name) for name in part.names]
        num_samples = part.values.shape[1]
        start = (config.num_samples - num_samples) // 2 if config.crop == "centre" else 0
        values[rows, start : start + num_samples] = part.values
        missing[rows, start : start + num_samples] = part.missing
    return _Leads(names, values, missing)


def _too_few(
    study: Study, usable: Sequence[str], config: EcgPreprocessing, flags: Mapping[str, tuple[str, ...]]
) -> DataError:
    present = [study.views[name] for name in config.leads if name in study.views]
    faults = [flags.get(view.key, ()) for view in present]
    if all("too-short" in found for found in faults):
        longest_s = max(view.duration_s for view in present)
        message = f"the longest lead has {longest_s:g} s, fewer than the {config.min_duration_s:g} s asked for"
        return DataError(f"study {study.study_id}: {message}", reason="too-short")
    if not any(np.isfinite(view.values).any() for view in present):
        return DataError(f"study {study.study_id}: no lead holds a recorded sample", reason="all-missing")
    if all("flat" in found for found in faults):
        return DataError(f"study {study.study_id}: every lead is flat", reason="all-flat")
    listed = "; ".join(f"{name} {', '.join(found)}" for name, found in flags.items()) or "none"
    return DataError(
        f"study {study.study_id}: {len(usable)} usable leads, fewer than the {config.min_leads} asked for "
        f"(min_leads); faults: {listed}",
        reason="too-few-leads",
    )


def _check_identity(
    leads: _Leads, config: EcgPreprocessing, flags: Mapping[str, tuple[str, ...]]
) -> tuple[_Leads, tuple[str, ...], Mapping[str, tuple[str, ...]]]:
    if config.lead_identity == "off":
        return leads, (), flags
    recorded = ~leads.missing.any(axis=0)
    by_name = {name: row[recorded] for name, row in zip(leads.names, leads.values, strict=True)}
    identity = check_leads(by_name, rate_hz=config.rate_hz)
    if config.lead_identity != "repair" or not identity.correction:
        return leads, identity.study_flags, flags
    rows = {name: (leads.values[row], leads.missing[row]) for row, name in enumerate(leads.names)}
    values = repair({name: row[0] for name, row in rows.items()}, identity)
    names = tuple(name for name in config.leads if name in values)
    missing = np.stack([rows[identity.recorded_as(name)][1] for name in names])
    moved = {name: flags[identity.recorded_as(name)] for name in config.leads if identity.recorded_as(name) in flags}
    repaired = _Leads(names, np.stack([values[name] for name in names]), missing)
    return repaired, (*identity.study_flags, "lead-identity-repaired"), moved


def _quantise(
    leads: _Leads, config: EcgPreprocessing, flags: Mapping[str, tuple[str, ...]], study_flags: tuple[str, ...]
) -> PreparedStudy:
    integers, scale = quantise(leads.values, leads.missing, config.resolution_mv)
    return PreparedStudy.of_waveforms(
        view_names=leads.names,
        values=integers,
        scale=scale,
        rate_hz=config.rate_hz,
        has_missing=bool(leads.missing.any()),
        flags=flags,
        study_flags=study_flags,
    )
