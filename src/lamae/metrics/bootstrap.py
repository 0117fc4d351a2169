"""Percentile intervals by resampling patients, for one system and for the difference of two.

The recordings of one patient are alike, so rows are not drawn apart: a draw takes as many patients as there are, with
replacement, and each brings all rows (Field and Welsh 2007, "Bootstrapping clustered data", the cluster bootstrap).
A draw is a count for each patient. Every metric here is a function of sums of those counts over a few groups of rows,
so one sparse product ``groups x patients`` times ``patients x draws`` gives a label's sums in many draws at once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lamae.errors import DataError
from lamae.metrics import ranking, regression
from lamae.metrics.ranking import AbsentPolicy

Kind = Literal["ranking", "regression"]

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
        macro: Mean over labels by metric: ``auroc`` and ``auprc``, or ``mae`` and ``r2``.
        per_label: One `Interval` a label by metric.
        absent_labels: Positions of the labels without positives or negatives in the data itself.
        num_draws_absent: ``[labels]`` number of draws in which a label had lost its positives or negatives.
        absent: What was done about both.
        num_patients: Number of patients that were resampled.
        draws: Number of draws.
        seed: Seed of the draws.
        level: Coverage that the intervals aim at.
    """

    macro: dict[str, Interval]
    per_label: dict[str, tuple[Interval, ...]]
    absent_labels: tuple[int, ...]
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
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    absent: AbsentPolicy = "skip",
) -> BootstrapResult:
    """Return metrics per label and on average, with percentile intervals over draws of patients.

    Args:
        targets: ``[rows]`` or ``[rows, labels]``: 0, 1 or NaN (unknown) for ``"ranking"``, real or NaN otherwise.
        scores: The same shape, finite.
        patients: ``[rows]`` the patient of each row, of any type that can be sorted.
        kind: ``"ranking"`` (AUROC, average precision) or ``"regression"`` (MAE, R squared).
        draws: Number of draws of patients with replacement.
        seed: Seed of the draws; the same seed and patients give the same draws for every system.
        level: Coverage of the interval, such as 0.95.
        absent: What a label without positives or without negatives is worth, in the data and in each draw: ``"skip"``
            leaves it out of that mean, ``"0.5"`` gives it chance level (for average precision the prevalence, 0 or 1),
            ``"error"`` refuses both. A regression target that does not vary is treated as such a label, and skipped.

    Raises:
        DataError: Shapes or values are wrong, or a label is absent and the policy says ``"error"``.
    """
    targets, scores = _check(targets, scores, patients, kind, draws, level)
    points, drawn = _evaluate([(targets, scores)], patients, kind, draws, seed)
    return _summarise(points[0], drawn[0], targets, patients, kind=kind, seed=seed, level=level, absent=absent)


def paired_patient_bootstrap(
    targets: np.ndarray,
    scores_a: np.ndarray,
    scores_b: np.ndarray,
    patients: np.ndarray,
    *,
    kind: Kind = "ranking",
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    absent: AbsentPolicy = "skip",
) -> BootstrapResult:
    """Return the difference of two systems, a minus b, on the same rows and the same draws of patients.

    Arguments, errors and result as in `patient_bootstrap`; every value of the result is a difference.
    """
    targets, scores_a = _check(targets, scores_a, patients, kind, draws, level)
    _, scores_b = _check(targets, _as_columns(scores_b), patients, kind, draws, level)
    points, drawn = _evaluate([(targets, scores_a), (targets, scores_b)], patients, kind, draws, seed)
    difference = drawn[0] - drawn[1]
    return _summarise(
        points[0] - points[1],
        difference,
        targets,
        patients,
        kind=kind,
        seed=seed,
        level=level,
        absent=absent,
        is_difference=True,
    )


def _as_columns(scores: np.ndarray) -> np.ndarray:
    return scores[:, None] if np.ndim(scores) == 1 else scores


def _check(
    targets: np.ndarray, scores: np.ndarray, patients: np.ndarray, kind: Kind, draws: int, level: float
) -> tuple[np.ndarray, np.ndarray]:
    targets, scores = ranking.check_predictions(targets, scores)
    if kind == "ranking":
        ranking.check_binary(targets)
    else:
        regression.check_real(targets)
    if len(patients) != len(targets):
        raise DataError(f"{len(targets)} rows but {len(patients)} patients: give one a row", reason="wrong-shape")
    if len(targets) == 0:
        raise DataError("there is no row to evaluate", reason="empty-test-set")
    if draws < 1 or not 0 < level < 1:
        raise ValueError(f"draws must be above 0 and level between 0 and 1, found draws={draws} and level={level}")
    return targets, scores


def _evaluate(
    systems: list[tuple[np.ndarray, np.ndarray]], patients: np.ndarray, kind: Kind, draws: int, seed: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return for each system ``[metrics, labels]`` in the data and ``[metrics, labels, draws]`` in the draws."""
    unique, codes = np.unique(np.asarray(patients), return_inverse=True)
    build = _ranking_sums if kind == "ranking" else _regression_sums
    shape = (2, systems[0][0].shape[1])
    points = [np.empty(shape) for _ in systems]
    drawn = [np.empty((*shape, draws)) for _ in systems]
    once = np.ones((len(unique), 1), dtype=np.float32)
    for start, blocks in _count_blocks(len(unique), draws, seed):
        for index, (targets, scores) in enumerate(systems):
            for label in range(shape[1]):
                metrics_of = build(targets[:, label], scores[:, label], codes, len(unique))
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


MetricsOf = Callable[[np.ndarray], np.ndarray]


def _ranking_sums(targets: np.ndarray, scores: np.ndarray, codes: np.ndarray, num_patients: int) -> MetricsOf:
    table = ranking.rank_table(targets, scores)
    # Float32 holds whole numbers up to 2**24, so the sums below are exact for any test set of fewer rows.
    dtype = np.float32 if len(targets) < 2**23 else np.float64
    matrix = _sparse(
        table.segment, codes[table.rows], np.ones(len(table.rows), dtype), table.num_segments, num_patients
    )
    return lambda counts: ranking.ranking_from_sums(matrix @ counts, table.num_groups)


def _regression_sums(targets: np.ndarray, scores: np.ndarray, codes: np.ndarray, num_patients: int) -> MetricsOf:
    rows, terms = regression.regression_terms(targets, scores)
    by_patient = np.stack([np.bincount(codes[rows], weights=term, minlength=num_patients) for term in terms])
    return lambda counts: regression.regression_from_sums(by_patient @ counts)


def _sparse(rows: np.ndarray, columns: np.ndarray, values: np.ndarray, num_rows: int, num_columns: int):
    from scipy.sparse import csr_array

    order = np.argsort(rows, kind="stable")
    starts = np.zeros(num_rows + 1, dtype=np.int32 if len(rows) < 2**31 else np.int64)
    np.cumsum(np.bincount(rows, minlength=num_rows), out=starts[1:])
    indices = columns[order].astype(starts.dtype)
    return csr_array((values[order], indices, starts), shape=(num_rows, num_columns))


def _summarise(
    points: np.ndarray,
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
    """Apply the policy to ``points [metrics, labels]`` and ``drawn [metrics, labels, draws]`` and take quantiles."""
    undefined = np.asarray(np.isnan(drawn).any(axis=0))
    absent_labels = tuple(int(label) for label in np.flatnonzero(np.isnan(points).any(axis=0)))
    if absent == "error":
        _refuse_absent(absent_labels, undefined)
    if absent == "0.5" and kind == "ranking":
        for label in range(targets.shape[1]):
            level_of_chance = np.zeros(2) if is_difference else ranking.chance_level(targets[:, label])
            points[:, label] = np.where(np.isnan(points[:, label]), level_of_chance, points[:, label])
            drawn[:, label] = np.where(np.isnan(drawn[:, label]), level_of_chance[:, None], drawn[:, label])
    names = ranking.METRICS if kind == "ranking" else regression.METRICS
    return BootstrapResult(
        macro={name: _interval(_mean(points[m]), _mean(drawn[m], axis=0), level) for m, name in enumerate(names)},
        per_label={
            name: tuple(_interval(points[m, label], drawn[m, label], level) for label in range(targets.shape[1]))
            for m, name in enumerate(names)
        },
        absent_labels=absent_labels,
        num_draws_absent=undefined.sum(axis=1),
        absent=absent,
        num_patients=len(np.unique(np.asarray(patients))),
        draws=drawn.shape[-1],
        seed=seed,
        level=level,
    )


def _refuse_absent(absent_labels: tuple[int, ...], undefined: np.ndarray) -> None:
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


def _mean(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    defined = ~np.isnan(values)
    count = defined.sum(axis=axis)
    return np.where(count > 0, np.where(defined, values, 0).sum(axis=axis) / np.maximum(count, 1), np.nan)


def _interval(value: np.ndarray, draws: np.ndarray, level: float) -> Interval:
    draws = draws[~np.isnan(draws)]
    if len(draws) == 0 or np.isnan(value):
        return Interval(float(value), float("nan"), float("nan"))
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(value), float(low), float(high))
