"""Writing a pack: shards first, then the tables, ``pack.json`` last, so that a folder is a finished pack or none."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lamae.ecg.leads import LEADS
from lamae.errors import DataError
from lamae.files import sha256, write_atomically
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
from lamae.pack.shards import write_shard
from lamae.studies import PreparedStudy

QUALITY_SCHEMA = pa.schema(
    [("leads", pa.list_(pa.string())), ("lead_flags", pa.list_(pa.string())), ("study_flags", pa.list_(pa.string()))]
)
"""Columns of ``studies.parquet`` that come from preprocessing; lead flags are written ``"V1:flat"``."""


def write_pack(
    path: str | Path,
    studies: Iterable[PreparedStudy],
    table: pa.Table,
    *,
    cohort: str = "unnamed",
    cohort_version: str = "unknown",
    simulated: bool = False,
    preprocessing: Any = None,
    view_names: Sequence[str] = LEADS,
    rejected: Sequence[Mapping[str, str]] = (),
    shard_size: int = 256,
    salt: str = "",
) -> Pack:
    """Write prepared studies as a pack and open it. For many studies use ``lamae.prepare``, which can resume.

    Args:
        path: Folder of the pack; made if it is not there.
        studies: The studies, all of one rate.
        table: One row a study in the same order, with at least the column ``study_id``.
        cohort: Name of the cohort.
        cohort_version: Version of the cohort's data.
        simulated: Whether the studies come from a simulator.
        preprocessing: What was done to the studies: a dataclass or a mapping.
        view_names: Vocabulary of view names.
        rejected: Refused files, each with ``study_id``, ``path``, ``reason`` and ``message``.
        shard_size: Studies in one file.
        salt: The user's own part of the salt of patient hashes.

    Raises:
        DataError: The table does not fit the studies, or a pack is there already.
        OSError: Writing failed.
    """
    path = Path(path)
    if (path / INFO_FILE).exists():
        raise DataError(f"{path}: holds a pack already; choose another folder", reason="pack-exists")
    path.mkdir(parents=True, exist_ok=True)
    study_ids = table.column("study_id").to_pylist()
    shards: list[ShardInfo] = []
    quality: list[pa.Table] = []
    rates: set[float] = set()
    first = 0
    for number, chunk in enumerate(_chunks(studies, shard_size)):
        ids = study_ids[first : first + len(chunk)]
        if len(ids) < len(chunk):
            raise DataError(f"{path}: more studies than the {table.num_rows} rows of the table", reason="wrong-table")
        rates |= {study.rate_hz for study in chunk}
        shards.append(write_shard(path, number, ids, chunk, view_names))
        quality.append(quality_columns(chunk))
        first += len(chunk)
    if len(rates) > 1:
        raise DataError(f"{path}: studies of one pack share one rate, found {sorted(rates)} Hz", reason="wrong-rate")
    described = (
        asdict(preprocessing) if preprocessing and not isinstance(preprocessing, Mapping) else preprocessing or {}
    )
    info = PackInfo(
        cohort=cohort,
        cohort_version=cohort_version,
        simulated=simulated,
        modality="ecg",
        preprocessing=described,
        rate_hz=float(rates.pop() if rates else described.get("rate_hz", 0.0)),
        view_names=tuple(view_names),
        salt=salt,
    )
    columns = pa.concat_tables([QUALITY_SCHEMA.empty_table(), *quality])
    finish_pack(path, info, shards, join_quality(table, columns), pa.Table.from_pylist(list(rejected), REJECTED_SCHEMA))
    return Pack.open(path)


def finish_pack(
    path: Path, info: PackInfo, shards: Sequence[ShardInfo], studies: pa.Table, rejected: pa.Table
) -> PackInfo:
    """Write the tables and ``pack.json`` beside shards that are there; return the completed info.

    Raises:
        DataError: The table of studies and the shards differ in their number of studies.
        OSError: Writing failed; the folder is then no pack yet.
    """
    num_studies = sum(shard.rows for shard in shards)
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
        num_views=sum(shard.views for shard in shards),
        num_rejected=rejected.num_rows,
        rejected_by_reason=dict(sorted(reasons.items())),
        shards=tuple(shards),
        tables=tables,
        content_hash=content_hash((*tables, *shards)),
    )
    write_info(path, info)
    return info


def quality_columns(studies: Sequence[PreparedStudy]) -> pa.Table:
    """Return the columns of ``QUALITY_SCHEMA`` for these studies."""
    flags = [[f"{name}:{flag}" for name, found in study.flags.items() for flag in found] for study in studies]
    columns = {
        "leads": [list(study.view_names) for study in studies],
        "lead_flags": flags,
        "study_flags": [list(study.study_flags) for study in studies],
    }
    return pa.table(columns, schema=QUALITY_SCHEMA)


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
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content = sink.getvalue()
    write_atomically(path / name, content)
    return FileInfo(file=name, bytes=content.size, sha256=sha256(path / name))


def _chunks(studies: Iterable[PreparedStudy], size: int) -> Iterator[list[PreparedStudy]]:
    iterator = iter(studies)
    while chunk := list(islice(iterator, size)):
        yield chunk
