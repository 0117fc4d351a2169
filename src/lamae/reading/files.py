"""Many files, read by a process that is watched: one that hangs or crashes on a file is replaced by a fresh one."""

import atexit
import fcntl
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from types import ModuleType
from typing import BinaryIO, cast

import cloudpickle

from lamae.boundary import escaped
from lamae.errors import ConfigError, DataError
from lamae.reading.child import receive, send
from lamae.reading.study import Piece, ReadStudy, Source, Words, pieces_of

FILE_TIMEOUT_S = 60.0
"""Seconds that reading and preparing one file (of several recordings: one recording) may take by default."""

_FILES_AT_ONCE = 256
"""Files that the process is told of at a time."""

_PIPE_BYTES = 2**20
"""How far the process may be ahead: about forty ECGs."""

_BY_NAME = ("lamae", "__main__", "builtins", "functools")
"""Modules whose classes are sent by name, or by value without being told."""

_KEEPING_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(2**28), "MALLOC_MMAP_THRESHOLD_": str(2**25)}
"""For glibc: the process keeps nothing of a file, and giving the memory back after each one costs page faults."""

_PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from lamae.reading.child import main
main()
"""


def read_files(
    source: Source, files: Iterable[Words], *, file_timeout_s: float | None = FILE_TIMEOUT_S
) -> Generator[ReadStudy, None, None]:
    """Read and prepare files one after another; each study is to be taken before the next one.

    Args:
        source: What is done to each.
        files: Arguments of ``source.read`` for each, the path first.
        file_timeout_s: Seconds for one file; one that takes longer is refused (``file-timeout``), and one that brings
            down the process that reads it as well (``reader-crashed``). None reads in this process, without limits.

    Returns:
        The studies, in order; errors are raised where their recordings are taken.

    Raises:
        ConfigError: The time is not above 0, or the source cannot be sent to another process.
    """
    if file_timeout_s is None:
        return (ReadStudy(pieces_of(source, words)) for words in files)
    if not file_timeout_s > 0:
        raise ConfigError(f"file_timeout_s must be above 0 (None: no limit), found {file_timeout_s}")
    return _read_apart(source, iter(files), file_timeout_s)


def _read_apart(source: Source, files: Iterator[Words], timeout_s: float) -> Generator[ReadStudy, None, None]:
    packed = _packed(source)
    while left := list(islice(files, _FILES_AT_ONCE)):
        while left:
            process = _idle_or_new()
            try:
                process.begin(packed, left, timeout_s)
                while left and process.alive:
                    study = ReadStudy(process.pieces(left.pop(0)[0], timeout_s))
                    yield study
                    study.skip()
            except BaseException:  # also where nobody takes the rest
                process.end()
                raise
            process.give_back()


class _Process:
    """A process that reads files."""

    def __init__(self) -> None:
        self.alive, self.owner = True, os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-c", _PROGRAM, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("LAMAE_DEBUG") else subprocess.DEVNULL,
            env=_KEEPING_MEMORY | os.environ,
        )
        self._to, self._from = cast(BinaryIO, self._process.stdin), cast(BinaryIO, self._process.stdout)
        if widen := getattr(fcntl, "F_SETPIPE_SZ", None):
            with suppress(OSError):  # a user may have many pipes
                fcntl.fcntl(self._from, widen, _PIPE_BYTES)

    def begin(self, source: bytes, files: Sequence[Words], timeout_s: float) -> None:
        """Tell it of files.

        Raises:
            ConfigError: It cannot load the source.
            ChildProcessError: It does not start.
        """
        answer = None
        with suppress(BrokenPipeError):
            send(self._to, pickle.dumps((_folder(), sys.path, list(files), timeout_s, source)))
            answer = receive(self._from)
        if answer is None:
            raise ChildProcessError(
                f"the process that reads files ended at its start (status {self.end()}): LAMAE_DEBUG=1 shows what it "
                "says; --file-timeout 0 (file_timeout_s=None) reads without it"
            )
        if answer:
            raise _not_sent(answer.decode())

    def pieces(self, path: object, timeout_s: float) -> Iterator[Piece]:
        """Yield the pieces of the next study; the last one where the process has ended over it."""
        piece = Piece((), None)
        while piece.end is None:
            message = receive(self._from)
            piece = pickle.loads(message) if message is not None else Piece((), _lost(path, self.end(), timeout_s))
            yield piece

    def end(self) -> int:
        """End it; return the status with which it has ended, a negative signal where one had ended it before."""
        self.alive = False
        self._process.kill()
        status = self._process.wait()
        for pipe in (self._to, self._from):
            with suppress(BrokenPipeError):
                pipe.close()
        return status

    def is_usable(self) -> bool:
        """Return True if it waits for files of this process: not if it has ended, or is that of a forked parent."""
        if self.owner != os.getpid():
            self._process.returncode = 0  # not ours to wait for
            return False
        if self._process.poll() is not None:
            self.end()
        return self.alive

    def give_back(self) -> None:
        """Keep it for the next files, unless it has ended or another one is kept."""
        if self.alive and _idle:
            self.end()
        elif self.alive:
            _idle.append(self)
            atexit.unregister(_end_idle)
            atexit.register(_end_idle)


_idle: list[_Process] = []
"""The process that waits for files, where there is one: starting one takes about a second."""


def _idle_or_new() -> _Process:
    while _idle:
        process = _idle.pop()
        if process.is_usable():
            return process
    return _Process()


def _end_idle() -> None:
    while _idle:
        process = _idle.pop()
        if process.is_usable():
            process.end()


def _packed(source: Source) -> bytes:
    """Return the source as bytes: classes of the user's own modules by value, as the process may not find them.

    Raises:
        ConfigError: It cannot be sent.
    """
    owners = [getattr(source.read, "__self__", source.read), getattr(source.preprocess, "__self__", source.preprocess)]
    names = {getattr(one, "__module__", None) or type(one).__module__ for one in (*owners, source.config)}
    modules = [sys.modules[name] for name in names if name in sys.modules and name.partition(".")[0] not in _BY_NAME]
    try:
        with _by_value(modules):
            return cloudpickle.dumps(source)
    except Exception:  # noqa: BLE001 (a module may hold anything, such as an open file; then by its name)
        pass
    try:
        return cloudpickle.dumps(source)
    except Exception as error:  # classes of users raise what they like
        raise _not_sent(f"{type(error).__name__}: {error}") from error


@contextmanager
def _by_value(modules: Iterable[ModuleType]) -> Iterator[None]:
    registered = []
    try:
        for module in modules:
            cloudpickle.register_pickle_by_value(module)
            registered.append(module)
        yield
    finally:
        for module in registered:
            cloudpickle.unregister_pickle_by_value(module)


def _not_sent(told: str) -> ConfigError:
    return ConfigError(
        f"the cohort or modality cannot be sent to the process that reads files: {told}. Define it in a module that "
        "can be imported, or read without that process: --file-timeout 0 (file_timeout_s=None)"
    )


def _folder() -> str | None:
    """Return the working folder, to which paths may be relative; None where it was removed."""
    with suppress(FileNotFoundError):
        return os.getcwd()
    return None


def _lost(path: object, status: int, timeout_s: float) -> DataError:
    """Return the refusal of the file over which the process has ended."""
    named = escaped(str(path))
    if status == -signal.SIGALRM:
        return DataError(
            f"{named}: reading this file took more than {timeout_s:g} s: damaged, or on a slow drive; --file-timeout "
            "allows more",
            reason="file-timeout",
        )
    name = signal.Signals(-status).name if status < 0 else f"status {status}"
    return DataError(f"{named}: reading this file ended the process that reads ({name})", reason="reader-crashed")
