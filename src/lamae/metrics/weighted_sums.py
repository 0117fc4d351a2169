"""Every metric as a function of weighted sums over the rows, each patient's rows counting alike.

A bootstrap draw and a permutation are the same thing here: a weight for each patient. `label_metrics` prepares one
label once and then gives its metrics for many weightings at a time.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from lamae.errors import DataError
from lamae.metrics import probabilities, ranking, regression

Kind = Literal["ranking", "probabilities", "regression"]
"""Kind of the metrics: of scores that rank, of probabilities (those of ranking too), or of predicted values."""

METRIC_NAMES: dict[str, tuple[str, ...]] = {
    "ranking": ranking.METRICS,
    "probabilities": (*ranking.METRICS, *probabilities.METRICS),
    "regression": regression.METRICS,
}
"""Names of the metrics of each kind, in the order of the arrays."""

MetricsOf = Callable[[np.ndarray], np.ndarray]
"""Takes weights ``[patients, draws]`` and returns ``[metrics, draws]``, NaN where a metric is undefined."""


def number_patients(patients: np.ndarray) -> tuple[np.ndarray, int]:
    """Return ``[rows]`` the number of each row's patient, counted as they appear, and how many there are.

    What they are called has no say in it: with hashes of another salt the draws of patients are the same.
    """
    _, first, codes = np.unique(np.asarray(patients), return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[codes], len(first)


def label_metrics(
    kind: Kind,
    targets: np.ndarray,
    scores: np.ndarray,
    thresholds: np.ndarray,
    codes: np.ndarray,
    num_patients: int,
    *,
    ranks: np.ndarray | None = None,
) -> MetricsOf:
    """Prepare one label for any number of weightings.

    Args:
        kind: Kind of the metrics.
        targets: ``[rows]``, NaN where unknown.
        scores: ``[rows]``.
        thresholds: ``[rows]``, for F1.
        codes: ``[rows]`` patient of each row, from 0 to ``num_patients`` - 1.
        num_patients: Number of patients.
        ranks: ``[rows]`` to rank by in place of the scores.
    """
    if kind == "regression":
        rows, terms = regression.regression_terms(targets, scores)
        return _sums_of(terms, codes[rows], num_patients, regression.regression_from_sums)
    rank_metrics = _ranking_sums(targets, scores if ranks is None else ranks, codes, num_patients)
    if kind == "ranking":
        return rank_metrics
    rows, terms = probabilities.probability_terms(targets, scores, thresholds)
    of_probabilities = _sums_of(terms, codes[rows], num_patients, probabilities.probabilities_from_sums)
    return lambda counts: np.concatenate([rank_metrics(counts), of_probabilities(counts)])


def chance_levels(kind: Kind, targets: np.ndarray) -> np.ndarray:
    """Return ``[metrics]`` of the policy ``"0.5"`` for a label ``[rows]`` where a metric is undefined."""
    if kind == "ranking":
        return ranking.chance_level(targets)
    return np.array([*ranking.chance_level(targets), 0.0, 0.25])  # a coin's 0.5 has a Brier score of 0.25


def check_rows(
    kind: Kind, targets: np.ndarray, scores: np.ndarray, patients: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return targets and scores as ``[rows, labels]`` float64.

    Raises:
        DataError: Shapes or values are wrong for this kind, there is no row, or not one patient a row.
    """
    targets, scores = ranking.check_predictions(targets, scores)
    if kind == "regression":
        regression.check_real(targets)
    else:
        ranking.check_binary(targets)
    if kind == "probabilities":
        probabilities.check_probabilities(scores)
    check_patients(patients, len(targets))
    return targets, scores


def check_patients(patients: np.ndarray, num_rows: int) -> None:
    """Raise `DataError` unless there are rows, and one patient for each."""
    if len(patients) != num_rows:
        raise DataError(f"{num_rows} rows but {len(patients)} patients: give one a row", reason="wrong-shape")
    if num_rows == 0:
        raise DataError("there is no row to evaluate", reason="empty-test-set")


def _ranking_sums(targets: np.ndarray, scores: np.ndarray, codes: np.ndarray, num_patients: int) -> MetricsOf:
    table = ranking.rank_table(targets, scores)
    # Float32 holds whole numbers up to 2**24, so the sums below are exact for any test set of fewer rows.
    dtype = np.float32 if len(targets) < 2**23 else np.float64
    matrix = _sparse(
        table.segment, codes[table.rows], np.ones(len(table.rows), dtype), table.num_segments, num_patients
    )
    return lambda counts: ranking.ranking_from_sums(matrix @ counts, table.num_groups)


def _sums_of(terms: np.ndarray, codes: np.ndarray, num_patients: int, metrics_of: MetricsOf) -> MetricsOf:
    """Sum ``terms [terms, known]`` by patient; the metrics then come from their weighted sums."""
    by_patient = np.stack([np.bincount(codes, weights=term, minlength=num_patients) for term in terms])
    return lambda counts: metrics_of(by_patient @ counts)


def _sparse(rows: np.ndarray, columns: np.ndarray, values: np.ndarray, num_rows: int, num_columns: int):
    from scipy.sparse import csr_array

    order = np.argsort(rows, kind="stable")
    starts = np.zeros(num_rows + 1, dtype=np.int32 if len(rows) < 2**31 else np.int64)
    np.cumsum(np.bincount(rows, minlength=num_rows), out=starts[1:])
    indices = columns[order].astype(starts.dtype)
    return csr_array((values[order], indices, starts), shape=(num_rows, num_columns))
