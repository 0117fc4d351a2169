"""The boundary around one file: whatever goes wrong with it becomes a `DataError`; faults of the system pass."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from lamae.errors import DataError, FormatError, MissingExtraError

FAULTS_OF_THE_SYSTEM = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT}
    | {errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.ETIMEDOUT, errno.ECONNRESET}
    | {errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH}
)
"""System faults (too many open files, a full disk, a lost network drive) that would affect the next file as well."""

_MAX_MESSAGE = 1000
"""Longest message of a refused file in characters: an error may quote the file."""

_REASONS: dict[type[Exception], str] = {
    FileNotFoundError: "missing-file",
    NotADirectoryError: "missing-file",
    PermissionError: "no-permission",
    MemoryError: "file-too-large",
    ImportError: "missing-package",
}


@contextmanager
def faults_of_the_file(
    path: str | os.PathLike[str] | None = None, *, passing: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Turn any failure inside the block into a `DataError` with a reason and a short message of valid text.

    Only what a run must end for passes: faults of the system (``FAULTS_OF_THE_SYSTEM``), and a user's interrupt.

    Args:
        path: The file, for messages that do not name it.
        passing: Errors that are the caller's and not the file's, such as a wrong argument.

    Raises:
        DataError: The file cannot be used: as its reader says, or for the reasons ``missing-file``, ``no-permission``,
            ``file-too-large`` (no memory), ``missing-package`` or ``unreadable-file``.
        OSError: A fault of the system.
    """
    try:
        yield
    except passing:
        raise
    except DataError as error:
        message = short_text(str(error))
        if message == str(error):
            raise
        kind = FormatError if isinstance(error, FormatError) else DataError
        raise kind(message, reason=error.reason) from error
    except Exception as error:  # the one place where a file may do anything
        if isinstance(error, OSError) and error.errno in FAULTS_OF_THE_SYSTEM:
            raise
        reason = next((slug for kind, slug in _REASONS.items() if isinstance(error, kind)), "unreadable-file")
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            reason = "file-too-large"
        named = "" if path is None else f"{os.fspath(path)}: "
        told = str(error) if isinstance(error, MissingExtraError) else f"{type(error).__name__}: {error}"
        raise DataError(short_text(f"{named}cannot be read: {told}"), reason=reason) from error


def short_text(text: str) -> str:
    """Return a text that can be written as UTF-8 (file names need not be), cut where it is long."""
    text = text if len(text) <= _MAX_MESSAGE else f"{text[:_MAX_MESSAGE]}…"
    return text.encode("utf-8", "backslashreplace").decode()


def escaped(path: str | os.PathLike[str]) -> str:
    r"""Return a path as a table can hold it: bytes of its name that are not UTF-8 are written ``\xe9``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def check_name(path: str | os.PathLike[str]) -> None:
    """Check that tables and JSON can hold the name of a file.

    Raises:
        DataError: It is not valid UTF-8 (``name-not-utf-8``).
    """
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{escaped(path)}: the name of this file is not UTF-8, and a table cannot hold it: rename it",
            reason="name-not-utf-8",
        ) from error
