"""NumPy files, checked before they are read: what their heads promise against what is stored."""

import math
import os
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import IO

import numpy as np

from lamae.ecg.readers.leads import raise_fault_of_the_system
from lamae.ecg.readers.limits import Budget
from lamae.errors import DataError, FormatError

_HEADERS = {b"\1\0": np.lib.format.read_array_header_1_0, b"\2\0": np.lib.format.read_array_header_2_0}
_NUMPY_ERRORS = (ValueError, OSError, EOFError, SyntaxError, TypeError, OverflowError, MemoryError, tokenize.TokenError)
_ZIP_ERRORS = (KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class Promise:
    """Shape and type of an array that is not read yet, by the head of its file."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def ndim(self) -> int:
        """Return the number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Return the number of values."""
        return math.prod(self.shape)


def load_npy(path: str) -> np.ndarray:
    """Return the array of a ``.npy`` file.

    Raises:
        FormatError: It is damaged, or holds objects (``malformed-file``).
    """
    with open(path, "rb") as file:
        try:
            _promise(file, os.path.getsize(path))
            file.seek(0)
            return np.load(file, allow_pickle=False)
        except DataError:
            raise
        except _NUMPY_ERRORS as error:
            raise _damaged("the .npy file is damaged, or holds objects", error) from error


def _promise(file: IO[bytes], num_bytes: int) -> Promise | None:
    """Read the head of a ``.npy`` file of so many bytes; ``None`` if it is another file.

    Raises:
        FormatError: It promises more than the file holds, or holds objects (``malformed-file``).
    """
    if file.read(6) != b"\x93NUMPY":
        return None
    version = file.read(2)
    if version not in _HEADERS:
        raise FormatError(f"unknown version {list(version)} of the .npy format", reason="malformed-file")
    shape, _, dtype = _HEADERS[version](file)
    found = Promise(shape, dtype)
    left = num_bytes - file.tell()
    if dtype.hasobject or min(shape, default=0) < 0 or found.size * max(1, dtype.itemsize) > left:
        raise FormatError(
            f"an array of shape {str(list(shape))[:80]} and type {str(dtype)[:80]} is promised, and {left} bytes are "
            "left: it is cut short, or holds objects",
            reason="malformed-file",
        )
    return found


def load_npz(
    path: str, choose: Callable[[Mapping[str, Promise]], str], described_by: Iterable[str]
) -> tuple[dict[str, np.ndarray], str]:
    """Load an array of a ``.npz`` file and those that describe it; others are not unpacked.

    Args:
        path: The file.
        choose: Returns the name of the signal, from the shapes and types of all arrays.
        described_by: Names of the arrays that describe it.

    Returns:
        The arrays by name, and the name of the signal.

    Raises:
        FormatError: The file is damaged, or holds objects (``malformed-file``).
        DataError: It unpacks to too much (``array-too-large``).
    """
    budget = Budget("the .npz file", os.path.getsize(path))
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file) as container:
            members = {info.filename.removesuffix(".npy"): info for info in container.infolist()}
            promises = {name: found for name, info in members.items() if (found := _promise_of(container, info))}
            name = choose(promises)
            arrays: dict[str, np.ndarray] = {}
            wanted_names = {name, *described_by} & promises.keys()
            budget.spend(sum(promises[wanted].size * promises[wanted].dtype.itemsize for wanted in wanted_names))
            for wanted in wanted_names:
                with container.open(members[wanted]) as member:
                    arrays[wanted] = _checked_text(np.lib.format.read_array(member, allow_pickle=False))
    except DataError:
        raise
    except (*_NUMPY_ERRORS, *_ZIP_ERRORS) as error:
        raise _damaged("the .npz file is damaged, or holds objects", error) from error
    return arrays, name


def _checked_text(array: np.ndarray) -> np.ndarray:
    """Return an array; one of text with numbers that are no characters is refused, since they end Python's patience."""
    if array.dtype.kind == "U":
        codes = np.frombuffer(array.tobytes(), np.dtype("u4").newbyteorder(array.dtype.byteorder))
        if codes.max(initial=0) > sys.maxunicode:
            raise FormatError("an array of text holds numbers that are no characters", reason="malformed-file")
    return array


def _promise_of(container: zipfile.ZipFile, info: zipfile.ZipInfo) -> Promise | None:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return None  # numpy writes no others, and zipfile unpacks them without a limit
    with container.open(info) as member:
        return _promise(member, info.file_size)


def _damaged(what: str, error: Exception) -> FormatError:
    raise_fault_of_the_system(error)
    return FormatError(f"{what}: {error}", reason="malformed-file")
