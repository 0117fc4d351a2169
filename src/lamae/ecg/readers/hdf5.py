"""Datasets of HDF5 files, checked before they are read: where their values lie, and what they unpack to."""

import mmap
import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from lamae.ecg.readers.limits import MAX_CHANNELS, MAX_OBJECTS, Budget
from lamae.errors import DataError, FormatError, MissingExtraError

HDF5_ERRORS = (
    OSError,
    KeyError,
    RuntimeError,
    TypeError,
    ValueError,
    AttributeError,
    OverflowError,
    NotImplementedError,
)
"""Errors raised by h5py on damaged files, found by experiment; TypeError for types that numpy lacks."""

_HEAP = re.compile(rb"GCOL\x01")
_HEAP_HEAD = 16
_MAX_DEPTH = 32  # of groups, and of links that lead to links
_MOST_INFLATED = 1032
"""Deflate gives at most 1032 bytes for one."""


def import_h5py() -> Any:
    """Import h5py, or raise an error that names the extra which installs it."""
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError("h5py", extra="hdf5", purpose="Reading HDF5 files") from error
    return h5py


def datasets_in(file: Any) -> dict[str, Any]:
    """Return the datasets of a file by path, each once; soft and external links are not followed.

    ``visititems`` builds each path anew, which takes the square of the depth.

    Raises:
        FormatError: Groups are nested deeper than in any recording (``malformed-file``), or there is nothing but
            links to other files (``outside-file``).
        DataError: There are more objects than in a file of one recording (``ambiguous-array``).
    """
    h5py = import_h5py()
    found: dict[str, Any] = {}
    outside = None
    seen = {_address(file)}
    pending = [("", file, 0)]
    while pending:
        prefix, group, depth = pending.pop()
        if depth > _MAX_DEPTH:
            raise FormatError(f"groups are nested deeper than {_MAX_DEPTH}", reason="malformed-file")
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                outside = f"{prefix}{name}"
            if not isinstance(link, h5py.HardLink):
                continue
            item = group[name]
            if _address(item) in seen:
                continue
            seen.add(_address(item))
            if len(seen) > MAX_OBJECTS:
                raise DataError(
                    f"the file holds more than {MAX_OBJECTS} objects, expected one recording: name an array with key=…",
                    reason="ambiguous-array",
                )
            if isinstance(item, h5py.Group):
                pending.append((f"{prefix}{name}/", item, depth + 1))
            elif has_values(item):
                found[f"{prefix}{name}"] = item
    if outside is not None and not found:
        raise _outside(outside)
    return found


def has_values(item: Any) -> bool:
    """Return True for a dataset that is not empty."""
    return getattr(item, "shape", None) is not None


def _address(item: Any) -> tuple[int, int]:
    info = import_h5py().h5o.get_info(item.id)
    return info.fileno, info.addr


def read_dataset(dataset: Any, file: Any, budget: Budget) -> np.ndarray:
    """Return the values of a dataset.

    Raises:
        FormatError: As ``check_inside`` and ``check_stored``.
        DataError: It unpacks to too much (``array-too-large``), or holds more texts than there are channels
            (``wrong-type``).
    """
    check_inside(dataset, file)
    if dataset.dtype.hasobject and dataset.size > MAX_CHANNELS:
        raise DataError(f"{dataset.name!r} holds {dataset.size} texts, expected numbers", reason="wrong-type")
    if dataset.dtype.hasobject:
        _check_heaps(file)
    budget.spend(dataset.size * dataset.dtype.itemsize)
    check_stored(dataset, file)
    return np.asarray(dataset[()])


def find_inside(file: Any, path: str) -> Any | None:
    """Return the object at a path of a file, or ``None``; a soft link is followed, one to another file is not.

    Raises:
        FormatError: The path leads to another file (``outside-file``), or in a circle (``malformed-file``).
    """
    h5py = import_h5py()
    item, parts, num_links = file, path.split("/"), 0
    while parts:
        part = parts.pop(0)
        if part in ("", "."):
            continue
        link = item.get(part, getlink=True) if isinstance(item, h5py.Group) else None
        if link is None:
            return None
        if isinstance(link, h5py.ExternalLink):
            raise _outside(path)
        if isinstance(link, h5py.SoftLink):
            num_links += 1
            if num_links > _MAX_DEPTH:
                raise FormatError(f"the links of {path!r} go in a circle", reason="malformed-file")
            item = file if link.path.startswith("/") else item
            parts = [*link.path.split("/"), *parts]
        else:
            item = item[part]
    return item


def _outside(path: str) -> FormatError:
    return FormatError(
        f"{path!r} is a link to another file, which is not followed: copy what it names into this one",
        reason="outside-file",
    )


def read_attributes(item: Any, file: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return those of the named attributes that an object has.

    Raises:
        FormatError: The texts of the file are damaged (``malformed-file``).
    """
    found: dict[str, Any] = {}
    for name in names:
        if name in item.attrs:
            if item.attrs.get_id(name).dtype.hasobject:
                _check_heaps(file)
            found[name] = item.attrs[name]
    return found


def _check_heaps(file: Any) -> None:
    """Walk through the heaps of texts of variable length (HDF5 file format, III.E), which the library reads as a whole.

    At an object without a size it never comes back.

    Raises:
        FormatError: A heap is damaged (``malformed-file``).
    """
    length_bytes = file.id.get_create_plist().get_sizes()[1]
    with open(file.filename, "rb") as raw, mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for match in _HEAP.finditer(content):
            at = match.start()
            end = at + int.from_bytes(content[at + 8 : at + 8 + length_bytes], "little")
            at += _HEAP_HEAD
            while at + _HEAP_HEAD <= min(end, len(content)):
                length = int.from_bytes(content[at + 8 : at + 8 + length_bytes], "little")
                is_free = content[at : at + 2] == b"\0\0"
                step = length if is_free else _HEAP_HEAD + length + -length % 8
                if step == 0 or at + step > end:
                    raise FormatError("the texts of the HDF5 file are damaged", reason="malformed-file")
                at += step


def check_inside(dataset: Any, file: Any) -> Any:
    """Return an HDF5 dataset whose values lie in the file; one that would read another file is refused.

    Raises:
        FormatError: Its values lie in external storage, in other files (a virtual dataset), or behind an external link
            (``outside-file``); or it is a group, or empty (``malformed-file``).
    """
    if not has_values(dataset):
        raise FormatError(f"{dataset.name!r} is a group or empty, expected a dataset", reason="malformed-file")
    if dataset.file.filename != file.filename or dataset.external or dataset.is_virtual:
        raise FormatError(
            f"the dataset {dataset.name!r} keeps its values outside of this file, which is not followed: "
            "copy them into it",
            reason="outside-file",
        )
    return dataset


def check_stored(dataset: Any, file: Any) -> None:
    """Check that the file stores what a dataset promises.

    Raises:
        FormatError: It promises more than could be packed into what is stored (``malformed-file``).
    """
    item_bytes, file_bytes = dataset.dtype.itemsize, os.path.getsize(file.filename)
    promised, stored = dataset.size * item_bytes, min(dataset.id.get_storage_size(), file_bytes)
    chunk_bytes = int(np.prod(dataset.chunks, dtype=object)) * item_bytes if dataset.chunks else 0
    if max(promised, chunk_bytes) > (_MOST_INFLATED if dataset.chunks else 1) * stored and promised:
        raise FormatError(
            f"the dataset {dataset.name!r} promises {max(promised, chunk_bytes)} bytes and the file stores {stored} of "
            "it: damaged, or never written",
            reason="malformed-file",
        )
