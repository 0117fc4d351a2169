# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported.)
"""CODE-15 %: 345,779 ECGs of Brazilian primary care with six diagnoses, at 400 Hz in HDF5 files.

Source: Ribeiro et al., CODE-15 %: a large scale annotated dataset of 12-lead ECGs (Zenodo, doi 10.5281/zenodo.4916206).
"""

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lamae.cohorts.ecg_folder import EcgFolder
from lamae.cohorts.tables import NUMBER, TEXT, TRUTH, patient_keys, read_csv, studies_table
from lamae.studies import Study

DIAGNOSES = ("1dAVb", "RBBB", "LBBB", "SB", "ST", "AF")


@dataclass(frozen=True, kw_only=True)
class Code15(EcgFolder):
    """The CODE-15 % folder: ``exams.csv`` and ``exams_part0.hdf5`` to ``exams_part17.hdf5``.

    Labels are the six diagnoses and ``normal_ecg``; half of the exams have neither, which is not the same as normal.
    The split is drawn by patient.

    Attributes:
        outcomes: Also give ``label_death`` and ``label_follow_up_years`` (unknown where there was no follow-up).
        split_seed: Seed of the split.
        partial: Leave out exams whose part is not there (they are counted); otherwise they are refused as missing.
    """

    outcomes: bool = False
    split_seed: int = 0
    partial: bool = True

    name: str = field(default="code-15", init=False)

    def table(self) -> pa.Table:
        """Return one row an exam.

        Raises:
            DataError: ``exams.csv`` is absent or lacks a column, or none of the parts is there.
        """
        needed = {"exam_id": TEXT, "patient_id": TEXT, "trace_file": TEXT} | dict.fromkeys(DIAGNOSES, TRUTH)
        extra = {"age": NUMBER, "is_male": TRUTH, "normal_ecg": TRUTH, "death": TRUTH, "timey": NUMBER}
        source = read_csv(self.root / "exams.csv", needed, extra)
        columns: dict[str, Any] = {
            "study_id": source["exam_id"],
            "patient_key": patient_keys(self.name, source["patient_id"], source["exam_id"]),
            "path": source["trace_file"],
            "record": source["exam_id"],
        }
        columns |= self._covariates_and_labels(source)
        table = studies_table(columns, where=self.root, split_seed=self.split_seed)
        return self.only_present(table, table["path"].to_pylist()) if self.partial else table

    def read(self, path: str, record: str | None = None) -> Study:
        """Read one exam from its part; ``record`` is the exam's id, since rows are not in the order of the table."""
        from lamae.ecg.readers import read_code15_row

        if record is None:
            raise ValueError(f"{path} holds many exams: give the exam's id as record")
        return read_code15_row(self.root / path, record)

    def _covariates_and_labels(self, source: pa.Table) -> dict[str, Any]:
        names = {diagnosis: f"label_{diagnosis}" for diagnosis in DIAGNOSES} | {"normal_ecg": "label_normal_ecg"}
        if self.outcomes:
            names |= {"death": "label_death", "timey": "label_follow_up_years"}
        columns = {new: source[old].cast(NUMBER) for old, new in names.items() if old in source.column_names}
        if "age" in source.column_names:
            columns["age_years"] = source["age"]
        if "is_male" in source.column_names:
            columns["sex"] = pc.if_else(source["is_male"], "male", "female")
        return columns
