"""The note of a finished shard, which stands in an unfinished pack until all shards are done."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from lamae.errors import FormatError
from lamae.files import read_json
from lamae.pack import ShardInfo
from lamae.pack.layout import REJECTED_SCHEMA
from lamae.pack.writer import QUALITY_SCHEMA

PARTS_FOLDER = "parts"
"""Holds one note for each finished shard until the pack is finished."""

KEPT_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        *QUALITY_SCHEMA,
        ("patient_id", pa.string()),
        ("acquired_at", pa.timestamp("us")),
        ("age_years", pa.float32()),
        ("sex", pa.string()),
        ("codes", pa.map_(pa.string(), pa.list_(pa.string()))),
    ]
)


@dataclass(frozen=True, kw_only=True)
class ShardNote:
    """Outcome of the studies of a task.

    Attributes:
        shards: The files of recordings; none when every study was refused.
        rates_hz: The rates of all recordings; None among them where one is not known.
        kept: Table of ``KEPT_SCHEMA``, a row for each study in the shard.
        rejected: Table of the refused files with their reasons.
    """

    shards: tuple[ShardInfo, ...]
    rates_hz: frozenset[float | None]
    kept: pa.Table
    rejected: pa.Table


def studies_by_shard(num_studies: int, shard_size: int) -> list[int]:
    """Return the number of studies of each shard: all are full but the last."""
    return [min(shard_size, num_studies - first) for first in range(0, num_studies, shard_size)]


def part_file(pack: Path, number: int) -> Path:
    """Return the file that says that a shard is finished, and what came of its studies."""
    return pack / PARTS_FOLDER / f"{number:05d}.json"


def read_note(pack: Path, number: int, *, num_studies: int) -> ShardNote:
    """Read the note of a finished shard and check that it speaks of every study and that the shard is there.

    Args:
        pack: Folder of the pack.
        number: Number of the shard.
        num_studies: Studies that were to be looked at.

    Raises:
        FormatError: The note is damaged, or its shard is missing or of another size; the message says how the shard is
            made again.
    """
    file = part_file(pack, number)
    with _naming_damage(file):
        content = read_json(file)
        shards = tuple(ShardInfo(**shard) for shard in content["shards"])
        rates_hz = frozenset(content["rates_hz"])
        kept = pa.Table.from_pylist([_with_types(row) for row in content["kept"]], KEPT_SCHEMA)
        rejected = pa.Table.from_pylist([_whole(row, REJECTED_SCHEMA) for row in content["rejected"]], REJECTED_SCHEMA)
        if kept.num_rows != (num_written := sum(shard.studies for shard in shards)):
            raise ValueError(f"{kept.num_rows} studies kept, but a shard of {num_written}")
        if kept.num_rows + rejected.num_rows != num_studies:
            raise ValueError(f"{kept.num_rows} studies kept and {rejected.num_rows} refused of {num_studies}")
    for shard in shards:
        found = (pack / shard.file).stat().st_size if (pack / shard.file).is_file() else None
        if found != shard.bytes:
            raise FormatError(
                f"{pack / shard.file}: expected {shard.bytes} bytes, found "
                f"{'no such file' if found is None else found}. Remove {file}, and the same `prepare` makes this shard "
                "again",
                reason="damaged-pack",
            )
    return ShardNote(shards=shards, rates_hz=rates_hz, kept=kept, rejected=rejected)


@contextmanager
def _naming_damage(file: Path) -> Iterator[None]:
    """Say which note cannot be used, without what it holds."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise FormatError(
            f"{file}: this note of a finished shard is damaged ({type(error).__name__}). Remove it, and the same "
            "`prepare` makes this shard again",
            reason="damaged-pack",
        ) from error


def _with_types(row: Mapping[str, Any]) -> dict[str, Any]:
    row = _whole(row, KEPT_SCHEMA)
    acquired_at = datetime.fromisoformat(row["acquired_at"]) if row["acquired_at"] else None
    return row | {"acquired_at": acquired_at, "codes": list(row["codes"].items())}


def _whole(row: Mapping[str, Any], schema: pa.Schema) -> dict[str, Any]:
    """Return the row's entries of a schema; each must be there."""
    return {name: row[name] for name in schema.names}
