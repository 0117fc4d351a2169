"""A folder of ECG files in any mix of the supported formats, with a table of labels where there is one."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from lamae.cohorts.ecg_folder import EcgFolder
from lamae.cohorts.folder_files import Recordings, find_recordings
from lamae.cohorts.folder_labels import LabelColumns, label_columns
from lamae.cohorts.tables import studies_table
from lamae.errors import DataError
from lamae.splits import stand_in_key
from lamae.studies import Study


@dataclass(frozen=True, kw_only=True)
class Folder(EcgFolder):
    """Every ECG file below a folder; the study id is the path below the folder without its ending.

    The table of labels is a CSV or Parquet file with one row a study. Its column of study ids holds those ids, or
    bare file names where they are unique. Columns in a pack's own naming (``label_*``, ``measure_*``, ``age_years``,
    ``sex``, ``acquired_at``, in Parquet also ``codes_*``) are taken as they are; any other column of numbers becomes
    a label, other texts stay out of the pack.

    Attributes:
        labels: The table.
        source: Put in front of patient ids, so that patients of two archives are not taken for each other.
        study_column: Name of the table's column of study ids.
        patient_column: Of patient ids; without it each study counts as a patient of its own.
        split_column: Of ``train``, ``validation``, ``test``; without it a split by patient is drawn.
        label_columns: The columns that are labels, instead of all that hold numbers.
        unknown_studies: What to do about rows whose study has no file: refuse the table, or count and ignore them.
        split_seed: Seed of the split, where it is drawn.
        keep_suffix: Keep the file's ending in the study id, for recordings that differ in it alone.
        lead_names: Other names of leads, by the name in the file.
        extra_channels: What to do about channels that are no ECG lead.
        array_leads: For arrays (``.npy``, CSV, ...): their leads in order.
        array_rate_hz: For arrays: samples a second.
        array_units: For arrays: ``"mV"``, ``"uV"`` or ``"V"``.
        array_layout: For arrays: ``"leads-first"`` or ``"samples-first"``, where the shape does not tell it.
        array_key: For files of several arrays: which one.
    """

    labels: Path | None = None
    source: str = "folder"
    study_column: str = "study_id"
    patient_column: str = "patient_id"
    split_column: str = "split"
    label_columns: tuple[str, ...] | None = None
    unknown_studies: Literal["error", "ignore"] = "error"
    split_seed: int = 0
    keep_suffix: bool = False
    lead_names: dict[str, str] | None = None
    extra_channels: Literal["error", "ignore"] = "error"
    array_leads: tuple[str, ...] | None = None
    array_rate_hz: float | None = None
    array_units: str | None = None
    array_layout: Literal["leads-first", "samples-first"] | None = None
    array_key: str | None = None

    name: str = field(default="folder", init=False)

    @property
    def version(self) -> str:
        """Nothing tells the version of such a folder."""
        return "unknown"

    def table(self) -> pa.Table:
        """Return one row a file, or a WFDB record.

        Raises:
            DataError: Nothing to read is there, two recordings have one id, or the table of labels does not fit.
        """
        found = find_recordings(self.root, except_for=self.labels, keep_suffix=self.keep_suffix)
        if not found.paths:
            raise DataError(
                f"{self.root}: no recording found below it; supported are WFDB, DICOM, HL7 aECG and arrays "
                "(npy, npz, HDF5, MATLAB, CSV)",
                reason="no-files",
            )
        _check_ids(found, self.root)
        columns: dict[str, Any] = {"study_id": pa.array(found.study_ids), "path": pa.array(found.paths)}
        notes = {"num_ignored_files": found.num_ignored}
        if found.num_links:
            notes["num_linked_folders_not_followed"] = found.num_links
        if self.labels is not None:
            naming = LabelColumns(self.study_column, self.patient_column, self.split_column, self.label_columns)
            more, counted = label_columns(found.study_ids, self.labels, naming, unknown_studies=self.unknown_studies)
            columns |= more
            notes |= counted
        patient_ids = columns.pop("patient_id", None)
        columns["patient_key"] = _patient_keys(self.source, patient_ids, found.study_ids)
        return studies_table(columns, where=self.root, notes=notes, split_seed=self.split_seed)

    def read(self, path: str, record: str | None = None) -> Study:
        """Read one file."""
        from lamae.ecg.readers import read

        return read(
            self.file_of(path),
            lead_names=self.lead_names,
            extra_channels=self.extra_channels,
            leads=self.array_leads,
            rate_hz=self.array_rate_hz,
            units=self.array_units,
            layout=self.array_layout,
            key=self.array_key,
        )


def _check_ids(found: Recordings, root: Path) -> None:
    repeated = [study for study, count in Counter(found.study_ids).items() if count > 1]
    if repeated:
        raise DataError(
            f"{root}: {len(repeated)} study ids occur more than once (such as {', '.join(map(repr, repeated[:3]))}): "
            "the files differ in their ending alone. Keep it in the ids with keep_suffix=true, or remove the copies",
            reason="duplicated-study-id",
        )


def _patient_keys(source: str, patient_ids: pa.Array | None, study_ids: list[str]) -> list[str]:
    known = [None] * len(study_ids) if patient_ids is None else patient_ids.to_pylist()
    return [
        stand_in_key(source, study) if patient is None else f"{source}:{patient}"
        for patient, study in zip(known, study_ids, strict=True)
    ]
