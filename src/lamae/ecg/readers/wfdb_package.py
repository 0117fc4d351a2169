"""Reader of other WFDB records through the ``wfdb`` package (an extra)."""

import os
import warnings
from collections.abc import Mapping
from typing import Any

from lamae.ecg.readers.leads import ExtraChannels, as_float32, choose_leads, millivolts_in, study_id_of
from lamae.ecg.readers.wfdb_header import Header, parse_comments
from lamae.ecg.readers.wfdb_sizes import check_record
from lamae.errors import DataError, FormatError, MissingExtraError
from lamae.studies import Study, View, Views


def read_with_package(
    header_path: str,
    header: Header,
    lead_names: Mapping[str, str] | None,
    extra_channels: ExtraChannels,
) -> Study:
    """Read a record with ``wfdb.rdrecord``; a lead with several samples per frame keeps its own, higher rate.

    Raises:
        MissingExtraError: The package is not installed.
        FormatError: The package cannot read the record (``malformed-record``).
        DataError: As ``lamae.ecg.readers.wfdb.read_wfdb``.
    """
    check_record(header_path, header)
    record = _read_record(os.path.abspath(header_path).removesuffix(".hea"), is_merged=bool(header.num_segments))
    names = [name or f"signal {number}" for number, name in enumerate(record.sig_name or [], start=1)]
    chosen, leads = choose_leads(names, lead_names, extra_channels)
    views = [_view(record, position, lead) for position, lead in zip(chosen, leads, strict=True)]
    if not all(view.num_samples for view in views):
        raise DataError("the record holds no samples", reason="no-samples")
    patient_id, metadata = parse_comments(header.comments)
    return Study(
        study_id=study_id_of(header_path),
        views=Views(views),
        patient_id=patient_id,
        acquired_at=header.acquired_at,
        metadata={"source_format": "wfdb", **metadata},
    )


def _read_record(record_path: str, *, is_merged: bool) -> Any:
    """Return a ``wfdb.Record``: merged segments at one rate, or signals with all samples of each frame."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package triggers warnings of pandas on import and use
        try:
            import wfdb
        except ImportError as error:
            raise MissingExtraError("wfdb", extra="wfdb", purpose="This WFDB record's storage format") from error
        try:
            return wfdb.rdrecord(record_path, smooth_frames=is_merged)
        except (OSError, MemoryError):
            raise
        except Exception as error:  # the package raises Exception itself
            raise FormatError(
                f"the wfdb package cannot read this record: {error}", reason="malformed-record"
            ) from error


def _view(record: Any, position: int, lead: str) -> View:
    """Extract a signal from a ``wfdb.Record``, which has ``p_signal`` if merged and ``e_p_signal`` otherwise."""
    if record.p_signal is not None:
        values, samples_per_frame = record.p_signal[:, position], 1
    else:
        values, samples_per_frame = record.e_p_signal[position], record.samps_per_frame[position]
    return View(
        name=lead,
        values=as_float32(values * millivolts_in(record.units[position])),
        rate_hz=float(record.fs) * samples_per_frame,
    )
