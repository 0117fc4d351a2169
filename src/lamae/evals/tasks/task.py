"""A task: labelled studies, and which of them are trained on, selected on and tested on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lamae.data import check_apart
from lamae.data.dataset import check_agreement
from lamae.errors import ConfigError, DataError
from lamae.evals.settings import EvalSettings
from lamae.evals.tasks import transfer
from lamae.evals.tasks.folds import Division, Part, by_fold, by_split, fold_of, labelled
from lamae.evals.tasks.usable_labels import usable_labels
from lamae.labels import LabelTable
from lamae.pack import Pack
from lamae.splits import SPLITS, patient_hashes, record_hashes


@dataclass(frozen=True, kw_only=True)
class Task:
    """The labelled studies of a pack, or of one that is learned from and another that is tested on.

    Attributes:
        packs: Their packs: one, or two, the one that is tested on last.
        label_set: Name of the label set.
        label_names: ``labels`` names, without the skipped ones.
        kind: ``"multilabel"``, ``"binary"`` or ``"regression"``.
        rows: ``[studies]`` int64, their rows, counted over all packs one after another (as `PackDataset` counts).
        targets: ``[studies, labels]`` float64, NaN where unknown.
        patient_hash: ``[studies]`` salted hash of the patient.
        record_hash: ``[studies]`` salted hash of the record, empty where the pack has no such key.
        study_hash: ``[studies]`` salted hash of the study.
        fold: ``[studies]`` int64, -1 where the pack has none.
        parts: One division, or one a fold when cross-validated.
        num_folds: Number of folds that were cross-validated, None for one division.
        skipped: Labels that cannot be learned or that the tested pack cannot say, with the reason.
        notes: Notes of the label set about itself.
    """

    packs: tuple[Pack, ...]
    label_set: str
    label_names: tuple[str, ...]
    kind: Literal["multilabel", "regression", "binary"]
    rows: np.ndarray
    targets: np.ndarray
    patient_hash: np.ndarray
    record_hash: np.ndarray
    study_hash: np.ndarray
    fold: np.ndarray
    parts: tuple[Part, ...]
    num_folds: int | None
    skipped: tuple[Mapping[str, str], ...]
    notes: Mapping[str, Any]

    @property
    def pack(self) -> Pack:
        """The pack that is learned from."""
        return self.packs[0]

    @property
    def tested_pack(self) -> Pack:
        """The pack that is tested on; the same one unless the task is a transfer."""
        return self.packs[-1]

    @property
    def is_transfer(self) -> bool:
        """Return True if the tested studies are another pack's."""
        return len(self.packs) > 1

    @property
    def is_regression(self) -> bool:
        """Return True if the targets are values rather than classes."""
        return self.kind == "regression"

    @property
    def tested(self) -> np.ndarray:
        """``[tested studies]`` int64, positions of all studies that are tested once, in ascending order."""
        return np.sort(np.concatenate([part.test for part in self.parts]))

    @property
    def pieces(self) -> tuple[tuple[Pack, np.ndarray], ...]:
        """Each pack with the rows in it that take part, ascending; put together they are ``rows``."""
        ends = np.cumsum([len(pack) for pack in self.packs])
        cuts = np.searchsorted(self.rows, ends)[:-1]
        found = zip(self.packs, np.split(self.rows, cuts), ends - [len(pack) for pack in self.packs], strict=True)
        return tuple((pack, rows - first) for pack, rows, first in found)

    def locate(self, positions: np.ndarray) -> tuple[Pack, np.ndarray]:
        """Return the pack that some studies are in, and their rows in it.

        Args:
            positions: ``[studies]`` positions in ``rows``, of one pack: training and validation studies, or tested
                ones.

        Raises:
            ValueError: They are of several packs.
        """
        rows = self.rows[positions]
        ends = np.cumsum([len(pack) for pack in self.packs])
        numbers = np.unique(np.searchsorted(ends, rows, side="right"))
        if len(numbers) > 1:
            raise ValueError("studies that are trained or selected on and tested ones are of different packs")
        number = int(numbers[0]) if len(numbers) else 0
        return self.packs[number], rows - (ends[number] - len(self.packs[number]))


def make_task(
    pack: str | Path | Pack, label_set: str, settings: EvalSettings, *, test_pack: str | Path | Pack | None = None
) -> Task:
    """Make a task from a pack.

    Args:
        pack: The pack that is learned from, by its own split or by folds.
        label_set: A label set, see `lamae.labels.make_labels`.
        settings: Divisions, label draw, and how the labels are made.
        test_pack: Test on the studies of this pack (all, or its test split: ``settings.test_part``) in place of the
            pack's own test studies, which then take no part. It has the labels of the first one's training studies.

    Raises:
        DataError: A pack lacks the split or the folds, a patient is on both sides, a set of studies is empty, or no
            label can be learned.
        ConfigError: There is no such label set, or the packs were prepared differently.
    """
    pack = pack if isinstance(pack, Pack) else Pack.open(pack)
    test_pack = Pack.open(test_pack) if isinstance(test_pack, str | Path) else test_pack
    divisions = by_fold(pack, settings.folds) if settings.folds is not None else by_split(pack)
    if test_pack is not None:
        if settings.folds is not None:
            raise ConfigError(
                "folds cross-validate within one pack; to test on another pack leave them out, so that its own split "
                "trains"
            )
        check_agreement((pack, test_pack))
    learned = np.unique(np.concatenate([train for train, _, _ in divisions]))
    table = transfer.labels_of(pack, label_set, settings, train_rows=learned)
    tables, packs = [table], [pack]
    if test_pack is not None:
        table, other = transfer.shared_labels(table, test_pack, label_set, settings)
        tables, packs = [table, other], [pack, test_pack]
        tested = np.arange(len(test_pack)) if settings.test_part == "all" else by_split(test_pack)[0][2]
        ((train, validation, _),) = divisions
        check_apart(
            [(pack, np.concatenate([train, validation]))],
            [(test_pack, tested)],
            what="tested",
            use="trained or selected on",
            remedy="test on other patients (known overlap: records HRxxxxx of the PhysioNet Challenge 2021 are PTB-XL; "
            "test_part='test' tests the other pack's test split only)",
        )
        divisions = [(train, validation, len(pack) + tested)]
    return _assemble(packs, tables, divisions, label_set, settings)


def _assemble(
    packs: list[Pack], tables: list[LabelTable], divisions: list[Division], label_set: str, settings: EvalSettings
) -> Task:
    table = tables[0]
    keep = np.concatenate([one.keep for one in tables])
    used = np.isin(np.arange(len(keep)), np.concatenate([rows for division in divisions for rows in division]))
    rows = np.flatnonzero(keep & used)
    position = np.full(len(keep), -1)
    position[rows] = np.arange(len(rows))
    by_pack = [np.array(pack.patient_keys(), dtype=object) for pack in packs]
    keys = np.concatenate(by_pack)[rows]
    hashes = [patient_hashes(named, pack.info.salt) for named, pack in zip(by_pack, packs, strict=True)]
    targets = np.concatenate([one.values for one in tables])[rows].astype(np.float64)
    whole = []
    for division in divisions:
        train, validation, test = (position[one][position[one] >= 0] for one in division)
        whole.append(Part(train=train, validation=validation, test=test))
    parts = [replace(part, train=labelled(part.train, keys, settings)) for part in whole]
    for part in parts:
        _check_part(part, label_set)
    usable, skipped = usable_labels(targets, table.names, parts, whole, is_regression=table.kind == "regression")
    return Task(
        packs=tuple(packs),
        label_set=label_set,
        label_names=tuple(np.array(table.names, dtype=object)[usable]),
        kind=table.kind,
        rows=rows,
        targets=targets[:, usable],
        patient_hash=np.concatenate(hashes)[rows],
        record_hash=np.concatenate([record_hashes(pack.record_keys(), pack.info.salt) for pack in packs])[rows],
        study_hash=np.concatenate([_study_hashes(pack) for pack in packs])[rows],
        fold=np.concatenate([fold_of(pack) for pack in packs])[rows],
        parts=tuple(parts),
        num_folds=None if settings.folds is None else len(settings.folds),
        skipped=(*skipped, *table.notes.get("not_in_test_pack", ())),
        notes={
            **_notes(table, settings),
            "description": table.description,
            "titles": table.titles,
            "paths": table.paths,
        },
    )


def _notes(table: LabelTable, settings: EvalSettings) -> Mapping[str, Any]:
    """Return the notes of the label set; with folds every study that counts for the vocabulary is tested once, too."""
    if settings.folds is None or table.notes.get("vocabulary") != "train":
        return table.notes
    return {**table.notes, "vocabulary": "all folds (test studies too)"}


def _check_part(part: Part, label_set: str) -> None:
    empty = [name for name in SPLITS if not len(getattr(part, name))]
    if empty:
        raise DataError(
            f"no study of {label_set!r} is left for {' and '.join(empty)}: prepare more studies or choose other folds",
            reason="empty-split",
        )


def _study_hashes(pack: Pack) -> np.ndarray:
    ids = pack.studies.column("study_id").to_pylist()
    return patient_hashes([f"{pack.info.cohort}:{one}" for one in ids], pack.info.salt)
