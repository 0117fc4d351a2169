"""Metrics of one result in the data and in every draw of patients, macro first.

The same seed and the same patients give the same draws, so that the draws of two systems can be subtracted: one pass
over each result serves its own interval and every difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lamae.metrics import Kind, metric_draws
from lamae.metrics.bootstrap import mean_over_labels
from lamae.metrics.weighted_sums import METRIC_NAMES
from lamae.results import Evaluation


@dataclass(frozen=True)
class Drawn:
    """Metrics of the kind's `METRIC_NAMES`.

    Attributes:
        points: ``[metrics, 1 + labels]`` in the data, macro first, NaN where undefined.
        drawn: ``[metrics, 1 + labels, draws]`` float32 in the draws of patients.
    """

    points: np.ndarray
    drawn: np.ndarray


def kind_of(evaluations: Sequence[Evaluation]) -> Kind:
    """Return which metrics can be drawn of all: F1 and Brier only where the thresholds are known."""
    if evaluations[0].is_regression:
        return "regression"
    return "probabilities" if all(one.info.get("thresholds") for one in evaluations) else "ranking"


def main_metric(kind: Kind) -> int:
    """Return the place of AUROC or R squared among the metrics."""
    return METRIC_NAMES[kind].index("r2" if kind == "regression" else "auroc")


def draw(evaluation: Evaluation, kind: Kind, *, draws: int, seed: int) -> Drawn:
    """Return the metrics of a result with the policy for absent labels that it was judged with."""
    points, drawn = metric_draws(
        evaluation.targets,
        evaluation.scores,
        evaluation.patient_hash,
        kind=kind,
        thresholds=thresholds_of(evaluation) if kind == "probabilities" else 0.5,
        draws=draws,
        seed=seed,
        absent=evaluation.info.get("absent_policy", "skip"),
    )
    return Drawn(_with_macro(points[..., None])[..., 0], _with_macro(drawn).astype(np.float32))


def _with_macro(values: np.ndarray) -> np.ndarray:
    """Put the mean over the labels in front of ``[metrics, labels, draws]``."""
    return np.concatenate([mean_over_labels(values)[:, None], values], axis=1)


def thresholds_of(evaluation: Evaluation) -> np.ndarray:
    """Return ``[studies, labels]`` thresholds of F1: those of the division that tested each study."""
    values = evaluation.info["thresholds"]["values"]
    by_division = np.array([values[name] for name in evaluation.label_names], dtype=np.float64)  # labels, divisions
    folds = evaluation.info["split"].get("folds")
    if by_division.shape[1] == 1 or not folds:
        return np.broadcast_to(by_division[:, 0], evaluation.scores.shape)
    division = np.array([list(folds).index(int(fold)) for fold in evaluation.fold])
    return by_division.T[division]


def mean_of(several: Sequence[Drawn]) -> Drawn:
    """Return the mean over the draws of labels of one seed."""
    if len(several) == 1:
        return several[0]
    return Drawn(
        np.mean([one.points for one in several], axis=0),
        np.asarray(np.mean([one.drawn for one in several], axis=0, dtype=np.float32)),
    )


def difference_of(one: Drawn, other: Drawn) -> Drawn:
    """Return the first minus the second, draw by draw."""
    return Drawn(one.points - other.points, one.drawn - other.drawn)
