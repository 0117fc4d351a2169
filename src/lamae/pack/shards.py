"""One opened shard: an Arrow IPC file of recordings, read through a memory map, as arrays with an entry a recording."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lamae.errors import DataError, FormatError
from lamae.files import sha256
from lamae.pack.layout import ENCODINGS, SHARD_SCHEMA, ShardInfo


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One opened shard; all arrays but ``content``, ``samples``, ``starts`` and ``frame_ends`` have an entry
    a recording.

    Attributes:
        content: ``[bytes]`` uint8, the whole file as a memory map; nothing of it is copied.
        samples: The same as int16; samples begin at even places.
        study_ids: Id of each recording's study, as an Arrow array.
        starts: ``[studies + 1]`` int64, first recording of each study.
        keys: Keys of the recordings, as an Arrow array.
        view: uint8, index into the pack's view names.
        encoding: int8, index into `lamae.pack.layout.ENCODINGS`.
        length: int32, samples or frames.
        height: int32, rows of a frame; 0 for samples.
        width: int32, columns of a frame; 0 for samples.
        rate_hz: float64, NaN where it is not known.
        scale: float32.
        has_missing: bool.
        offset: int64, where in ``content`` the samples or the first frame begin.
        first_frame: int64, where in ``frame_ends`` the frames of a recording begin.
        frame_ends: ``[frames]`` int64, where in ``content`` each frame ends.
    """

    content: np.ndarray
    samples: np.ndarray
    study_ids: pa.ChunkedArray
    starts: np.ndarray
    keys: pa.ChunkedArray
    view: np.ndarray
    encoding: np.ndarray
    length: np.ndarray
    height: np.ndarray
    width: np.ndarray
    rate_hz: np.ndarray
    scale: np.ndarray
    has_missing: np.ndarray
    offset: np.ndarray
    first_frame: np.ndarray
    frame_ends: np.ndarray


def open_shard(pack: Path, info: ShardInfo, *, verify: bool = False) -> Shard:
    """Open a shard through a memory map.

    Args:
        pack: Folder of the pack.
        info: What ``pack.json`` says about the shard.
        verify: Check the hash of the whole file first.

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
        # The buffer keeps the map alive; closing the file frees its descriptor, so that thousands can stay open.
        with pa.memory_map(str(file)) as source:
            whole = source.read_buffer()
        table = pa.ipc.open_file(whole).read_all()
    except pa.ArrowInvalid as error:
        raise FormatError(f"{file}: not a readable Arrow file ({error})", reason="damaged-shard") from error
    if not table.schema.equals(SHARD_SCHEMA) or table.num_rows != info.recordings:
        raise FormatError(
            f"{file}: expected {info.recordings} rows of the columns {', '.join(SHARD_SCHEMA.names)}, "
            f"found {table.num_rows} rows of {', '.join(table.schema.names)}",
            reason="damaged-shard",
        )
    return _from_table(file, table, whole)


def _from_table(file: Path, table: pa.Table, whole: pa.Buffer) -> Shard:
    study = table.column("study").to_numpy()
    starts = np.flatnonzero(np.diff(study, prepend=-1))
    shape = table.column("shape").combine_chunks()
    first_axis = shape.offsets.to_numpy()
    num_axes = np.diff(first_axis)
    sizes = np.zeros((table.num_rows, 3), dtype=np.int32)
    axis = np.arange(len(shape.values)) - np.repeat(first_axis[:-1], num_axes)
    sizes[np.repeat(np.arange(len(num_axes)), num_axes), axis] = shape.values.to_numpy()
    encodings = table.column("encoding").to_numpy(zero_copy_only=False)
    encoding = sum((np.where(encodings == name, number, 0) for number, name in enumerate(ENCODINGS)), np.zeros(1, int))
    offset, first_frame, frame_ends = _places(table, whole)
    num_bytes = np.where(encoding == 0, 2 * sizes[:, 0].astype(np.int64), 0)
    if len(starts) and (offset.min() < 0 or (offset + num_bytes).max() > whole.size):
        raise FormatError(f"{file}: recordings lie outside of the file", reason="damaged-shard")
    return Shard(
        content=np.frombuffer(whole, dtype=np.uint8),
        samples=np.frombuffer(whole, dtype=np.int16, count=whole.size // 2),
        study_ids=table.column("study_id"),
        starts=np.append(starts, table.num_rows).astype(np.int64),
        keys=table.column("recording"),
        view=table.column("view").to_numpy(),
        encoding=encoding.astype(np.int8),
        length=sizes[:, 0],
        height=sizes[:, 1],
        width=sizes[:, 2],
        rate_hz=table.column("rate_hz").to_numpy(),
        scale=table.column("scale").to_numpy(),
        has_missing=table.column("has_missing").to_numpy(),
        offset=offset,
        first_frame=first_frame,
        frame_ends=frame_ends,
    )


def _places(table: pa.Table, whole: pa.Buffer) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where samples and frames lie in the file: offset, first frame, and end of each frame."""
    offsets: list[np.ndarray] = [np.zeros(0, np.int64)]
    firsts: list[np.ndarray] = [np.zeros(0, np.int64)]
    ends: list[np.ndarray] = [np.zeros(0, np.int64)]
    num_frames = 0
    for batch in table.to_batches():
        samples, frames = batch.column("samples"), batch.column("frames")
        sample_starts, frame_starts = samples.offsets.to_numpy(), frames.offsets.to_numpy()
        offset = _address(samples.values, whole) + 2 * sample_starts[:-1]
        if len(frames.values):
            bounds = np.frombuffer(frames.values.buffers()[1], dtype=np.int64, count=len(frames.values) + 1)
            bounds = bounds + _address(frames.values, whole, buffer=2)
            offset = np.where(np.diff(frame_starts) > 0, bounds[frame_starts[:-1]], offset)
            ends.append(bounds[1:])
        offsets.append(offset)
        firsts.append(num_frames + frame_starts[:-1])
        num_frames += len(frames.values)
    return np.concatenate(offsets), np.concatenate(firsts), np.concatenate(ends)


def _address(array: Any, whole: pa.Buffer, *, buffer: int = 1) -> int:
    """Return where in the file a buffer of an array begins; 0 for an empty one."""
    found = array.buffers()[buffer]
    return 0 if found is None or not len(array) else found.address - whole.address
