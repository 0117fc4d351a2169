"""Functions shared by all readers: choice of leads, voltage units, building a study, errors that name the file."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np

from lamae.boundary import FAULTS_OF_THE_SYSTEM, short_text
from lamae.ecg.leads import canonical_lead
from lamae.ecg.plausible import check_rate, check_voltages
from lamae.ecg.readers.limits import check_channels
from lamae.errors import DataError, check_choice
from lamae.files import unchanged
from lamae.studies import Study, View, Views

ExtraChannels = Literal["error", "ignore"]
"""Policy for a channel that is not a known ECG lead."""

_MV_IN_UNIT = {
    **dict.fromkeys(("nv", "nanovolt", "nanovolts"), 1e-6),
    **dict.fromkeys(("uv", "μv", "microvolt", "microvolts"), 1e-3),
    **dict.fromkeys(("mv", "millivolt", "millivolts"), 1.0),
    **dict.fromkeys(("v", "volt", "volts"), 1e3),
}


def millivolts_in(unit: str) -> float:
    """Return the number of mV in one ``unit``: 0.001 for ``"uV"``. Case is ignored, so ``"MV"`` is read as mV.

    Raises:
        DataError: The unit is not a known unit of voltage (``unknown-unit``).
    """
    try:
        return _MV_IN_UNIT[unit.strip().casefold()]
    except KeyError:
        raise DataError(
            f"unknown unit {unit!r}: expected V, mV, uV or nV; convert the file or name its unit", reason="unknown-unit"
        ) from None


def choose_leads(
    names: Sequence[str], lead_names: Mapping[str, str] | None, extra_channels: ExtraChannels
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Find the ECG leads among a file's channels.

    Args:
        names: Channel names in the order of the file.
        lead_names: Maps names in the file (case is ignored) to leads.
        extra_channels: ``"error"`` rejects a channel that is not a lead; ``"ignore"`` skips it.

    Returns:
        Positions of the leads in ``names``, and their canonical names.

    Raises:
        DataError: Unknown lead (``unknown-lead``), duplicated lead (``duplicated-lead``), no leads (``no-leads``), or
            more channels than any recording has (``too-many-channels``).
    """
    check_channels(len(names))
    if lead_names:
        meant = {name.strip().casefold(): lead for name, lead in lead_names.items()}
        names = [meant.get(name.strip().casefold(), name) for name in names]
    return _choose(tuple(names), extra_channels)


@lru_cache(maxsize=1024)
def _choose(names: tuple[str, ...], extra_channels: ExtraChannels) -> tuple[tuple[int, ...], tuple[str, ...]]:
    check_choice("extra_channels", extra_channels, get_args(ExtraChannels))
    found: dict[str, int] = {}
    for position, name in enumerate(names):
        try:
            lead = canonical_lead(name)
        except DataError:
            if extra_channels == "ignore":
                continue
            raise
        if lead in found:
            raise DataError(
                f"channels {found[lead] + 1} and {position + 1} are both lead {lead}: each lead may stand only once; "
                "give one of them another name with lead_names",
                reason="duplicated-lead",
            )
        found[lead] = position
    if not found:
        raise DataError(f"none of the channels ({', '.join(names) or 'none'}) is an ECG lead", reason="no-leads")
    return tuple(found.values()), tuple(found)


def as_float32(values: np.ndarray) -> np.ndarray:
    """Return values in mV as contiguous float32.

    Raises:
        DataError: A value is infinite or overflows float32 (``infinite-values``), or is beyond any ECG
            (``implausible-values``).
    """
    with np.errstate(over="ignore"):
        rounded = np.ascontiguousarray(values, np.float32)
    check_voltages(rounded)
    return rounded


def make_ecg_study(
    *,
    study_id: str,
    leads: Sequence[str],
    values: np.ndarray,
    rate_hz: float,
    source_format: str,
    patient_id: str | None = None,
    acquired_at: datetime | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Study:
    """Build a study from rows in mV.

    Args:
        study_id: Identifier within its source.
        leads: Canonical names, one per row.
        values: ``[leads, samples]`` float32 in mV, NaN for missing samples.
        rate_hz: Sampling rate.
        source_format: Short name of the file format, stored in the metadata.
        patient_id: Identifier of the patient, if known.
        acquired_at: Start of the recording, if known.
        metadata: Additional entries of ``Study.metadata``.

    Raises:
        DataError: There are no samples (``no-samples``), or the rate is not one of an ECG (``wrong-rate``).
    """
    if values.shape[1] == 0:
        raise DataError("the file holds no samples", reason="no-samples")
    check_rate(rate_hz)
    views = Views([View(name=lead, values=row, rate_hz=rate_hz) for lead, row in zip(leads, values, strict=True)])
    return Study(
        study_id=study_id,
        views=views,
        patient_id=patient_id,
        acquired_at=acquired_at,
        metadata={"source_format": source_format, **(metadata or {})},
    )


@contextmanager
def naming(path: str | os.PathLike[str], before: os.stat_result | None = None) -> Iterator[None]:
    """Prefix data errors with the path of the file, and convert errors of opening it to data errors.

    A message that quotes the file at length is cut. A file that changes within the block, or since it had the status
    ``before``, is refused.
    """
    try:
        with unchanged(path, before):
            yield
    except DataError as error:
        raise type(error)(short_text(f"{os.fspath(path)}: {error}"), reason=error.reason) from error
    except OSError as error:
        raise refused(error, path) from error


def refused(error: OSError, path: str | os.PathLike[str]) -> DataError:
    """Return the data error for a file that could not be opened or read.

    Raises:
        OSError: The error is a fault of the system, not of this file.
    """
    raise_fault_of_the_system(error)
    at = error.filename if isinstance(error.filename, str) else os.fspath(path)
    if isinstance(error, FileNotFoundError):
        return DataError(f"{at}: there is no such file", reason="missing-file")
    return DataError(f"{at}: cannot be read ({error.strerror or error})", reason="unreadable-file")


def raise_fault_of_the_system(error: Exception) -> None:
    """Raise the error again if it is a fault of the system and not of the file being read."""
    if isinstance(error, OSError) and error.errno in FAULTS_OF_THE_SYSTEM:
        raise error


def study_id_of(path: str | os.PathLike[str]) -> str:
    """Return the name of a file without folder and extension."""
    return os.path.splitext(os.path.basename(os.fspath(path)))[0]
