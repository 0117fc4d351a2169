"""Differences of two systems over training seeds, and over seeds and patients together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lamae.errors import DataError
from lamae.metrics.bootstrap import (
    BootstrapResult,
    Interval,
    Thresholds,
    mean_over_labels,
    paired_patient_bootstrap,
)
from lamae.metrics.ranking import AbsentPolicy
from lamae.metrics.weighted_sums import METRIC_NAMES, Kind


@dataclass(frozen=True, kw_only=True)
class PairedSeeds:
    """A figure of two systems over the same seeds.

    Attributes:
        mean_a: Mean over seeds of a.
        sd_a: Standard deviation over seeds (divisor n - 1).
        mean_b: Mean over seeds of b.
        sd_b: Standard deviation over seeds.
        difference: Mean of a - b with its interval by Student's t.
        sd_difference: Standard deviation of a - b over seeds.
        t: Statistic of the paired t-test; NaN when all differences are equal.
        df: Seeds - 1.
        p_value: Two-sided; NaN with ``t``.
        num_seeds: Number of pairs.
    """

    mean_a: float
    sd_a: float
    mean_b: float
    sd_b: float
    difference: Interval
    sd_difference: float
    t: float
    df: int
    p_value: float
    num_seeds: int


@dataclass(frozen=True, kw_only=True)
class CombinedDifference:
    """A difference whose interval knows that other seeds and other patients could have been drawn.

    Attributes:
        value: Mean over seeds of the paired difference.
        low: Lower end of the interval.
        high: Upper end.
        standard_error: Square root of ``variance_patients + variance_seeds``.
        df: Welch-Satterthwaite degrees of freedom; infinite with no variance at all.
        variance_patients: Variance of the mean difference over draws of patients.
        variance_seeds: Variance of the difference between seeds, divided by their number; 0 with one seed, of which
            nothing is known about others.
        p_value: Two-sided, by Student's t; NaN without a standard error.
        per_seed: Difference of each pair.
    """

    value: float
    low: float
    high: float
    standard_error: float
    df: float
    variance_patients: float
    variance_seeds: float
    p_value: float
    per_seed: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class CombinedResult:
    """Combined differences.

    Attributes:
        macro: By metric.
        per_label: One a label by metric.
        patients_only: The same differences with percentile intervals over patients, for these very runs.
    """

    macro: dict[str, CombinedDifference]
    per_label: dict[str, tuple[CombinedDifference, ...]]
    patients_only: BootstrapResult


def paired_seeds(
    a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray, *, level: float = 0.95
) -> PairedSeeds:
    """Compare one figure of two systems over seeds by a paired t-test (equal to scipy's ``ttest_rel``).

    The unit is the seed: the test says whether the difference would hold for other seeds *on the same test patients*,
    and nothing about other patients. With three seeds only differences of many standard deviations are found.

    Args:
        a: ``[seeds]`` figures, finite.
        b: ``[seeds]`` figures of the same seeds in the same order.
        level: Coverage of the interval of the difference.

    Raises:
        DataError: There are fewer than two pairs, not as many a as b, or a figure is not finite.
    """
    from scipy.stats import t as student

    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise DataError(f"seeds must come in pairs, found {first.shape} and {second.shape}", reason="unpaired-seeds")
    if len(first) < 2:
        raise DataError(
            f"a t-test over seeds needs at least two of each system, found {len(first)}: train more seeds",
            reason="too-few-seeds",
        )
    if not (np.isfinite(first) & np.isfinite(second)).all():
        raise DataError("figures of all seeds must be finite", reason="non-finite-score")
    differences = first - second
    mean, sd, df = float(differences.mean()), float(differences.std(ddof=1)), len(first) - 1
    error = float(sd / np.sqrt(len(first)))
    t = mean / error if error > 1e-15 * max(1.0, abs(mean)) else float("nan")
    half = float(student(df).ppf((1 + level) / 2)) * error
    return PairedSeeds(
        mean_a=float(first.mean()),
        sd_a=float(first.std(ddof=1)),
        mean_b=float(second.mean()),
        sd_b=float(second.std(ddof=1)),
        difference=Interval(mean, mean - half, mean + half),
        sd_difference=sd,
        t=t,
        df=df,
        p_value=float(2 * student(df).sf(abs(t))),
        num_seeds=len(first),
    )


def combined_difference(
    targets: np.ndarray,
    scores_a: Sequence[np.ndarray],
    scores_b: Sequence[np.ndarray],
    patients: np.ndarray,
    *,
    kind: Kind = "ranking",
    thresholds_a: Thresholds | Sequence[Thresholds] = 0.5,
    thresholds_b: Thresholds | Sequence[Thresholds] = 0.5,
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    absent: AbsentPolicy = "skip",
) -> CombinedResult:
    """Return the mean over seeds of a minus b with an interval over seeds and patients.

    The estimate is the mean of the pairs' differences D_s. Its variance is estimated as Var_patients + Var_seeds, the
    bootstrap variance of that mean over patients (every pair on the same draws) plus s² / S, with s² the variance of
    D_s over the S seeds. The interval is by Student's t with Welch and Satterthwaite's degrees of freedom,
    (Vp + Vs)² / (Vp² / (patients - 1) + Vs² / (S - 1)). D_s also differ because each model errs on other patients; that
    part is in both terms, so the interval is somewhat too wide rather than too narrow. With one seed Vs is unknown and
    set to 0: the interval is then over patients only.

    Args:
        targets: ``[rows]`` or ``[rows, labels]``, as in `patient_bootstrap`.
        scores_a: ``[rows, labels]`` of each seed.
        scores_b: The same of the other system, pair by pair.
        patients: ``[rows]``.
        kind: Kind of the metrics.
        thresholds_a: Thresholds of F1 for all seeds of a, or a sequence with those of each.
        thresholds_b: The same of b.
        draws: Draws of patients.
        seed: Seed of the draws.
        level: Coverage of the interval.
        absent: As in `patient_bootstrap`.

    Raises:
        DataError: Shapes or values are wrong, seeds are not in pairs, or a label is absent and refused.
    """
    patients_only = paired_patient_bootstrap(
        targets, scores_a, scores_b, patients, kind=kind, thresholds_a=thresholds_a, thresholds_b=thresholds_b,
        draws=draws, seed=seed, level=level, absent=absent,
    )  # fmt: skip
    points, num_patients, names = patients_only.per_pair, patients_only.num_patients, METRIC_NAMES[kind]
    macro_errors, label_errors = patients_only.standard_error, patients_only.standard_error_per_label

    def combined(per_seed: np.ndarray, patient_error: float) -> CombinedDifference:
        return combine(per_seed, patient_error, num_patients, level=level)

    return CombinedResult(
        macro={name: combined(mean_over_labels(points[:, m].T), macro_errors[name]) for m, name in enumerate(names)},
        per_label={
            name: tuple(combined(points[:, m, k], float(label_errors[name][k])) for k in range(points.shape[2]))
            for m, name in enumerate(names)
        },
        patients_only=patients_only,
    )


def combine(
    per_seed: Sequence[float] | np.ndarray, patient_error: float, num_patients: int, *, level: float = 0.95
) -> CombinedDifference:
    """Combine differences of seeds with the standard error over patients of their mean, as in `combined_difference`.

    Args:
        per_seed: ``[seeds]`` paired differences.
        patient_error: Standard error over patients of their mean.
        num_patients: Number of patients that it was estimated from.
        level: Coverage of the interval.
    """
    from scipy.stats import norm
    from scipy.stats import t as student

    found = np.asarray(per_seed, dtype=np.float64)
    num_seeds = len(found)
    of_patients = patient_error**2
    of_seeds = float(found.var(ddof=1)) / num_seeds if num_seeds > 1 else 0.0
    denominator = of_patients**2 / max(num_patients - 1, 1) + of_seeds**2 / max(num_seeds - 1, 1)
    df = (of_patients + of_seeds) ** 2 / denominator if denominator > 0 else float("inf")
    error, mean = float(np.sqrt(of_patients + of_seeds)), float(found.mean())
    distribution = student(df) if np.isfinite(df) else norm
    half = float(distribution.ppf((1 + level) / 2)) * error
    return CombinedDifference(
        value=mean,
        low=mean - half,
        high=mean + half,
        standard_error=error,
        df=float(df),
        variance_patients=of_patients,
        variance_seeds=of_seeds,
        p_value=float(2 * distribution.sf(abs(mean) / error)) if error > 0 else float("nan"),
        per_seed=tuple(float(one) for one in found),
    )
