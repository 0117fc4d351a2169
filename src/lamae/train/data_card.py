"""Training data of a run: a card of each pack, and hashes by which leaks are found."""

from collections import Counter
from typing import Any

import pyarrow as pa

from lamae.data import PackDataset, rows_by_pack
from lamae.pack import Pack
from lamae.provenance import seen
from lamae.splits import patient_hashes, record_hashes


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


def trained_patients(dataset: PackDataset) -> pa.Table:
    """Return the salted hashes of the patients and records that are trained on, see `lamae.provenance.seen`.

    It is what guards need to refuse a test on the same patients; the keys themselves are in no run. Studies without a
    patient key count as patients of their own.
    """
    return pa.concat_tables(
        seen(
            patient_hashes(pack.patient_keys(rows), pack.info.salt),
            record_hashes(pack.record_keys(rows), pack.info.salt),
            pack.info.salt,
        )
        for pack, rows in rows_by_pack(dataset)
    )
