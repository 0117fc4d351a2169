"""The figures of one table: every system's metrics and its differences to a reference, over seeds and patients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from lamae.compare.checks import check_group, evaluations_alike
from lamae.compare.differences import Difference, Seeds, difference
from lamae.compare.entry import Entry
from lamae.compare.estimates import MACRO, OverSeeds, draw, kind_of, main_metric, mean_of, over_seeds
from lamae.compare.groups import Group
from lamae.errors import ConfigError
from lamae.metrics import Kind
from lamae.metrics.weighted_sums import METRIC_NAMES
from lamae.results import Evaluation, grouped, leak_words

LATENT_ATTENTION, INDEPENDENT = "LAMAE", "Ind_P"
_PREFERRED_REFERENCES = (INDEPENDENT, "Independent leads")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a comparison.

    Attributes:
        reference: The system to hold the others against; None takes independent leads, else the random control, else
            the first system.
        draws: Number of draws of patients; None takes that of the first result.
        permutations: Number of permutations of the paired test; 0 leaves it out.
        mixed: Let systems of different protocols and read-outs stand in one table, with a warning.
    """

    reference: str | None = None
    draws: int | None = None
    permutations: int = 1999
    mixed: bool = False

    def __post_init__(self) -> None:
        if self.draws is not None and self.draws < 2:
            raise ConfigError(f"draws must be at least 2, found {self.draws}")
        if self.permutations < 0:
            raise ConfigError(f"permutations must not be negative, found {self.permutations}")


@dataclass(frozen=True)
class LabelRow:
    """A label, how deep it stands, and what it means."""

    name: str
    depth: int
    title: str


@dataclass(frozen=True, kw_only=True)
class Judged:
    """All figures of one table.

    Attributes:
        group: The results.
        labels: Labels that all results have.
        alike: Each result with its studies and labels in one order.
        kind: Kind of the metrics.
        by_seed: For each system and seed its metrics in the data and in the draws.
        reference: The system that stars and differences are held against.
        level: Coverage of the intervals.
        draws: Number of draws of patients.
        settings: Settings of the comparison.
        warnings: Warnings to show beside the table.
    """

    group: Group
    labels: tuple[str, ...]
    alike: Mapping[Entry, Evaluation]
    kind: Kind
    by_seed: Mapping[str, Seeds]
    reference: str
    level: float
    draws: int
    settings: Settings
    warnings: Sequence[str]

    @property
    def systems(self) -> list[str]:
        """Names of the systems in the order of the inputs."""
        return list(self.group.systems)

    @property
    def rows(self) -> list[str]:
        """``"macro"`` and the labels."""
        return [MACRO, *self.labels]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that were drawn, the main one among them."""
        return METRIC_NAMES[self.kind]

    @property
    def metric(self) -> str:
        """Name of the main metric: ``"auroc"``, or ``"r2"`` for values."""
        return self.metrics[main_metric(self.kind)]

    @property
    def num_patients(self) -> int:
        """Number of tested patients."""
        return len(np.unique(self.alike[self.group.first].patient_hash))

    @property
    def has_several_seeds(self) -> bool:
        """True if any system has more than one pretraining seed."""
        return any(len(seeds) > 1 for seeds in self.by_seed.values())

    def values(self, system: str, metric: str) -> dict[str, OverSeeds]:
        """Return a metric of a system for macro and each label; intervals of metrics between 0 and 1 are cut there."""
        seeds, place = list(self.by_seed[system].values()), self.metrics.index(metric)
        found = over_seeds(seeds, place, rows=self.rows, num_patients=self.num_patients, level=self.level)
        if self.kind == "regression":
            return found
        return {row: replace(one, low=max(one.low, 0.0), high=min(one.high, 1.0)) for row, one in found.items()}

    @cached_property
    def differences(self) -> dict[str, Difference]:
        """The difference of each system to the reference."""
        return {name: self.difference(name, self.reference) for name in self.systems if name != self.reference}

    @cached_property
    def main_difference(self) -> Difference | None:
        """LAMAE minus independent leads, where both are there and it is not among `differences` already."""
        if {LATENT_ATTENTION, INDEPENDENT} <= set(self.systems) and self.reference != INDEPENDENT:
            return self.difference(LATENT_ATTENTION, INDEPENDENT)
        return None

    @property
    def all_differences(self) -> list[Difference]:
        """Every system minus the reference, and LAMAE minus independent leads where that is another one."""
        return [*self.differences.values(), *([self.main_difference] if self.main_difference else [])]

    @cached_property
    def label_rows(self) -> list[LabelRow]:
        """The labels in the order in which tables show them."""
        return label_rows(self.labels, self.group.first.info)

    def difference(self, system: str, reference: str) -> Difference:
        """Return the difference of two systems; it is not tested where only one of them saw tested patients."""
        leaks = [{leak_words(entry.info) for entry in self.group.systems[name]} for name in (system, reference)]
        ours, theirs = (
            (name, self.by_seed[name], {entry: self.alike[entry] for entry in self.group.systems[name]})
            for name in (system, reference)
        )
        found = difference(
            ours,
            theirs,
            rows=self.rows,
            kind=self.kind,
            level=self.level,
            permutations=self.settings.permutations if leaks[0] == leaks[1] else 0,
        )
        return found if leaks[0] == leaks[1] else found.untested()


def judge_group(group: Group, settings: Settings) -> Judged:
    """Compute all figures of one table.

    Raises:
        DataError: The results cannot stand in one table.
        ConfigError: There is no such reference.
    """
    warnings = [*group.warnings, *check_group(group)]
    labels, alike = evaluations_alike(group)
    held = alike[group.first].info.get("bootstrap", {})
    draws, kind = settings.draws or held.get("draws", 1000), kind_of(list(alike.values()))
    return Judged(
        group=group,
        labels=labels,
        alike=alike,
        kind=kind,
        by_seed={
            system: _by_seed(entries, alike, kind, draws=draws, seed=held.get("seed", 0))
            for system, entries in group.systems.items()
        },
        reference=choose_reference(group, settings.reference),
        level=float(held.get("level", 0.95)),
        draws=draws,
        settings=settings,
        warnings=warnings,
    )


def choose_reference(group: Group, reference: str | None) -> str:
    """Return the name of the system that the others are held against.

    Raises:
        ConfigError: There is no such system.
    """
    systems = list(group.systems)
    if reference is not None:
        if reference not in systems:
            raise ConfigError(f"no system {reference!r} in the table {group.name}: {', '.join(map(repr, systems))}")
        return reference
    random = [name for name, entries in group.systems.items() if entries[0].initialisation == "random"]
    return next((name for name in (*_PREFERRED_REFERENCES, *random) if name in systems), systems[0])


def _by_seed(
    entries: Sequence[Entry], alike: Mapping[Entry, Evaluation], kind: Kind, *, draws: int, seed: int
) -> Seeds:
    """Return the metrics of each seed of a system, averaged over its draws of labels."""
    return {
        number: mean_of([draw(alike[entry], kind, draws=draws, seed=seed) for entry in own])
        for number, own in grouped(entries, lambda entry: entry.seed).items()
    }


def label_rows(labels: Sequence[str], info: Mapping[str, Any]) -> list[LabelRow]:
    """Return the labels in the order of their tree, with their depth below those ancestors that are labels too.

    Without a tree (``labels.paths`` of the result) they stand by their number of positives, most first.

    Args:
        labels: Names of the labels.
        info: A result that has them.
    """
    held, titles = info["labels"], info["labels"].get("titles") or {}
    paths = {name: _whole_path(name, held.get("paths") or {}) for name in labels}
    if held.get("paths"):
        ordered = sorted(labels, key=paths.__getitem__)
    else:
        positives = {str(row["label"]): row.get("positives") or 0 for row in info["per_label"]}
        ordered = sorted(labels, key=lambda name: -positives.get(name, 0))
    depths = {name: sum(ancestor in paths for ancestor in path[:-1]) for name, path in paths.items()}
    return [LabelRow(name, depths[name], str(titles.get(name, ""))) for name in ordered]


def _whole_path(name: str, paths: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    path = tuple(map(str, paths.get(name) or ()))
    return path if path and path[-1] == name else (*path, name)
