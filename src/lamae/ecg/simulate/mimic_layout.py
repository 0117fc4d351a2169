"""Files and tables in the exact layout of MIMIC-IV-ECG 1.0 and its label table Ext-ICD 1.0.1."""

import csv
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from lamae.ecg.simulate.cart import NUM_REPORT_LINES
from lamae.ecg.simulate.heart import RATE_HZ
from lamae.studies import MISSING_CODE

MIMIC_LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
"""Order of the signals in MIMIC's records: aVF before aVL."""

STEPS_PER_MV = 200
"""Gain of the records, in integer steps per mV."""

DATA_SET_FOLDER = "mimic-iv-ecg-diagnostic-electrocardiogram-matched-subset-1.0"
"""Name of MIMIC's archive; Ext-ICD prefixes every file name with it."""

_REPORT_LINES = f"report_0 - report_{NUM_REPORT_LINES - 1}"
_DICTIONARY = (
    ("subject_id", "Unique patient identifier"),
    ("study_id", "Unique identifier of the ECG"),
    ("cart_id", "Identifier of the cart"),
    ("ecg_time", "Date and time of the recording, shifted"),
    (_REPORT_LINES, "Lines of the machine's statement"),
    ("bandwidth", "Bandwidth of the machine"),
    ("filtering", "Filters of the machine"),
    ("rr_interval", "RR interval, ms"),
    ("p_onset", "Onset of P in the median beat, ms"),
    ("p_end", "End of P in the median beat, ms"),
    ("qrs_onset", "Onset of QRS in the median beat, ms"),
    ("qrs_end", "End of QRS in the median beat, ms"),
    ("t_end", "End of T in the median beat, ms"),
    ("p_axis", "Axis of P, degrees"),
    ("qrs_axis", "Axis of QRS, degrees"),
    ("t_axis", "Axis of T, degrees"),
)
"""Columns of the machine measurements in order, with the descriptions of the data dictionary."""


def record_path(subject_id: int, study_id: int) -> str:
    """Return a record's path under the root, without extension."""
    return f"files/p{str(subject_id)[:4]}/p{subject_id}/s{study_id}/{study_id}"


def to_steps(leads_mv: np.ndarray) -> np.ndarray:
    """Convert ``[leads, samples]`` in mV to int16 steps: NaN to the missing-sample code, other values clipped."""
    steps = np.clip(np.rint(leads_mv * STEPS_PER_MV), -32767, 32767)
    return np.where(np.isnan(steps), MISSING_CODE, steps).astype("<i2")


def write_record(root: Path, subject_id: int, study_id: int, leads_mv: np.ndarray, taken_at: datetime) -> str:
    """Write one WFDB record of format 16 (header(5), signal(5)); return its path under the root.

    Args:
        root: Folder of the cohort.
        subject_id: Patient.
        study_id: Study.
        leads_mv: ``[12, samples]`` in mV in the order of ``MIMIC_LEADS``.
        taken_at: Start of the recording.
    """
    path = record_path(subject_id, study_id)
    steps = to_steps(leads_mv)
    checksums = steps.sum(axis=1, dtype=np.int64) % 65536
    lines = [f"{study_id} {len(steps)} {RATE_HZ} {steps.shape[1]} {taken_at:%H:%M:%S} {taken_at:%d/%m/%Y}"]
    lines += [
        f"{study_id}.dat 16 {STEPS_PER_MV}.0(0)/mV 16 0 {signal[0]} {checksum} 0 {name}"
        for name, signal, checksum in zip(MIMIC_LEADS, steps, checksums, strict=True)
    ]
    lines.append(f"# <subject_id>: {subject_id}")
    folder = (root / path).parent
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{study_id}.dat").write_bytes(np.ascontiguousarray(steps.T).tobytes())
    (folder / f"{study_id}.hea").write_text("\n".join(lines) + "\n", encoding="ascii", newline="\n")
    return path


def write_tables(root: Path, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Write the tables of a cohort.

    Args:
        root: Folder of the cohort.
        rows: By table (``"record_list"``, ``"machine_measurements"``, ``"records_w_diag_icd10"``), one mapping per
            study. Keys are in the order of the columns, except for the machine measurements, whose report lines differ.
    """
    reports = [f"report_{line}" for line in range(NUM_REPORT_LINES)]
    measured = [column for name, _ in _DICTIONARY for column in (reports if name == _REPORT_LINES else [name])]
    dictionary = [{"variable": name, "description": text} for name, text in _DICTIONARY]
    _write_csv(root / "record_list.csv", rows["record_list"])
    _write_csv(root / "machine_measurements.csv", rows["machine_measurements"], measured)
    _write_csv(root / "records_w_diag_icd10.csv", rows["records_w_diag_icd10"])
    _write_csv(root / "machine_measurements_data_dictionary.csv", dictionary)
    records = "".join(f"{row['path']}\n" for row in rows["record_list"])
    (root / "RECORDS").write_text(records, encoding="ascii", newline="\n")


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns or list(rows[0]), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
