"""Summary of a preparation."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lamae.cohorts import notes
from lamae.pack import Pack


@dataclass(frozen=True, kw_only=True)
class PrepareSummary:
    """Counts of a finished preparation.

    Attributes:
        path: Folder of the pack.
        num_studies: Studies in the pack.
        num_recordings: Their recordings together.
        num_rejected: Refused files; each is listed in ``rejected.parquet``.
        rejected_by_reason: Refused files by reason.
        view_flags: Recordings by flag.
        study_flags: Studies by flag.
        notes: What the cohort counted while it made its table, such as files that are absent.
        seconds: Duration of this run.
        num_resumed: Studies that an earlier run had finished.
        already_finished: Whether there was nothing left to do.
    """

    path: Path
    num_studies: int
    num_recordings: int
    num_rejected: int
    rejected_by_reason: Mapping[str, int]
    view_flags: Mapping[str, int]
    study_flags: Mapping[str, int]
    notes: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    num_resumed: int = 0
    already_finished: bool = False

    @property
    def studies_per_s(self) -> float:
        """Studies looked at in this run, a second, start-up included."""
        looked_at = self.num_studies + self.num_rejected - self.num_resumed
        return looked_at / self.seconds if self.seconds > 0 else 0.0


def summarise(pack: Pack, *, seconds: float, num_resumed: int, already_finished: bool) -> PrepareSummary:
    """Count what is in a finished pack."""
    view_flags: Counter[str] = Counter()
    study_flags: Counter[str] = Counter()
    for row in pack.studies.select(["view_flags", "study_flags"]).to_batches():
        for entries in row.column("view_flags").to_pylist():
            view_flags.update(entry.partition(":")[2] for entry in entries)
        for entries in row.column("study_flags").to_pylist():
            study_flags.update(entries)
    return PrepareSummary(
        path=pack.path,
        num_studies=pack.info.num_studies,
        num_recordings=pack.info.num_recordings,
        num_rejected=pack.info.num_rejected,
        rejected_by_reason=pack.info.rejected_by_reason,
        view_flags=dict(view_flags.most_common()),
        study_flags=dict(study_flags.most_common()),
        notes=notes(pack.studies),
        seconds=seconds,
        num_resumed=num_resumed,
        already_finished=already_finished,
    )
