# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute creates its functions at import.)
"""Splits by patient, made once and stored with the data, and salted hashes of patient keys."""

import hashlib
import os
import re
import secrets
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lamae.errors import ConfigError, DataError
from lamae.files import TEMPORARY_MARK

SPLITS = ("train", "validation", "test")

PROJECT_SALT = "lamae-patient-hash-1"
"""Part of every salt. It is public: with nothing of the user's own beside it, hashes can be reversed by trying ids."""

SALT_VARIABLE = "LAMAE_SALT"
"""Environment variable that goes before the file of `salt_file`."""

Keys = Sequence[str] | np.ndarray | pa.Array | pa.ChunkedArray


def assign_splits(
    patient_keys: Keys, *, fractions: tuple[float, float, float] = (0.7, 0.1, 0.2), seed: int = 0
) -> np.ndarray:
    """Draw a split for each patient and assign it to all studies of the patient.

    The split depends only on the patient's key and the seed (a hash of both is mapped to the unit interval), so it does
    not change if patients are added, removed or reordered. The fractions therefore hold on average, not exactly.

    Args:
        patient_keys: ``[studies]`` keys such as ``"ptb-xl:15709"``.
        fractions: Fractions of patients in training, validation and test; they sum to 1.
        seed: Random seed.

    Returns:
        ``[studies]`` array of ``"train"``, ``"validation"`` or ``"test"``.

    Raises:
        ValueError: The fractions are negative or do not sum to 1.
        DataError: A key is missing.
    """
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError(f"fractions must be at least 0 and add up to 1, found {fractions}")
    unique, inverse = _unique(patient_keys)
    draws = np.array([_unit_interval(f"{seed}:{key}") for key in unique])
    names = np.array(SPLITS, dtype=object)[np.searchsorted(np.cumsum(fractions[:2]), draws, side="right")]
    return names[inverse]


def stand_in_key(source: str, study_id: str) -> str:
    """Return the patient key of a study whose patient nobody knows: it then counts as a patient of its own."""
    return f"{source}:study:{study_id}"


def check_disjoint(table: pa.Table, *, where: object = "the table of studies") -> None:
    """Check that no patient of a table of studies is in two splits.

    Args:
        table: Has the columns ``patient_key`` and ``split``; studies without a split are ignored.
        where: File or folder of the table, for the message.

    Raises:
        DataError: Some patients are in several splits; the message gives their number, not their keys.
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


def user_salt() -> str:
    """Return the user's salt: the environment variable ``LAMAE_SALT``, else the content of `salt_file`.

    The file is made once, of 32 random hexadecimal digits, and readable by its owner alone; processes that start at the
    same time end with the same salt.

    Raises:
        ConfigError: The file can be neither read nor made, or holds something else.
    """
    if given := os.environ.get(SALT_VARIABLE):
        return given
    file = salt_file()
    try:
        if not file.exists():
            _make_salt(file)
        found = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise ConfigError(
            f"{file}: your salt of patient hashes can be neither read nor made there ({why}): give one with --salt "
            f"(in Python salt=), or in the environment variable {SALT_VARIABLE}; a long random one"
        ) from error
    if not re.fullmatch("[0-9a-f]{32,}", found):
        raise ConfigError(
            f"{file}: expected your salt of patient hashes, at least 32 hexadecimal digits, found something else: copy "
            f"the right one there, or remove the file to get a new salt; hashes made with the old one will not match"
        )
    return found


def salt_file() -> Path:
    """Return where the user's salt is kept: ``$XDG_CONFIG_HOME/lamae/salt``, by default ``~/.config/lamae/salt``."""
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    return Path(folder if os.path.isabs(folder) else os.path.expanduser("~/.config")) / "lamae" / "salt"


def _make_salt(file: Path) -> None:
    """Write a new salt, unless another process was faster."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = file.with_name(f"{file.name}{TEMPORARY_MARK}{os.getpid()}-{secrets.token_hex(4)}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(f"{secrets.token_hex(16)}\n")
        opened.flush()
        os.fsync(opened.fileno())
    try:
        os.link(temporary, file)  # fails where there is one already: nobody's salt is ever replaced
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def patient_hashes(patient_keys: Keys, salt: str | None = None) -> np.ndarray:
    """Hash patient keys (or record keys), so that runs and results can be compared without identifying patients.

    Args:
        patient_keys: ``[studies]`` keys.
        salt: Only hashes of the same salt can be compared. None takes `user_salt`; with an empty one, or one that
            others know, whoever can list the keys can reverse the hashes.

    Returns:
        ``[studies]`` array with 16 hexadecimal digits of a salted SHA-256 each.

    Raises:
        ConfigError: The user's salt can be neither read nor made.
        DataError: A key is missing.
    """
    unique, inverse = _unique(patient_keys)
    prefix = f"{PROJECT_SALT}\n{_stretched(user_salt() if salt is None else salt)}\n"
    hashes = np.array([hashlib.sha256(f"{prefix}{key}".encode()).hexdigest()[:16] for key in unique], dtype="U16")
    return hashes[inverse]


@lru_cache(maxsize=64)
def _stretched(salt: str) -> str:
    """Return a salt such that each guess at a short one costs time and memory (scrypt, RFC 7914: 16 MiB)."""
    if not salt:
        return ""
    return hashlib.scrypt(salt.encode(), salt=PROJECT_SALT.encode(), n=2**14, r=8, p=1, dklen=16).hex()


def record_hashes(record_keys: Sequence[str | None], salt: str | None = None) -> np.ndarray:
    """Hash record keys as patient keys; empty where a study has none.

    Returns:
        ``[studies]`` array of hashes.
    """
    keys = np.array(record_keys, dtype=object)
    known = np.array([key is not None for key in record_keys], dtype=bool)
    hashes = np.full(len(keys), "", dtype="U16")
    hashes[known] = patient_hashes(keys[known].tolist(), salt)
    return hashes


def salt_fingerprint(salt: str | None = None) -> str:
    """Return a hash that identifies a salt without revealing it, since hashes of different salts never match."""
    return str(patient_hashes(["the salt itself"], salt)[0])


def _unique(keys: Keys) -> tuple[list[str], np.ndarray]:
    """Return the distinct keys, and the index of each key among them."""
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
