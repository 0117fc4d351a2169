"""A paired permutation test of two systems that swaps them patient by patient.

Under the null hypothesis it makes no difference which system scored a patient, so the two systems' scores of all ECGs
of a patient may change places (both classes of patients; the unit of exchange is the patient, as ECGs of one patient
are alike). Scores of different systems are mixed by this, so for the ranking metrics they are first put on a common
scale: each is replaced by its midrank among the rows of that label, which changes neither AUROC nor average precision
of either system (Venkatraman and Begg 1996, Biometrika 83:835; Bandos, Rockette and Gur 2005, Statistics in Medicine
24:2873). Swapping raw scores would instead test calibration along with ranking. F1 is computed from the swapped calls
and the Brier score from the swapped probabilities, which need no common scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lamae.metrics.bootstrap import Pair, Thresholds, check_pairs, fill_absent, mean_over_labels, refuse_absent
from lamae.metrics.ranking import AbsentPolicy
from lamae.metrics.weighted_sums import METRIC_NAMES, Kind, MetricsOf, label_metrics, number_patients

_BLOCK = 64
_ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True)
class PermutationResult:
    """Differences, a minus b, with two-sided p-values.

    Attributes:
        difference: Macro difference by metric.
        p_macro: p-value of the macro difference by metric; NaN where no label can be judged.
        difference_per_label: ``[labels]`` by metric, NaN for absent labels (as in the p-values).
        p_per_label: ``[labels]`` by metric, not corrected for their number: see `holm`.
        absent_labels: Positions of the labels without positives or without negatives.
        absent: Policy for them.
        num_patients: Number of patients that could be swapped.
        permutations: Number of permutations.
        seed: Seed of the permutations.
    """

    difference: dict[str, float]
    p_macro: dict[str, float]
    difference_per_label: dict[str, np.ndarray]
    p_per_label: dict[str, np.ndarray]
    absent_labels: tuple[int, ...]
    absent: AbsentPolicy
    num_patients: int
    permutations: int
    seed: int

    @property
    def smallest_p(self) -> float:
        """The smallest p-value that this many permutations can give; Holm over n codes needs it below alpha / n."""
        return 1 / (1 + self.permutations)


def permutation_test(
    targets: np.ndarray,
    scores_a: np.ndarray | Sequence[np.ndarray],
    scores_b: np.ndarray | Sequence[np.ndarray],
    patients: np.ndarray,
    *,
    kind: Kind = "ranking",
    thresholds_a: Thresholds | Sequence[Thresholds] = 0.5,
    thresholds_b: Thresholds | Sequence[Thresholds] = 0.5,
    permutations: int = 9999,
    seed: int = 0,
    absent: AbsentPolicy = "skip",
) -> PermutationResult:
    """Test if two systems differ, macro and for each label, by swapping them for random halves of the patients.

    p = (1 + number of permutations whose difference is at least as large) / (1 + permutations), two-sided. What is
    tested is that the systems are exchangeable; two systems of the same AUROC but ROC curves of other shapes are not.
    Given sequences of scores (one a seed, in pairs) the statistic is the mean difference, all pairs swapped together.

    Args:
        targets: ``[rows]`` or ``[rows, labels]``, as in `patient_bootstrap`.
        scores_a: The same shape, or a sequence of such.
        scores_b: The same.
        patients: ``[rows]`` the patient of each row.
        kind: Kind of the metrics, as in `patient_bootstrap`.
        thresholds_a: Thresholds of F1 of a: one number, ``[labels]`` or ``[rows, labels]``; a sequence for pairs.
        thresholds_b: The same of b.
        permutations: Number of random permutations.
        seed: Their seed.
        absent: ``"skip"`` leaves labels without positives or negatives out of the mean, ``"0.5"`` counts them as no
            difference, ``"error"`` refuses them. They have no p-value of their own.

    Raises:
        DataError: Shapes or values are wrong, or a label is absent and the policy says ``"error"``.
    """
    if permutations < 1:
        raise ValueError(f"permutations must be above 0, found {permutations}")
    targets, pairs = check_pairs(kind, targets, scores_a, scores_b, patients, thresholds_a, thresholds_b)
    codes, num_patients = number_patients(patients)
    observed = np.empty((len(METRIC_NAMES[kind]), targets.shape[1]))
    permuted = np.empty((*observed.shape, permutations))
    for label in range(targets.shape[1]):
        systems = [_stacked(kind, targets[:, label], pair, label, codes, num_patients) for pair in pairs]
        observed[:, label] = _difference(systems, np.ones((num_patients, 1), np.float32))[:, 0]
        generator = np.random.default_rng(seed)
        for start in range(0, permutations, _BLOCK):
            stop = min(permutations, start + _BLOCK)
            permuted[:, label, start:stop] = _difference(systems, _swaps(generator, num_patients, stop - start))
    absent_labels = tuple(int(label) for label in np.flatnonzero(np.isnan(observed).any(axis=0)))
    if absent == "error":
        refuse_absent(absent_labels, np.zeros((targets.shape[1], 0), dtype=bool))
    counted, counted_permuted = (
        fill_absent(values, targets, kind, absent, is_difference=True) for values in (observed, permuted)
    )
    macro = mean_over_labels(counted[..., None])[:, 0]
    p_macro, p_label = _p_values(macro, mean_over_labels(counted_permuted)), _p_values(observed, permuted)
    names = METRIC_NAMES[kind]
    return PermutationResult(
        difference={name: float(macro[m]) for m, name in enumerate(names)},
        p_macro={name: float(p_macro[m]) for m, name in enumerate(names)},
        difference_per_label={name: observed[m] for m, name in enumerate(names)},
        p_per_label={name: p_label[m] for m, name in enumerate(names)},
        absent_labels=absent_labels,
        absent=absent,
        num_patients=num_patients,
        permutations=permutations,
        seed=seed,
    )


def _swaps(generator: np.random.Generator, num_patients: int, number: int) -> np.ndarray:
    """Return ``[patients, number]`` float32: 1 where a patient's scores stay, 0 where they are swapped."""
    stays = generator.integers(2, size=(number, num_patients), dtype=np.uint8)
    return np.ascontiguousarray(stays.T, dtype=np.float32)


def _stacked(
    kind: Kind, targets: np.ndarray, pair: Pair, label: int, codes: np.ndarray, num_patients: int
) -> MetricsOf:
    """Prepare the rows of a above those of b, so that weights of 0 and 1 choose who scored which patient."""
    a, b = ([table[:, label] for table in side] for side in pair)
    scores = np.concatenate([a[0], b[0]])
    ranks = None if kind == "regression" else np.concatenate([_midranks(targets, a[0]), _midranks(targets, b[0])])
    return label_metrics(
        kind,
        np.concatenate([targets, targets]),
        scores,
        np.concatenate([a[1], b[1]]),
        np.concatenate([codes, codes + num_patients]),
        2 * num_patients,
        ranks=ranks,
    )


def _midranks(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata

    known = ~np.isnan(targets)
    ranks = np.zeros(len(scores))
    ranks[known] = rankdata(scores[known])
    return ranks


def _difference(systems: list[MetricsOf], stays: np.ndarray) -> np.ndarray:
    """Return ``[metrics, permutations]``: the mean difference of all pairs."""
    first, second = np.concatenate([stays, 1 - stays]), np.concatenate([1 - stays, stays])
    return np.mean([metrics_of(first) - metrics_of(second) for metrics_of in systems], axis=0)


def _p_values(observed: np.ndarray, permuted: np.ndarray) -> np.ndarray:
    """Return the fraction of ``[..., permutations]`` that is as large as ``[...]``, which counts as one of them."""
    as_large = np.abs(permuted) >= np.abs(observed)[..., None] - _ROUNDING
    return np.where(np.isnan(observed), np.nan, (1 + as_large.sum(axis=-1)) / (1 + permuted.shape[-1]))
