"""DeLong's standard error of an AUROC and of the difference of two, for independent rows and for patients with several.

The plain variance (DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44:837) takes every row to be independent. Where
patients have many ECGs it is too small and its p-values are too good; give ``patients`` for the variance of Obuchowski
1997 (Biometrics 53:567), which sums the same structural components by patient first. With one row a patient the two
are equal. Components come from midranks (Sun and Xu 2014, IEEE Signal Processing Letters 21:1389).
"""

from dataclasses import dataclass

import numpy as np

from lamae.errors import DataError
from lamae.metrics.bootstrap import Interval
from lamae.metrics.ranking import AbsentPolicy, check_binary, check_predictions
from lamae.metrics.weighted_sums import check_patients

_ABSENT = {"skip": float("nan"), "0.5": 0.5}


@dataclass(frozen=True, kw_only=True)
class DeLongResult:
    """An AUROC with its standard error.

    Attributes:
        auroc: Value and normal interval, held within 0 and 1. NaN where it is undefined.
        standard_error: Square root of the variance; NaN where one patient alone has a class. 0 for separated classes,
            whose interval has no width and means nothing.
        is_clustered: Whether rows of one patient were taken together.
        num_patients: Patients, or rows where none were given.
    """

    auroc: Interval
    standard_error: float
    is_clustered: bool
    num_patients: int


@dataclass(frozen=True, kw_only=True)
class PairedDeLongResult:
    """The difference of two AUROCs on the same rows, a minus b.

    Attributes:
        auroc_a: AUROC of a.
        auroc_b: AUROC of b.
        difference: Value and normal interval.
        standard_error: Of the difference, which knows that both were judged on the same rows.
        z: Difference divided by its standard error; NaN when that is 0 or undefined.
        p_value: Two-sided, from the normal distribution; 1 for systems that rank all alike; NaN with ``z`` otherwise.
        is_clustered: Whether rows of one patient were taken together.
        num_patients: Patients, or rows where none were given.
    """

    auroc_a: float
    auroc_b: float
    difference: Interval
    standard_error: float
    z: float
    p_value: float
    is_clustered: bool
    num_patients: int


def delong(
    targets: np.ndarray,
    scores: np.ndarray,
    *,
    patients: np.ndarray | None = None,
    level: float = 0.95,
    absent: AbsentPolicy = "skip",
) -> DeLongResult:
    """Return the AUROC of one label with DeLong's standard error, by patient where patients are given.

    Args:
        targets: ``[rows]`` of 0, 1 or NaN (unknown, the row is left out).
        scores: ``[rows]``, finite.
        patients: ``[rows]``; None takes every row to be independent, which is wrong where patients have several.
        level: Coverage of the interval.
        absent: A label without positives or without negatives: ``"skip"`` gives NaN, ``"0.5"`` a value of 0.5 without
            an interval, ``"error"`` refuses.

    Raises:
        DataError: Shapes or values are wrong, or the label is absent and the policy says ``"error"``.
    """
    known = _known(targets, [scores], patients, level, absent)
    if known is None:
        return DeLongResult(
            auroc=Interval(_ABSENT[absent], float("nan"), float("nan")),
            standard_error=float("nan"),
            is_clustered=patients is not None,
            num_patients=0,
        )
    positive, columns, codes = known
    value, of_positives, of_negatives = _components(positive, columns[0])
    error = _standard_error(positive, of_positives - value, of_negatives - value, codes)
    half = _quantile(level) * error
    return DeLongResult(
        auroc=Interval(value, *(float(np.clip(end, 0, 1)) for end in (value - half, value + half))),
        standard_error=error,
        is_clustered=patients is not None,
        num_patients=len(np.unique(codes)),
    )


def paired_delong(
    targets: np.ndarray,
    scores_a: np.ndarray,
    scores_b: np.ndarray,
    *,
    patients: np.ndarray | None = None,
    level: float = 0.95,
    absent: AbsentPolicy = "skip",
) -> PairedDeLongResult:
    """Return the difference of two AUROCs of one label on the same rows with its standard error and p-value.

    Arguments and errors as in `delong`; with the policy ``"0.5"`` an absent label differs by 0, without an interval.
    """
    known = _known(targets, [scores_a, scores_b], patients, level, absent)
    if known is None:
        nan, chance = float("nan"), _ABSENT[absent]
        return PairedDeLongResult(
            auroc_a=chance,
            auroc_b=chance,
            difference=Interval(chance - chance, nan, nan),
            standard_error=nan,
            z=nan,
            p_value=nan,
            is_clustered=patients is not None,
            num_patients=0,
        )
    positive, columns, codes = known
    (a, positives_a, negatives_a), (b, positives_b, negatives_b) = (_components(positive, one) for one in columns)
    difference = a - b
    error = _standard_error(
        positive, positives_a - positives_b - difference, negatives_a - negatives_b - difference, codes
    )
    z, p_value = _z_test(difference, error)
    half = _quantile(level) * error
    return PairedDeLongResult(
        auroc_a=a,
        auroc_b=b,
        difference=Interval(difference, difference - half, difference + half),
        standard_error=error,
        z=z,
        p_value=p_value,
        is_clustered=patients is not None,
        num_patients=len(np.unique(codes)),
    )


def _known(
    targets: np.ndarray,
    systems: list[np.ndarray],
    patients: np.ndarray | None,
    level: float,
    absent: AbsentPolicy,
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray] | None:
    """Return which known rows are positive, their scores by system and their patients; None for an absent label."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, found {level}")
    if np.ndim(targets) != 1:
        raise DataError(
            f"DeLong's method takes one label, targets [rows], found {np.shape(targets)}: call it for each label",
            reason="wrong-shape",
        )
    units = np.arange(len(targets)) if patients is None else np.asarray(patients)
    check_patients(units, len(targets))
    columns = [check_predictions(targets, one)[1][:, 0] for one in systems]
    values = np.asarray(targets, dtype=np.float64)
    check_binary(values)
    known = ~np.isnan(values)
    positive = values[known] == 1
    if positive.any() and not positive.all():
        return positive, [one[known] for one in columns], np.unique(units[known], return_inverse=True)[1]
    if absent == "error":
        raise DataError(
            f"the label has no {'negatives' if positive.any() else 'positives'}: choose another one, or absent='skip' "
            "or '0.5'",
            reason="absent-label",
        )
    return None


def _components(positive: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the AUROC, and for each positive the share of negatives below it, for each negative of positives above it.

    Both are ``[rows]``-ordered within their class, ties counting half.
    """
    from scipy.stats import rankdata

    num_positives, num_negatives = np.count_nonzero(positive), np.count_nonzero(~positive)
    ranks = rankdata(scores)
    of_positives = (ranks[positive] - rankdata(scores[positive])) / num_negatives
    of_negatives = 1 - (ranks[~positive] - rankdata(scores[~positive])) / num_positives
    return float(of_positives.mean()), of_positives, of_negatives


def _standard_error(
    positive: np.ndarray, of_positives: np.ndarray, of_negatives: np.ndarray, codes: np.ndarray
) -> float:
    """Return the square root of Obuchowski's variance from components less their mean (S10, S01 and S11).

    With one row a patient no patient has both classes, S11 is 0, and DeLong's variance remains.
    """
    num_patients = int(codes.max()) + 1
    sums, parts = [], 0.0
    for rows, components in ((positive, of_positives), (~positive, of_negatives)):
        by_patient = np.bincount(codes[rows], weights=components, minlength=num_patients)
        num_with, num_rows = len(np.unique(codes[rows])), len(components)
        if num_with < 2:
            return float("nan")
        parts += num_with / (num_with - 1) * float(by_patient @ by_patient) / num_rows**2
        sums.append(by_patient / num_rows)
    parts += 2 * num_patients / (num_patients - 1) * float(sums[0] @ sums[1])
    return float(np.sqrt(max(parts, 0.0)))


def _quantile(level: float) -> float:
    from scipy.stats import norm

    return float(norm.ppf((1 + level) / 2))


def _z_test(difference: float, error: float) -> tuple[float, float]:
    from scipy.stats import norm

    if error > 1e-12:
        z = difference / error
        return z, float(2 * norm.sf(abs(z)))
    return float("nan"), 1.0 if difference == 0 and error == 0 else float("nan")
