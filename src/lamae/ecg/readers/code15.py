"""Reader of CODE-15 % (Ribeiro et al., Zenodo 4916206): HDF5 parts with thousands of exams each.

A part has the datasets ``exam_id`` ``[exams]`` and ``tracings`` ``[exams, 4096, 12]``: 400 Hz, mV, leads in standard
order, shorter recordings zero-padded symmetrically. Each part ends with a row of zeros with exam_id 0.
"""

import math
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamae.ecg.leads import LEADS
from lamae.ecg.readers.hdf5 import HDF5_ERRORS, check_inside, check_stored, find_inside, import_h5py, read_dataset
from lamae.ecg.readers.leads import as_float32, make_ecg_study, naming
from lamae.ecg.readers.limits import Budget, open_regular
from lamae.errors import DataError, FormatError
from lamae.studies import Study

RATE_HZ = 400.0
"""Sampling rate of all tracings."""

_NO_EXAM = 0
_MAX_OPEN_PARTS = 4


@dataclass(frozen=True)
class _Part:
    """An open part, with the row of each exam."""

    file: Any
    tracings: Any
    row_of: dict[int, int]


_open_parts: "OrderedDict[tuple[int, str, int], _Part]" = OrderedDict()
_lock = threading.Lock()


def read_code15_row(path: str | os.PathLike[str], exam_id: int | str) -> Study:
    """Read an exam of a CODE-15 part.

    Rows of zeros are removed as padding, equally many at both ends, so that a flat start of a recording is kept. The
    four most recently used parts stay open between calls (per process, so that forking is safe), since finding an exam
    needs the index of the whole part.

    Args:
        path: A file ``exams_part*.hdf5``.
        exam_id: Identifier of the exam; the rows of a part are not in the order of ``exams.csv``.

    Returns:
        A study of 12 leads in mV at 400 Hz, named after its exam_id.

    Raises:
        FormatError: Not a CODE-15 part, or damaged (``malformed-file``).
        DataError: With the reasons ``missing-record`` (no such exam), ``duplicated-record``, ``no-samples`` (only
            zeros), ``missing-file`` or ``unreadable-file``.
        MissingExtraError: h5py is not installed.
    """
    with naming(path):
        with _lock:
            part = _open_part(os.path.abspath(path))
            row = part.row_of.get(int(exam_id))
            if row is None or int(exam_id) == _NO_EXAM:
                raise DataError(f"this part has no exam {exam_id}", reason="missing-record")
            if row < 0:
                raise DataError(f"this part has exam {exam_id} more than once", reason="duplicated-record")
            try:
                tracing = np.asarray(part.tracings[row])
            except HDF5_ERRORS as error:
                raise FormatError(f"exam {exam_id} cannot be read: {error}", reason="malformed-file") from error
        return make_ecg_study(
            study_id=str(exam_id),
            leads=LEADS,
            values=as_float32(trim_padding(tracing).T),
            rate_hz=RATE_HZ,
            source_format="code-15",
        )


def trim_padding(tracing: np.ndarray) -> np.ndarray:
    """Remove zero padding from ``[samples, leads]``, equally many rows at both ends.

    Raises:
        DataError: All samples are zero (``no-samples``).
    """
    recorded = np.flatnonzero(np.any(tracing != 0, axis=1))
    if len(recorded) == 0:
        raise DataError("the tracing holds only zeros", reason="no-samples")
    padding = min(int(recorded[0]), len(tracing) - 1 - int(recorded[-1]))
    return tracing[padding : len(tracing) - padding]


def close_parts() -> None:
    """Close all parts that this process has open."""
    with _lock:
        for key in [key for key in _open_parts if key[0] == os.getpid()]:
            _open_parts.pop(key).file.close()


def _open_part(path: str) -> _Part:
    """Return the open part; open it if it is new, has changed, or was opened before a fork."""
    key = (os.getpid(), path, os.stat(path).st_mtime_ns)
    if key not in _open_parts:
        _open_parts[key] = _index_part(path)
        while len(_open_parts) > _MAX_OPEN_PARTS:
            (owner, _, _), oldest = _open_parts.popitem(last=False)
            if owner == os.getpid():
                oldest.file.close()
    _open_parts.move_to_end(key)
    return _open_parts[key]


def _index_part(path: str) -> _Part:
    h5py = import_h5py()
    open_regular(path).close()
    budget = Budget("the CODE-15 part", os.path.getsize(path))
    file = None
    try:
        file = h5py.File(path, "r")
        ids = read_dataset(_member(file, "exam_id"), file, budget)
        tracings = check_inside(_member(file, "tracings"), file)
        check_stored(tracings, file)
    except HDF5_ERRORS as error:
        if file is not None:
            file.close()
        if isinstance(error, DataError):
            raise
        raise FormatError(f"not a readable CODE-15 part: {error}", reason="malformed-file") from error
    is_numeric = ids.dtype.kind in "iu" and tracings.dtype.kind in "iuf"
    if not is_numeric or tracings.ndim != 3 or tracings.shape[2] != len(LEADS) or ids.shape != tracings.shape[:1]:
        raise FormatError(
            f"not a CODE-15 part: {tracings.dtype} tracings of shape {list(tracings.shape)} for {ids.size} exams, "
            f"expected [exams, samples, {len(LEADS)}]",
            reason="malformed-file",
        )
    budget.spend(math.prod(tracings.shape[1:]) * tracings.dtype.itemsize)
    row_of: dict[int, int] = {}
    for row, exam_id in enumerate(ids.tolist()):
        row_of[exam_id] = -1 if exam_id in row_of else row
    return _Part(file, tracings, row_of)


def _member(file: Any, name: str) -> Any:
    found = find_inside(file, name)
    if found is None:
        raise FormatError(f"not a readable CODE-15 part: it has no dataset {name!r}", reason="malformed-file")
    return found
