"""The work of one shard: read, preprocess, write, and note down what came of each study."""

from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lamae.boundary import short_text
from lamae.cohorts import Cohort
from lamae.errors import DataError
from lamae.files import write_json
from lamae.modality import find_modality
from lamae.pack import ShardWriter
from lamae.pack.writer import quality_row
from lamae.prepare.shard_note import part_file
from lamae.reading import FILE_TIMEOUT_S, ReadStudy, Source, read_files


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


def run_shard(
    cohort: Cohort, pack: str, config: Any, task: ShardTask, *, file_timeout_s: float | None = FILE_TIMEOUT_S
) -> ShardOutcome:
    """Prepare the studies of one shard and write it; its note is written last and makes it count as finished.

    Each recording is written when it is ready, so that memory does not grow with the size of a study.

    Raises:
        OSError: Writing failed, or the system could not read for a reason that lies not in one file.
    """
    kept: list[dict[str, Any]] = []
    rejected: list[dict[str, str]] = []
    modality = find_modality(cohort.modality)
    source = Source(read=cohort.read, preprocess=modality.preprocess, config=config)
    files = tuple(zip(task.paths, task.records, strict=True))
    with (
        ShardWriter(Path(pack), task.number, modality.view_names(config)) as writer,
        closing(read_files(source, files, file_timeout_s=file_timeout_s)) as studies,
    ):
        for offset, (study_id, path, study) in enumerate(zip(task.study_ids, task.paths, studies, strict=True)):
            try:
                found = _write(study_id, study, writer)
                kept.append({"row": task.first_row + offset, "study_id": study_id} | found)
            except DataError as error:
                message = short_text(str(error))
                rejected.append({"study_id": study_id, "path": path, "reason": error.reason, "message": message})
    shards = [asdict(shard) for shard in writer.shards]
    note = {"shards": shards, "rates_hz": list(writer.rates_hz), "kept": kept, "rejected": rejected}
    write_json(part_file(Path(pack), task.number), note)
    reasons = Counter(row["reason"] for row in rejected)
    return ShardOutcome(number=task.number, num_kept=len(kept), rejected_by_reason=dict(reasons))


def _write(study_id: str, study: ReadStudy, writer: ShardWriter) -> dict[str, Any]:
    """Write one study as it is read; return what its note says of it.

    Raises:
        DataError: The study cannot be used. Faults of writing are raised as they are.
    """
    view_names = writer.add(study_id, study.recordings())
    return quality_row(study.end.prepared, view_names) | study.end.told
