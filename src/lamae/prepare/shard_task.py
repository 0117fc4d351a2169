"""The work of one shard: read, preprocess, write, and note down what came of each study."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lamae.cohorts import Cohort
from lamae.errors import DataError
from lamae.files import write_atomically
from lamae.modality import find_modality
from lamae.pack import ShardWriter
from lamae.pack.writer import quality_row
from lamae.prepare.shard_note import part_file
from lamae.studies import PreparedRecording, Study

_FAULT_OF_THE_FILE = (ValueError, LookupError, ArithmeticError, EOFError, ImportError)
_REASONS_OF_THE_SYSTEM: dict[type[OSError], str] = {
    FileNotFoundError: "missing-file",
    NotADirectoryError: "missing-file",
    IsADirectoryError: "unreadable-file",
    PermissionError: "no-permission",
}
"""Errors of the system that concern one file; anything else (a full disk, a lost network drive) stops the run."""


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """The studies of one shard.

    Attributes:
        number: Number of the shard.
        first_row: Row of the cohort's table at which it starts.
        study_ids: Study ids.
        paths: Paths relative to the cohort's root.
        records: For each file, which of several recordings in it; None for a file with one.
    """

    number: int
    first_row: int
    study_ids: tuple[str, ...]
    paths: tuple[str, ...]
    records: tuple[str | None, ...]


@dataclass(frozen=True, kw_only=True)
class ShardOutcome:
    """The little that travels back from a worker.

    Attributes:
        number: Number of the shard.
        num_kept: Studies written.
        rejected_by_reason: Refused files by reason.
    """

    number: int
    num_kept: int
    rejected_by_reason: dict[str, int]

    @property
    def num_studies(self) -> int:
        """Studies looked at."""
        return self.num_kept + sum(self.rejected_by_reason.values())


def run_shard(cohort: Cohort, pack: str, config: Any, task: ShardTask) -> ShardOutcome:
    """Prepare the studies of one shard and write it; its note is written last and makes it count as finished.

    Each recording is written when it is ready, so that memory does not grow with the size of a study.

    Raises:
        OSError: Writing failed, or the system could not read for a reason that lies not in one file.
    """
    kept: list[dict[str, Any]] = []
    rejected: list[dict[str, str]] = []
    view_names = find_modality(cohort.modality).view_names(config)
    with ShardWriter(Path(pack), task.number, view_names) as writer:
        for offset, (study_id, path, record) in enumerate(zip(task.study_ids, task.paths, task.records, strict=True)):
            try:
                found = _prepare_one(cohort, study_id, path, record, config, writer)
                kept.append({"row": task.first_row + offset, "study_id": study_id} | found)
            except DataError as error:
                rejected.append({"study_id": study_id, "path": path, "reason": error.reason, "message": str(error)})
    shards = [asdict(shard) for shard in writer.shards]
    note = {"shards": shards, "rates_hz": list(writer.rates_hz), "kept": kept, "rejected": rejected}
    write_atomically(part_file(Path(pack), task.number), json.dumps(note, ensure_ascii=False).encode())
    reasons = Counter(row["reason"] for row in rejected)
    return ShardOutcome(number=task.number, num_kept=len(kept), rejected_by_reason=dict(reasons))


def _prepare_one(
    cohort: Cohort, study_id: str, path: str, record: str | None, config: Any, writer: ShardWriter
) -> dict[str, Any]:
    """Read, prepare and write one study; return what its note says of it.

    Raises:
        DataError: The study cannot be used. Faults of writing are raised as they are.
    """
    with _faults_of_the_file():
        study = cohort.read(path, record)
        prepared = find_modality(cohort.modality).preprocess(study, config)
    view_names = writer.add(study_id, _one_by_one(prepared.recordings))
    return quality_row(prepared, view_names) | _told_by_file(study)


def _one_by_one(recordings: Iterable[PreparedRecording]) -> Iterator[PreparedRecording]:
    """Yield recordings that may be read and prepared only now."""
    waiting = iter(recordings)
    while True:
        with _faults_of_the_file():
            recording = next(waiting, None)
        if recording is None:
            return
        yield recording


@contextmanager
def _faults_of_the_file() -> Iterator[None]:
    """Turn what a file can be blamed for into a `DataError` with a reason."""
    try:
        yield
    except DataError:
        raise
    except tuple(_REASONS_OF_THE_SYSTEM) as error:
        reason = next(reason for kind, reason in _REASONS_OF_THE_SYSTEM.items() if isinstance(error, kind))
        raise DataError(str(error), reason=reason) from error
    except _FAULT_OF_THE_FILE as error:
        reason = "missing-package" if isinstance(error, ImportError) else "unreadable-file"
        raise DataError(f"{type(error).__name__}: {error}", reason=reason) from error


def _told_by_file(study: Study) -> dict[str, Any]:
    """Return what the file itself tells about the patient, which fills gaps of the cohort's table."""
    acquired_at = study.acquired_at.replace(tzinfo=None).isoformat() if study.acquired_at else None
    return {
        "patient_id": study.patient_id,
        "acquired_at": acquired_at,
        "age_years": study.metadata.get("age_years"),
        "sex": study.metadata.get("sex"),
        "codes": {system: list(codes) for system, codes in study.metadata.get("codes", {}).items()},
    }
