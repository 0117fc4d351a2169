"""Results as the page shows them: one table and one chart by label for each task, systems side by side."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, TypeGuard

from lamae.errors import DataError
from lamae.report.facts import facts_by_system, shared_facts, skipped_labels, warnings
from lamae.report.folders import Result
from lamae.report.style import MARK_PATHS, NUM_SERIES
from lamae.report.wording import number, signed, with_interval
from lamae.results import grouped, is_pretrained, is_random_control, leak_words, paired_difference, task_of

LABELS_IN_CHART = 30
"""A chart shows the labels with the most positives up to this number; the table below it holds all."""

_PROBES = {"attention-pool": "attention pooling", "mlp": "perceptron", "knn": "neighbours"}
"""Protocols of frozen encoders that are no linear probe, in two words."""


_STEPS, _WIDEST_STEP = ((0.05, 0.3), (0.1, 0.6)), 0.2
"""Distances of the ticks, each with the widest spread of values that it serves, so that their numbers do not touch."""


def short_protocol(info: Mapping[str, Any]) -> str:
    """Return the protocol of a result in two words."""
    kind = str(info["kind"])
    if kind == "finetune":
        return "head alone" if info.get("finetune", {}).get("train") == "head" else "all weights"
    return _PROBES.get(str(info.get("protocol_id")), "linear probe" if kind in ("probe", "handmade") else kind)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A horizontal axis from ``low`` to ``high`` with its ticks."""

    low: float
    high: float
    step: float

    def percent(self, value: float) -> float:
        """Return where a value lies on the axis, 0 to 100."""
        fraction = (value - self.low) / (self.high - self.low)
        return round(100 * min(1.0, max(0.0, fraction)), 2)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Places in percent with their words."""
        count = round((self.high - self.low) / self.step)
        values = [self.low + index * self.step for index in range(count + 1)]
        return [(self.percent(value), number(value, 2)) for value in values]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A value with its interval in a chart, places in percent of the axis."""

    centre: float
    low: float
    high: float
    words: str
    colour: str
    shape: str


@dataclass(frozen=True, kw_only=True)
class System:
    """One RESULT as a row of the table."""

    result: Result
    colour: str
    shape: str
    metrics: Mapping[str, str]
    mark: Mark | None
    difference: str
    difference_note: str

    @property
    def short_protocol(self) -> str:
        """Protocol in two words; the facts below the table give the whole of it."""
        return short_protocol(self.info)

    @property
    def info(self) -> Mapping[str, Any]:
        """Content of ``result.json``."""
        return self.result.info


@dataclass(frozen=True, kw_only=True)
class LabelRow:
    """One label: its counts, and the metrics of each system as far as a system has them."""

    name: str
    positives: int
    studies: int
    marks: Sequence[Mark]
    cells: Sequence[Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class Task:
    """All results on one label set of one cohort.

    Attributes:
        main: The system of the headline: the first pretrained one in the order of the inputs.
        metrics: Names of the macro metrics in the order of the columns.
        scale: Axis of the macro chart, None where the results hold no AUROC.
        label_scale: Axis of the chart by label.
    """

    name: str
    cohort: str
    cohort_version: str
    simulated: bool
    main: System
    control: System | None
    systems: Sequence[System]
    metrics: Sequence[str]
    scale: Scale | None
    label_scale: Scale | None
    labels: Sequence[LabelRow]
    skipped: Sequence[str]
    warnings: Sequence[str]
    facts: Sequence[str]
    notes: Sequence[str] = field(default_factory=list)

    @property
    def charted(self) -> Sequence[LabelRow]:
        """The labels of the chart, best first."""
        judged = [row for row in self.labels if row.marks]
        common = {row.name for row in sorted(judged, key=lambda row: -row.positives)[:LABELS_IN_CHART]}
        return [row for row in judged if row.name in common]


def make_tasks(results: Sequence[Result]) -> list[Task]:
    """Group results by task, in the order of the inputs."""
    return [_make_task(group) for group in grouped(results, lambda result: task_of(result.info)).values()]


def _make_task(results: Sequence[Result]) -> Task:
    scale = make_scale([result.info["metrics"].get("macro_auroc") for result in results])
    controls = [result for result in results if is_random_control(result.info)]
    systems = [_make_system(*one, controls, scale) for one in zip(results, _styles(results), strict=True)]
    main = next((one for one in systems if is_pretrained(one.info)), systems[0])
    every_label = [row for result in results for row in result.info["per_label"]]
    label_scale = make_scale([row.get("auroc") for row in every_label])
    data, labels = main.info["data"], main.info["labels"]
    return Task(
        name=labels["set"],
        cohort=data["cohort"],
        cohort_version=str(data["cohort_version"]),
        simulated=bool(data["simulated"]),
        main=main,
        control=next((one for one in systems if one.result in controls), None),
        systems=systems,
        metrics=list(dict.fromkeys(name for result in results for name in result.info["metrics"])),
        scale=scale,
        label_scale=label_scale,
        labels=_label_rows(systems, main, label_scale),
        skipped=skipped_labels(results),
        warnings=warnings(results),
        facts=[*shared_facts(main.info), *facts_by_system(results)],
        notes=list(dict.fromkeys(one.difference_note for one in systems if one.difference_note)),
    )


def _styles(results: Sequence[Result]) -> list[tuple[str, str]]:
    """Return a colour and a shape for each result; the random control is grey."""
    colours = cycle(f"series-{number}" for number in range(NUM_SERIES))
    shapes = cycle(shape for shape in MARK_PATHS if shape != "ring")
    return [
        ("control", "ring") if is_random_control(result.info) else (next(colours), next(shapes)) for result in results
    ]


def _make_system(result: Result, style: tuple[str, str], controls: Sequence[Result], scale: Scale | None) -> System:
    difference, note = _difference(result, controls)
    metrics = result.info["metrics"]
    return System(
        result=result,
        colour=style[0],
        shape=style[1],
        metrics={name: with_interval(value, number) for name, value in metrics.items()},
        mark=make_mark(metrics.get("macro_auroc"), scale, style, result.system),
        difference=difference,
        difference_note=note,
    )


def _difference(result: Result, controls: Sequence[Result]) -> tuple[str, str]:
    """Return the paired difference to the random control with the same read-out, and a note where there is none."""
    readout = result.info.get("readout")
    control = next((one for one in controls if readout is None or one.info.get("readout") == readout), None)
    if control is None:
        note = f"{result.system}: no paired difference, because no random control has the read-out {readout}."
        return "", note if controls else ""
    if is_random_control(result.info):
        return "", ""
    try:
        if leak_words(result.info) != leak_words(control.info):
            raise DataError(f"it {leak_words(result.info) or 'saw none of them'}", reason="leak-differs")
        if result.evaluation is None or control.evaluation is None:
            raise DataError("the predictions are not there", reason="missing-file")
        return with_interval(vars(paired_difference(result.evaluation, control.evaluation)), signed), ""
    except DataError as error:
        return "", f"{result.system}: no paired difference to {control.system}, because {error}."


def _label_rows(systems: Sequence[System], main: System, scale: Scale | None) -> list[LabelRow]:
    """Return a row for each label, sorted by the AUROC of the main system, unknown ones last."""
    by_system = [{str(row["label"]): row for row in system.info["per_label"]} for system in systems]
    names = list(dict.fromkeys(name for rows in by_system for name in rows))
    reached = {str(row["label"]): row.get("auroc") for row in main.info["per_label"]}

    def order(name: str) -> tuple[float, str]:
        interval = reached.get(name)
        return (-interval["value"] if _is_known(interval) else math.inf, name)

    return [_label_row(name, systems, by_system, scale) for name in sorted(names, key=order)]


def _label_row(
    name: str, systems: Sequence[System], by_system: Sequence[Mapping[str, Any]], scale: Scale | None
) -> LabelRow:
    present = next(rows[name] for rows in by_system if name in rows)
    found = [rows.get(name, {}) for rows in by_system]
    marks = [
        make_mark(row.get("auroc"), scale, (system.colour, system.shape), system.result.system)
        for system, row in zip(systems, found, strict=True)
    ]
    return LabelRow(
        name=name,
        positives=int(present.get("positives") or 0),
        studies=int(present.get("studies") or 0),
        marks=[mark for mark in marks if mark is not None],
        cells=[
            {metric: with_interval(value, number) for metric, value in row.items() if isinstance(value, Mapping)}
            for row in found
        ],
    )


def make_scale(intervals: Sequence[Mapping[str, float] | None]) -> Scale | None:
    """Return an axis that holds every interval between its round ends, None where there is none."""
    known = [interval for interval in intervals if _is_known(interval)]
    values = [one[end] for one in known for end in ("value", "low", "high") if _is_number(one[end])]
    if not values:
        return None
    spread = max(values) - min(values)
    step = next((step for step, most in _STEPS if spread <= most), _WIDEST_STEP)
    low = max(0.0, math.floor(round(min(values) / step, 6)) * step)
    high = max(min(1.0, math.ceil(round(max(values) / step, 6)) * step), low + step)
    return Scale(low=round(low, 2), high=round(high, 2), step=step)


def make_mark(
    interval: Mapping[str, float] | None, scale: Scale | None, style: tuple[str, str], name: str
) -> Mark | None:
    """Place an interval of a system on an axis, with its colour and shape; None where there is no value or no axis."""
    if scale is None or not _is_known(interval):
        return None
    low, high = (interval[end] if _is_number(interval[end]) else interval["value"] for end in ("low", "high"))
    return Mark(
        centre=scale.percent(interval["value"]),
        low=scale.percent(low),
        high=scale.percent(high),
        words=f"{name}: {with_interval(interval, number)}",
        colour=style[0],
        shape=style[1],
    )


def _is_known(interval: Mapping[str, Any] | None) -> TypeGuard[Mapping[str, float]]:
    """Return True if there is a finite value."""
    return interval is not None and _is_number(interval.get("value"))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
