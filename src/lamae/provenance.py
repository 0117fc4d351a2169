"""Provenance of weights: every training that they went through, and the patients and records of all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from lamae.files import parquet_content, parquet_table
from lamae.splits import salt_fingerprint

PATIENTS_FILE = "patients.parquet"
_COLUMNS = ("patient_hash", "record_hash", "salt_hash")


@dataclass(frozen=True)
class Provenance:
    """What weights were trained on; a checkpoint holds it, wherever its folder is moved.

    Attributes:
        trained_on: One entry a training, oldest first, of plain JSON types (docs/training.md lists them).
        patients: Content of ``patients.parquet``: hashes over the whole ancestry, see `seen`; None if nobody knows.
    """

    trained_on: tuple[Mapping[str, Any], ...] = ()
    patients: bytes | None = None

    @property
    def seen(self) -> pa.Table | None:
        """The patients and records of all trainings."""
        return None if self.patients is None else parquet_table(self.patients)

    def then(self, entry: Mapping[str, Any], patients: pa.Table) -> "Provenance":
        """Return the provenance after one more training; patients that nobody knows stay unknown."""
        before = self.seen
        union = None if before is None else _as_file(_distinct(pa.concat_tables([before, patients])))
        return Provenance((*self.trained_on, entry), union)


def seen(patient_hash: np.ndarray, record_hash: np.ndarray, salt: str) -> pa.Table:
    """Return the table of patients and records of a training.

    Args:
        patient_hash: ``[studies]`` of `lamae.splits.patient_hashes`.
        record_hash: ``[studies]`` of `lamae.splits.record_hashes`, empty where there is no record.
        salt: The salt of both.

    Returns:
        Distinct rows of ``patient_hash``, ``record_hash`` (null where there is none) and ``salt_hash``.
    """
    hashes = pa.array(patient_hash.tolist(), pa.string())
    records = pa.array(record_hash.tolist(), pa.string(), mask=record_hash == "")
    salts = pa.array([salt_fingerprint(salt)] * len(hashes), pa.string())
    return _distinct(pa.table([hashes, records, salts], names=list(_COLUMNS)))


def _as_file(table: pa.Table) -> bytes:
    """Return the Parquet file of a table, its rows in an order that tells nothing."""
    return parquet_content(table.sort_by([(name, "ascending") for name in _COLUMNS])).to_pybytes()


def num_patients(patients: pa.Table) -> int:
    """Return the number of distinct patients of a table."""
    return len(patients.column("patient_hash").unique())


def taught(trained_on: Sequence[Mapping[str, Any]]) -> str:
    """Return ``", fine-tuned on superclass"`` for each set of labels that weights learned; empty where none."""
    return "".join(f", fine-tuned on {entry['labels']}" for entry in trained_on if entry["verb"] == "finetune")


def _distinct(table: pa.Table) -> pa.Table:
    return table.group_by(list(_COLUMNS)).aggregate([])


NOT_KNOWN = Provenance()
"""Provenance of weights that do not say what they were trained on."""

UNTRAINED = Provenance((), _as_file(pa.table({name: pa.array([], pa.string()) for name in _COLUMNS})))
"""Provenance of random weights: they have seen nobody."""
