# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported.)
"""Splits by patient, made once and stored with the data, and the guards against patients on both sides."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lamae.errors import DataError

SPLITS = ("train", "validation", "test")

PROJECT_SALT = "lamae-patient-hash-1"
"""Part of every salt, the same in every pack and run, so that their hashes can be compared with each other."""

Keys = Sequence[str] | np.ndarray | pa.Array | pa.ChunkedArray


def assign_splits(
    patient_keys: Keys, *, fractions: tuple[float, float, float] = (0.7, 0.1, 0.2), seed: int = 0
) -> np.ndarray:
    """Draw a split for each patient, and give it to all of the patient's studies.

    A patient's split depends on the key and the seed alone (a hash of both is laid on the unit interval), so it stays
    the same when patients are added, left out or reordered. The fractions are therefore met on average, not exactly.

    Args:
        patient_keys: ``[studies]`` keys such as ``"ptb-xl:15709"``.
        fractions: Shares of patients in training, validation and test; they add up to 1.
        seed: Another seed draws another split.

    Returns:
        ``[studies]`` array of ``"train"``, ``"validation"`` or ``"test"``.

    Raises:
        ValueError: The fractions are negative or do not add up to 1.
        DataError: A key is missing.
    """
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError(f"fractions must be at least 0 and add up to 1, found {fractions}")
    unique, inverse = _unique(patient_keys)
    draws = np.array([_unit_interval(f"{seed}:{key}") for key in unique])
    names = np.array(SPLITS, dtype=object)[np.searchsorted(np.cumsum(fractions[:2]), draws, side="right")]
    return names[inverse]


def check_disjoint(table: pa.Table, *, where: object = "the table of studies") -> None:
    """Check that no patient of a table of studies is in two splits.

    Args:
        table: With the columns ``patient_key`` and ``split``; studies without a split are left aside.
        where: The file or folder it comes from, for the message.

    Raises:
        DataError: Some patients are in several splits; the message says how many, not who.
    """
    assigned = table.select(["patient_key", "split"]).filter(pc.field("split").is_valid())
    counts = assigned.group_by("patient_key").aggregate([("split", "count_distinct")])
    several = pc.sum(pc.greater(counts["split_count_distinct"], 1)).as_py() or 0
    if several:
        raise DataError(
            f"{where}: {several} of {len(counts)} patients have studies in several splits: put all studies of a "
            "patient in one split, or leave the split out and let it be drawn by patient",
            reason="patient-in-two-splits",
        )


def patient_hashes(patient_keys: Keys, salt: str = "") -> np.ndarray:
    """Hash patient keys (or record keys), so that runs and results can be compared without knowing who is in them.

    Args:
        patient_keys: ``[studies]`` keys.
        salt: The user's own part of the salt. Hashes can be compared only with hashes of the same salt.

    Returns:
        ``[studies]`` array of 16 hexadecimal digits of a salted SHA-256.

    Raises:
        DataError: A key is missing.
    """
    unique, inverse = _unique(patient_keys)
    prefix = f"{PROJECT_SALT}\n{salt}\n"
    hashes = np.array([hashlib.sha256(f"{prefix}{key}".encode()).hexdigest()[:16] for key in unique], dtype="U16")
    return hashes[inverse]


def salt_fingerprint(salt: str = "") -> str:
    """Return what tells two salts apart without giving them away: hashes of different salts never match."""
    return str(patient_hashes(["the salt itself"], salt)[0])


def check_leak(train_hashes: Iterable[str], test_hashes: Iterable[str], *, what: str = "patients") -> None:
    """Check that nobody who was trained on is tested on.

    Args:
        train_hashes: Hashes of the patients (or records) of the training data, as ``patient_hashes`` gives them.
        test_hashes: Hashes of those to be tested on, with the same salt.
        what: ``"patients"`` or ``"records"``, for the message.

    Raises:
        DataError: The two overlap; the message says how many.
    """
    test = set(test_hashes)
    shared = len(test.intersection(train_hashes))
    if shared:
        raise DataError(
            f"{shared} of {len(test)} {what} to be tested on were in the training data: leave them out of the one or "
            "the other (known overlap: records HRxxxxx of the PhysioNet Challenge 2021 are PTB-XL)",
            reason="training-test-overlap",
        )


def _unique(keys: Keys) -> tuple[list[str], np.ndarray]:
    """Return the distinct keys and, for each key, its place among them."""
    array: Any = keys if isinstance(keys, pa.Array | pa.ChunkedArray) else pa.array(list(keys), pa.string())
    if array.null_count:
        raise DataError(
            f"{array.null_count} of {len(array)} studies have no key: a study without a patient needs one of its own",
            reason="missing-patient-key",
        )
    unique = pc.unique(array)
    return unique.to_pylist(), pc.index_in(array, value_set=unique).to_numpy(zero_copy_only=False)


def _unit_interval(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
