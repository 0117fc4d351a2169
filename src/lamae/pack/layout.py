"""Files and columns of a pack, and the content of ``pack.json``. Described in ``docs/pack-format.md``."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from lamae.errors import DataError, FormatError
from lamae.files import read_json, write_json

FORMAT = "lamae-pack"
FORMAT_VERSION = 3

INFO_FILE = "pack.json"
STUDIES_FILE = "studies.parquet"
REJECTED_FILE = "rejected.parquet"
VIEWS_FOLDER = "views"
SETTINGS_FILE = "prepare.json"
"""Settings of the preparation; the file is there from its start."""

MAX_VIEW_NAMES = 256
"""View names are stored as one byte: an index into the vocabulary of names."""

ENCODINGS = ("int16", "uint8", "jpeg")
"""Encodings of a recording: samples; frames as they are; one JPEG a frame."""

SHARD_SCHEMA = pa.schema(
    [
        ("study", pa.int32()),
        ("study_id", pa.string()),
        ("recording", pa.string()),
        ("view", pa.uint8()),
        ("encoding", pa.string()),
        ("shape", pa.list_(pa.int32())),
        ("rate_hz", pa.float64()),
        ("scale", pa.float32()),
        ("has_missing", pa.bool_()),
        ("samples", pa.large_list(pa.int16())),
        ("frames", pa.large_list(pa.large_binary())),
    ],
    metadata={"format": FORMAT, "format_version": str(FORMAT_VERSION)},
)
REJECTED_SCHEMA = pa.schema(
    [("study_id", pa.string()), ("path", pa.string()), ("reason", pa.string()), ("message", pa.string())]
)


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """Size and hash of one file of a pack.

    Attributes:
        file: Path relative to the pack, with forward slashes.
        bytes: Size.
        sha256: Hash of the content, hexadecimal.
    """

    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class ShardInfo(FileInfo):
    """One file of recordings.

    Attributes:
        studies: Number of studies in it.
        recordings: Number of recordings of these studies together.
    """

    studies: int
    recordings: int


@dataclass(frozen=True, kw_only=True)
class PackInfo:
    """The content of ``pack.json``.

    Attributes:
        cohort: Name of the cohort that it was made from.
        cohort_version: Version of that cohort's data.
        simulated: Whether the studies come from a simulator.
        modality: Name of the modality, see `lamae.modality`.
        preprocessing: Every parameter of the preprocessing.
        rate_hz: Samples or frames a second that all recordings share; None where they differ or one is unknown.
        view_names: Vocabulary of view names; views are stored as indices into it.
        num_studies: Number of studies.
        num_recordings: Number of recordings of all studies together.
        num_rejected: Number of refused files.
        rejected_by_reason: Number of refused files by reason.
        salt: Salt of the hashes of patients; it is in no run and no result.
        shards: The files of recordings, in the order of the studies.
        tables: The two Parquet tables.
        content_hash: Hash over the hashes of all files, hexadecimal.
        format_version: Version of the format.
    """

    cohort: str
    cohort_version: str
    simulated: bool
    modality: str
    preprocessing: Mapping[str, Any]
    rate_hz: float | None
    view_names: tuple[str, ...]
    num_studies: int = 0
    num_recordings: int = 0
    num_rejected: int = 0
    rejected_by_reason: Mapping[str, int] = field(default_factory=dict)
    salt: str = ""
    shards: tuple[ShardInfo, ...] = ()
    tables: tuple[FileInfo, ...] = ()
    content_hash: str = ""
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if not 0 < len(self.view_names) <= MAX_VIEW_NAMES:
            raise DataError(
                f"a pack names 1 to {MAX_VIEW_NAMES} views, found {len(self.view_names)}", reason="wrong-view-names"
            )


def shard_file(task: int, part: int = 0) -> str:
    """Return the path, relative to the pack, of a file that a task of the preparation writes."""
    return f"{VIEWS_FOLDER}/{task:05d}{f'-{part}' if part else ''}.arrow"


def content_hash(files: Iterable[FileInfo]) -> str:
    """Return one hash over the names and hashes of all files of a pack."""
    digest = hashlib.sha256()
    for info in files:
        digest.update(f"{info.file} {info.sha256}\n".encode())
    return digest.hexdigest()


def write_info(path: Path, info: PackInfo) -> None:
    """Write ``pack.json``; its presence says that the pack is finished."""
    write_json(path / INFO_FILE, {"format": FORMAT} | asdict(info))


def read_info(path: Path) -> PackInfo:
    """Read ``pack.json``.

    Raises:
        FormatError: The folder holds no finished pack, one of an unknown version, or one whose ``pack.json`` is not as
            it was written.
    """
    file = path / INFO_FILE
    if not file.is_file():
        raise _no_pack(path)
    try:
        content = read_json(file, of=(FORMAT, FORMAT_VERSION))
    except ValueError as error:
        raise FormatError(
            f"{file}: not readable as JSON ({error}); this is no pack, or a damaged one: prepare it again",
            reason="damaged-pack",
        ) from error
    if content.pop("format", None) != FORMAT:
        raise FormatError(f'{file}: expected "format": "{FORMAT}", found none; this is no pack', reason="not-a-pack")
    if content.get("format_version") != FORMAT_VERSION:
        raise _other_version(file, content)
    return _parse(file, content)


def _other_version(file: Path, content: Mapping[str, Any]) -> FormatError:
    found = content.get("format_version")
    remedy = "install the version of lamae that wrote it, or prepare the pack again"
    if isinstance(found, int) and found < FORMAT_VERSION:
        remedy = (
            f"make it anew from the files, in another folder and with the settings of {SETTINGS_FILE} "
            f"(cohort: {content.get('cohort')}): lamae prepare COHORT ROOT NEW_PACK"
        )
    return FormatError(
        f"{file}: pack format version {found}, but this version of lamae reads {FORMAT_VERSION}: {remedy}",
        reason="unknown-pack-version",
    )


def _parse(file: Path, content: dict[str, Any]) -> PackInfo:
    try:
        content["view_names"] = tuple(content["view_names"])
        content["shards"] = tuple(ShardInfo(**shard) for shard in content["shards"])
        content["tables"] = tuple(FileInfo(**table) for table in content["tables"])
        return PackInfo(**content)
    except (KeyError, TypeError) as error:
        raise FormatError(f"{file}: entries are missing or unknown ({error})", reason="damaged-pack") from error


def _no_pack(path: Path) -> FormatError:
    if not path.exists():
        return FormatError(f"{path}: no such folder; give the folder that `prepare` wrote", reason="not-a-pack")
    if (path / SETTINGS_FILE).exists():
        return FormatError(
            f"{path}: this pack is not finished; run the same `prepare` again and it goes on where it was",
            reason="unfinished-pack",
        )
    return FormatError(f"{path}: no {INFO_FILE} in it, so this is no pack", reason="not-a-pack")
