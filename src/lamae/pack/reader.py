"""Reading a pack: whole studies, or many rows at once as one array."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lamae.errors import DataError, FormatError
from lamae.pack.layout import STUDIES_FILE, PackInfo, read_info
from lamae.pack.shards import Shard, open_shard
from lamae.studies import MISSING_CODE, PreparedStudy


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """The views of several studies in one array.

    Attributes:
        values: ``[instances, samples]`` int16, ``MISSING_CODE`` where nothing was recorded and after the end of
            studies that are shorter than the longest.
        scale: ``[instances]`` float32, mV for one integer step.
        study_of: ``[instances]`` int64, position of each instance's study within the asked indices, non-decreasing.
        view_of: ``[instances]`` int64, index into ``pack.info.view_names``.
        has_missing: Whether any value may be ``MISSING_CODE``.
    """

    values: np.ndarray
    scale: np.ndarray
    study_of: np.ndarray
    view_of: np.ndarray
    has_missing: bool


class Pack:
    """A prepared data set on disk, memory-mapped; open it with :meth:`Pack.open`.

    Attributes:
        path: Folder of the pack.
        info: What the pack says about itself.
    """

    def __init__(self, path: Path, info: PackInfo) -> None:
        self.path = path
        self.info = info
        self._first_rows = list(accumulate((shard.rows for shard in info.shards), initial=0))
        self._shards: list[Shard | None] = [None] * len(info.shards)
        self._verified: set[int] = set()

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
        num_rows = pq.read_metadata(path / STUDIES_FILE).num_rows
        if not num_rows == info.num_studies == sum(shard.rows for shard in info.shards):
            raise FormatError(
                f"{path}: pack.json counts {info.num_studies} studies, its shards "
                f"{sum(shard.rows for shard in info.shards)}, {STUDIES_FILE} {num_rows}",
                reason="damaged-pack",
            )
        return cls(path, info)

    def __len__(self) -> int:
        return self.info.num_studies

    def __reduce__(self) -> tuple[object, ...]:
        return Pack.open, (self.path,)

    @cached_property
    def studies(self) -> pa.Table:
        """The table of studies; its rows are the studies in order."""
        return pq.read_table(self.path / STUDIES_FILE)

    def study_id(self, index: int) -> str:
        """Return the identifier of a study."""
        return self.studies.column("study_id")[index].as_py()

    def study(self, index: int) -> PreparedStudy:
        """Return one study; its arrays are read-only views of the memory map.

        Raises:
            IndexError: The pack holds no such row.
        """
        shard, row = self._locate(index)
        views = slice(shard.view_starts[row], shard.view_starts[row + 1])
        values = shard.values[shard.value_starts[row] : shard.value_starts[row + 1]]
        return PreparedStudy(
            view_names=tuple(self.info.view_names[view] for view in shard.views[views]),
            values=values.reshape(views.stop - views.start, shard.num_samples[row]),
            scale=shard.scale[views],
            rate_hz=self.info.rate_hz,
            has_missing=shard.has_missing[row],
            flags=self._flags(index),
            study_flags=tuple(self._listed("study_flags", index)),
        )

    def gather(self, indices: np.ndarray, *, verify: bool = False) -> Gathered:
        """Copy the views of several studies into one array.

        Args:
            indices: ``[studies]`` rows, in any order, repeated or not.
            verify: Whether to hash each shard before its first read.

        Raises:
            IndexError: The pack holds no such row.
            DataError: A shard's hash differs (with ``verify``).
        """
        places = [self._locate(index, verify=verify) for index in np.asarray(indices).tolist()]
        num_samples = max((shard.num_samples[row] for shard, row in places), default=0)
        counts = [shard.view_starts[row + 1] - shard.view_starts[row] for shard, row in places]
        num_instances = sum(counts)
        values = np.empty((num_instances, num_samples), dtype=np.int16)
        scale = np.empty(num_instances, dtype=np.float32)
        view_of = np.empty(num_instances, dtype=np.int64)
        has_missing = False
        start = 0
        for (shard, row), count in zip(places, counts, strict=True):
            end = start + count
            _copy_study(shard, row, values[start:end])
            views = slice(shard.view_starts[row], shard.view_starts[row + 1])
            scale[start:end] = shard.scale[views]
            view_of[start:end] = shard.views[views]
            has_missing |= shard.has_missing[row] or shard.num_samples[row] < num_samples
            start = end
        study_of = np.repeat(np.arange(len(places)), counts)
        return Gathered(values=values, scale=scale, study_of=study_of, view_of=view_of, has_missing=has_missing)

    def _locate(self, index: int, *, verify: bool = False) -> tuple[Shard, int]:
        if not 0 <= index < self.info.num_studies:
            raise IndexError(f"{self.path}: no study {index}; the pack holds rows 0 to {self.info.num_studies - 1}")
        number = bisect_right(self._first_rows, index) - 1
        shard = self._shards[number]
        if shard is None or (verify and number not in self._verified):
            shard = self._open(number, verify=verify)
        return shard, index - self._first_rows[number]

    def _open(self, number: int, *, verify: bool) -> Shard:
        shard = open_shard(self.path, self.info.shards[number], verify=verify)
        self._shards[number] = shard
        if verify:
            self._verified.add(number)
        return shard

    def _flags(self, index: int) -> Mapping[str, tuple[str, ...]]:
        flags: dict[str, tuple[str, ...]] = {}
        for entry in self._listed("lead_flags", index):
            name, _, flag = entry.partition(":")
            flags[name] = (*flags.get(name, ()), flag)
        return flags

    def _listed(self, column: str, index: int) -> list[str]:
        return (self.studies.column(column)[index].as_py() or []) if column in self.studies.column_names else []


def _copy_study(shard: Shard, row: int, target: np.ndarray) -> None:
    num_samples = shard.num_samples[row]
    source = shard.values[shard.value_starts[row] : shard.value_starts[row + 1]].reshape(-1, num_samples)
    if num_samples == target.shape[1]:
        target[:] = source
    else:
        target[:, :num_samples] = source
        target[:, num_samples:] = MISSING_CODE


def _check_size(file: Path, expected: int) -> None:
    if not file.is_file():
        raise DataError(f"{file}: missing from the pack", reason="missing-file")
    found = file.stat().st_size
    if found != expected:
        raise DataError(f"{file}: expected {expected} bytes, found {found}; the file is damaged", reason="wrong-size")
