"""Patients of several packs: a choice of some of them, and a check that two sets of studies share none."""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from lamae.data.dataset import PackDataset
from lamae.errors import ConfigError, DataError
from lamae.pack import Pack


def rows_by_pack(dataset: PackDataset) -> Sequence[tuple[Pack, np.ndarray]]:
    """Return the rows of a data set within each of its packs."""
    first, found = 0, []
    for pack in dataset.packs:
        inside = dataset.rows[(dataset.rows >= first) & (dataset.rows < first + len(pack))]
        found.append((pack, inside - first))
        first += len(pack)
    return found


def rows_of_some_patients(dataset: PackDataset, num_patients: int, *, seed: int) -> np.ndarray:
    """Return the rows of a data set that belong to ``num_patients`` of its patients, with all of their studies.

    Patients are put in the order of the SHA-256 of ``"seed/patient key"``, and the first ones are taken. So a smaller
    choice of a seed is part of a larger one, and neither the order of studies nor that of packs matters.

    Args:
        dataset: The studies to choose among; its rows ascend.
        num_patients: Number of patients to keep.
        seed: Seed of the choice.

    Raises:
        ConfigError: There are fewer patients: a smaller set than asked would stand under a wrong name.
    """
    keys = [key for pack, rows in rows_by_pack(dataset) for key in pack.patient_keys(rows)]
    patients = sorted(set(keys), key=lambda key: hashlib.sha256(f"{seed}/{key}".encode()).digest())
    if num_patients > len(patients):
        raise ConfigError(
            f"data.max_patients asks for {num_patients} patients, but the training splits hold {len(patients)}: "
            "ask for fewer, or for all of them with null"
        )
    chosen = set(patients[:num_patients])
    return dataset.rows[np.array([key in chosen for key in keys], dtype=bool)]


def check_apart(
    used: Sequence[tuple[Pack, np.ndarray]],
    held_out: Sequence[tuple[Pack, np.ndarray]],
    *,
    what: str,
    use: str,
    remedy: str,
) -> None:
    """Check that no held-out patient, and no held-out recording, is used for training, in whichever pack.

    Args:
        used: Packs with their rows that are trained (or selected) on.
        held_out: Packs with their rows that are held out.
        what: What the held-out studies are: ``"tested"`` or ``"validation"``.
        use: What the others are: ``"trained on"``.
        remedy: What to do.

    Raises:
        DataError: Some are on both sides; the message says how many, not who.
    """
    counts = []
    for keys in (Pack.patient_keys, Pack.record_keys):
        held = _keys(held_out, keys)
        counts.append((len(held & _keys(used, keys)), len(held)))
    (patients, all_patients), (records, all_records) = counts
    if patients or records:
        raise DataError(
            f"{patients} of {all_patients} {what} patients and {records} of {all_records} {what} records of "
            f"{_paths(held_out)} are {use} in {_paths(used)}: {remedy}",
            reason="training-test-overlap",
        )


def _keys(
    studies: Sequence[tuple[Pack, np.ndarray]], keys_of: Callable[[Pack, np.ndarray], Sequence[str | None]]
) -> set[str]:
    return {key for pack, rows in studies for key in keys_of(pack, rows) if key is not None}


def _paths(studies: Sequence[tuple[Pack, np.ndarray]]) -> str:
    return ", ".join(str(pack.path) for pack, rows in studies if len(rows))
