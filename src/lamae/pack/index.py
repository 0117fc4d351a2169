"""Index of all recordings of a pack, filled in shard by shard as they are opened."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from lamae.pack.layout import PackInfo
from lamae.pack.shards import Shard


@dataclass(frozen=True, kw_only=True)
class RecordingIndex:
    """Arrays over all recordings of a pack; entries of shards that were not opened yet are 0.

    Attributes:
        first_rows: ``[shards + 1]`` int64, first study of each shard.
        first_recordings: ``[shards + 1]`` int64, first recording of each shard.
        first: ``[studies + 1]`` int64, first recording of each study.
        begin: ``[studies]`` int64, where the samples of a study begin in the file, counted in samples; -1 where its
            recordings differ in length, do not stand together, or are frames.
        end: ``[studies]`` int64, where they end.
        view: ``[recordings]`` uint8, index into the pack's view names.
        encoding: ``[recordings]`` int8, see `Shard`.
        length: ``[recordings]`` int32, samples or frames.
        rate_hz: ``[recordings]`` float64, NaN where it is not known.
        scale: ``[recordings]`` float32.
        has_missing: ``[recordings]`` bool.
        offset: ``[recordings]`` int64, where samples or frames begin in the file of the shard.
    """

    first_rows: np.ndarray
    first_recordings: np.ndarray
    first: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    view: np.ndarray
    encoding: np.ndarray
    length: np.ndarray
    rate_hz: np.ndarray
    scale: np.ndarray
    has_missing: np.ndarray
    offset: np.ndarray

    @classmethod
    def empty(cls, info: PackInfo) -> Self:
        """Return the index of a pack of which no shard was opened; memory is taken as entries are filled in."""
        first_rows = np.cumsum([0, *(shard.studies for shard in info.shards)])
        first_recordings = np.cumsum([0, *(shard.recordings for shard in info.shards)])
        first = np.zeros(first_rows[-1] + 1, np.int64)
        first[first_rows] = first_recordings
        types = {"view": "u1", "encoding": "i1", "length": "i4", "rate_hz": "f8", "scale": "f4", "has_missing": "?"}
        arrays = {name: np.zeros(first_recordings[-1], kind) for name, kind in (types | {"offset": "i8"}).items()}
        pieces = {name: np.zeros(first_rows[-1], np.int64) for name in ("begin", "end")}
        return cls(first_rows=first_rows, first_recordings=first_recordings, first=first, **pieces, **arrays)

    def fill(self, number: int, shard: Shard) -> None:
        """Enter the recordings of an opened shard."""
        begin, end = self.first_recordings[number], self.first_recordings[number + 1]
        self.first[self.first_rows[number] : self.first_rows[number + 1]] = begin + shard.starts[:-1]
        for field in fields(self)[5:]:
            getattr(self, field.name)[begin:end] = getattr(shard, field.name)
        rows = slice(self.first_rows[number], self.first_rows[number + 1])
        starts, lasts = shard.starts[:-1], shard.starts[1:] - 1
        self.end[rows] = shard.offset[lasts] // 2 + shard.length[lasts]
        in_one_piece = (
            (self.end[rows] - shard.offset[starts] // 2 == np.add.reduceat(shard.length, starts))
            & (np.maximum.reduceat(shard.length, starts) == np.minimum.reduceat(shard.length, starts))
            & (np.maximum.reduceat(shard.encoding, starts) == 0)
        )
        self.begin[rows] = np.where(in_one_piece, shard.offset[starts] // 2, -1)

    def shard_of(self, recordings: np.ndarray) -> np.ndarray:
        """Return ``[recordings]`` int64, the shard of each recording."""
        return self.first_recordings.searchsorted(recordings, side="right") - 1
