"""One shard: an Arrow IPC file with one record batch, one row a study; written whole, read through a memory map."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from lamae.errors import DataError, FormatError
from lamae.files import sha256, write_atomically
from lamae.pack.layout import SHARD_SCHEMA, ShardInfo, shard_file
from lamae.studies import PreparedStudy


class ShardRow(NamedTuple):
    """One study of a shard.

    Attributes:
        views: ``[views]`` uint8, indices into the pack's view names.
        scale: ``[views]`` float32, mV for one integer step.
        values: Slice of the shard's ``values``: the study's ``[views, samples]`` in C order.
        num_samples: Samples of each view.
        has_missing: Whether the missing-sample code occurs.
    """

    views: np.ndarray
    scale: np.ndarray
    values: slice
    num_samples: int
    has_missing: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One opened shard.

    Attributes:
        study_ids: Study ids, as an Arrow array.
        values: ``[samples of all views of all studies]`` int16, a view of the memory map (nothing is copied).
        rows: The studies. Equal ``views`` and ``scale`` are one array each: they are alike in nearly all studies,
            and looking them up in the memory map would cost as much as copying a lead.
    """

    study_ids: pa.StringArray
    values: np.ndarray
    rows: list[ShardRow]


def write_shard(
    pack: Path, number: int, study_ids: Sequence[str], studies: Sequence[PreparedStudy], view_names: Sequence[str]
) -> ShardInfo:
    """Write one shard atomically.

    Args:
        pack: Folder of the pack.
        number: Number of the shard, which is its place in the pack.
        study_ids: Identifier of each study.
        studies: The studies, at least one.
        view_names: Vocabulary of the pack's view names.

    Raises:
        DataError: A study has a view that the vocabulary does not know, or wrong shapes or types.
        OSError: Writing failed; nothing is left behind.
    """
    batch = _to_batch(study_ids, studies, {name: index for index, name in enumerate(view_names)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, SHARD_SCHEMA) as writer:
        writer.write_batch(batch)
    content = sink.getvalue()
    file = shard_file(number)
    (pack / file).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(pack / file, content)
    return ShardInfo(
        file=file,
        bytes=content.size,
        sha256=hashlib.sha256(content).hexdigest(),
        rows=len(studies),
        views=sum(len(study.view_names) for study in studies),
    )


def _to_batch(study_ids: Sequence[str], studies: Sequence[PreparedStudy], index: dict[str, int]) -> pa.RecordBatch:
    for study_id, study in zip(study_ids, studies, strict=True):
        _check(study_id, study, index)
    view_starts = _starts(len(study.view_names) for study in studies)
    value_starts = _starts(study.values.size for study in studies)
    views = np.array([index[name] for study in studies for name in study.view_names], dtype=np.uint8)
    scale = np.concatenate([study.scale for study in studies])
    values = np.concatenate([study.values.reshape(-1) for study in studies])
    columns = [
        pa.array(study_ids, pa.string()),
        pa.ListArray.from_arrays(pa.array(view_starts, pa.int32()), pa.array(views)),
        pa.array([study.values.shape[1] for study in studies], pa.int32()),
        pa.ListArray.from_arrays(pa.array(view_starts, pa.int32()), pa.array(scale)),
        pa.LargeListArray.from_arrays(pa.array(value_starts, pa.int64()), pa.array(values)),
        pa.array([study.has_missing for study in studies], pa.bool_()),
    ]
    return pa.record_batch(columns, schema=SHARD_SCHEMA)


def _starts(sizes: Iterable[int]) -> np.ndarray:
    return np.cumsum([0, *sizes])


def _check(study_id: str, study: PreparedStudy, index: dict[str, int]) -> None:
    unknown = [name for name in study.view_names if name not in index]
    if unknown:
        raise DataError(
            f"study {study_id}: the pack's view names do not hold {', '.join(unknown)}", reason="unknown-view"
        )
    num_views = len(study.view_names)
    if study.values.dtype != np.int16 or study.scale.dtype != np.float32:
        raise DataError(
            f"study {study_id}: a pack holds int16 values with float32 scales, "
            f"found {study.values.dtype} and {study.scale.dtype}",
            reason="wrong-dtype",
        )
    if not study.values.size:
        raise DataError(f"study {study_id}: a pack needs at least one view and one sample", reason="wrong-shape")
    if study.values.ndim != 2 or study.values.shape[0] != num_views or study.scale.shape != (num_views,):
        raise DataError(
            f"study {study_id}: {num_views} views need values [{num_views}, samples] and scale [{num_views}], "
            f"found {study.values.shape} and {study.scale.shape}",
            reason="wrong-shape",
        )


def open_shard(pack: Path, info: ShardInfo, *, verify: bool = False) -> Shard:
    """Open a shard through a memory map.

    Args:
        pack: Folder of the pack.
        info: What ``pack.json`` says about the shard.
        verify: Whether to hash the whole file first.

    Raises:
        DataError: The hash differs from the recorded one.
        FormatError: The file is not a shard of this format.
    """
    file = pack / info.file
    if verify and sha256(file) != info.sha256:
        raise DataError(
            f"{file}: the content is not what was written (its hash differs); prepare the pack again",
            reason="damaged-shard",
        )
    try:
        # The batch keeps the map alive; closing the file frees its descriptor, so that thousands can stay open.
        with pa.memory_map(str(file)) as source:
            batch = pa.ipc.open_file(source).get_batch(0)
    except pa.ArrowInvalid as error:
        raise FormatError(f"{file}: not a readable Arrow file ({error})", reason="damaged-shard") from error
    if not batch.schema.equals(SHARD_SCHEMA) or batch.num_rows != info.rows:
        raise FormatError(
            f"{file}: expected {info.rows} rows of the columns {', '.join(SHARD_SCHEMA.names)}, "
            f"found {batch.num_rows} rows of {', '.join(batch.schema.names)}",
            reason="damaged-shard",
        )
    return _from_batch(batch)


def _from_batch(batch: pa.RecordBatch) -> Shard:
    values = batch.column("values")
    value_starts = values.offsets.to_pylist()
    rows = zip(
        _shared_parts(batch.column("view")),
        _shared_parts(batch.column("scale")),
        (slice(first, last) for first, last in pairwise(value_starts)),
        batch.column("num_samples").to_pylist(),
        batch.column("has_missing").to_pylist(),
        strict=True,
    )
    return Shard(
        study_ids=batch.column("study_id"),
        values=values.values.to_numpy(zero_copy_only=True),
        rows=[ShardRow(*row) for row in rows],
    )


def _shared_parts(column: pa.ListArray) -> Iterator[np.ndarray]:
    """Yield the list of each row as a read-only array; equal lists are the same array."""
    everything = column.values.to_numpy(zero_copy_only=True)
    known: dict[bytes, np.ndarray] = {}
    for first, last in pairwise(column.offsets.to_pylist()):
        content = everything[first:last].tobytes()
        if content not in known:
            known[content] = np.frombuffer(content, dtype=everything.dtype)
        yield known[content]
