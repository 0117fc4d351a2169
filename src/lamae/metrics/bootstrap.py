"""Percentile intervals by resampling patients, for one system and for the difference of two.

The recordings of one patient are alike, so rows are not drawn apart: a draw takes as many patients as there are, with
replacement, and each brings all rows (Field and Welsh 2007, "Bootstrapping clustered data", the cluster bootstrap).
A draw is a count for each patient. Every metric here is a function of sums of those counts over a few groups of rows,
so one sparse product ``groups x patients`` times ``patients x draws`` gives a label's sums in many draws at once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lamae.errors import DataError
from lamae.metrics.probabilities import spread_thresholds
from lamae.metrics.ranking import AbsentPolicy
from lamae.metrics.weighted_sums import METRIC_NAMES, Kind, chance_levels, check_rows, label_metrics, number_patients

Thresholds = float | np.ndarray
System = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Targets, scores and thresholds, each ``[rows, labels]``."""
Pair = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Scores and thresholds of a, and of b, each ``[rows, labels]``."""

_DRAWS_PER_BLOCK = 64
_COUNTS_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Interval:
    """A value with the lower and upper end of its interval; NaN where it is undefined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class BootstrapResult:
    """Metrics with their intervals.

    Attributes:
        macro: Mean over labels by metric: ``auroc`` and ``auprc``, then ``f1`` and ``brier`` of probabilities; or
            ``mae`` and ``r2``.
        per_label: One `Interval` a label by metric.
        standard_error: Standard deviation of the macro metric over the draws, by metric.
        standard_error_per_label: ``[labels]`` by metric.
        absent_labels: Positions of the labels without positives or negatives in the data itself.
        per_pair: ``[pairs, metrics, labels]`` difference of each pair, in the data; of one system a single entry.
        num_draws_absent: ``[labels]`` number of draws in which a label had lost its positives or negatives.
        absent: Policy for both.
        num_patients: Number of patients that were resampled.
        draws: Number of draws.
        seed: Seed of the draws.
        level: Coverage that the intervals aim at.
    """

    macro: dict[str, Interval]
    per_label: dict[str, tuple[Interval, ...]]
    standard_error: dict[str, float]
    standard_error_per_label: dict[str, np.ndarray]
    absent_labels: tuple[int, ...]
    per_pair: np.ndarray
    num_draws_absent: np.ndarray
    absent: AbsentPolicy
    num_patients: int
    draws: int
    seed: int
    level: float


def patient_bootstrap(
    targets: np.ndarray,
    scores: np.ndarray,
    patients: np.ndarray,
    *,
    kind: Kind = "ranking",
    thresholds: Thresholds = 0.5,
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    absent: AbsentPolicy = "skip",
) -> BootstrapResult:
    """Return metrics per label and on average, with percentile intervals over draws of patients.

    Args:
        targets: ``[rows]`` or ``[rows, labels]``: 0, 1 or NaN (unknown), real or NaN for ``"regression"``.
        scores: The same shape, finite.
        patients: ``[rows]`` the patient of each row, of any type that can be sorted. ``np.arange(rows)`` draws records
            as if each were a patient of its own, which is right only where it is so.
        kind: ``"ranking"`` (AUROC, average precision), ``"probabilities"`` (those, F1 and Brier score) or
            ``"regression"`` (MAE, R squared).
        thresholds: Of F1: one number, ``[labels]`` or ``[rows, labels]``. They are held fixed in the draws, so they
            must have been chosen on other patients.
        draws: Number of draws of patients with replacement.
        seed: Seed of the draws; the same seed and patients give the same draws for every system.
        level: Coverage of the interval, such as 0.95.
        absent: Policy for a label without positives or without negatives, in the data and in each draw: ``"skip"``
            leaves it out of that mean, ``"0.5"`` gives it chance level (for average precision the prevalence, 0 or 1;
            F1 0), ``"error"`` refuses both. A regression target that does not vary is treated as such a label, and
            skipped.

    Raises:
        DataError: Shapes or values are wrong, or a label is absent and the policy says ``"error"``.
    """
    check_draws(draws, level)
    system = check_rows(kind, targets, scores, patients)
    thresholds = spread_thresholds(thresholds, system[0].shape)
    points, drawn = _evaluate([(*system, thresholds)], patients, kind, draws, seed)
    return _summarise(points, drawn[0], system[0], patients, kind=kind, seed=seed, level=level, absent=absent)


def paired_patient_bootstrap(
    targets: np.ndarray,
    scores_a: np.ndarray | Sequence[np.ndarray],
    scores_b: np.ndarray | Sequence[np.ndarray],
    patients: np.ndarray,
    *,
    kind: Kind = "ranking",
    thresholds_a: Thresholds | Sequence[Thresholds] = 0.5,
    thresholds_b: Thresholds | Sequence[Thresholds] = 0.5,
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    absent: AbsentPolicy = "skip",
) -> BootstrapResult:
    """Return the difference of two systems, a minus b, on the same rows and the same draws of patients.

    Given sequences of scores (one a seed, in pairs), it is the mean of the pairs' differences, every pair on the same
    draws: an interval over patients for these very runs, which says nothing about further seeds (`combined_difference`
    does). Thresholds are then one for all pairs, or a sequence too.

    Arguments, errors and result as in `patient_bootstrap`; every value of the result is a difference.
    """
    check_draws(draws, level)
    targets, pairs = check_pairs(kind, targets, scores_a, scores_b, patients, thresholds_a, thresholds_b)
    points, total = [], np.zeros(())
    for a, b in pairs:
        point, drawn = _evaluate([(targets, *a), (targets, *b)], patients, kind, draws, seed)
        points.append(point[0] - point[1])
        total = total + (drawn[0] - drawn[1])
    return _summarise(
        points,
        total / len(pairs),
        targets,
        patients,
        kind=kind,
        seed=seed,
        level=level,
        absent=absent,
        is_difference=True,
    )


def metric_draws(
    targets: np.ndarray,
    scores: np.ndarray,
    patients: np.ndarray,
    *,
    kind: Kind = "ranking",
    thresholds: Thresholds = 0.5,
    draws: int = 1000,
    seed: int = 0,
    absent: AbsentPolicy = "skip",
) -> tuple[np.ndarray, np.ndarray]:
    """Return ``[metrics, labels]`` in the data and ``[metrics, labels, draws]`` in the draws of patients.

    The metrics are those of ``METRIC_NAMES[kind]``, NaN where undefined and the policy leaves them so. The same seed
    and patients give the same draws, so those of two systems can be subtracted. Arguments and errors as in
    `patient_bootstrap`, but that ``"error"`` is treated as ``"skip"``.
    """
    check_draws(draws, 0.5)
    system = check_rows(kind, targets, scores, patients)
    points, drawn = _evaluate([(*system, spread_thresholds(thresholds, system[0].shape))], patients, kind, draws, seed)
    return fill_absent(points[0], system[0], kind, absent), fill_absent(drawn[0], system[0], kind, absent)


def check_pairs(
    kind: Kind,
    targets: np.ndarray,
    scores_a: np.ndarray | Sequence[np.ndarray],
    scores_b: np.ndarray | Sequence[np.ndarray],
    patients: np.ndarray,
    thresholds_a: Thresholds | Sequence[Thresholds] = 0.5,
    thresholds_b: Thresholds | Sequence[Thresholds] = 0.5,
) -> tuple[np.ndarray, list[Pair]]:
    """Return ``[rows, labels]`` targets, and the checked scores and thresholds of each pair of systems.

    Raises:
        DataError: Shapes or values are wrong, or there are not as many systems a as b.
    """
    several = [[one] if isinstance(one, np.ndarray) else list(one) for one in (scores_a, scores_b)]
    if len(several[0]) != len(several[1]) or not several[0]:
        raise DataError(
            f"{len(several[0])} score tables of a and {len(several[1])} of b: a comparison over seeds needs pairs",
            reason="unpaired-seeds",
        )
    sides: list[list[tuple[np.ndarray, np.ndarray]]] = []
    for scores, thresholds in zip(several, (thresholds_a, thresholds_b), strict=True):
        checked = [check_rows(kind, targets, one, patients)[1] for one in scores]
        each = [thresholds] * len(scores) if isinstance(thresholds, float | int | np.ndarray) else list(thresholds)
        if len(each) != len(scores):
            raise DataError(f"{len(scores)} score tables but {len(each)} thresholds", reason="unpaired-seeds")
        sides.append([(one, spread_thresholds(cut, one.shape)) for one, cut in zip(checked, each, strict=True)])
    columns = check_rows(kind, targets, several[0][0], patients)[0]
    return columns, list(zip(*sides, strict=True))


def check_draws(draws: int, level: float) -> None:
    """Raise `ValueError` unless there are draws and the level lies between 0 and 1."""
    if draws < 1 or not 0 < level < 1:
        raise ValueError(f"draws must be above 0 and level between 0 and 1, found draws={draws} and level={level}")


def _evaluate(
    systems: list[System], patients: np.ndarray, kind: Kind, draws: int, seed: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return for each system ``[metrics, labels]`` in the data and ``[metrics, labels, draws]`` in the draws."""
    codes, num_patients = number_patients(patients)
    shape = (len(METRIC_NAMES[kind]), systems[0][0].shape[1])
    points = [np.empty(shape) for _ in systems]
    drawn = [np.empty((*shape, draws)) for _ in systems]
    once = np.ones((num_patients, 1), dtype=np.float32)
    for start, blocks in _count_blocks(num_patients, draws, seed):
        for index, (targets, scores, cuts) in enumerate(systems):
            for label in range(shape[1]):
                metrics_of = label_metrics(
                    kind, targets[:, label], scores[:, label], cuts[:, label], codes, num_patients
                )
                points[index][:, label] = metrics_of(once)[:, 0]
                column = start
                for block in blocks:
                    drawn[index][:, label, column : column + block.shape[1]] = metrics_of(block)
                    column += block.shape[1]
    return points, drawn


def _count_blocks(num_patients: int, draws: int, seed: int) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Yield the first draw of a chunk and its blocks ``[patients, draws]`` of how often each patient was drawn."""
    generator = np.random.default_rng(seed)
    blocks_per_chunk = max(1, _COUNTS_BYTES // (4 * num_patients * _DRAWS_PER_BLOCK))
    draws_per_chunk = blocks_per_chunk * _DRAWS_PER_BLOCK
    for start in range(0, draws, draws_per_chunk):
        stop = min(draws, start + draws_per_chunk)
        sizes = [min(_DRAWS_PER_BLOCK, stop - at) for at in range(start, stop, _DRAWS_PER_BLOCK)]
        yield start, [_count_block(num_patients, size, generator) for size in sizes]


def _count_block(num_patients: int, size: int, generator: np.random.Generator) -> np.ndarray:
    counts = np.empty((size, num_patients), dtype=np.float32)
    for row in counts:
        row[:] = np.bincount(generator.integers(num_patients, size=num_patients), minlength=num_patients)
    return np.ascontiguousarray(counts.T)


def _summarise(
    per_pair: Sequence[np.ndarray],
    drawn: np.ndarray,
    targets: np.ndarray,
    patients: np.ndarray,
    *,
    kind: Kind,
    seed: int,
    level: float,
    absent: AbsentPolicy,
    is_difference: bool = False,
) -> BootstrapResult:
    """Apply the policy to ``[metrics, labels]`` of each pair and their mean in draws, and take quantiles of the latter.

    ``drawn`` is ``[metrics, labels, draws]``. One system is one pair.
    """
    points = np.mean(per_pair, axis=0)
    undefined = np.asarray(np.isnan(drawn).any(axis=0))
    absent_labels = tuple(int(label) for label in np.flatnonzero(np.isnan(points).any(axis=0)))
    if absent == "error":
        refuse_absent(absent_labels, undefined)
    points = fill_absent(points, targets, kind, absent, is_difference=is_difference)
    drawn = fill_absent(drawn, targets, kind, absent, is_difference=is_difference)
    names = METRIC_NAMES[kind]
    macros = mean_over_labels(drawn)
    return BootstrapResult(
        macro={name: _interval(mean_over_labels(points[m]), macros[m], level) for m, name in enumerate(names)},
        per_label={
            name: tuple(_interval(points[m, label], drawn[m, label], level) for label in range(targets.shape[1]))
            for m, name in enumerate(names)
        },
        standard_error={name: float(deviation(macros[m])) for m, name in enumerate(names)},
        standard_error_per_label={name: deviation(drawn[m]) for m, name in enumerate(names)},
        absent_labels=absent_labels,
        per_pair=np.stack([fill_absent(one, targets, kind, absent, is_difference=is_difference) for one in per_pair]),
        num_draws_absent=undefined.sum(axis=1),
        absent=absent,
        num_patients=len(np.unique(np.asarray(patients))),
        draws=drawn.shape[-1],
        seed=seed,
        level=level,
    )


def fill_absent(
    values: np.ndarray, targets: np.ndarray, kind: Kind, absent: AbsentPolicy, *, is_difference: bool = False
) -> np.ndarray:
    """Return ``[metrics, labels]`` or ``[metrics, labels, draws]`` with chance in place of NaN, where so asked."""
    if absent != "0.5" or kind == "regression":
        return values
    chance = np.stack([chance_levels(kind, targets[:, label]) for label in range(targets.shape[1])], axis=1)
    if is_difference:
        chance = np.zeros_like(chance)
    return np.where(np.isnan(values), chance.reshape(chance.shape + (1,) * (values.ndim - 2)), values)


def refuse_absent(absent_labels: tuple[int, ...], undefined: np.ndarray) -> None:
    """Refuse labels that are absent in the data, or undefined in some of ``undefined [labels, draws]``.

    Raises:
        DataError: There are any.
    """
    if absent_labels:
        raise DataError(
            f"{len(absent_labels)} of {len(undefined)} labels (positions {', '.join(map(str, absent_labels))}) have no "
            "positives or no negatives: choose another label set, or absent='skip' or '0.5'",
            reason="absent-label",
        )
    if undefined.any():
        worst = int(undefined.sum(axis=1).argmax())
        raise DataError(
            f"label {worst} loses all positives or negatives in {undefined[worst].sum()} of {undefined.shape[1]} draws "
            "of patients: too few patients have it for an interval; leave it out, or use absent='skip' or '0.5'",
            reason="absent-label",
        )


def mean_over_labels(values: np.ndarray) -> np.ndarray:
    """Return the mean of the defined values over the labels of ``[labels]`` or ``[..., labels, draws]``."""
    axis = max(values.ndim - 2, 0)
    defined = ~np.isnan(values)
    count = defined.sum(axis=axis)
    return np.where(count > 0, np.where(defined, values, 0).sum(axis=axis) / np.maximum(count, 1), np.nan)


def deviation(values: np.ndarray) -> np.ndarray:
    """Return the standard deviation of the defined values over the last axis; NaN with fewer than two."""
    defined = ~np.isnan(values)
    count = defined.sum(axis=-1)
    mean = np.where(defined, values, 0).sum(axis=-1) / np.maximum(count, 1)
    squares = np.where(defined, values - mean[..., None], 0) ** 2
    return np.sqrt(np.where(count > 1, squares.sum(axis=-1) / np.maximum(count - 1, 1), np.nan))


def _interval(value: np.ndarray, draws: np.ndarray, level: float) -> Interval:
    draws = draws[~np.isnan(draws)]
    if len(draws) == 0 or np.isnan(value):
        return Interval(float(value), float("nan"), float("nan"))
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(value), float(low), float(high))
