"""Divisions by patient: a pack's own splits, or its folds in turn, and the labelled subset of the training studies."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lamae.errors import DataError
from lamae.evals.settings import EvalSettings
from lamae.pack import Pack
from lamae.splits import SPLITS, check_disjoint, patient_hashes

Division = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Rows of a pack to train, select and test on."""


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


def by_split(pack: Pack) -> list[Division]:
    """Return the one division that the pack's column ``split`` holds.

    Raises:
        DataError: There is no such column, or a patient is in two splits.
    """
    if "split" not in pack.studies.column_names:
        raise DataError(
            f"{pack.path}: the studies have no split; prepare them with one, or give folds", reason="no-split"
        )
    check_disjoint(
        pa.table({"patient_key": pack.patient_keys(), "split": pack.studies.column("split")}), where=pack.path
    )
    split = np.array(pack.studies.column("split").to_pylist(), dtype=object)
    train, validation, test = (np.flatnonzero(split == name) for name in SPLITS)
    return [(train, validation, test)]


def by_fold(pack: Pack, folds: tuple[int, ...]) -> list[Division]:
    """Return a division for each fold: it is the test set, the next one (after the last the first) validation.

    Raises:
        DataError: No study is in one of the folds, or a patient is in two.
    """
    fold = fold_of(pack)
    absent = [number for number in folds if number not in fold]
    if absent:
        raise DataError(
            f"{pack.path}: no study is in fold {', '.join(map(str, absent))}; the folds are "
            f"{', '.join(map(str, np.unique(fold[fold >= 0]))) or 'not in this pack'}",
            reason="no-fold",
        )
    used = np.isin(fold, folds)
    pairs = {(key, int(number)) for key, number, use in zip(pack.patient_keys(), fold, used, strict=True) if use}
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


def fold_of(pack: Pack) -> np.ndarray:
    """Return ``[studies]`` int64 folds, -1 where there is none."""
    if "fold" not in pack.studies.column_names:
        return np.full(len(pack), -1)
    return np.array([-1 if fold is None else fold for fold in pack.studies.column("fold").to_pylist()])


def labelled(train: np.ndarray, patient_keys: np.ndarray, settings: EvalSettings) -> np.ndarray:
    """Return the training studies whose labels may be used.

    The draw puts the patients in an order, and each patient's studies in the order of the pack. A fraction takes the
    first of these patients with all of their studies, a count the first studies of the same sequence: whole
    patients, but of the last one only as many studies as are wanted, so that the number is exact. All fractions and
    counts of one draw are therefore parts of each other, and of a patient who is cut the other studies stay unused. The
    draw depends on keys and seed alone, not on the salt of hashes.

    Args:
        train: ``[train studies]`` positions in ascending order.
        patient_keys: ``[studies]`` key of each study's patient.
        settings: Fraction or number, and the seed of the draw.

    Raises:
        DataError: There are fewer training studies than were asked for.
    """
    if settings.label_count is not None and settings.label_count > len(train):
        raise DataError(
            f"label_count is {settings.label_count}, but there are only {len(train)} labelled training studies: ask "
            "for fewer, or prepare more studies",
            reason="too-few-studies",
        )
    if settings.label_count is None and settings.label_fraction == 1:
        return train
    patients, patient = np.unique(patient_hashes(patient_keys[train], salt=""), return_inverse=True)
    order = np.random.default_rng(settings.label_draw).permutation(len(patients))
    place = np.empty(len(patients), dtype=np.int64)
    place[order] = np.arange(len(patients))
    if settings.label_count is None:
        wanted = max(1, round(settings.label_fraction * len(patients)))
        return train[place[patient] < wanted]
    sequence = np.argsort(place[patient], kind="stable")
    return np.sort(train[sequence[: settings.label_count]])
