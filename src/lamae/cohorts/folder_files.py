"""Files below a folder: recordings, and parts of other files."""

import os
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from lamae.boundary import escaped
from lamae.cohorts.tables import head_of, walk_files

_SUFFIXES = frozenset(
    {".hea", ".dat", ".dcm", ".dicom", ".xml", ".npy", ".npz", ".h5", ".hdf5", ".mat", ".csv"}
)  # fmt: skip
_SIGNAL_SUFFIXES = (".dat", ".mat")
_DICOM_MAGIC = slice(128, 132)


@dataclass(frozen=True)
class Recordings:
    """Files found below a folder.

    Attributes:
        study_ids: One a recording.
        paths: Where it is, relative to the folder, with forward slashes.
        num_ignored: Number of files that are no recording by their name.
        num_links: Number of links to folders, which are not followed.
    """

    study_ids: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    num_ignored: int = 0
    num_links: int = 0


def find_recordings(root: Path, *, except_for: Path | None = None, keep_suffix: bool = False) -> Recordings:
    """Find every recording below a folder, in alphabetical order of paths.

    A WFDB header stands for its record: its signal files, and the segments of a multi-segment record, are no
    recordings of their own; nor is a signal file beside a header of its name, even where that header is damaged.
    A signal file without a header is one, so that it is refused by the reader and not lost.
    Hidden files are passed over; files without any ending are looked into for DICOM's mark.

    Args:
        root: The folder.
        except_for: A table that may lie in it.
        keep_suffix: Keep the ending in the study ids.

    Raises:
        DataError: A folder cannot be listed.
    """
    files, num_links = walk_files(root)
    files = [path for path in files if not (except_for and _is_same(root / path, except_for))]
    headers = [path for path in files if path.endswith(".hea")]
    parts = _parts_of_records(root, headers)
    parts |= {f"{path}.json" for path in files}  # what an array file does not say itself
    paths = [path for path in files if path not in parts and _is_recording(root, path)]
    num_parts = sum(path in parts for path in files)
    paths = [escaped(path) for path in paths]
    study_ids = [path if keep_suffix else str(PurePosixPath(path).with_suffix("")) for path in paths]
    return Recordings(study_ids, paths, num_ignored=len(files) - num_parts - len(paths), num_links=num_links)


def _is_same(path: Path, other: Path) -> bool:
    return path.name == other.name and os.path.realpath(path) == os.path.realpath(other)


def _parts_of_records(root: Path, headers: list[str]) -> set[str]:
    """Return the signal files and the segments' headers that belong to WFDB headers, by name or by being named."""
    parts: set[str] = set()
    multi_segment: set[str] = set()  # never a segment of another one, nor of itself
    for header in headers:
        record, *named = _first_words(root / header)
        parts |= {str(PurePosixPath(header).with_suffix(suffix)) for suffix in _SIGNAL_SUFFIXES}
        suffix = ".hea" if "/" in record else ""
        if suffix:
            multi_segment.add(header)
        parts |= {str(PurePosixPath(header).parent / (name + suffix)) for name in named if "/" not in name}
    return parts - multi_segment


def _first_words(header: Path) -> list[str]:
    """Return the first word of each line but comments (header(5)); one empty word where there is none to be read."""
    from lamae.ecg.readers.wfdb_header import decode_header

    lines = decode_header(head_of(header) or b"").splitlines()
    return [line.split()[0] for line in lines if line.strip() and not line.startswith("#")] or [""]


def _is_recording(root: Path, path: str) -> bool:
    suffix = PurePosixPath(path).suffix.lower()
    if suffix:
        return suffix in _SUFFIXES
    head = head_of(root / path, _DICOM_MAGIC.stop)
    return head is None or head[_DICOM_MAGIC] == b"DICM"
