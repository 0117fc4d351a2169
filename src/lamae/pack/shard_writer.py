"""Writing recordings as a stream: one row each, in files of a bounded size, with memory for one recording."""

import os
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa

from lamae.errors import DataError
from lamae.files import TEMPORARY_MARK, naming_full_disk, sha256, sync_folder
from lamae.pack.jpeg import encode_frame
from lamae.pack.layout import SHARD_SCHEMA, VIEWS_FOLDER, ShardInfo, shard_file
from lamae.studies import PreparedRecording

SHARD_BYTES = 512 * 2**20
"""A file that has reached this size takes no further study."""

BUFFER_BYTES = 16 * 2**20
"""Rows are held in memory up to this size, then written as one record batch."""

_NO_SAMPLES = np.zeros(0, np.int16)
_SCALES = np.finfo(np.float32)


class _Row(NamedTuple):
    """One recording as it is stored; either samples or frames are empty."""

    study: int
    study_id: str
    recording: str
    view: int
    encoding: str
    shape: tuple[int, ...]
    rate_hz: float | None
    scale: float
    has_missing: bool
    samples: np.ndarray
    frames: Sequence[bytes | memoryview]

    @property
    def size(self) -> int:
        return self.samples.nbytes + sum(map(len, self.frames))


class ShardWriter:
    """Writes the studies of one task of the preparation, one after another.

    Each study is there whole or not at all: one whose recordings fail half-way leaves nothing. A study larger than
    the buffer waits in a temporary file until its last recording has come.

    Args:
        pack: Folder of the pack.
        task: Number of the task, which names its files.
        view_names: Vocabulary of the pack's view names.
        shard_bytes: Size from which on a new file is begun; a study is never cut.

    Attributes:
        shards: The files that are finished, in order; all of them once the block has ended.
        rates_hz: The rates of all recordings; None among them where one is not known.
    """

    def __init__(self, pack: Path, task: int, view_names: Sequence[str], *, shard_bytes: int = SHARD_BYTES) -> None:
        self.shards: list[ShardInfo] = []
        self.rates_hz: set[float | None] = set()
        self._pack, self._task, self._shard_bytes = pack, task, shard_bytes
        self._index = {name: index for index, name in enumerate(view_names)}
        self._file: _ShardFile | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None and kind is not None:
            self._file.discard()
        elif self._file is not None:
            self._finish(self._file)

    def add(self, study_id: str, recordings: Iterable[PreparedRecording]) -> tuple[str, ...]:
        """Add a study.

        Args:
            study_id: Its identifier.
            recordings: Its recordings, at least one; they are taken one at a time.

        Returns:
            The view names of its recordings.

        Raises:
            DataError: A recording has a view that the vocabulary does not know, a key of another, or wrong shapes or
                types. The study is then not added.
            OSError: Writing failed.
        """
        if self._file is not None and self._file.size >= self._shard_bytes:
            self._finish(self._file)
        if self._file is None:
            self._file = _ShardFile(self._pack, shard_file(self._task, len(self.shards)))
        names: list[str] = []
        keys: set[str] = set()
        rates: set[float | None] = set()
        with naming_full_disk(self._pack), _Spool(self._pack / VIEWS_FOLDER) as study:
            for recording in recordings:
                _check(study_id, recording, self._index)
                if recording.key in keys:
                    raise DataError(
                        f"study {study_id}: two recordings have the key {recording.key!r}; each needs its own",
                        reason="duplicated-recording",
                    )
                row = _to_row(self._file.num_studies, study_id, self._index[recording.name], recording)
                keys.add(recording.key)
                names.append(recording.name)
                rates.add(row.rate_hz)
                study.add(row)
            if not names:
                raise DataError(f"study {study_id}: a pack needs at least one view and one sample", reason="no-view")
            self._file.add_study(study, num_recordings=len(names))
        self.rates_hz |= rates
        return tuple(names)

    def _finish(self, file: "_ShardFile") -> None:
        self._file = None
        try:
            if file.num_studies:
                self.shards.append(file.finish())
        finally:
            file.discard()


class _Spool(AbstractContextManager["_Spool"]):
    """The rows of one study: in memory, and beyond the buffer in a nameless file of the pack's disk."""

    def __init__(self, folder: Path) -> None:
        self.rows: list[_Row] = []
        self._folder, self._size = folder, 0
        self._file = self._writer = None

    def add(self, row: _Row) -> None:
        self.rows.append(row)
        self._size += row.size
        if self._size > BUFFER_BYTES:
            if self._writer is None:
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 (closed with the spool)
                self._writer = pa.ipc.new_stream(self._file, SHARD_SCHEMA)
            self._writer.write_batch(_to_batch(self.rows))
            self.rows, self._size = [], 0

    def spilled(self) -> Iterable[pa.RecordBatch]:
        """Return the record batches that went to the temporary file."""
        if self._writer is None or self._file is None:
            return ()
        self._writer.close()
        self._file.seek(0)
        return pa.ipc.open_stream(self._file)

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


class _ShardFile:
    """One file that is being written beside its place."""

    def __init__(self, pack: Path, name: str) -> None:
        self.num_studies = self.num_recordings = 0
        self._name, self._path = name, pack / name
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._temporary = self._path.with_name(f"{self._path.name}{TEMPORARY_MARK}{os.getpid()}")
        self._sink = self._temporary.open("wb")
        self._writer = pa.ipc.new_file(self._sink, SHARD_SCHEMA)
        self._rows: list[_Row] = []
        self._waiting = 0

    @property
    def size(self) -> int:
        """Bytes so far, waiting rows included."""
        return self._sink.tell() + self._waiting

    def add_study(self, study: _Spool, *, num_recordings: int) -> None:
        """Add all rows of a study; those of a study that fits the buffer stand in one record batch."""
        for number, batch in enumerate(study.spilled()):
            if number == 0:
                self._flush()
            self._writer.write_batch(batch)
        self._rows += study.rows
        self._waiting += sum(row.size for row in study.rows)
        if self._waiting > BUFFER_BYTES:
            self._flush()
        self.num_studies += 1
        self.num_recordings += num_recordings

    def finish(self) -> ShardInfo:
        """Write what waits, and give the file its name."""
        with naming_full_disk(self._path):
            self._flush()
            self._writer.close()
            self._sink.flush()
            os.fsync(self._sink.fileno())
            self._sink.close()
            os.replace(self._temporary, self._path)
        sync_folder(self._path.parent)
        return ShardInfo(
            file=self._name,
            bytes=self._path.stat().st_size,
            sha256=sha256(self._path),
            studies=self.num_studies,
            recordings=self.num_recordings,
        )

    def discard(self) -> None:
        """Leave nothing behind."""
        self._sink.close()
        self._temporary.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_batch(_to_batch(self._rows))
        self._rows, self._waiting = [], 0


def _to_row(study: int, study_id: str, view: int, recording: PreparedRecording) -> _Row:
    values, quality = recording.values, recording.jpeg_quality
    samples, frames, encoding = _NO_SAMPLES, (), "int16"
    if values.dtype == np.int16:
        samples = values
    elif quality is None:
        frames, encoding = [np.ascontiguousarray(frame).data.cast("B") for frame in values], "uint8"
    else:
        frames, encoding = [encode_frame(frame, quality=quality) for frame in values], "jpeg"
    return _Row(
        study=study,
        study_id=study_id,
        recording=recording.key,
        view=view,
        encoding=encoding,
        shape=values.shape,
        rate_hz=None if recording.rate_hz is None else float(recording.rate_hz),
        scale=recording.scale,
        has_missing=recording.has_missing,
        samples=samples,
        frames=frames,
    )


def _to_batch(rows: Sequence[_Row]) -> pa.RecordBatch:
    plain = [
        pa.array([getattr(row, name) for row in rows], SHARD_SCHEMA.field(name).type)
        for name in _Row._fields
        if name not in ("samples", "frames")
    ]
    frames = [frame for row in rows for frame in row.frames]
    samples = pa.LargeListArray.from_arrays(
        _starts(len(row.samples) for row in rows), pa.array(np.concatenate([row.samples for row in rows]))
    )
    stored = pa.Array.from_buffers(
        pa.large_binary(),
        len(frames),
        [None, _starts(map(len, frames)).buffers()[1], pa.py_buffer(b"".join(frames))],
    )
    columns = [*plain, samples, pa.LargeListArray.from_arrays(_starts(len(row.frames) for row in rows), stored)]
    return pa.record_batch(columns, schema=SHARD_SCHEMA)


def _starts(sizes: Iterable[int]) -> pa.Int64Array:
    return pa.array(np.cumsum([0, *sizes], dtype=np.int64))


def _check(study_id: str, recording: PreparedRecording, index: dict[str, int]) -> None:
    values, where = recording.values, f"study {study_id}, recording {recording.key}"
    if recording.name not in index:
        raise DataError(f"study {study_id}: the pack's view names do not hold {recording.name}", reason="unknown-view")
    if (values.dtype, values.ndim) not in ((np.int16, 1), (np.uint8, 3)):
        raise DataError(
            f"{where}: a pack holds [samples] int16 or [frames, height, width] uint8, "
            f"found {values.dtype} of shape {values.shape}",
            reason="wrong-dtype",
        )
    if not values.size:
        raise DataError(f"study {study_id}: a pack needs at least one view and one sample", reason="wrong-shape")
    if not float(_SCALES.smallest_subnormal) <= float(recording.scale) <= float(_SCALES.max):  # as a pack holds it
        raise DataError(f"{where}: the scale must be finite and above 0, found {recording.scale}", reason="wrong-scale")
    if recording.rate_hz is not None and not 0 < recording.rate_hz < np.inf:
        raise DataError(
            f"{where}: the rate must be above 0 Hz or unknown, found {recording.rate_hz}", reason="wrong-rate"
        )
