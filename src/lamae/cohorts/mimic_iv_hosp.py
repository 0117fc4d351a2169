# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported.)
"""Diagnoses of MIMIC-IV-ECG studies straight from MIMIC-IV's hospital tables.

Source: MIMIC-IV documentation, module ``hosp``; the matching rule is that of MIMIC-IV-ECG-Ext-ICD: a recording
belongs to the first admission that it falls into.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lamae.cohorts.mimic_iv_labels import sex_of_gender
from lamae.cohorts.tables import NUMBER, TEXT, TIME, WHOLE, non_empty_strings, read_csv
from lamae.errors import DataError


def hosp_columns(records: pa.Table, hosp: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the columns that the hospital's tables give to a list of records, in the order of the records.

    Args:
        records: With ``subject_id`` and ``ecg_time``.
        hosp: Folder with ``admissions``, ``diagnoses_icd`` and perhaps ``patients`` (``.csv`` or ``.csv.gz``), or the
            folder above it.

    Returns:
        ``codes_icd10cm`` and ``codes_icd9cm`` (apart, as they were coded; empty lists where the recording falls into
        no admission), ``sex`` and ``age_years`` where known; and the number of studies without an admission.

    Raises:
        DataError: A table is absent or lacks a column, or the record list has no times.
    """
    if "ecg_time" not in records.column_names:
        raise DataError(
            "record_list.csv: expected a column 'ecg_time' to find the admission of each recording",
            reason="missing-column",
        )
    folder = hosp / "hosp" if (hosp / "hosp").is_dir() else hosp
    times = {"admittime": TIME, "dischtime": TIME, "deathtime": TIME}
    admissions = read_csv(_table_file(folder, "admissions"), {"subject_id": TEXT, "hadm_id": TEXT} | times)
    admission = first_admission(records, admissions)
    hadm_ids = admissions["hadm_id"].take(admission)
    diagnoses = read_csv(
        _table_file(folder, "diagnoses_icd"),
        {"hadm_id": TEXT, "icd_code": TEXT, "icd_version": WHOLE, "seq_num": WHOLE},
    )
    columns = {
        name: codes_of_admissions(diagnoses.filter(pc.equal(diagnoses["icd_version"], version)), hadm_ids)
        for name, version in (("codes_icd10cm", 10), ("codes_icd9cm", 9))
    }
    return columns | _patients(records, folder), {"num_without_admission": hadm_ids.null_count}


def first_admission(records: pa.Table, admissions: pa.Table) -> pa.Array:
    """Find the admission that each recording falls into: ``admittime <= ecg_time < dischtime`` (or ``deathtime``).

    Args:
        records: With ``subject_id`` and ``ecg_time``.
        admissions: With ``subject_id``, ``admittime``, ``dischtime``, ``deathtime``.

    Returns:
        ``[records]`` row of the earliest such admission in ``admissions``, null where there is none.
    """
    patients = pc.unique(admissions["subject_id"])
    patient_of_admission = _numpy(pc.index_in(admissions["subject_id"], value_set=patients))
    patient_of_record = _numpy(pc.fill_null(pc.index_in(records["subject_id"], value_set=patients), -1))
    start = _numpy(admissions["admittime"])
    end = np.fmax(_numpy(admissions["dischtime"]), _numpy(admissions["deathtime"]))
    order = np.lexsort((start, patient_of_admission))

    low = np.searchsorted(patient_of_admission[order], patient_of_record, side="left")
    high = np.searchsorted(patient_of_admission[order], patient_of_record, side="right")
    record = np.repeat(np.arange(len(records)), high - low)
    first_of_record = np.repeat(np.cumsum(high - low) - (high - low), high - low)
    candidate = order[np.repeat(low, high - low) + np.arange(len(record)) - first_of_record]

    time = _numpy(records["ecg_time"])[record]
    inside = (start[candidate] <= time) & (time < end[candidate])
    matched, first = np.unique(record[inside], return_index=True)
    result = np.full(len(records), -1, dtype=np.int64)
    result[matched] = candidate[inside][first]
    return pa.array(result, mask=result < 0)


def codes_of_admissions(diagnoses: pa.Table, hadm_ids: pa.ChunkedArray) -> pa.ListArray:
    """Gather the codes of each wanted admission in the order of ``seq_num``; an unknown admission has none."""
    ordered = diagnoses.sort_by([("hadm_id", "ascending"), ("seq_num", "ascending")])
    codes = pc.utf8_upper(pc.utf8_trim_whitespace(pc.fill_null(ordered["icd_code"], ""))).combine_chunks()
    counts = pc.value_counts(ordered["hadm_id"])
    ends = np.cumsum(np.concatenate([[0], _numpy(counts.field("counts"))]))
    lists = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), codes)
    rows = pc.index_in(hadm_ids, value_set=counts.field("values"))
    empty = pa.array([[]], lists.type)
    with_empty = pa.concat_arrays([lists, empty])
    return non_empty_strings(with_empty.take(pc.fill_null(rows, len(lists)).combine_chunks()))


def _patients(records: pa.Table, folder: Path) -> dict[str, Any]:
    """Return sex, and the age at the recording: ``anchor_age`` is that in the ``anchor_year`` (91 above 89 years)."""
    file = _find_table(folder, "patients")
    if file is None:
        return {}
    source = read_csv(file, {"subject_id": TEXT, "gender": TEXT, "anchor_age": NUMBER, "anchor_year": WHOLE})
    source = source.take(pc.index_in(records["subject_id"], value_set=source["subject_id"]))
    years = pc.subtract(pc.year(records["ecg_time"]), source["anchor_year"].cast(pa.int64()))
    return {
        "sex": sex_of_gender(source["gender"]),
        "age_years": pc.add(source["anchor_age"], years.cast(NUMBER)),
    }


def _table_file(folder: Path, name: str) -> Path:
    file = _find_table(folder, name)
    if file is None:
        raise DataError(f"{folder}: expected {name}.csv or {name}.csv.gz in it, found neither", reason="missing-file")
    return file


def _find_table(folder: Path, name: str) -> Path | None:
    files = (folder / f"{name}.csv", folder / f"{name}.csv.gz")
    return next((file for file in files if file.is_file()), None)


def _numpy(column: Any) -> np.ndarray:
    """Return numbers, or times as microseconds (``NaN`` for none, so that comparisons with it fail)."""
    if pa.types.is_timestamp(column.type):
        whole = column.cast(pa.int64())
        return np.where(pc.is_null(whole).to_numpy(zero_copy_only=False), np.nan, pc.fill_null(whole, 0).to_numpy())
    return column.to_numpy() if isinstance(column, pa.ChunkedArray) else column.to_numpy(zero_copy_only=False)
