"""A task: the labelled studies of a pack and who of them is trained on, selected on and tested on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from lamae.errors import DataError
from lamae.evals.settings import EvalSettings
from lamae.labels import make_labels
from lamae.pack import Pack
from lamae.splits import SPLITS, check_disjoint, patient_hashes


@dataclass(frozen=True, kw_only=True)
class Part:
    """One division of a task's studies, as positions in `Task.rows`; no patient is in two of the three.

    Attributes:
        train: ``[train studies]`` int64.
        validation: ``[validation studies]`` int64.
        test: ``[test studies]`` int64.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Task:
    """The labelled studies of a pack.

    Attributes:
        pack: Where they are.
        label_set: Name of the label set.
        label_names: ``labels`` names, without the skipped ones.
        kind: ``"multilabel"``, ``"binary"`` or ``"regression"``.
        rows: ``[studies]`` int64, their rows in the pack.
        targets: ``[studies, labels]`` float64, NaN where unknown.
        patient_hash: ``[studies]`` salted hash of the patient.
        record_hash: ``[studies]`` salted hash of the record, empty where the pack has no such key.
        study_hash: ``[studies]`` salted hash of the study.
        fold: ``[studies]`` int64, -1 where the pack has none.
        parts: One division, or one a fold when cross-validated.
        num_folds: Number of folds that were cross-validated, None for one division.
        skipped: Labels that cannot be learned, with the reason.
        notes: What the label set says about itself.
    """

    pack: Pack
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
    def is_regression(self) -> bool:
        """Whether the targets are values rather than classes."""
        return self.kind == "regression"

    @property
    def tested(self) -> np.ndarray:
        """``[tested studies]`` int64, positions of all studies that are tested once, in ascending order."""
        return np.sort(np.concatenate([part.test for part in self.parts]))


def make_task(pack: Pack, label_set: str, settings: EvalSettings) -> Task:
    """Make a task from a pack.

    Raises:
        DataError: The pack lacks the split or the folds, a patient is on both sides, a set of studies is empty, or no
            label can be learned.
        ConfigError: There is no such label set.
    """
    studies = pack.studies
    keys = patient_keys(pack)
    divisions = _by_fold(pack, settings.folds) if settings.folds is not None else _by_split(pack)
    in_train = np.unique(np.concatenate([train for train, _, _ in divisions]))
    table = make_labels(
        pack.info,
        studies,
        label_set,
        train_rows=in_train,
        min_count=settings.min_count,
        max_labels=settings.max_labels,
    )
    rows = np.flatnonzero(table.keep & np.isin(np.arange(len(pack)), np.concatenate([d for p in divisions for d in p])))
    hashes = patient_hashes(keys, pack.info.salt)[rows]
    position = np.full(len(pack), -1)
    position[rows] = np.arange(len(rows))
    parts = []
    for train, validation, test in divisions:
        known = [position[part][position[part] >= 0] for part in (train, validation, test)]
        part = Part(train=_some_patients(known[0], hashes, settings), validation=known[1], test=known[2])
        _check_part(part, label_set)
        parts.append(part)
    targets = table.values[rows].astype(np.float64)
    learnable, skipped = _learnable(targets, table.names, parts, is_regression=table.kind == "regression")
    return Task(
        pack=pack,
        label_set=label_set,
        label_names=tuple(np.array(table.names, dtype=object)[learnable]),
        kind=table.kind,
        rows=rows,
        targets=targets[:, learnable],
        patient_hash=hashes,
        record_hash=_record_hashes(pack, rows),
        study_hash=patient_hashes(
            [f"{pack.info.cohort}:{one}" for one in _column(pack, "study_id", rows)], pack.info.salt
        ),
        fold=_folds(pack)[rows],
        parts=tuple(parts),
        num_folds=None if settings.folds is None else len(settings.folds),
        skipped=skipped,
        notes={**table.notes, "description": table.description},
    )


def patient_keys(pack: Pack) -> list[str]:
    """Return the patient key of each study; a study without one is a patient of its own."""
    ids = pack.studies.column("study_id").to_pylist()
    alone = [f"{pack.info.cohort}:study:{study_id}" for study_id in ids]
    if "patient_key" not in pack.studies.column_names:
        return alone
    keys = pack.studies.column("patient_key").to_pylist()
    return [own if key is None else key for key, own in zip(keys, alone, strict=True)]


def _by_split(pack: Pack) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    if "split" not in pack.studies.column_names:
        raise DataError(
            f"{pack.path}: the studies have no split; prepare them with one, or give folds", reason="no-split"
        )
    check_disjoint(
        pa.table({"patient_key": patient_keys(pack), "split": pack.studies.column("split")}), where=pack.path
    )
    split = np.array(pack.studies.column("split").to_pylist(), dtype=object)
    train, validation, test = (np.flatnonzero(split == name) for name in SPLITS)
    return [(train, validation, test)]


def _by_fold(pack: Pack, folds: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    fold = _folds(pack)
    absent = [number for number in folds if number not in fold]
    if absent:
        raise DataError(
            f"{pack.path}: no study is in fold {', '.join(map(str, absent))}; the folds are "
            f"{', '.join(map(str, np.unique(fold[fold >= 0]))) or 'not in this pack'}",
            reason="no-fold",
        )
    used = np.isin(fold, folds)
    pairs = {(key, int(number)) for key, number, use in zip(patient_keys(pack), fold, used, strict=True) if use}
    several = len(pairs) - len({key for key, _ in pairs})
    if several:
        raise DataError(
            f"{pack.path}: {several} patients have studies in several folds; cross-validation needs folds by patient",
            reason="patient-in-two-folds",
        )
    divisions = []
    for index, number in enumerate(folds):
        following = folds[(index + 1) % len(folds)]
        train = np.flatnonzero(used & (fold != number) & (fold != following))
        divisions.append((train, np.flatnonzero(fold == following), np.flatnonzero(fold == number)))
    return divisions


def _folds(pack: Pack) -> np.ndarray:
    if "fold" not in pack.studies.column_names:
        return np.full(len(pack), -1)
    return np.array([-1 if fold is None else fold for fold in pack.studies.column("fold").to_pylist()])


def _column(pack: Pack, name: str, rows: np.ndarray) -> list[Any]:
    return pack.studies.column(name).take(pa.array(rows)).to_pylist()


def _record_hashes(pack: Pack, rows: np.ndarray) -> np.ndarray:
    if "record_key" not in pack.studies.column_names:
        return np.full(len(rows), "", dtype="U16")
    keys = _column(pack, "record_key", rows)
    known = np.array([key is not None for key in keys], dtype=bool)
    hashes = np.full(len(rows), "", dtype="U16")
    if known.any():
        hashes[known] = patient_hashes([key for key in keys if key is not None], pack.info.salt)
    return hashes


def _some_patients(train: np.ndarray, hashes: np.ndarray, settings: EvalSettings) -> np.ndarray:
    if settings.label_fraction == 1:
        return train
    patients = np.unique(hashes[train])
    chosen = np.random.default_rng(settings.seed).permutation(patients)
    chosen = chosen[: max(1, round(settings.label_fraction * len(patients)))]
    return train[np.isin(hashes[train], chosen)]


def _check_part(part: Part, label_set: str) -> None:
    empty = [name for name in SPLITS if not len(getattr(part, name))]
    if empty:
        raise DataError(
            f"no study of {label_set!r} is left for {' and '.join(empty)}: prepare more studies or choose other folds",
            reason="empty-split",
        )


def _learnable(
    targets: np.ndarray, names: tuple[str, ...], parts: list[Part], *, is_regression: bool
) -> tuple[np.ndarray, tuple[Mapping[str, str], ...]]:
    """Return which labels each training set can teach, and the others with the reason."""
    reasons: dict[int, str] = {}
    for number, part in enumerate(parts):
        train = targets[part.train]
        where = "training studies" if len(parts) == 1 else f"training studies of division {number + 1} of {len(parts)}"
        for label in range(len(names)):
            values = np.unique(train[:, label][~np.isnan(train[:, label])])
            if len(values) < 2 and label not in reasons:
                reasons[label] = _why(values, where, is_regression=is_regression)
    if len(reasons) == len(names):
        raise DataError(f"no label can be learned; the first one: {reasons[0]}", reason="no-learnable-label")
    skipped = tuple({"label": names[label], "reason": reason} for label, reason in sorted(reasons.items()))
    return np.array([label for label in range(len(names)) if label not in reasons]), skipped


def _why(values: np.ndarray, where: str, *, is_regression: bool) -> str:
    if len(values) == 0:
        return f"unknown for all {where}"
    if is_regression:
        return f"the same value for all {where}"
    return f"no positives among the {where}" if values[0] == 0 else f"no negatives among the {where}"
