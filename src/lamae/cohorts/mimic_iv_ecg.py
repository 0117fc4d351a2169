# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported.)
"""MIMIC-IV-ECG 1.0, its open demo, and simulated cohorts in the same layout.

Sources: Gow et al., MIMIC-IV-ECG: Diagnostic Electrocardiogram Matched Subset (PhysioNet); Strodthoff et al.,
MIMIC-IV-ECG-Ext-ICD 1.0.1 (PhysioNet), for ``records_w_diag_icd10.csv``.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lamae.cohorts.ecg_folder import EcgFolder
from lamae.cohorts.mimic_iv_hosp import hosp_columns
from lamae.cohorts.mimic_iv_labels import DiagnosisColumn, FoldColumn, FoldRule, ext_icd_columns
from lamae.cohorts.tables import NUMBER, TEXT, TIME, nan_to_null, read_csv, studies_table
from lamae.errors import ConfigError, FormatError

EXT_ICD_FILE = "records_w_diag_icd10.csv"
SIMULATION_FILE = "lamae_simulation.json"

_UNITS = {
    "rr_interval": "ms",
    "p_onset": "ms",
    "p_end": "ms",
    "qrs_onset": "ms",
    "qrs_end": "ms",
    "t_end": "ms",
    "p_axis": "deg",
    "qrs_axis": "deg",
    "t_axis": "deg",
}
_SENTINELS = (29999.0, 32767.0, -32768.0, 65535.0)
"""Values that the carts write where they measured nothing: intervals, axes, and the RR interval."""


@dataclass(frozen=True, kw_only=True)
class MimicIvEcg(EcgFolder):
    """The MIMIC-IV-ECG folder: ``record_list.csv``, ``machine_measurements.csv`` (not in the demo), ``files/``.

    Diagnoses come from Ext-ICD's ``records_w_diag_icd10.csv`` (in the root, or given by ``labels``), or else from
    MIMIC-IV's own tables (``hosp``); without either, the studies have none. Reports are not read.

    Attributes:
        hosp: Folder with ``admissions`` and ``diagnoses_icd`` (``.csv`` or ``.csv.gz``), or MIMIC-IV's root.
        labels: Ext-ICD's table, where it does not lie in the root.
        diagnosis_column: Which of Ext-ICD's lists of codes to take.
        fold_column: Which of its folds: 0 to 17 train, 18 validation, 19 test. Its authors' results use ``fold``.
        num_validation_folds: Other than 1, for a small or simulated cohort: that many before the test folds.
        num_test_folds: Other than 1: that many of the last folds.
        split_seed: Where there are no folds, the seed of a split by patient.
        partial: Leave out recordings that are not there (they are counted); otherwise they are refused as missing.
    """

    hosp: Path | None = None
    labels: Path | None = None
    diagnosis_column: DiagnosisColumn = "all_diag_all"
    fold_column: FoldColumn = "fold"
    num_validation_folds: int = 1
    num_test_folds: int = 1
    split_seed: int = 0
    partial: bool = True

    name: str = field(default="mimic-iv-ecg", init=False)

    def __post_init__(self) -> None:
        if self.hosp is not None and self.labels is not None:
            raise ConfigError("cohort mimic-iv-ecg: give either hosp or labels, not both: diagnoses have one source")
        self._fold_rule()

    @property
    def simulated(self) -> bool:
        """True where a simulator wrote the folder."""
        return (self.root / SIMULATION_FILE).is_file()

    @property
    def version(self) -> str:
        """Version of the data: from the folder's name, or the simulator's version and seed."""
        if not self.simulated:
            return super().version
        about = read_simulation(self.root)
        return f"simulated {about['simulator_version']} seed {about['seed']}"

    @property
    def diagnoses_from(self) -> Literal["ext-icd", "hosp", "none"]:
        """Where the diagnoses come from."""
        if self.hosp is not None:
            return "hosp"
        return "ext-icd" if self._ext_icd_file() else "none"

    @property
    def options(self) -> dict[str, Any]:
        """Options as they were chosen, and where the diagnoses come from."""
        return {"diagnoses_from": self.diagnoses_from} | super().options

    def table(self) -> pa.Table:
        """Return one row a recording.

        Raises:
            DataError: A table is absent or lacks a column, or none of the recordings is there.
        """
        records = read_csv(
            self.root / "record_list.csv", {"subject_id": TEXT, "study_id": TEXT, "path": TEXT}, {"ecg_time": TIME}
        )
        columns: dict[str, Any] = {
            "study_id": records["study_id"],
            "patient_key": pc.binary_join_element_wise(self._source(), records["subject_id"], ":"),
            "path": records["path"],
        }
        if "ecg_time" in records.column_names:
            columns["acquired_at"] = records["ecg_time"]
        diagnoses, notes = self._diagnoses(records)
        columns |= diagnoses | self._measurements(records)
        table = studies_table(columns, where=self.root, notes=notes, split_seed=self.split_seed)
        return self._only_present(table) if self.partial else table

    def _diagnoses(self, records: pa.Table) -> tuple[dict[str, Any], dict[str, int]]:
        if self.hosp is not None:
            return hosp_columns(records, self.hosp)
        file = self._ext_icd_file()
        if file is None:
            return {}, {}
        return ext_icd_columns(records, file, diagnosis=self.diagnosis_column, rule=self._fold_rule())

    def _fold_rule(self) -> FoldRule:
        return FoldRule(self.fold_column, self.num_validation_folds, self.num_test_folds)

    def _source(self) -> str:
        """Simulated patients are not MIMIC-IV's, whatever their numbers, nor those of another seed."""
        return f"simulated-{read_simulation(self.root)['seed']}" if self.simulated else "mimic-iv"

    def _ext_icd_file(self) -> Path | None:
        if self.labels is not None:
            return self.labels
        file = self.root / EXT_ICD_FILE
        return file if file.is_file() else None

    def _measurements(self, records: pa.Table) -> dict[str, pa.Array]:
        file = self.root / "machine_measurements.csv"
        if not file.is_file():
            return {}
        source = read_csv(file, {"study_id": TEXT}, dict.fromkeys(_UNITS, NUMBER))
        rows = pc.index_in(records["study_id"], value_set=source["study_id"])
        return {
            f"measure_{name}_{unit}": nan_to_null(without_sentinels(source[name].take(rows).to_numpy(), name))
            for name, unit in _UNITS.items()
            if name in source.column_names
        }

    def _only_present(self, table: pa.Table) -> pa.Table:
        """Each study has a folder of its own, so it is the patients' folders that are listed."""
        folders = [path.rpartition("/")[0] for path in table["path"].to_pylist()]
        return self.only_present(table, folders)


def without_sentinels(values: np.ndarray, name: str) -> np.ndarray:
    """Return machine measurements with NaN where the cart wrote that it measured nothing."""
    missing = np.isin(values, _SENTINELS)
    if name == "rr_interval":
        missing |= values <= 0
    return np.where(missing, np.nan, values).astype(np.float32)


def read_simulation(root: Path) -> dict[str, Any]:
    """Read what a simulated cohort says about itself.

    Raises:
        FormatError: The file is no JSON, or does not tell the simulator's version and seed.
    """
    file = root / SIMULATION_FILE
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FormatError(f"{file}: not readable as JSON ({error})", reason="unreadable-table") from error
    if not isinstance(about, dict) or not {"simulator_version", "seed"} <= about.keys():
        raise FormatError(f"{file}: expected 'simulator_version' and 'seed' in it", reason="unreadable-table")
    return about
