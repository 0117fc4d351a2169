"""The process that reads files: a list of them comes in, the pieces of their studies go out.

It reads ahead as far as the pipe holds. A file that takes too long is ended by the system's timer, even inside a
library that Python cannot interrupt and even where nobody waits any more. Its standard output is kept for the pieces;
what libraries print is thrown away, since it may name patients (``LAMAE_DEBUG`` shows it).
"""

import os
import pickle
import resource
import signal
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO

from lamae.boundary import faults_of_the_file
from lamae.errors import DataError
from lamae.reading.study import Piece, Source, Words, pieces_of

FILE_MEMORY_BYTES = 4 * 2**30
"""Memory that reading and preparing may take above what the process has at the start of a list of files."""

_LENGTH = struct.Struct("<Q")


def send(pipe: BinaryIO, message: bytes) -> None:
    """Write a message behind its length."""
    pipe.write(_LENGTH.pack(len(message)))
    pipe.write(message)
    pipe.flush()


def receive(pipe: BinaryIO) -> bytes | None:
    """Return the next message; None where the other side is gone."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    message = pipe.read(_LENGTH.unpack(head)[0])
    return message if len(message) == _LENGTH.unpack(head)[0] else None


def main() -> None:
    """Serve until nobody is there any more."""
    import scipy.signal  # noqa: F401 (takes seconds, which are not to be those of the first file)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that asked decides
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it would hold patients' data
    inbox, outbox = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    with suppress(BrokenPipeError):
        while (message := receive(inbox)) is not None:
            _serve(message, outbox)
    os._exit(0)  # closing what is unsent would fail again


def _serve(message: bytes, outbox: BinaryIO) -> None:
    """Answer one list of files: whether it could be loaded, then the pieces of each study."""
    folder, paths, files, timeout_s, packed = pickle.loads(message)
    try:
        sys.path[:] = paths
        if folder is not None:
            os.chdir(folder)
        with faults_of_the_file():
            source = pickle.loads(packed)
    except (DataError, OSError) as error:
        send(outbox, str(error).encode())
        return
    send(outbox, b"")
    _limit_memory()
    for words in files:
        for piece in _in_time(_packed(source, words), timeout_s):
            send(outbox, piece)


def _packed(source: Source, words: Words) -> Iterator[bytes]:
    """Yield the pieces of a study, ready to be sent."""
    for piece in pieces_of(source, words):
        try:
            with faults_of_the_file(words[0]):
                packed = pickle.dumps(piece, protocol=5)
        except (DataError, OSError) as error:
            yield pickle.dumps(Piece((), error))
            return
        yield packed


def _in_time(pieces: Iterator[bytes], timeout_s: float) -> Iterator[bytes]:
    """Yield the pieces; one that takes too long ends the process."""
    while True:
        signal.setitimer(signal.ITIMER_REAL, timeout_s)
        piece: Any = next(pieces, None)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if piece is None:
            return
        yield piece


def _limit_memory() -> None:
    """Let a file that needs too much memory fail with `MemoryError` (on Linux), instead of the machine."""
    with suppress(OSError):
        with open("/proc/self/statm", encoding="ascii") as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = size + FILE_MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
