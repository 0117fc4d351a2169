"""Splits of a pack, where the files show that studies of several splits are one patient's."""

from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import pyarrow as pa

from lamae.cohorts import drawn_with_seed, notes
from lamae.cohorts.tables import with_notes, without_split_seed
from lamae.errors import DataError
from lamae.files import parquet_content, write_atomically
from lamae.splits import assign_splits, check_disjoint

TornPatients: TypeAlias = Literal["refuse", "redraw"]
"""What to do about patients whose studies the data set puts into several splits, as only their files show: refuse to
finish the pack, or draw one split for each of them and count them."""

TORN_PATIENTS: tuple[TornPatients, ...] = get_args(TornPatients)
TORN_FILE = "torn_patients.parquet"


def with_splits(studies: pa.Table, pack: Path, *, torn_patients: TornPatients) -> pa.Table:
    """Return the studies with a split in which no patient is torn.

    A split that was drawn is drawn again, since files may know the patients better than the table; it changes nothing
    for the others. A split that the data set or the user gave is never changed without being asked to.

    Args:
        studies: Table of studies whose patients are known from the files too.
        pack: Folder of the pack, for the list of torn patients.
        torn_patients: What to do about them. ``"redraw"`` draws a split from the patient's key alone, as where there is
            no split; the notes count patients and studies.

    Raises:
        DataError: Patients are torn (``patient-in-two-splits``); their studies are listed in ``torn_patients.parquet``.
    """
    seed = drawn_with_seed(studies)
    keys = studies.column("patient_key")
    if seed is not None or "split" not in studies.column_names or studies.column("split").null_count == len(studies):
        return _set_splits(without_split_seed(studies), assign_splits(keys, seed=seed or 0))
    splits = np.array(studies.column("split").to_pylist(), dtype=object)
    patient_of = keys.combine_chunks().dictionary_encode().indices.to_numpy()
    torn = _several_splits(patient_of, splits)
    if torn.any():
        if torn_patients == "refuse":
            raise _torn(studies, patient_of, torn, pack)
        splits[torn] = assign_splits(keys)[torn]
        counted = {"num_torn_patients_redrawn": len(set(patient_of[torn])), "num_redrawn_splits": int(torn.sum())}
        studies = with_notes(_set_splits(studies, splits), notes(studies) | counted)
    (pack / TORN_FILE).unlink(missing_ok=True)
    check_disjoint(studies)
    return studies


def _several_splits(patient_of: np.ndarray, splits: np.ndarray) -> np.ndarray:
    """Return ``[studies]`` bool: True for those with a split whose patient has another split too."""
    known = splits != None  # noqa: E711 (element by element)
    pairs = set(zip(patient_of[known].tolist(), splits[known], strict=True))
    counts = np.bincount([patient for patient, _ in pairs], minlength=patient_of.max(initial=0) + 1)
    return (counts > 1)[patient_of] & known


def _torn(studies: pa.Table, patient_of: np.ndarray, torn: np.ndarray, pack: Path) -> DataError:
    """List the studies of the torn patients in a file, and return the error that names it."""
    listed: dict[str, Any] = {
        "patient": np.unique(patient_of[torn], return_inverse=True)[1],  # numbers, since keys are hospital's numbers
        "study_id": studies.column("study_id").filter(pa.array(torn)),
        "split": studies.column("split").filter(pa.array(torn)),
    }
    write_atomically(pack / TORN_FILE, parquet_content(pa.table(listed).sort_by("patient"), compression="snappy"))
    return DataError(
        f"{pack}: the files show that {len(set(patient_of[torn]))} patients have studies in several splits of the data "
        f"set's own ({int(torn.sum())} studies, listed in {pack / TORN_FILE}). Give the table a column of patients and "
        "one split for each, and prepare into a new folder; or run the same command with --torn-patients redraw, "
        "which draws one split for each of these patients (the data set's own test set then changes)",
        reason="patient-in-two-splits",
    )


def _set_splits(studies: pa.Table, splits: np.ndarray) -> pa.Table:
    column = pa.array(splits.tolist(), pa.string())
    if "split" in studies.column_names:
        return studies.set_column(studies.column_names.index("split"), "split", column)
    return studies.append_column("split", column)
