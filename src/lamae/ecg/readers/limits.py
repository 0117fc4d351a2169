"""Limits of what one file may hold or promise, checked before anything is allocated; only regular files are opened."""

import errno
import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from lamae.errors import DataError

MAX_UNPACKED_BYTES = 1024**3
"""What one file may unpack to, in all: a day of 12 leads at 500 Hz in 16 bits."""

EXPANSION = 8
"""A file may unpack to this many times its own size even if that is more: honest recordings compress 2 to 5 times."""

MAX_TEXT_BYTES = 16 * 1024**2
"""Maximum size of a header, a sidecar, or the first line of a table."""

MAX_CHANNELS = 1024
"""Maximum number of channels, columns or signals of a file."""

MAX_OBJECTS = 10_000
"""Maximum number of arrays or variables of a file that is to hold one recording."""

_READ_AT_ONCE = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

_PIECE_BYTES = 65_536  # inflates to at most 68 MB


@dataclass
class Budget:
    """What one file may still unpack to: ``MAX_UNPACKED_BYTES``, or ``EXPANSION`` times its size if that is more.

    Attributes:
        what: What is unpacked, for the message.
        file_bytes: Size of the file, or of all files of the record.
        spent: Number of bytes unpacked, or about to be.
    """

    what: str
    file_bytes: int
    spent: int = 0

    def spend(self, num_bytes: int) -> None:
        """Count bytes before they are unpacked.

        Raises:
            DataError: All in all they are more than is allowed (``array-too-large``).
        """
        self.spent += num_bytes
        allowed = max(MAX_UNPACKED_BYTES, EXPANSION * self.file_bytes)
        if self.spent > allowed:
            raise DataError(
                f"{self.what} unpacks to {_shown(self.spent)} bytes, more than the {allowed} allowed for a file of "
                f"{self.file_bytes}: damaged, or to be split into recordings of at most a day, or to be stored "
                "uncompressed",
                reason="array-too-large",
            )


def check_channels(num_channels: int) -> None:
    """Check the number of channels that a file promises.

    Raises:
        DataError: There are more than ``MAX_CHANNELS`` (``too-many-channels``).
    """
    if num_channels > MAX_CHANNELS:
        raise DataError(
            f"the file promises {_shown(num_channels)} channels, more than the {MAX_CHANNELS} allowed: damaged, or not "
            "one channel a column",
            reason="too-many-channels",
        )


def inflated(packed: bytes | memoryview, budget: Budget, *, wbits: int = zlib.MAX_WBITS) -> Iterator[bytes]:
    """Yield the inflated pieces of a zlib stream; what follows its end is left out.

    Raises:
        DataError: It inflates to too much (``array-too-large``).
        zlib.error: It is damaged, or cut short.
    """
    unpacker = zlib.decompressobj(wbits)
    for start in range(0, len(packed), _PIECE_BYTES):
        piece = unpacker.decompress(packed[start : start + _PIECE_BYTES])
        budget.spend(len(piece))
        yield piece
        if unpacker.eof:
            return
    raise zlib.error("the stream is cut short")


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading without a buffer; a pipe, device or socket is refused instead of waited for.

    Raises:
        OSError: It cannot be opened, or is a folder.
        DataError: It is no regular file (``not-a-file``).
    """
    return open(path, "rb", 0, opener=lambda path, _: open_descriptor(path)[0])


def open_descriptor(path: str | os.PathLike[str]) -> tuple[int, os.stat_result]:
    """Open a file as `open_regular` does, as a descriptor that the caller closes, and return its status too."""
    try:
        descriptor = os.open(path, _READ_AT_ONCE)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            raise _not_regular(path) from error
        raise
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode):
        return descriptor, status
    os.close(descriptor)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    raise _not_regular(path)


def _not_regular(path: str | os.PathLike[str]) -> DataError:
    words = "this is a pipe, device or socket, expected a regular file"
    return DataError(f"{os.fspath(path)}: {words}", reason="not-a-file")


def read_limited(path: str | os.PathLike[str], what: str, max_bytes: int = MAX_TEXT_BYTES) -> bytes:
    """Return the content of a regular file of at most ``max_bytes``.

    Raises:
        OSError: It cannot be opened.
        DataError: It is larger (``file-too-large``), or no regular file (``not-a-file``).
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise DataError(f"{what} has {size} bytes, more than the {max_bytes} allowed", reason="file-too-large")
        return file.read()


def _shown(number: int) -> str:
    """Return a number for a message; a file may promise one of thousands of digits."""
    return str(number) if number < 10**20 else "more than 10^20"
