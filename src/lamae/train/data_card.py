"""Training data of a run: a card of each pack, and hashes by which leaks are found."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lamae.data import PackDataset, rows_by_pack
from lamae.files import write_atomically
from lamae.pack import Pack
from lamae.splits import patient_hashes, salt_fingerprint

PATIENTS_FILE = "patients.parquet"


def data_card(pack: Pack) -> dict[str, Any]:
    """Describe a pack without naming anybody in it."""
    columns = pack.studies.column_names
    counts = Counter("none" if split is None else split for split in pack.splits())
    patients = len(pack.studies.column("patient_key").unique()) if "patient_key" in columns else None
    return {
        "cohort": pack.info.cohort,
        "version": pack.info.cohort_version,
        "simulated": pack.info.simulated,
        "modality": pack.info.modality,
        "content_hash": pack.info.content_hash,
        "studies": len(pack),
        "patients": patients,
        "studies_by_split": dict(sorted(counts.items())),
        "rejected": pack.info.num_rejected,
        "rejected_by_reason": dict(pack.info.rejected_by_reason),
        "flags": flag_counts(pack),
        "preprocessing": dict(pack.info.preprocessing),
    }


def flag_counts(pack: Pack) -> dict[str, int]:
    """Return how many leads carry each lead flag, and how many studies each study flag."""
    counts: Counter[str] = Counter()
    for column in ("view_flags", "study_flags"):
        if column in pack.studies.column_names:
            listed = pa.chunked_array([chunk.flatten() for chunk in pack.studies[column].chunks], pa.string())
            counts.update(flag.rpartition(":")[2] for flag in listed.to_pylist())
    return dict(counts)


def write_patients(path: Path, dataset: PackDataset) -> int:
    """Write salted hashes of the patients and records that are trained on, in an order that tells nothing.

    The table has the columns ``patient_hash``, ``record_hash`` (null where a pack has no record keys) and ``salt_hash``
    (which salt both were made with). It is what guards need to refuse a test on the same patients; the keys themselves
    are in no run.

    Returns:
        Number of distinct patients; studies without a patient key count as patients of their own.
    """
    parts = [_hashes(pack, rows) for pack, rows in rows_by_pack(dataset)]
    table = pa.concat_tables(parts).group_by(["patient_hash", "record_hash", "salt_hash"]).aggregate([])
    sink = pa.BufferOutputStream()
    pq.write_table(table.sort_by([("patient_hash", "ascending"), ("record_hash", "ascending")]), sink)
    write_atomically(path / PATIENTS_FILE, sink.getvalue())
    return len(table.column("patient_hash").unique())


def _hashes(pack: Pack, rows: np.ndarray) -> pa.Table:
    keys, records = pack.patient_keys(rows), pack.record_keys(rows)
    known = [record for record in records if record is not None]
    by_record = dict(zip(known, patient_hashes(known, pack.info.salt).tolist(), strict=True)) if known else {}
    return pa.table(
        {
            "patient_hash": pa.array(patient_hashes(keys, pack.info.salt).tolist(), pa.string()),
            "record_hash": pa.array([None if record is None else by_record[record] for record in records], pa.string()),
            "salt_hash": pa.array([salt_fingerprint(pack.info.salt)] * len(rows), pa.string()),
        }
    )
