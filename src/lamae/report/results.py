"""Results as the page shows them: one table and one chart by label for each task, systems side by side."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lamae.errors import DataError
from lamae.metrics import Interval
from lamae.report.axis import Mark, Scale, is_known, make_mark, make_scale
from lamae.report.facts import facts_by_system, shared_facts, skipped_labels, warnings
from lamae.report.folders import Result
from lamae.report.style import MARK_PATHS, NUM_SERIES
from lamae.report.wording import number, signed, with_interval
from lamae.results import is_pretrained, is_random_control, paired_difference, task_of

LABELS_IN_CHART = 30
"""A chart shows the labels with the most positives up to this number; the table below it holds all."""

_PROBES = {"attention-pool": "attention pooling", "mlp": "perceptron", "knn": "neighbours"}
"""Protocols of frozen encoders that are no linear probe, in two words."""


def short_protocol(info: Mapping[str, Any]) -> str:
    """Return how a result was judged, in two words."""
    kind = str(info["kind"])
    if kind == "finetune":
        return "head alone" if info.get("finetune", {}).get("train") == "head" else "all weights"
    return _PROBES.get(str(info.get("protocol_id")), "linear probe" if kind in ("probe", "handmade") else kind)


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
        """How it was judged, in two words; the facts below the table give the whole protocol."""
        return short_protocol(self.info)

    @property
    def info(self) -> Mapping[str, Any]:
        """What ``result.json`` says."""
        return self.result.info


@dataclass(frozen=True, kw_only=True)
class LabelRow:
    """One label: how often it is there, and what each system reaches (None where a system has no figure)."""

    name: str
    positives: int
    studies: int
    marks: Sequence[Mark]
    cells: Sequence[Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class Task:
    """All results on one label set of one cohort.

    Attributes:
        main: The system that the page speaks of first: the first pretrained one in the order of the inputs.
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
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        groups.setdefault(task_of(result.info), []).append(result)
    return [_make_task(group) for group in groups.values()]


def _make_task(results: Sequence[Result]) -> Task:
    scale = make_scale([result.info["metrics"].get("macro_auroc") for result in results])
    controls = [result for result in results if is_random_control(result.info)]
    styles = _styles(results)
    systems = [_make_system(result, controls, style, scale) for result, style in zip(results, styles, strict=True)]
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
    shapes = [shape for shape in MARK_PATHS if shape != "ring"]
    styles, count = [], 0
    for result in results:
        if is_random_control(result.info):
            styles.append(("control", "ring"))
        else:
            styles.append((f"series-{count % NUM_SERIES}", shapes[count % len(shapes)]))
            count += 1
    return styles


def _control_of(result: Result, controls: Sequence[Result]) -> Result | None:
    """Return the random control with the same read-out; the first one for a system that reads out no encoder."""
    readout = result.info.get("readout")
    return next((one for one in controls if readout is None or one.info.get("readout") == readout), None)


def _make_system(result: Result, controls: Sequence[Result], style: tuple[str, str], scale: Scale | None) -> System:
    difference, note = "", ""
    control = _control_of(result, controls)
    if controls and control is None:
        readout = result.info["readout"]
        note = f"{result.system}: no paired difference, because no random control has the read-out {readout}."
    if control is not None and not is_random_control(result.info):
        try:
            difference = with_interval(vars(_difference(result, control)), signed)
        except DataError as error:
            note = f"{result.system}: no paired difference to {control.system}, because {error}."
    macro = result.info["metrics"].get("macro_auroc")
    return System(
        result=result,
        colour=style[0],
        shape=style[1],
        metrics={name: with_interval(value, number) for name, value in result.info["metrics"].items()},
        mark=make_mark(macro, scale, style, result.system),
        difference=difference,
        difference_note=note,
    )


def _difference(result: Result, control: Result) -> Interval:
    if result.evaluation is None or control.evaluation is None:
        raise DataError("the predictions are not there", reason="missing-file")
    return paired_difference(result.evaluation, control.evaluation)


def _label_rows(systems: Sequence[System], main: System, scale: Scale | None) -> list[LabelRow]:
    """Return a row a label, sorted by what the main system reaches, unknown ones last."""
    by_system = [{str(row["label"]): row for row in system.info["per_label"]} for system in systems]
    names = list(dict.fromkeys(name for rows in by_system for name in rows))
    reached = {str(row["label"]): row.get("auroc") for row in main.info["per_label"]}

    def order(name: str) -> tuple[float, str]:
        interval = reached.get(name)
        return (-interval["value"] if interval is not None and is_known(interval) else math.inf, name)

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
