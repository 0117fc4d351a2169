"""Reader of DICOM 12-lead, general and ambulatory ECG (PS3.3 A.34.3 to A.34.5, waveform module C.10.9)."""

import contextlib
import io
import os
import struct
import warnings
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lamae.ages_and_dates import known_time, parse_time, with_known_age
from lamae.ecg.readers.leads import (
    ExtraChannels,
    as_float32,
    choose_leads,
    make_ecg_study,
    millivolts_in,
    naming,
    raise_fault_of_the_system,
    study_id_of,
)
from lamae.ecg.readers.limits import Budget, check_channels, inflated, open_regular
from lamae.ecg.readers.segments import BEAT_WORDS, Segment, merge_segments
from lamae.errors import DataError, FormatError
from lamae.studies import Study

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

ECG_STORAGE = {
    "1.2.840.10008.5.1.4.1.1.9.1.1": "12-lead ECG",
    "1.2.840.10008.5.1.4.1.1.9.1.2": "general ECG",
    "1.2.840.10008.5.1.4.1.1.9.1.3": "ambulatory ECG",
    "1.2.840.10008.5.1.4.1.1.9.1.4": "general 32-bit ECG",
}
"""Supported SOP classes (PS3.4 B.5)."""

_DEFLATED = b"1.2.840.10008.1.2.1.99"
"""Transfer syntax of a deflated file (PS3.5 A.5)."""

_SAMPLE_TYPES = {"SS": "i2", "US": "u2", "SL": "i4", "UL": "u4", "SB": "i1", "UB": "u1"}
"""Waveform Sample Interpretation (5400,1006), PS3.3 C.10.9.1.5; companded audio (MB, AB) is not an ECG."""

_LEAD_NUMBERS = {
    **{1: "I", 2: "II", 61: "III", 62: "aVR", 63: "aVL", 64: "aVF", 65: "-aVR"},
    **{3: "V1", 4: "V2", 5: "V3", 6: "V4", 7: "V5", 8: "V6", 9: "V7", 66: "V8", 67: "V9"},
    **{11: "V3R", 12: "V4R", 13: "V5R", 14: "V6R", 15: "V7R", 16: "X", 17: "Y", 18: "Z"},
    **{31: "I", 32: "II", 111: "III", 112: "aVR", 113: "aVL", 114: "aVF"},
    **{33: "V1", 34: "V2", 35: "V3", 36: "V4", 37: "V5", 38: "V6", 131: "ES", 133: "AI"},
}
"""Lead numbers shared by MDC (``2:1``, or 131073 = 2 * 65536 + 1) and SCP-ECG (``5.6.3-9-1``): CID 3001, PS3.16."""

_AGE_UNITS_IN_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
_PARSING_ERRORS = (
    ValueError,
    OSError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    struct.error,
    zlib.error,
)
"""Errors raised by pydicom on damaged files, found by experiment."""


def read_dicom_ecg(
    path: str | os.PathLike[str],
    *,
    lead_names: Mapping[str, str] | None = None,
    extra_channels: ExtraChannels = "error",
) -> Study:
    """Read the rhythm recording of a DICOM ECG into mV.

    Multiplex groups whose label names a median or average beat, or which are derived and not labelled as a rhythm, are
    skipped (C.10.9.1.1). Groups with different leads are merged on one time axis by their Multiplex Group Time
    Offset. Values are ``sample x sensitivity x correction factor + baseline`` in the channel's unit (C.10.9.1.4);
    the Waveform Padding Value becomes NaN. A channel skew of up to one sample is not corrected.

    Args:
        path: The file, with or without the 128-byte preamble.
        lead_names: Maps code values or code meanings of channels to leads.
        extra_channels: ``"error"`` rejects a channel that is not an ECG lead; ``"ignore"`` skips it.

    Returns:
        A study; ``study_id`` is the SOP Instance UID.

    Raises:
        FormatError: The file is not DICOM, or is damaged (``malformed-dicom``).
        DataError: With the reasons ``no-waveform``, ``not-an-ecg``, ``no-rhythm``, ``truncated-file``,
            ``missing-units``, ``unknown-unit``, ``unknown-lead``, ``duplicated-lead``, ``no-leads``, ``wrong-rate``,
            ``zero-gain``, ``unsupported-samples``, ``skewed-channels``, ``mixed-rates``, ``not-simultaneous``,
            ``no-samples``, ``infinite-values``, ``array-too-large``, ``too-many-channels``, ``missing-file`` or
            ``unreadable-file``.
    """
    with naming(path), open_regular(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of each value that bends the standard
        import pydicom
        from pydicom.errors import BytesLengthException, InvalidDicomError

        content = file.read()
        # from memory: pydicom asks a file for as many bytes as an element promises, which allocates them
        source = (_Deflated if _DEFLATED in content else io.BytesIO)(content)
        try:
            dataset = pydicom.dcmread(source, force=True)
            return _read_study(dataset, study_id_of(path), lead_names, extra_channels)
        except (*_PARSING_ERRORS, BytesLengthException, InvalidDicomError) as error:
            if isinstance(error, DataError):
                raise
            raise_fault_of_the_system(error)
            raise FormatError(f"damaged, or not DICOM: {error}", reason="malformed-dicom") from error


class _Deflated(io.BytesIO):
    """A file of which pydicom inflates all that is left at once (PS3.5 A.5): what that gives is checked before."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            rest = self.getbuffer()[self.tell() :]
            with contextlib.suppress(zlib.error):  # pydicom meets it again
                for _ in inflated(rest, Budget("the deflated DICOM file", len(rest)), wbits=-zlib.MAX_WBITS):
                    pass
        return super().read(size)


def _read_study(
    dataset: "Dataset", fallback_id: str, lead_names: Mapping[str, str] | None, extra_channels: ExtraChannels
) -> Study:
    _check_class(dataset)
    big_endian = dataset.original_encoding[1] is False
    segments = [
        _read_group(group, lead_names, extra_channels, big_endian) for group in _rhythm_groups(dataset.WaveformSequence)
    ]
    leads, values, rate_hz = merge_segments(segments)
    return make_ecg_study(
        study_id=str(dataset.get("SOPInstanceUID") or fallback_id),
        leads=leads,
        values=values,
        rate_hz=rate_hz,
        source_format="dicom-ecg",
        patient_id=str(dataset.get("PatientID") or "") or None,
        acquired_at=known_time(parse_time(str(dataset.get("AcquisitionDateTime") or ""))),
        metadata=_describe_patient(dataset),
    )


def _check_class(dataset: "Dataset") -> None:
    """Check that the dataset is an ECG with a waveform."""
    sop_class = str(dataset.get("SOPClassUID") or "")
    if not sop_class and "WaveformSequence" not in dataset:
        raise FormatError("damaged, or not DICOM: it has neither SOP class nor waveform", reason="malformed-dicom")
    if "WaveformSequence" not in dataset or not dataset.WaveformSequence:
        kind = ECG_STORAGE.get(sop_class, f"SOP class {sop_class}")
        raise DataError(
            f"this DICOM file has no waveform (Waveform Sequence (5400,0100) is missing or empty; {kind})",
            reason="no-waveform",
        )
    if sop_class and sop_class not in ECG_STORAGE:
        raise DataError(
            f"this DICOM waveform is no ECG: SOP class {sop_class}, expected {', '.join(ECG_STORAGE.values())}",
            reason="not-an-ecg",
        )


def _rhythm_groups(groups: "list[Dataset]") -> "list[Dataset]":
    """Return the multiplex groups with a rhythm rather than a median beat (C.10.9.1.1)."""
    rhythm = [group for group in groups if not _is_beat(group)]
    if not rhythm:
        raise DataError("all waveforms of the file are derived beats: it holds no rhythm", reason="no-rhythm")
    return rhythm


def _is_beat(group: "Dataset") -> bool:
    label = str(group.get("MultiplexGroupLabel") or "").upper()
    if any(word in label for word in BEAT_WORDS):
        return True
    return "RHYTHM" not in label and str(group.get("WaveformOriginality") or "").upper() == "DERIVED"


def _read_group(
    group: "Dataset", lead_names: Mapping[str, str] | None, extra_channels: ExtraChannels, big_endian: bool
) -> Segment:
    """Read one multiplex group, with the samples of all channels interleaved (C.10.9.1.7)."""
    samples = _samples(group, big_endian)
    channels = list(group.ChannelDefinitionSequence)
    check_channels(len(channels))
    if len(channels) != samples.shape[1]:
        raise FormatError(
            f"{samples.shape[1]} channels are promised and {len(channels)} defined", reason="malformed-dicom"
        )
    rate_hz = float(group.SamplingFrequency)
    if not 0 < rate_hz < np.inf:
        raise DataError(f"the sampling frequency must be above 0 Hz, found {rate_hz}", reason="wrong-rate")
    chosen, leads = choose_leads([_lead_name(channel, lead_names) for channel in channels], lead_names, extra_channels)
    padding = _padding_value(group, samples.dtype)
    rows = {
        lead: _to_mv(samples[:, position], channels[position], padding, rate_hz, lead)
        for position, lead in zip(chosen, leads, strict=True)
    }
    return Segment(start_s=float(group.get("MultiplexGroupTimeOffset") or 0) / 1000, rate_hz=rate_hz, leads=rows)


def _samples(group: "Dataset", big_endian: bool) -> np.ndarray:
    """Return the raw samples of a group as ``[samples, channels]``."""
    interpretation = str(group.WaveformSampleInterpretation)
    if interpretation not in _SAMPLE_TYPES:
        raise DataError(
            f"sample interpretation {interpretation[:16]!r} is not read: expected one of {', '.join(_SAMPLE_TYPES)}",
            reason="unsupported-samples",
        )
    dtype = np.dtype((">" if big_endian else "<") + _SAMPLE_TYPES[interpretation])
    num_channels, num_samples = int(group.NumberOfWaveformChannels), int(group.NumberOfWaveformSamples)
    content, expected = bytes(group.WaveformData), num_channels * num_samples * dtype.itemsize
    if len(content) < expected:
        raise DataError(
            f"the waveform is cut short: {num_channels} channels of {num_samples} samples need {expected} bytes, "
            f"found {len(content)}",
            reason="truncated-file",
        )
    return np.frombuffer(content, dtype, count=num_channels * num_samples).reshape(num_samples, num_channels)


def _padding_value(group: "Dataset", dtype: np.dtype) -> int | None:
    """Return the Waveform Padding Value (5400,100A) that marks missing samples (C.10.9.1.6)."""
    padding = group.get("WaveformPaddingValue")
    if padding is None or padding == b"":
        return None
    if isinstance(padding, bytes):
        return int(np.frombuffer(padding[: dtype.itemsize], dtype)[0])
    return int(padding)


def _to_mv(samples: np.ndarray, channel: "Dataset", padding: int | None, rate_hz: float, lead: str) -> np.ndarray:
    """Scale a channel to float32 mV (C.10.9.1.4.2 to C.10.9.1.4.4)."""
    skew_s = (float(channel.get(name) or 0) for name in ("ChannelOffset", "ChannelTimeSkew"))
    skews = (*(time_s * rate_hz for time_s in skew_s), float(channel.get("ChannelSampleSkew") or 0))
    if max(map(abs, skews)) > 1:
        raise DataError(
            f"lead {lead} is shifted in time against the others: this is not read", reason="skewed-channels"
        )
    units = channel.get("ChannelSensitivityUnitsSequence")
    if channel.get("ChannelSensitivity") is None or not units:
        raise DataError(f"lead {lead} has no sensitivity or no unit: its samples have no scale", reason="missing-units")
    correction = channel.get("ChannelSensitivityCorrectionFactor")
    sensitivity = float(channel.ChannelSensitivity) * float(1 if correction is None else correction)
    if sensitivity == 0:
        raise DataError(f"lead {lead} has a sensitivity of 0: its samples have no scale", reason="zero-gain")
    values = samples * sensitivity + float(channel.get("ChannelBaseline") or 0)
    values *= millivolts_in(str(units[0].CodeValue))
    if padding is not None:
        values[samples == padding] = np.nan
    return as_float32(values)


def _lead_name(channel: "Dataset", lead_names: Mapping[str, str] | None) -> str:
    """Return a channel's name from its source code (CID 3001), code meaning or label, in this order (C.10.9.1.4.1)."""
    source = (channel.get("ChannelSourceSequence") or [{}])[0]
    code, meaning = (str(source.get(name) or "").strip() for name in ("CodeValue", "CodeMeaning"))
    told = {name.strip().casefold() for name in lead_names or ()}
    for name in (code, meaning):
        if name.casefold() in told:
            return name
    number = _lead_number(code)
    if number in _LEAD_NUMBERS:
        return _LEAD_NUMBERS[number]
    return meaning.partition("(")[0].partition(",")[0].strip() or str(channel.get("ChannelLabel") or "") or code


def _lead_number(code: str) -> int | None:
    """Return the lead number of ``2:61``, ``131133`` or ``5.6.3-9-61``."""
    if code.startswith(("2:", "5.6.3-9-")):
        code = code.removeprefix("2:").removeprefix("5.6.3-9-")
        return int(code) if code.isdecimal() else None
    return int(code) - 2 * 65536 if code.isdecimal() else None


def _describe_patient(dataset: "Dataset") -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    age = str(dataset.get("PatientAge") or "").strip().upper()
    if age[:-1].isdecimal() and age[-1] in _AGE_UNITS_IN_YEARS:
        metadata["age_years"] = float(age[:-1]) * _AGE_UNITS_IN_YEARS[age[-1]]
    sex = str(dataset.get("PatientSex") or "").strip().upper()
    if sex in ("F", "M"):
        metadata["sex"] = "female" if sex == "F" else "male"
    return with_known_age(metadata)
