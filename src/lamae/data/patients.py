"""Choice of patients for runs that train on some of them only."""

import hashlib
from collections.abc import Sequence

import numpy as np

from lamae.data.dataset import PackDataset
from lamae.errors import ConfigError
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
