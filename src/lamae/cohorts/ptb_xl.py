# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported.)
"""PTB-XL 1.0.x: 21,799 ECGs of 10 s at 100 and 500 Hz with SCP statements.

Source: Wagner et al., PTB-XL, a large publicly available electrocardiography dataset (PhysioNet,
doi 10.13026/kfzx-aw45), and the description of ``ptbxl_database.csv`` there.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lamae.cohorts.ecg_folder import EcgFolder
from lamae.cohorts.tables import (
    NUMBER,
    TEXT,
    TIME,
    WHOLE,
    nan_to_null,
    parse_code_lists,
    patient_keys,
    read_csv,
    studies_table,
)

_AGE_OVER_89 = 300
"""Age that the data set writes for everybody above 89 years."""

_AGE_LIMIT = 90.0
"""Age that we write for them: the lowest that they can have."""


@dataclass(frozen=True, kw_only=True)
class PtbXl(EcgFolder):
    """The PTB-XL folder: ``ptbxl_database.csv``, ``records100/``, ``records500/``.

    Splits are the recommended ones: folds 1 to 8 train, 9 validation, 10 test.

    Attributes:
        rate_hz: Which of the two versions of the signals to read.
        partial: Leave out recordings that are not there (they are counted); otherwise they are refused as missing.
    """

    rate_hz: Literal[100, 500] = 100
    partial: bool = True

    name: str = field(default="ptb-xl", init=False)

    def table(self) -> pa.Table:
        """Return one row a recording.

        Raises:
            DataError: The database is absent, lacks a column, or none of its recordings is there.
        """
        filename = {100: "filename_lr", 500: "filename_hr"}[self.rate_hz]
        needed = {"ecg_id": TEXT, "patient_id": NUMBER, "scp_codes": TEXT, filename: TEXT}
        extra = {"age": NUMBER, "sex": NUMBER, "recording_date": TIME, "strat_fold": WHOLE}
        source = read_csv(self.root / "ptbxl_database.csv", needed, extra)
        whole = source["patient_id"].cast(pa.int64())  # they are written as 15709.0
        codes, likelihoods = parse_scp_codes(source["scp_codes"])
        columns = {
            "study_id": source["ecg_id"],
            "patient_key": patient_keys(self.name, whole, source["ecg_id"]),
            "path": source[filename],
            "record_key": record_key(source["ecg_id"]),
            "codes_scp": codes,
            "codes_scp_likelihood": likelihoods,
        } | _covariates(source)
        table = studies_table(columns, where=self.root)
        headers = [f"{path}.hea" for path in source[filename].to_pylist()]
        return self.only_present(table, headers) if self.partial else table


def parse_scp_codes(column: pa.ChunkedArray) -> tuple[pa.ListArray, pa.ListArray]:
    """Turn texts such as ``"{'NORM': 100.0, 'SR': 0.0}"`` into lists of codes and lists of likelihoods.

    A likelihood of 0 means that none was given (form and rhythm statements); some texts hold ``nan``.
    """
    pairs = parse_code_lists(column)
    parts = pc.extract_regex(pairs.values, r"^(?P<code>.+):(?P<likelihood>[^:]*)$")
    likelihoods = pc.struct_field(parts, "likelihood").cast(NUMBER)
    return (
        pa.ListArray.from_arrays(pairs.offsets, pc.struct_field(parts, "code")),
        pa.ListArray.from_arrays(pairs.offsets, likelihoods),
    )


def record_key(ecg_ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the key by which the same recording is known in other data sets."""
    return pc.binary_join_element_wise("ptb-xl", ecg_ids, ":")


def age_years(ages: np.ndarray) -> np.ndarray:
    """Return ages with 90 for "above 89" (written as 300)."""
    return np.where(ages == _AGE_OVER_89, _AGE_LIMIT, ages).astype(np.float32)


def _covariates(source: pa.Table) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    if "age" in source.column_names:
        columns["age_years"] = nan_to_null(age_years(source["age"].to_numpy()))
    if "sex" in source.column_names:
        columns["sex"] = pc.case_when(
            pc.make_struct(pc.equal(source["sex"], 0), pc.equal(source["sex"], 1)), "male", "female"
        )
    if "recording_date" in source.column_names:
        columns["acquired_at"] = source["recording_date"]
    if "strat_fold" in source.column_names:
        fold = source["strat_fold"]
        columns["fold"] = fold
        columns["split"] = pc.case_when(
            pc.make_struct(pc.less_equal(fold, 8), pc.equal(fold, 9), pc.equal(fold, 10)), "train", "validation", "test"
        )
    return columns
