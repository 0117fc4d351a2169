# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported.)
"""Diagnoses, folds, age and sex of MIMIC-IV-ECG studies from the Ext-ICD table.

Source: Strodthoff et al., MIMIC-IV-ECG-Ext-ICD 1.0.1 (PhysioNet, doi 10.13026/hdyc-1h77).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from lamae.cohorts.tables import NUMBER, TEXT, TIME, WHOLE, parse_code_lists, read_csv
from lamae.errors import ConfigError, DataError

DiagnosisColumn: TypeAlias = Literal["all_diag_all", "all_diag_hosp", "hosp_diag_hosp", "ed_diag_hosp", "ed_diag_ed"]
FoldColumn: TypeAlias = Literal["fold", "strat_fold"]

NUM_FOLDS = 20


@dataclass(frozen=True)
class FoldRule:
    """Number of folds of each split: the last ones are the test set, those before them validation, the others training.

    Attributes:
        column: Which of the table's two columns of folds.
        num_validation: Number of validation folds.
        num_test: Number of test folds.
    """

    column: FoldColumn = "fold"
    num_validation: int = 1
    num_test: int = 1

    def __post_init__(self) -> None:
        if min(self.num_validation, self.num_test) < 0 or self.num_validation + self.num_test >= NUM_FOLDS:
            raise ConfigError(
                f"of the {NUM_FOLDS} folds, {self.num_validation} for validation and {self.num_test} for the test "
                "leave none to train"
            )


def ext_icd_columns(
    records: pa.Table, file: Path, *, diagnosis: DiagnosisColumn, rule: FoldRule
) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the columns that the Ext-ICD table gives to a list of records, in the order of the records.

    Args:
        records: With ``study_id``, ``subject_id`` and ``ecg_time``.
        file: ``records_w_diag_icd10.csv``; superfluous columns (such as ``Unnamed: 0``) do no harm.
        diagnosis: Which list of codes. An empty list means that no diagnosis was linked, not that there is none.
        rule: Which folds are for what.

    Returns:
        ``codes_icd10cm``, ``fold``, ``split``, and ``age_years`` and ``sex`` where known; and counts of studies
        without a row in the table, and of rows without a study.

    Raises:
        DataError: The table lacks a column, repeats a study, or knows none of the studies.
    """
    needed = {"study_id": TEXT, "subject_id": TEXT, diagnosis: TEXT, rule.column: WHOLE}
    source = read_csv(file, needed, {"ecg_time": TIME, "age": NUMBER, "gender": TEXT})
    rows = _matching_rows(records, source, file)
    folds = source[rule.column].take(rows)
    columns = {
        "codes_icd10cm": parse_code_lists(source[diagnosis].take(rows)),
        "fold": folds,
        "split": split_of_fold(folds, rule),
    }
    if "age" in source.column_names:
        columns["age_years"] = source["age"].take(rows)
    if "gender" in source.column_names:
        columns["sex"] = sex_of_gender(source["gender"].take(rows))
    num_matched = pc.count_distinct(rows).as_py()
    return columns, {"num_without_labels": rows.null_count, "num_unknown_studies": len(source) - num_matched}


def split_of_fold(folds: pa.ChunkedArray, rule: FoldRule) -> pa.ChunkedArray:
    """Return the split of each study, null where it has no fold."""
    first_test = NUM_FOLDS - rule.num_test
    first_validation = first_test - rule.num_validation
    return pc.if_else(
        pc.less(folds, first_validation), "train", pc.if_else(pc.less(folds, first_test), "validation", "test")
    )


def sex_of_gender(genders: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return ``male`` and ``female`` for ``M`` and ``F``, and null for the words that stand for missing."""
    return pc.case_when(pc.make_struct(pc.equal(genders, "M"), pc.equal(genders, "F")), "male", "female")


def _matching_rows(records: pa.Table, source: pa.Table, file: Path) -> pa.ChunkedArray:
    """Find each record's row by study id, or by patient and minute where study ids were renumbered (the demo)."""
    num_repeated = len(source) - pc.count_distinct(source["study_id"]).as_py()
    if num_repeated:
        raise DataError(
            f"{file}: {num_repeated} study ids occur more than once; expected one row a study",
            reason="duplicated-study-id",
        )
    rows = pc.index_in(records["study_id"], value_set=source["study_id"])
    if rows.null_count == len(rows) and {"ecg_time"} <= {*source.column_names} & {*records.column_names}:
        rows = pc.index_in(_patient_minute(records), value_set=_patient_minute(source))
    if len(rows) and rows.null_count == len(rows):
        raise DataError(
            f"{file}: labels for {len(source)} studies, but none of them is among the {len(records)} of the record "
            "list, by study id or by patient and time",
            reason="unknown-studies",
        )
    return rows


def _patient_minute(table: pa.Table) -> pa.ChunkedArray:
    minutes = pc.strftime(pc.floor_temporal(table["ecg_time"], unit="minute"), format="%Y-%m-%dT%H:%M")
    return pc.binary_join_element_wise(table["subject_id"], minutes, " ")
