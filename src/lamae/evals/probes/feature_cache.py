"""Arrays kept in a run's folder under the hash of all they depend on: each is there whole or not at all."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from lamae.files import TEMPORARY_MARK, content_hash, naming_full_disk
from lamae.pack import Pack

CACHE_FOLDER = "features"

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
        found = np.load(file, mmap_mode="r")
    except (FileNotFoundError, ValueError, EOFError):
        return None
    return found if len(found) == num_rows else None


def write_npy_files(blocks: Iterable[Sequence[np.ndarray]], files: Sequence[Path], num_rows: int) -> list[np.ndarray]:
    """Write arrays together, block by block, in bounded memory, and return them as read-only memory maps.

    The files have their names only when all blocks were written. They are written and not mapped: a full disk is then
    an error of the write, and not a signal that ends the process.

    Args:
        blocks: The next rows of each array; the first ones say width and type.
        files: A ``.npy`` file for each array.
        num_rows: Rows in all.

    Raises:
        OSError: Writing failed; nothing is left behind.
    """
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
    temporary = [file.with_name(f"{file.name}{TEMPORARY_MARK}{os.getpid()}") for file in files]
    try:
        with naming_full_disk(files[0]), ExitStack() as stack:
            sinks = [stack.enter_context(file.open("wb")) for file in temporary]
            for rows in blocks:
                for sink, block in zip(sinks, rows, strict=True):
                    if sink.tell() == 0:
                        head = {"descr": block.dtype.str, "fortran_order": False, "shape": (num_rows, *block.shape[1:])}
                        np.lib.format.write_array_header_1_0(sink, head)
                    sink.write(np.ascontiguousarray(block).data)
            for sink in sinks:
                sink.flush()
                os.fsync(sink.fileno())
        for written, file in zip(temporary, files, strict=True):
            os.replace(written, file)
    finally:
        for file in temporary:
            file.unlink(missing_ok=True)
    return [found for file in files if (found := open_npy(file, num_rows)) is not None]
