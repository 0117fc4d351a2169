"""Reader of MATLAB files of version 4 and of versions 5 to 7 (Level 5), as in MathWorks' "MAT-File Format".

Only variables that can hold signals or their description are read: real matrices, texts, and cells of texts. Others
(structures, sparse and complex matrices, objects) are skipped. Sizes in the file are checked before use, since
``scipy.io.loadmat`` can crash the process on a damaged file. Version 7.3 is HDF5.
"""

import math
import struct
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from lamae.ecg.readers.limits import MAX_CHANNELS, MAX_OBJECTS, Budget, inflated
from lamae.errors import DataError, FormatError

_MAX_TEXT = 65_536
"""Maximum length of a text in bytes; longer ones are skipped."""

_MAX_DEPTH = 8
"""Maximum depth of cells within cells; deeper ones are skipped."""

_COMPRESSED, _MATRIX = 15, 14
_NUMBER_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXT_TYPES = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_CELL, _CHAR = 1, 4
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_COMPLEX_FLAG = 0x08
_TYPES_4 = ("f8", "f4", "i4", "i2", "u2", "u1")


@dataclass(frozen=True)
class _Reader:
    """Content of a file, its byte order, and what it may still unpack to."""

    content: bytes
    order: str
    budget: Budget

    def integers(self, start: int, count: int) -> tuple[int, ...]:
        """Return ``count`` unsigned 32-bit integers."""
        return struct.unpack_from(f"{self.order}{count}I", self.content, start)


def read_matlab(content: bytes) -> dict[str, np.ndarray]:
    """Return the variables of a MATLAB file by name.

    Args:
        content: The whole file.

    Returns:
        Matrices with their MATLAB shape; texts and cells of texts as arrays of ``str``.

    Raises:
        FormatError: The file is damaged (``malformed-file``).
        DataError: It unpacks to too much (``array-too-large``), or holds more variables than a file of one recording
            (``ambiguous-array``).
    """
    try:
        return _read_level_5(content) if content[124:128] in _LEVEL_5 else _read_version_4(content)
    except (struct.error, zlib.error, ValueError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise FormatError(f"the MATLAB file is damaged: {error}", reason="malformed-file") from error


_LEVEL_5 = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}


def _read_level_5(content: bytes) -> dict[str, np.ndarray]:
    reader = _Reader(content, _LEVEL_5[content[124:128]], Budget("the MATLAB file", len(content)))
    variables: dict[str, np.ndarray] = {}
    for number, (kind, start, length) in enumerate(_elements(reader, 128, len(content))):
        _check_number(number)
        inner = reader
        if kind == _COMPRESSED:  # it holds one matrix
            packed = memoryview(content)[start : start + length]
            inner = replace(reader, content=b"".join(inflated(packed, reader.budget)))
            kind, start, length = next(_elements(inner, 0, len(inner.content)), (0, 0, 0))
        if kind == _MATRIX:
            name, value = _matrix(inner, start, start + length)
            if value is not None:
                variables[name] = value
    return variables


def _check_number(number: int) -> None:
    if number >= MAX_OBJECTS:
        raise DataError(
            f"the file holds more than {MAX_OBJECTS} variables, expected one recording a file", reason="ambiguous-array"
        )


def _elements(reader: _Reader, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield type, position and length of each data element between two positions."""
    while start + 8 <= stop:
        kind, length = reader.integers(start, 2)
        if kind >> 16:  # small element: length and type share four bytes, the next four are the data
            kind, length, data, after = kind & 0xFFFF, kind >> 16, start + 4, start + 8
        else:
            data = start + 8
            after = data + length + (0 if kind == _COMPRESSED else -length % 8)
        if data + length > stop:
            raise FormatError(
                f"the MATLAB file is cut short: {length} bytes are promised at {data}, the end is at {stop}",
                reason="malformed-file",
            )
        yield kind, data, length
        start = after


def _matrix(reader: _Reader, start: int, stop: int, depth: int = 0) -> tuple[str, np.ndarray | None]:
    """Read an array (flags, dimensions, name, values); the value is ``None`` for unsupported kinds."""
    elements = _elements(reader, start, stop)
    parts = list(islice(elements, 3))
    if len(parts) < 3:
        return "", None
    (_, flags_at, _), (_, shape_at, shape_length), (_, name_at, name_length) = parts
    flags = reader.integers(flags_at, 1)[0]
    kind = flags & 0xFF
    shape = reader.integers(shape_at, min(shape_length // 4, 3))
    name = reader.content[name_at : name_at + min(name_length, _MAX_TEXT)].decode("latin-1")
    if kind == _CELL:
        return name, _cell(reader, list(islice(elements, MAX_CHANNELS + 1)), depth)
    values = next(elements, None)
    if values is None or (kind not in _CLASSES and kind != _CHAR) or flags >> 8 & _COMPLEX_FLAG:
        return name, None
    if kind == _CHAR:
        return name, _texts(reader, values, shape)
    return name, _numbers(reader, values, shape, np.dtype(_CLASSES[kind]))


def _cell(reader: _Reader, cells: list[tuple[int, int, int]], depth: int) -> np.ndarray | None:
    """Return the texts of a cell array, or ``None`` if it holds anything else."""
    if depth >= _MAX_DEPTH or not 0 < len(cells) <= MAX_CHANNELS:
        return None
    texts = [_matrix(reader, at, at + length, depth + 1)[1] for _, at, length in cells]
    known = [str(text[0]) for text in texts if text is not None and text.dtype.kind == "U" and text.shape == (1,)]
    return np.array(known) if len(known) == len(cells) else None


def _numbers(reader: _Reader, element: tuple[int, int, int], shape: tuple[int, ...], meant: np.dtype) -> np.ndarray:
    """Return a matrix; numbers may be stored in a smaller type than is meant."""
    kind, start, length = element
    if kind not in _NUMBER_TYPES:
        raise FormatError(f"the MATLAB file is damaged: type {kind} is no number", reason="malformed-file")
    dtype = np.dtype(reader.order + _NUMBER_TYPES[kind])
    _check_size(shape, length // dtype.itemsize)
    reader.budget.spend(math.prod(shape) * meant.itemsize)
    stored = np.frombuffer(reader.content, dtype, math.prod(shape), start).reshape(shape, order="F")
    with np.errstate(invalid="ignore", over="ignore"):  # damaged: numbers that the type meant does not hold
        return stored.astype(meant)


def _texts(reader: _Reader, element: tuple[int, int, int], shape: tuple[int, ...]) -> np.ndarray | None:
    """Return the rows of a character matrix; ``None`` for one that is too long to be a description."""
    kind, start, length = element
    if length > _MAX_TEXT:
        return None
    encoding = _TEXT_TYPES.get(kind, "latin-1")
    if encoding in ("utf-16", "utf-32"):
        encoding += "-le" if reader.order == "<" else "-be"
    characters = list(reader.content[start : start + length].decode(encoding))
    _check_size(shape, len(characters))
    rows = np.array(characters[: math.prod(shape)]).reshape(shape, order="F")
    return np.array(["".join(row).rstrip() for row in rows])


def _check_size(shape: tuple[int, ...], found: int) -> None:
    # 0 by billions is empty too
    if len(shape) != 2 or math.prod(shape) > found or max(shape) > max(found, MAX_OBJECTS):
        raise FormatError(
            f"the MATLAB file is damaged: a matrix of shape {list(shape)} with {found} values", reason="malformed-file"
        )


def _read_version_4(content: bytes) -> dict[str, np.ndarray]:
    """Read version 4: consecutive matrices, each with a 20-byte header and its name."""
    variables: dict[str, np.ndarray] = {}
    start = number = 0
    while start + 20 <= len(content):
        _check_number(number)
        number += 1
        order = "<" if struct.unpack_from("<I", content, start)[0] < 5000 else ">"
        kind, rows, columns, imaginary, name_length = struct.unpack_from(f"{order}5I", content, start)
        precision, meaning = kind // 10 % 10, kind % 10
        if precision >= len(_TYPES_4):
            raise FormatError(f"the MATLAB file is damaged: number type {precision}", reason="malformed-file")
        name = content[start + 20 : start + 20 + min(name_length, _MAX_TEXT)].split(b"\0")[0].decode("latin-1")
        dtype = np.dtype(order + _TYPES_4[precision])
        data = start + 20 + name_length
        start = data + (2 if imaginary else 1) * rows * columns * dtype.itemsize
        if start > len(content):
            raise FormatError(
                f"the MATLAB file is cut short: {name!r} ends at {start}, the file at {len(content)}",
                reason="malformed-file",
            )
        _check_size((rows, columns), rows * columns)
        values = np.frombuffer(content, dtype, rows * columns, data).reshape((rows, columns), order="F")
        if meaning == 0 and not imaginary:
            variables[name] = values
        elif meaning == 1 and values.size <= _MAX_TEXT:
            codes = np.clip(np.nan_to_num(values), 0, sys.maxunicode).astype(np.uint32)
            variables[name] = np.array(["".join(map(chr, row)).rstrip() for row in codes.tolist()])
    return variables
