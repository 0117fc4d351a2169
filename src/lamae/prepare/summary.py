"""Summary of a preparation."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lamae.cohorts import notes
from lamae.pack import Pack
from lamae.splits import SPLITS, stand_in_key

_NEEDED_FOR = {
    "train": "nothing can be trained on this pack",
    "validation": "nothing can be chosen without test data (penalties, epochs, thresholds)",
    "test": "nothing can be tested on this pack but by folds",
}


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
        studies_by_split: Studies by split; those without one are in none.
        warnings: What a reader must know before using the pack: no known patients, a split without studies, or splits
            of the data set's own that were drawn again.
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
    studies_by_split: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
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
    by_split = Counter(split for split in pack.studies.column("split").to_pylist() if split is not None)
    return PrepareSummary(
        path=pack.path,
        num_studies=pack.info.num_studies,
        num_recordings=pack.info.num_recordings,
        num_rejected=pack.info.num_rejected,
        rejected_by_reason=pack.info.rejected_by_reason,
        view_flags=dict(view_flags.most_common()),
        study_flags=dict(study_flags.most_common()),
        studies_by_split={split: by_split[split] for split in SPLITS},
        warnings=(*_unknown_patients(pack), *_splits_to_know(by_split, notes(pack.studies))),
        notes=notes(pack.studies),
        seconds=seconds,
        num_resumed=num_resumed,
        already_finished=already_finished,
    )


def _unknown_patients(pack: Pack) -> list[str]:
    keys, study_ids = (pack.studies.column(name).to_pylist() for name in ("patient_key", "study_id"))
    num = sum(key == stand_in_key(key.partition(":")[0], study) for key, study in zip(keys, study_ids, strict=True))
    if not num:
        return []
    which = (
        "no patient is known" if num == len(keys) else f"the patients of {num:,} of {len(keys):,} studies are unknown"
    )
    return [
        f"{which}: each such study counts as a patient of its own, so that one person may be in training and test; "
        "give a column of patient ids where there is one"
    ]


def _splits_to_know(by_split: Mapping[str, int], counted: Mapping[str, int]) -> list[str]:
    absent = [f"no {split} split: {_NEEDED_FOR[split]}" for split in SPLITS if not by_split.get(split)]
    num_redrawn = counted.get("num_redrawn_splits", 0)
    if num_redrawn:
        absent.append(
            f"the data set's own split was drawn again for {num_redrawn:,} studies of "
            f"{counted['num_torn_patients_redrawn']:,} patients whom it tears apart, as was asked for"
        )
    return absent
