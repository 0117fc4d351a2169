"""Reading a pack: whole studies, or many rows at once as one array."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lamae.errors import DataError, FormatError
from lamae.files import parquet_table
from lamae.pack.index import RecordingIndex
from lamae.pack.layout import STUDIES_FILE, PackInfo, read_info
from lamae.pack.selection import Gathered, Selection
from lamae.pack.shards import Shard, open_shard
from lamae.pack.slices import read_frames, read_samples, stored_values
from lamae.studies import PreparedRecording, PreparedStudy


@contextmanager
def _naming_damage(table: Path) -> Iterator[None]:
    """Say which table of a pack cannot be read, without what Arrow says, which may quote its content."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise FormatError(
            f"{table}: damaged, not the Parquet file that was written; `lamae verify` lists what is damaged, then "
            "prepare the pack again",
            reason="damaged-pack",
        ) from error


class Pack:
    """A prepared data set on disk, memory-mapped; open it with :meth:`Pack.open`.

    Attributes:
        path: Folder of the pack.
        info: What the pack says about itself.
    """

    def __init__(self, path: Path, info: PackInfo) -> None:
        self.path = path
        self.info = info
        self._shards: list[Shard | None] = [None] * len(info.shards)
        self._verified: set[int] = set()
        self._all_open = self._has_frames = self._has_missing = False
        self._index = RecordingIndex.empty(info)

    @classmethod
    def open(cls, path: str | Path) -> "Pack":
        """Open a pack and check its version and the sizes of its files (hashes are checked by ``verify``).

        Raises:
            FormatError: The folder holds no finished pack, or one of an unknown version.
            DataError: A file is missing or has another size than was written.
        """
        path = Path(path)
        info = read_info(path)
        for file in (*info.tables, *info.shards):
            _check_size(path / file.file, file.bytes)
        with _naming_damage(path / STUDIES_FILE):
            num_rows = pq.read_metadata(path / STUDIES_FILE).num_rows
        in_shards = sum(shard.studies for shard in info.shards)
        if not num_rows == info.num_studies == in_shards:
            raise FormatError(
                f"{path}: pack.json counts {info.num_studies} studies, its shards {in_shards}, "
                f"{STUDIES_FILE} {num_rows}",
                reason="damaged-pack",
            )
        return cls(path, info)

    def __len__(self) -> int:
        return self.info.num_studies

    def __reduce__(self) -> tuple[object, ...]:
        return Pack.open, (self.path,)

    @cached_property
    def studies(self) -> pa.Table:
        """The table of studies; its rows are the studies in order.

        Raises:
            FormatError: The table is not as it was written (its hash is checked in any case).
        """
        with _naming_damage(self.path / STUDIES_FILE):
            content = (self.path / STUDIES_FILE).read_bytes()
            (told,) = (table for table in self.info.tables if table.file == STUDIES_FILE)
            if sha256(content).hexdigest() != told.sha256:
                raise pa.ArrowInvalid("its hash differs")
            return parquet_table(content)

    def patient_keys(self, rows: np.ndarray | None = None) -> list[str]:
        """Return the patient key of studies (None: of all); a study without one is a patient of its own."""
        studies = self.studies if rows is None else self.studies.take(pa.array(rows))
        alone = [f"{self.info.cohort}:study:{study_id}" for study_id in studies.column("study_id").to_pylist()]
        if "patient_key" not in studies.column_names:
            return alone
        keys = studies.column("patient_key").to_pylist()
        return [own if key is None else key for key, own in zip(keys, alone, strict=True)]

    def splits(self) -> list[str | None]:
        """Return the split of each study; None where the pack gives none."""
        studies = self.studies
        return studies.column("split").to_pylist() if "split" in studies.column_names else [None] * len(self)

    def record_keys(self, rows: np.ndarray | None = None) -> list[str | None]:
        """Return the record key of studies (None: of all); None where the pack has none."""
        studies = self.studies if rows is None else self.studies.take(pa.array(rows))
        if "record_key" not in studies.column_names:
            return [None] * studies.num_rows
        return studies.column("record_key").to_pylist()

    def study_id(self, index: int) -> str:
        """Return the identifier of a study."""
        return self.studies.column("study_id")[index].as_py()

    def study(self, index: int) -> PreparedStudy:
        """Return one study; arrays that are stored as they are are read-only views of the memory map.

        Raises:
            IndexError: The pack holds no such row.
        """
        found = self.whole(np.array([index]))
        return PreparedStudy(
            recordings=tuple(self._recording(row) for row in found.recording.tolist()),
            flags=self._flags(index),
            study_flags=tuple(self._listed("study_flags", index)),
        )

    def whole(self, indices: np.ndarray, *, verify: bool = False) -> Selection:
        """Return the selection of all recordings of some studies, whole, without reading any of their values.

        Args:
            indices: ``[studies]`` rows, in any order, repeated or not.
            verify: Hash each shard before its first read.

        Raises:
            IndexError: The pack holds no such row.
            DataError: A shard's hash differs (with ``verify``).
        """
        indices = np.asarray(indices, dtype=np.int64)
        self._open_for(indices, verify=verify)
        first = self._index.first[indices]
        counts = self._index.first[indices + 1] - first
        study_of = np.repeat(np.arange(len(indices)), counts)
        number = np.arange(len(study_of)) - (counts.cumsum() - counts)[study_of]
        return Selection(
            studies=indices, recording=number + first[study_of], study_of=study_of, recording_of=number, whole=True
        )

    def views_of(self, selection: Selection) -> np.ndarray:
        """Return ``[instances]`` int64, the view of each as an index into ``info.view_names``; nothing is read."""
        return self._index.view[selection.recording].astype(np.int64)

    def lengths_of(self, selection: Selection) -> np.ndarray:
        """Return ``[instances]`` int64, samples or frames of each one's whole recording; nothing is read."""
        return self._index.length[selection.recording].astype(np.int64)

    def gaps_of(self, selection: Selection) -> np.ndarray:
        """Return ``[instances]`` bool, whether each one's recording has missing samples; nothing is read."""
        return self._index.has_missing[selection.recording]

    def rates_of(self, selection: Selection) -> np.ndarray:
        """Return ``[instances]`` float64, samples or frames a second of each, NaN where unknown; nothing is read."""
        return self._index.rate_hz[selection.recording]

    def read(self, selection: Selection, *, verify: bool = False) -> Gathered:
        """Copy what a selection names into one array, and touch nothing else.

        Args:
            selection: Slices of recordings of this pack.
            verify: Hash each shard before its first read.

        Raises:
            DataError: A shard's hash differs (with ``verify``), frames differ in size, a stored frame is damaged, or
                samples and frames are asked for at once.
        """
        if verify or not self._all_open:
            self._open_for(selection.studies, verify=verify)
        index, row = self._index, selection.recording
        recorded, padded = None, False
        if self._has_frames and (of_frames := index.encoding[row]).any():
            if not of_frames.all():
                raise DataError(f"{self.path}: samples and frames cannot be in one batch", reason="wrong-shape")
            values, recorded = read_frames(self._shards, index, selection)
        else:
            values, padded = read_samples(self._shards, index, selection)
        return Gathered(
            values=values,
            scale=index.scale[row],
            study_of=selection.study_of,
            recording_of=selection.recording_of,
            view_of=self.views_of(selection),
            time_s=self._start_s(selection),
            has_missing=padded or (self._has_missing and bool(index.has_missing[row].any())),
            recorded=recorded,
        )

    def _recording(self, row: int) -> PreparedRecording:
        number = int(self._index.shard_of(np.array([row]))[0])
        shard, place = self._shards[number], row - int(self._index.first_recordings[number])
        assert shard is not None
        rate_hz = float(shard.rate_hz[place])
        return PreparedRecording(
            key=shard.keys[place].as_py(),
            name=self.info.view_names[shard.view[place]],
            values=stored_values(shard, place),
            scale=float(shard.scale[place]),
            rate_hz=None if np.isnan(rate_hz) else rate_hz,
            has_missing=bool(shard.has_missing[place]),
        )

    def _start_s(self, selection: Selection) -> np.ndarray:
        if selection.start is None:
            return np.zeros(len(selection.recording), np.float32)
        return (selection.start / self.rates_of(selection)).astype(np.float32)

    def _open_for(self, indices: np.ndarray, *, verify: bool) -> None:
        if len(indices) and not (indices.min() >= 0 and indices.max() < self.info.num_studies):
            wrong = int(indices.min()) if indices.min() < 0 else int(indices.max())
            raise IndexError(f"{self.path}: no study {wrong}; the pack holds rows 0 to {self.info.num_studies - 1}")
        if self._all_open and not verify:
            return
        for number in set((self._index.first_rows.searchsorted(indices, side="right") - 1).tolist()):
            if self._shards[number] is None or (verify and number not in self._verified):
                shard = open_shard(self.path, self.info.shards[number], verify=verify)
                self._index.fill(number, shard)
                if shard.encoding.any():  # set, never read and set again: two threads may open shards at once
                    self._has_frames = True
                if shard.has_missing.any():
                    self._has_missing = True
                self._shards[number] = shard  # last: a batch that is read ahead in another thread may look for it
                if verify:
                    self._verified.add(number)
                self._all_open = None not in self._shards

    def _flags(self, index: int) -> Mapping[str, tuple[str, ...]]:
        flags: dict[str, tuple[str, ...]] = {}
        for entry in self._listed("view_flags", index):
            name, _, flag = entry.partition(":")
            flags[name] = (*flags.get(name, ()), flag)
        return flags

    def _listed(self, column: str, index: int) -> list[str]:
        return (self.studies.column(column)[index].as_py() or []) if column in self.studies.column_names else []


def _check_size(file: Path, expected: int) -> None:
    if not file.is_file():
        raise DataError(f"{file}: missing from the pack", reason="missing-file")
    found = file.stat().st_size
    if found != expected:
        raise DataError(f"{file}: expected {expected} bytes, found {found}; the file is damaged", reason="wrong-size")
