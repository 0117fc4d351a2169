"""Atomic writing of files, file hashes, and reading of JSON objects."""

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamae.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pyarrow as pa

TEMPORARY_MARK = ".writing-"


def write_atomically(path: Path, content: "bytes | memoryview | pa.Buffer") -> None:
    """Write a file atomically: after a crash it is either complete or absent.

    Raises:
        OSError: Writing failed; no partial file is left behind. For a full disk, the message says what to do.
    """
    temporary = path.with_name(f"{path.name}{TEMPORARY_MARK}{os.getpid()}")
    with naming_full_disk(path):
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
    sync_folder(path.parent)


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


@contextmanager
def unchanged(path: str | os.PathLike[str]) -> Iterator[None]:
    """Refuse what the block reads if the file changes meanwhile: another program may still be writing it.

    Size, time of change and identity of the file are compared. An error of the data itself, such as a truncated file,
    is then the writer's doing too.

    Raises:
        DataError: The file has changed (``changed-while-read``).
        OSError: There is no such file at the beginning.
    """
    before = _state(path)
    try:
        yield
    except DataError as error:
        if _has_state(path, before):
            raise
        raise _changed(path) from error
    if not _has_state(path, before):
        raise _changed(path)


def _state(path: str | os.PathLike[str]) -> tuple[int, int, int]:
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns, found.st_ino


def _has_state(path: str | os.PathLike[str], before: tuple[int, int, int]) -> bool:
    try:
        return _state(path) == before
    except FileNotFoundError:
        return False


def _changed(path: str | os.PathLike[str]) -> DataError:
    return DataError(
        f"{os.path.basename(path)} has changed while it was read: wait until it is complete, and read it again",
        reason="changed-while-read",
    )


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(content: Any) -> str:
    """Return a short hash of what JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]


def read_json_object(file: Path) -> dict[str, Any]:
    """Read a JSON file that contains an object.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The content is not UTF-8, not JSON, nested too deeply, or not an object. The message does not name
            the file: the caller says what the file should have been.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError(f"expected an object, found {type(content).__name__}")
    return content
