"""The paired difference of two systems: by seed, over seeds and patients, for macro and each label, with its tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lamae.compare.entry import Entry
from lamae.compare.estimates import Drawn, OverSeeds, main_metric, over_seeds
from lamae.metrics import Kind, holm, permutation_test
from lamae.metrics.weighted_sums import METRIC_NAMES
from lamae.results import Evaluation

Seeds = Mapping[int | None, Drawn]
"""The metrics of each seed of a system."""
System = tuple[str, Seeds, Mapping[Entry, Evaluation]]
"""Name, metrics by seed, and the results themselves."""

STARS = (0.05, 0.01, 0.001)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The main metric of a system minus that of a reference.

    Attributes:
        system: First of the two.
        reference: Second of the two.
        rows: By ``"macro"`` and label, with an interval and a p value over patients and seeds.
        p_permutation: By row: swapping the systems patient by patient; NaN where that was not done.
        p_value: By row: the larger of both, so that a claim needs both.
        p_holm: By row, after Holm's correction over the labels; macro's is one test and not corrected.
        per_seed: Macro difference of each pair of seeds.
        seeds: The pairs of seeds.
        notes: Notes on the pairing of seeds, where it is not obvious.
    """

    system: str
    reference: str
    rows: Mapping[str, OverSeeds]
    p_permutation: Mapping[str, float]
    p_value: Mapping[str, float]
    p_holm: Mapping[str, float]
    per_seed: Sequence[float]
    seeds: Sequence[tuple[int | None, int | None]]
    notes: Sequence[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Both systems."""
        return f"{self.system} − {self.reference}"

    def untested(self) -> "Difference":
        """Return the difference without any test of it: no p values, hence no stars."""
        nothing = dict.fromkeys(self.rows, np.nan)
        rows = {row: replace(found, p_value=np.nan, p_seeds=np.nan) for row, found in self.rows.items()}
        return replace(self, rows=rows, p_permutation=nothing, p_value=nothing, p_holm=nothing)

    def stars(self, row: str) -> str:
        """Return ``*``, ``**`` or ``***`` for a corrected p value below .05, .01 and .001."""
        p = self.p_holm.get(row, np.nan)
        return "*" * sum(p < bound for bound in STARS)


def difference(
    ours: System, theirs: System, *, rows: Sequence[str], kind: Kind, level: float, permutations: int
) -> Difference:
    """Return the difference of two systems.

    Args:
        ours: The system.
        theirs: The reference.
        rows: ``"macro"``, then the labels, as along the arrays.
        kind: Kind of the metrics.
        level: Coverage of the intervals.
        permutations: Number of permutations of the paired test; 0 leaves it out.
    """
    (name, seeds, evaluations), (other, other_seeds, other_evaluations) = ours, theirs
    pairs, notes = pair_seeds(name, list(seeds), other, list(other_seeds))
    found = [seeds[one] - other_seeds[two] for one, two in pairs]
    place = main_metric(kind)
    first = next(iter(evaluations.values()))
    by_row = over_seeds(found, place, rows=rows, num_patients=len(np.unique(first.patient_hash)), level=level)
    swapped = np.full(len(rows), np.nan)
    if permutations:
        scores = _paired_scores(evaluations, other_evaluations, pairs)
        outcome = permutation_test(
            first.targets,
            [one for one, _ in scores],
            [other for _, other in scores],
            first.patient_hash,
            kind="regression" if kind == "regression" else "ranking",
            permutations=permutations,
            absent="0.5" if first.info.get("absent_policy") == "0.5" else "skip",
        )
        metric = METRIC_NAMES[kind][place]
        swapped = np.array([outcome.p_macro[metric], *outcome.p_per_label[metric]])
    p_values = np.fmax([by_row[row].p_value for row in rows], swapped)
    p_permutation, p_value, p_holm = (
        dict(zip(rows, map(float, values), strict=True))
        for values in (swapped, p_values, [p_values[0], *holm(p_values[1:])])
    )
    return Difference(
        system=name,
        reference=other,
        rows=by_row,
        p_permutation=p_permutation,
        p_value=p_value,
        p_holm=p_holm,
        per_seed=[float(one.points[place, 0]) for one in found],
        seeds=pairs,
        notes=notes,
    )


def pair_seeds(
    system: str, ours: Sequence[int | None], reference: str, theirs: Sequence[int | None]
) -> tuple[list[tuple[int | None, int | None]], list[str]]:
    """Pair the seeds of two systems: one alone with each; else the same ones; else in their order.

    Seeds are independent draws, so any pairing that does not look at the results is fair; the same seed is the better
    pair, since data order and masks are shared.
    """
    if len(ours) == 1 or len(theirs) == 1:
        pairs = [(one, other) for one in ours for other in theirs]
        several, alone = (system, reference) if len(ours) > 1 else (reference, system)
        note = f"{alone} has one seed, held against each of {several}'s: its own spread over seeds is unknown."
        return pairs, [note] if len(pairs) > 1 else []
    common = [seed for seed in ours if seed in theirs]
    if common:
        left = sorted(map(str, {*ours, *theirs} - set(common)))
        note = f"{system} and {reference}: seeds {', '.join(left)} are of one only and not in their difference."
        return [(seed, seed) for seed in common], [note] if left else []
    pairs = list(zip(ours, theirs, strict=False))
    return pairs, [f"{system} and {reference} share no seed; their seeds are paired in the order given."]


def _paired_scores(
    ours: Mapping[Entry, Evaluation],
    theirs: Mapping[Entry, Evaluation],
    pairs: Sequence[tuple[int | None, int | None]],
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the scores of each pair of seeds and draw of labels that both have (draws in order where none is)."""
    found = []
    for one, two in pairs:
        first = {entry.label_draw: evaluation for entry, evaluation in ours.items() if entry.seed == one}
        second = {entry.label_draw: evaluation for entry, evaluation in theirs.items() if entry.seed == two}
        common = [draw for draw in first if draw in second]
        draws = [(draw, draw) for draw in common] or list(zip(first, second, strict=False))
        found += [(first[a].scores, second[b].scores) for a, b in draws]
    return found
