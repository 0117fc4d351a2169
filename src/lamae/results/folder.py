"""RESULT folders: ``result.json`` with metrics and how they came about, ``predictions.parquet`` with every score.

Neither holds an identifier: studies and patients are salted hashes, enough to pair two results and to draw patients.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lamae.errors import FormatError
from lamae.files import parquet_content, parquet_table, read_json, write_atomically, write_json
from lamae.results.evaluation import Evaluation

FORMAT, FORMAT_VERSION = "lamae-result", 2
RESULT_FILE, PREDICTIONS_FILE = "result.json", "predictions.parquet"

_KEYS = ("kind", "system", "protocol", "labels", "data", "split", "metrics", "per_label")
_PREDICTIONS_HASH = "predictions_sha256"
_COLUMNS = ("study_hash", "patient_hash", "fold")


def write_result(out: str | Path, evaluation: Evaluation) -> Path:
    """Write a RESULT folder: the predictions first, ``result.json`` last, each whole or not at all.

    Raises:
        OSError: Writing failed.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / RESULT_FILE).unlink(missing_ok=True)
    columns: dict[str, Any] = {
        "study_hash": pa.array(evaluation.study_hash.tolist(), pa.string()),
        "patient_hash": pa.array(evaluation.patient_hash.tolist(), pa.string()),
        "fold": pa.array(evaluation.fold, pa.int32(), mask=evaluation.fold < 0),
    }
    for prefix, values in (("target", evaluation.targets), ("score", evaluation.scores)):
        for label, name in enumerate(evaluation.label_names):
            columns[f"{prefix}_{name}"] = pa.array(values[:, label], pa.float64())
    content = parquet_content(pa.table(columns))
    write_atomically(out / PREDICTIONS_FILE, content)
    info = {**evaluation.info, _PREDICTIONS_HASH: hashlib.sha256(content).hexdigest()}
    write_json(out / RESULT_FILE, info, allow_nan=False)
    return out


def read_info(path: str | Path) -> dict[str, Any]:
    """Read ``result.json`` alone, without the predictions.

    Raises:
        FormatError: It holds no result, one of an unknown version, or one that lacks what it must say.
    """
    file = Path(path) / RESULT_FILE
    try:
        info = read_json(file, of=(FORMAT, FORMAT_VERSION))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FormatError(f"{path}: no {RESULT_FILE} in it, so this is no result", reason="not-a-result") from error
    except ValueError as error:
        raise FormatError(f"{file}: not readable as JSON ({error})", reason="damaged-result") from error
    if (found := info.get("format")) != FORMAT:
        raise FormatError(f'{file}: expected "format": "{FORMAT}", found {found!r}', reason="not-a-result")
    if info.get("format_version") != FORMAT_VERSION:
        raise FormatError(
            f"{path}: result format version {info.get('format_version')}, but this version of lamae reads "
            f"{FORMAT_VERSION}: evaluate again, or use the version of lamae that wrote it",
            reason="unknown-result-version",
        )
    if absent := [key for key in _KEYS if key not in info]:
        raise FormatError(f"{file}: {', '.join(absent)} is missing", reason="damaged-result")
    return info


def read_result(path: str | Path) -> Evaluation:
    """Read a RESULT folder back.

    Raises:
        FormatError: It holds no result, one of an unknown version, or one whose files do not fit each other.
    """
    path = Path(path)
    info = read_info(path)
    if not (path / PREDICTIONS_FILE).is_file():
        raise FormatError(f"{path}: {PREDICTIONS_FILE} is missing", reason="damaged-result")
    content = (path / PREDICTIONS_FILE).read_bytes()
    if hashlib.sha256(content).hexdigest() != info.pop(_PREDICTIONS_HASH, None):
        raise FormatError(
            f"{path / PREDICTIONS_FILE}: damaged, not what {RESULT_FILE} was written with (the hash differs); evaluate "
            "again to write it anew",
            reason="damaged-result",
        )
    table, names = parquet_table(content), info["labels"]["names"]
    _check_columns(path, table, names)
    return Evaluation(
        info=info,
        study_hash=np.array(table["study_hash"].to_pylist(), dtype="U16"),
        patient_hash=np.array(table["patient_hash"].to_pylist(), dtype="U16"),
        fold=np.array([-1 if fold is None else fold for fold in table["fold"].to_pylist()]),
        targets=_columns(table, "target", names),
        scores=_columns(table, "score", names),
    )


def _columns(table: pa.Table, prefix: str, names: list[str]) -> np.ndarray:
    """Return ``[studies, labels]`` float64; results of older versions hold float32."""
    return np.stack([table[f"{prefix}_{name}"].to_numpy() for name in names], axis=1).astype(np.float64)


def _check_columns(path: Path, table: pa.Table, names: list[str]) -> None:
    held = set(table.column_names)
    if absent := [name for name in _COLUMNS if name not in held]:
        raise FormatError(f"{path}: the predictions have no column {', '.join(absent)}", reason="damaged-result")
    if absent := [name for name in names if {f"target_{name}", f"score_{name}"} - held]:
        raise FormatError(f"{path}: the predictions lack the label {absent[0]!r}", reason="damaged-result")
