"""Arrays kept in a run's folder under the hash of all they depend on: each is there whole or not at all."""

import hashlib
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from lamae.files import content_hash, remove_abandoned, written_beside
from lamae.pack import Pack

CACHE_FOLDER = "features"

_DIGEST_BYTES = hashlib.sha256().digest_size
_IDENTITY = ("config_hash", "checkpoint_hash", "weights", "precision", "device")


def cache_key(description: Mapping[str, Any], pack: Pack, rows: np.ndarray, readout: str) -> str:
    """Return the name under which features are kept.

    Args:
        description: Description of the encoder, with precision and device.
        pack: Where the studies are.
        rows: ``[studies]`` int64, which of its rows.
        readout: Name of the read-out.
    """
    hashed = hashlib.sha256(np.ascontiguousarray(rows, dtype="<i8").tobytes()).hexdigest()
    what = {name: description[name] for name in _IDENTITY}
    return content_hash(what | {"readout": readout, "pack_hash": pack.info.content_hash, "rows": hashed})


def open_npy(file: Path, num_rows: int) -> np.ndarray | None:
    """Return the array of a file as a read-only memory map; None if it is not there, damaged, or of other rows."""
    try:
        content = memoryview(np.memmap(file, np.uint8, mode="r"))  # pyright: ignore[reportArgumentType]
    except (FileNotFoundError, ValueError):  # an empty file cannot be mapped
        return None
    if hashlib.sha256(content[:-_DIGEST_BYTES]).digest() != content[-_DIGEST_BYTES:].tobytes():
        return None
    try:
        found = np.load(file, mmap_mode="r")
    except ValueError:  # the hash is that of no array
        return None
    return found if len(found) == num_rows else None


def write_npy_files(blocks: Iterable[Sequence[np.ndarray]], files: Sequence[Path], num_rows: int) -> list[np.ndarray]:
    """Write arrays together, block by block, in bounded memory, and return them as read-only memory maps.

    The files have their names only when all blocks were written. They are written and not mapped: a full disk is then
    an error of the write, and not a signal that ends the process. Behind the array stands the SHA-256 of all before it.

    Args:
        blocks: The next rows of each array; the first ones say width and type.
        files: A ``.npy`` file for each array.
        num_rows: Rows in all.

    Raises:
        OSError: Writing failed; nothing is left behind.
    """
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(file)
    with ExitStack() as stack:
        temporary = [stack.enter_context(written_beside(file)) for file in files]
        sinks = [stack.enter_context(file.open("wb")) for file in temporary]
        digests = [hashlib.sha256() for _ in files]
        for number, rows in enumerate(blocks):
            for sink, digest, block in zip(sinks, digests, rows, strict=True):
                content = np.ascontiguousarray(block).data.cast("B") if block.size else b""
                for part in (content,) if number else (_header(block, num_rows), content):
                    sink.write(part)
                    digest.update(part)
        for sink, digest in zip(sinks, digests, strict=True):
            sink.write(digest.digest())
            sink.flush()
            os.fsync(sink.fileno())
    return [np.load(file, mmap_mode="r") for file in files]


def _header(block: np.ndarray, num_rows: int) -> bytes:
    """Return the head of a ``.npy`` file of all rows, from the first of them."""
    head, shape = io.BytesIO(), (num_rows, *block.shape[1:])
    np.lib.format.write_array_header_1_0(head, {"descr": block.dtype.str, "fortran_order": False, "shape": shape})
    return head.getvalue()
