"""Writing a pack: shards first, then the tables, ``pack.json`` last, so that a folder is a finished pack or none."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from lamae.errors import DataError
from lamae.files import parquet_content, sha256, write_atomically
from lamae.modality import find_modality
from lamae.pack.layout import (
    INFO_FILE,
    REJECTED_FILE,
    REJECTED_SCHEMA,
    STUDIES_FILE,
    FileInfo,
    PackInfo,
    ShardInfo,
    content_hash,
    write_info,
)
from lamae.pack.reader import Pack
from lamae.pack.shard_writer import ShardWriter
from lamae.splits import user_salt
from lamae.studies import PreparedStudy

QUALITY_SCHEMA = pa.schema(
    [("views", pa.list_(pa.string())), ("view_flags", pa.list_(pa.string())), ("study_flags", pa.list_(pa.string()))]
)
"""Columns of ``studies.parquet`` that come from preprocessing; view flags are written ``"V1:flat"``."""


def write_pack(
    path: str | Path,
    studies: Iterable[PreparedStudy],
    table: pa.Table,
    *,
    cohort: str = "unnamed",
    cohort_version: str = "unknown",
    simulated: bool = False,
    preprocessing: Any = None,
    modality: str = "ecg",
    view_names: Sequence[str] | None = None,
    rejected: Sequence[Mapping[str, str]] = (),
    shard_size: int = 256,
    salt: str | None = None,
) -> Pack:
    """Write prepared studies as a pack and open it. For many studies use ``lamae.prepare``, which can resume.

    Args:
        path: Folder of the pack; made if it is not there.
        studies: The studies.
        table: One row a study in the same order, with at least the column ``study_id``.
        cohort: Name of the cohort.
        cohort_version: Version of the cohort's data.
        simulated: Whether the studies come from a simulator.
        preprocessing: What was done to the studies: a dataclass or a mapping.
        modality: Name of the modality.
        view_names: Vocabulary of view names; None: those of the modality's default preprocessing.
        rejected: Refused files, each with ``study_id``, ``path``, ``reason`` and ``message``.
        shard_size: Studies in one file.
        salt: Salt of the hashes of patients; None for `lamae.splits.user_salt`.

    Raises:
        DataError: The table does not fit the studies, or a pack is there already.
        OSError: Writing failed.
    """
    path = Path(path)
    if (path / INFO_FILE).exists():
        raise DataError(f"{path}: holds a pack already; choose another folder", reason="pack-exists")
    path.mkdir(parents=True, exist_ok=True)
    if view_names is None:
        view_names = find_modality(modality).view_names(find_modality(modality).preprocessing())
    study_ids = table.column("study_id").to_pylist()
    shards: list[ShardInfo] = []
    quality: list[dict[str, Any]] = []
    rates: set[float | None] = set()
    waiting = iter(studies)
    for task in range(0, max(len(study_ids), 1), shard_size):
        with ShardWriter(path, task // shard_size, view_names) as writer:
            for study_id, study in zip(study_ids[task : task + shard_size], waiting, strict=False):
                names = writer.add(study_id, study.recordings)
                quality.append(quality_row(study, names))
        shards += writer.shards
        rates |= writer.rates_hz
    if next(waiting, None) is not None:
        raise DataError(f"{path}: more studies than the {table.num_rows} rows of the table", reason="wrong-table")
    described = (
        asdict(preprocessing) if preprocessing and not isinstance(preprocessing, Mapping) else preprocessing or {}
    )
    info = PackInfo(
        cohort=cohort,
        cohort_version=cohort_version,
        simulated=simulated,
        modality=modality,
        preprocessing=described,
        rate_hz=common_rate(rates) if rates else described.get("rate_hz"),
        view_names=tuple(view_names),
        salt=user_salt() if salt is None else salt,
    )
    studies_table = join_quality(table, pa.Table.from_pylist(quality, QUALITY_SCHEMA))
    finish_pack(path, info, shards, studies_table, pa.Table.from_pylist(list(rejected), REJECTED_SCHEMA))
    return Pack.open(path)


def finish_pack(
    path: Path, info: PackInfo, shards: Sequence[ShardInfo], studies: pa.Table, rejected: pa.Table
) -> PackInfo:
    """Write the tables and ``pack.json`` beside shards that are there; return the completed info.

    Raises:
        DataError: The table of studies and the shards differ in their number of studies.
        OSError: Writing failed; the folder is then no pack yet.
    """
    num_studies = sum(shard.studies for shard in shards)
    if studies.num_rows != num_studies:
        raise DataError(
            f"{path}: the table of studies has {studies.num_rows} rows, the shards hold {num_studies} studies",
            reason="wrong-table",
        )
    tables = (_write_table(path, STUDIES_FILE, studies), _write_table(path, REJECTED_FILE, rejected))
    reasons = Counter(rejected.column("reason").to_pylist())
    info = replace(
        info,
        num_studies=num_studies,
        num_recordings=sum(shard.recordings for shard in shards),
        num_rejected=rejected.num_rows,
        rejected_by_reason=dict(sorted(reasons.items())),
        shards=tuple(shards),
        tables=tables,
        content_hash=content_hash((*tables, *shards)),
    )
    write_info(path, info)
    return info


def quality_row(study: PreparedStudy, view_names: Sequence[str]) -> dict[str, list[str]]:
    """Return the columns of ``QUALITY_SCHEMA`` for a study whose recordings have these view names."""
    return {
        "views": list(view_names),
        "view_flags": [f"{name}:{flag}" for name, found in study.flags.items() for flag in found],
        "study_flags": list(study.study_flags),
    }


def common_rate(rates_hz: Iterable[float | None]) -> float | None:
    """Return the rate that all recordings share; None where they differ or one is unknown."""
    found = set(rates_hz)
    return found.pop() if len(found) == 1 else None


def join_quality(table: pa.Table, quality: pa.Table) -> pa.Table:
    """Return the table of studies with the quality columns set, in place of columns of the same names.

    Raises:
        DataError: The numbers of rows differ.
    """
    if table.num_rows != quality.num_rows:
        raise DataError(
            f"the table has {table.num_rows} rows for {quality.num_rows} studies: one row a study is needed",
            reason="wrong-table",
        )
    table = table.drop_columns([name for name in quality.column_names if name in table.column_names])
    for name in quality.column_names:
        table = table.append_column(name, quality.column(name))
    return table


def _write_table(path: Path, name: str, table: pa.Table) -> FileInfo:
    content = parquet_content(table)
    write_atomically(path / name, content)
    return FileInfo(file=name, bytes=content.size, sha256=sha256(path / name))
