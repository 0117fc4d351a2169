"""Samples of other WFDB formats, unpacked by the ``wfdb`` package (an extra).

The package gets a header of our own making, which says no more than how the samples are stored: what our parser makes
of gains, units, names and dates holds for every record, and a header that the package would refuse is no obstacle.
"""

import os
import re
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from lamae.ecg.readers.leads import as_float32
from lamae.ecg.readers.wfdb import path_beside
from lamae.ecg.readers.wfdb_header import Header
from lamae.errors import FormatError, MissingExtraError
from lamae.files import unchanged

_INTEGER = re.compile(r"-?[0-9]{1,9}")


def unpack(folder: str, header: Header, signals: Sequence[int]) -> list[np.ndarray]:
    """Read signals of an ordinary record in any storage format.

    Args:
        folder: Folder of the record.
        header: Its header.
        signals: Positions of the signals wanted.

    Returns:
        For each of them ``[samples]`` float32 in mV, all samples of each frame, NaN for missing samples.

    Raises:
        MissingExtraError: The package is not installed.
        FormatError: The package cannot read the samples (``malformed-record``).
        DataError: ``foreign-path``, ``infinite-values``.
    """
    files = {name: path_beside(folder, name) for name in header.files}
    with ExitStack() as stack:
        scratch = stack.enter_context(TemporaryDirectory(prefix="lamae-wfdb-"))
        for number, path in enumerate(files.values()):
            stack.enter_context(unchanged(path))
            os.symlink(os.path.abspath(path), os.path.join(scratch, f"{number}.dat"))
        with open(os.path.join(scratch, "record.hea"), "w", encoding="ascii") as file:
            file.write(_plain_header(header, list(files)))
        samples = _samples(os.path.join(scratch, "record"))
    specs = header.specs
    with np.errstate(over="ignore"):  # found by as_float32
        return [as_float32((samples[at] - specs[at].baseline) / specs[at].steps_per_mv) for at in signals]


def _plain_header(header: Header, files: Sequence[str]) -> str:
    """Return a header that tells the storage of the samples and nothing else; the files are called by number."""
    lines = [f"record {len(header.specs)} 250 {header.num_samples or ''}".rstrip()]
    for number, (name, spec, checks) in enumerate(zip(header.files, header.specs, header.checks, strict=True)):
        storage = f"{spec.format}x{spec.samples_per_frame}:{spec.skew}+{spec.byte_offset}"
        initial = checks[0] if checks and _INTEGER.fullmatch(checks[0]) else "0"  # of differences: format 8
        lines.append(f"{files.index(name)}.dat {storage} 1(0)/mV 16 0 {initial} 0 0 signal {number}")
    return "\n".join(lines) + "\n"


def _samples(record_path: str) -> Sequence[np.ndarray]:
    """Return all samples of each signal in float64, which holds integers exactly, and NaN for missing ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package triggers warnings of pandas on import and use
        try:
            from wfdb import rdrecord
        except ImportError as error:
            raise MissingExtraError("wfdb", extra="wfdb", purpose="This WFDB record's storage format") from error
        try:
            record: Any = rdrecord(record_path, smooth_frames=False)
            return record.e_p_signal
        except (OSError, MemoryError):
            raise
        except Exception as error:  # the package raises Exception itself
            raise FormatError(
                f"the wfdb package cannot read this record: {error}", reason="malformed-record"
            ) from error
