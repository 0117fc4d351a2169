"""Checking that the files of a pack are still what was written."""

from pathlib import Path

import pyarrow as pa

from lamae.errors import DataError
from lamae.files import sha256
from lamae.pack.layout import FileInfo, content_hash, read_info
from lamae.pack.reader import Pack
from lamae.pack.shards import Shard, open_shard


def verify(path: str | Path) -> list[str]:
    """Hash every file of a pack and compare the order of its studies with its table.

    Returns:
        The problems found, one sentence each, naming the file; empty if there are none.

    Raises:
        FormatError: The folder holds no finished pack, or one of an unknown version.
    """
    path = Path(path)
    info = read_info(path)
    problems = [problem for file in (*info.tables, *info.shards) if (problem := _check_file(path, file))]
    if content_hash((*info.tables, *info.shards)) != info.content_hash:
        problems.append("pack.json: the hash of the whole content does not follow from the hashes of the files")
    return problems or _check_order(path)


def _check_file(path: Path, info: FileInfo) -> str | None:
    file = path / info.file
    if not file.is_file():
        return f"{info.file}: missing"
    if (size := file.stat().st_size) != info.bytes:
        return f"{info.file}: expected {info.bytes} bytes, found {size}"
    if sha256(file) != info.sha256:
        return f"{info.file}: the content is not what was written (its hash differs)"
    return None


def _check_order(path: Path) -> list[str]:
    try:
        pack = Pack.open(path)
        in_shards = [study_id for info in pack.info.shards for study_id in _study_ids(open_shard(path, info))]
    except DataError as error:
        return [str(error)]
    if in_shards != pack.studies.column("study_id").to_pylist():
        return ["studies.parquet: its study ids are not those of the shards in their order"]
    return []


def _study_ids(shard: Shard) -> list[str]:
    return shard.study_ids.take(pa.array(shard.starts[:-1])).to_pylist()
