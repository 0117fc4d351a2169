"""Reading a pack: whole studies, or many rows at once as one array."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lamae.errors import DataError, FormatError
from lamae.pack.layout import STUDIES_FILE, PackInfo, read_info
from lamae.pack.shards import Shard, ShardRow, open_shard
from lamae.studies import MISSING_CODE, PreparedStudy

_NO_VALUES, _NO_SCALE, _NO_VIEW = np.zeros(0, np.int16), np.zeros(0, np.float32), np.zeros(0, np.uint8)
"""Put in front of what is joined, so that no rows at all are no special case."""


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


@contextmanager
def _naming_damage(table: Path) -> Iterator[None]:
    """Say which table of a pack cannot be read, without what Arrow says, which may quote its content."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise FormatError(
            f"{table}: not a readable Parquet file; `lamae verify` lists what is damaged, then prepare the pack again",
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
        with _naming_damage(path / STUDIES_FILE):
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
        with _naming_damage(self.path / STUDIES_FILE):
            return pq.read_table(self.path / STUDIES_FILE)

    def patient_keys(self, rows: np.ndarray | None = None) -> list[str]:
        """Return the patient key of studies (None: of all); a study without one is a patient of its own."""
        studies = self.studies if rows is None else self.studies.take(pa.array(rows))
        alone = [f"{self.info.cohort}:study:{study_id}" for study_id in studies.column("study_id").to_pylist()]
        if "patient_key" not in studies.column_names:
            return alone
        keys = studies.column("patient_key").to_pylist()
        return [own if key is None else key for key, own in zip(keys, alone, strict=True)]

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
        """Return one study; its arrays are read-only views of the memory map.

        Raises:
            IndexError: The pack holds no such row.
        """
        shard, row = self._find(index)
        return PreparedStudy(
            view_names=tuple(self.info.view_names[view] for view in row.views),
            values=shard.values[row.values].reshape(len(row.views), row.num_samples),
            scale=row.scale,
            rate_hz=self.info.rate_hz,
            has_missing=row.has_missing,
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
        values, scale, view_of, lengths = [_NO_VALUES], [_NO_SCALE], [_NO_VIEW], []
        has_missing = False
        for index in np.asarray(indices).tolist():
            shard, row = self._find(index, verify=verify)
            values.append(shard.values[row.values])
            scale.append(row.scale)
            view_of.append(row.views)
            lengths.append(row.num_samples)
            has_missing |= row.has_missing
        counts = [len(views) for views in view_of[1:]]
        return Gathered(
            values=_join(values, lengths, counts),
            scale=np.concatenate(scale),
            study_of=np.repeat(np.arange(len(counts)), counts),
            view_of=np.concatenate(view_of, dtype=np.int64),
            has_missing=has_missing or len(set(lengths)) > 1,
        )

    def _find(self, index: int, *, verify: bool = False) -> tuple[Shard, ShardRow]:
        if not 0 <= index < self.info.num_studies:
            raise IndexError(f"{self.path}: no study {index}; the pack holds rows 0 to {self.info.num_studies - 1}")
        number = bisect_right(self._first_rows, index) - 1
        shard = self._shards[number]
        if shard is None or (verify and number not in self._verified):
            shard = self._open(number, verify=verify)
        return shard, shard.rows[index - self._first_rows[number]]

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


def _join(values: Sequence[np.ndarray], lengths: Sequence[int], counts: Sequence[int]) -> np.ndarray:
    """Join studies (after an empty first array) of ``counts`` views of ``lengths`` samples; pad the shorter ones."""
    longest = max(lengths, default=0)
    if all(length == longest for length in lengths):
        return np.concatenate(values).reshape(sum(counts), longest)
    joined = np.full((sum(counts), longest), MISSING_CODE, dtype=np.int16)
    ends = accumulate(counts)
    for study, length, count, end in zip(values[1:], lengths, counts, ends, strict=True):
        joined[end - count : end, :length] = study.reshape(count, length)
    return joined


def _check_size(file: Path, expected: int) -> None:
    if not file.is_file():
        raise DataError(f"{file}: missing from the pack", reason="missing-file")
    found = file.stat().st_size
    if found != expected:
        raise DataError(f"{file}: expected {expected} bytes, found {found}; the file is damaged", reason="wrong-size")
