"""Metrics of one result in the data and in every draw of patients, macro first, and their estimates over seeds.

The same seed and the same patients give the same draws, so that the draws of two systems can be subtracted: one pass
over each result serves its own interval and every difference.

With one pretraining seed the interval is the percentile interval over patients. With several it is the one of
`lamae.metrics.combine`, whose variance is that over draws of patients plus that between seeds divided by their number.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lamae.metrics import Kind, combine, metric_draws, paired_seeds, smallest_detectable
from lamae.metrics.bootstrap import deviation, mean_over_labels
from lamae.metrics.weighted_sums import METRIC_NAMES
from lamae.results import Evaluation

MACRO = "macro"


@dataclass(frozen=True)
class Drawn:
    """Metrics of the kind's `METRIC_NAMES`.

    Attributes:
        points: ``[metrics, 1 + labels]`` in the data, macro first, NaN where undefined.
        drawn: ``[metrics, 1 + labels, draws]`` float32 in the draws of patients.
    """

    points: np.ndarray
    drawn: np.ndarray

    def __sub__(self, other: "Drawn") -> "Drawn":
        """Return the first minus the second, draw by draw."""
        return Drawn(self.points - other.points, self.drawn - other.drawn)


def kind_of(evaluations: Sequence[Evaluation]) -> Kind:
    """Return the kind of metrics that all results allow: F1 and Brier score only where the thresholds are known."""
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
    return Drawn(
        np.mean([one.points for one in several], axis=0),
        np.asarray(np.mean([one.drawn for one in several], axis=0, dtype=np.float32)),
    )


@dataclass(frozen=True, kw_only=True)
class OverSeeds:
    """A metric, or a difference of metrics, over the pretraining seeds.

    Attributes:
        value: Mean over the seeds, NaN where undefined.
        low: Lower end of the interval.
        high: Upper end.
        sd: Standard deviation between the seeds, NaN with fewer than two.
        num_seeds: Number of seeds.
        standard_error: Standard error of the mean, over patients and seeds.
        p_value: Two-sided, that the true value is 0; of use for differences only.
        p_seeds: The t test over the seeds alone, NaN with fewer than two.
        smallest_detectable: The difference that a test at 5 % would have found with 80 % power.
    """

    value: float
    low: float
    high: float
    sd: float
    num_seeds: int
    standard_error: float = math.nan
    p_value: float = math.nan
    p_seeds: float = math.nan
    smallest_detectable: float = math.nan

    def interval(self, words: Callable[[float], str]) -> str:
        """Return ``[0.812, 0.846]`` with ``number`` or ``signed`` for the words; empty where there is no interval."""
        return "" if math.isnan(self.low) or math.isnan(self.high) else f"[{words(self.low)}, {words(self.high)}]"


def over_seeds(
    seeds: Sequence[Drawn], metric: int, *, rows: Sequence[str], num_patients: int, level: float
) -> dict[str, OverSeeds]:
    """Return one metric of each row over the seeds.

    Args:
        seeds: Metrics of each seed.
        metric: Place of the metric in the arrays.
        rows: ``"macro"`` and the labels, in the order of the arrays.
        num_patients: Number of tested patients.
        level: Coverage of the intervals.
    """
    points = np.stack([one.points[metric] for one in seeds], axis=-1)  # [1 + labels, seeds]
    drawn = np.stack([one.drawn[metric] for one in seeds], axis=1)  # [1 + labels, seeds, draws]
    return {
        row: _over_seeds(points[index], drawn[index], num_patients=num_patients, level=level)
        for index, row in enumerate(rows)
    }


def _over_seeds(points: np.ndarray, drawn: np.ndarray, *, num_patients: int, level: float) -> OverSeeds:
    """Return the estimate from ``[seeds]`` values and their ``[seeds, draws]`` values in the draws of patients."""
    num, value = len(points), float(points.mean())
    sd = float(points.std(ddof=1)) if num > 1 else math.nan
    in_draws = drawn.mean(axis=0, dtype=np.float64)
    of_patients = float(deviation(in_draws))
    if np.isnan(value) or np.isnan(of_patients):
        return OverSeeds(value=value, low=math.nan, high=math.nan, sd=sd, num_seeds=num)
    found = combine(points, of_patients, num_patients, level=level)
    low, high = found.low, found.high
    if num == 1:
        low, high = np.nanquantile(in_draws, [(1 - level) / 2, (1 + level) / 2])
    return OverSeeds(
        value=value,
        low=float(low),
        high=float(high),
        sd=sd,
        num_seeds=num,
        standard_error=found.standard_error,
        p_value=found.p_value,
        p_seeds=paired_seeds(points, np.zeros(num), level=level).p_value if num > 1 else math.nan,
        smallest_detectable=smallest_detectable(
            found.standard_error, alpha=1 - level, df=found.df if np.isfinite(found.df) else None
        ),
    )
