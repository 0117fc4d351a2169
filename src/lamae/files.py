"""Atomic writing of files, hashes of files, JSON objects that hold a hash of their own content, CSV and Parquet."""

import csv
import errno
import fcntl
import glob
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamae.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pyarrow as pa

TEMPORARY_MARK = ".writing-"
_HASH = "sha256"
"""Key of a JSON object under which stands the hash of all its other entries."""


def write_atomically(path: Path, content: "bytes | memoryview | pa.Buffer") -> None:
    """Write a file atomically: after a crash it is either complete or absent.

    Raises:
        OSError: Writing failed; no partial file is left behind. For a full disk, the message says what to do.
    """
    with written_beside(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Give the name of a file beside ``path``, which takes its place when the block has written it, and not before.

    The file is locked meanwhile, so that `remove_abandoned` knows it from one that a killed process left.

    Raises:
        OSError: Writing failed; no partial file is left behind. For a full disk, the message says what to do.
    """
    temporary = path.with_name(f"{path.name}{TEMPORARY_MARK}{os.getpid()}")
    try:
        with naming_full_disk(path), temporary.open("wb") as held:
            with suppress(OSError):  # not every network drive has locks
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield temporary
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def remove_abandoned(path: Path) -> None:
    """Remove what killed processes left of a file that they wrote by `written_beside`, on whichever machine."""
    for file in path.parent.glob(f"{glob.escape(path.name)}{TEMPORARY_MARK}*"):
        with suppress(OSError), file.open("ab") as left:
            fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)  # refused while its writer lives
            file.unlink(missing_ok=True)


def refuse_existing(out: Path, *, overwrite: bool, what: str) -> None:
    """Check that writing replaces nothing that was not given up; called before any work is done.

    Args:
        out: File to write, or the file that a finished folder has, such as ``result.json``.
        overwrite: Replace what is there.
        what: What is there, with its article, such as ``"another result"``.

    Raises:
        ConfigError: There is such a file, and ``overwrite`` is false.
    """
    if not overwrite and os.path.lexists(out):
        raise ConfigError(
            f"{out}: {what} is there already and would be lost: give another name, or --overwrite to replace it "
            "(in Python overwrite=True)"
        )


@contextmanager
def naming_full_disk(path: Path) -> Iterator[None]:
    """Add to the error of a full disk what was being written and what to do; the block must leave no partial files."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(
            error.errno,
            "the disk is full; nothing half-written is kept: make room and run the same command again",
            str(path),
        ) from error


def sync_folder(folder: Path) -> None:
    """Make sure that what was written or renamed in a folder survives a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_half_written(folder: Path) -> None:
    """Remove partial files that a killed process left in a folder."""
    for file in folder.glob(f"*{TEMPORARY_MARK}*"):
        file.unlink(missing_ok=True)


@contextmanager
def locked(file: Path, message: str) -> Iterator[None]:
    """Hold a lock file for this process alone; a killed process holds none.

    Raises:
        ConfigError: Another process holds it, or has removed it with its folder meanwhile; with the message.
    """
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(message) from error
        if not file.exists() or not os.path.samestat(os.fstat(lock.fileno()), file.stat()):
            raise ConfigError(message)
        yield


class unchanged:  # a class, since a generator would cost as much as the check itself
    """Refuse what the block reads if the file changes meanwhile: another program may still be writing it.

    Size, time of change and identity of the file are compared. An error of the data itself, such as a truncated file,
    is then the writer's doing too.

    Args:
        path: The file.
        before: Its status when it was opened; by default its status now.

    Raises:
        DataError: The file has changed (``changed-while-read``).
        OSError: There is no such file at the beginning.
    """

    def __init__(self, path: str | os.PathLike[str], before: os.stat_result | None = None) -> None:
        self._path = path
        self._before = before or os.stat(path)

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if (error is None or isinstance(error, DataError)) and not _is_same(self._path, self._before):
            raise _changed(self._path) from error


def _is_same(path: str | os.PathLike[str], before: os.stat_result) -> bool:
    try:
        now = os.stat(path)
    except FileNotFoundError:
        return False
    return (now.st_size, now.st_mtime_ns, now.st_ino) == (before.st_size, before.st_mtime_ns, before.st_ino)


def _changed(path: str | os.PathLike[str]) -> DataError:
    return DataError(
        f"{os.path.basename(path)} has changed while it was read: wait until it is complete, and read it again",
        reason="changed-while-read",
    )


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parquet_content(table: "pa.Table", *, compression: str = "zstd") -> "pa.Buffer":
    """Return what a Parquet file of a table contains."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression=compression)
    return sink.getvalue()


def parquet_table(content: bytes) -> "pa.Table":
    """Return the table of the content of a Parquet file, without another thread.

    `pyarrow.parquet.read_table` gives the bytes back in a thread of its own, later; where the process ends meanwhile,
    as after an error, it aborts.

    Raises:
        pyarrow.ArrowInvalid: The content is no Parquet file.
        OSError: It is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.ParquetFile(pa.BufferReader(content), pre_buffer=False).read(use_threads=False)


def content_hash(content: Any) -> str:
    """Return a short hash of what JSON can hold."""
    return _content_hash(content)[:20]


def read_json_object(file: Path) -> dict[str, Any]:
    """Read a JSON file that contains an object.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The content is not UTF-8, not JSON, nested too deeply, or not an object. The message does not name
            the file: the caller says what the file should have been.
    """
    return parse_json_object(file.read_text(encoding="utf-8"))


def parse_json_object(text: str) -> dict[str, Any]:
    """Parse a JSON object; errors as of `read_json_object`."""
    try:
        content = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError(f"expected an object, found {type(content).__name__}")
    return content


def write_json(file: Path, content: Mapping[str, Any], *, allow_nan: bool = True) -> None:
    """Write a JSON object with a hash of its content, whole or not at all; `read_json` checks it.

    Raises:
        OSError: Writing failed, as in `write_atomically`.
        ValueError: There is a value that is no number, and ``allow_nan`` is false.
    """
    text = json.dumps(with_hash(content), indent=1, ensure_ascii=False, allow_nan=allow_nan)
    write_atomically(file, text.encode())


def read_json(file: Path, *, of: tuple[str, int] | None = None) -> dict[str, Any]:
    """Read what `write_json` wrote, and check that nothing of it was changed.

    Args:
        file: The file.
        of: Its ``format`` and ``format_version``. Of another format or version the content is returned unchecked, so
            that the caller, who refuses it, can say which it is.

    Raises:
        As `read_json_object`; ``ValueError`` too where the content is not what was written.
    """
    content = read_json_object(file)
    if of not in (None, (content.get("format"), content.get("format_version"))):
        return content
    return without_hash(content)


def csv_text(records: Sequence[Mapping[str, Any]]) -> str:
    """Return records as CSV: a column for each key that one of them has, empty where another lacks it."""
    columns = dict.fromkeys(key for record in records for key in record)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(columns), lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(records)
    return stream.getvalue()


def with_hash(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object, in plain JSON types, with the hash of its content as its last entry."""
    plain = json.loads(json.dumps(content))
    plain.pop(_HASH, None)
    return plain | {_HASH: _content_hash(plain)}


def without_hash(content: dict[str, Any]) -> dict[str, Any]:
    """Return the object that `with_hash` was given.

    Raises:
        ValueError: It has no hash, or its content is not what was written.
    """
    kept = {key: value for key, value in content.items() if key != _HASH}
    if content.get(_HASH) != _content_hash(kept):
        raise ValueError("its content is not what was written: its hash differs")
    return kept


def _content_hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
