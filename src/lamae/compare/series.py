"""Scores over several tables: over the number of labels, and over conditions of the test signals."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lamae.compare.charts import Chart, SystemStyle, as_chart, efficiency, robustness
from lamae.compare.entry import AS_RECORDED, Entry, amount_words, foreword
from lamae.compare.estimates import MACRO, OverSeeds
from lamae.compare.groups import Group
from lamae.compare.judged import Judged, Settings, judge_group
from lamae.compare.score_tables import recorded, score_cell
from lamae.compare.table import Row, Table
from lamae.report.wording import heading, metric_name
from lamae.results import grouped, restricted


def efficiency_series(groups: Sequence[Group]) -> list[list[Group]]:
    """Return the tables that differ in the amount of labels only, fewest labels first; each list has two or more."""
    recorded = [group for group in groups if group.condition == AS_RECORDED]
    found = grouped(recorded, lambda group: (group.task, group.protocol, group.readout)).values()
    return [sorted(own, key=num_labelled) for own in found if len({group.amount for group in own}) > 1]


def condition_series(groups: Sequence[Group]) -> list[list[Group]]:
    """Return the tables that differ in the condition only, as recorded first; each list has two or more."""
    found = grouped(groups, lambda group: (group.task, group.protocol, group.readout, group.amount)).values()
    several = [own for own in found if len({group.condition for group in own}) > 1]
    return [sorted(own, key=lambda group: group.condition != AS_RECORDED) for own in several]


def num_labelled(group: Group) -> float:
    """Return the number of labelled training studies, the mean over systems and draws."""
    sizes = [(entry.info["split"].get("train") or {}).get("studies", np.nan) for entry in group.entries]
    return float(np.mean(sizes))


def judge_alike(groups: Sequence[Group], judged: Mapping[tuple[str, ...], Judged], settings: Settings) -> list[Judged]:
    """Judge several tables on the labels that all of them have; those already judged on just these are taken over.

    Few labels cannot teach rare codes: a mean over other codes would be another figure.
    """
    known = [set(entry.evaluation.label_names) for group in groups for entry in group.entries]
    common = [name for name in groups[0].first.evaluation.label_names if all(name in names for names in known)]
    found = []
    for group in groups:
        done = judged.get(group.name_parts)
        found.append(done if done and set(done.labels) == set(common) else judge_group(_on(group, common), settings))
    return found


def efficiency_chart(series: Sequence[Judged], styles: Mapping[str, SystemStyle], key: str) -> tuple[Chart, Table]:
    """Draw macro over the number of labelled studies, and return its figures as a table."""
    first, values = series[-1], _macros(series)
    curves: dict[str, list[tuple[float, OverSeeds]]] = {}
    for judged, found in zip(series, values, strict=True):
        for system, one in found.items():
            curves.setdefault(system, []).append((num_labelled(judged.group), one))
    name = f"macro {metric_name(first.metric)}"
    draws = sorted({len({entry.label_draw for entry in judged.group.entries}) for judged in series[:-1]})
    caption = (
        f"{foreword(first.group.entries)}{heading(name)} over the {len(first.labels)} labels that every share "
        f"of the labels could teach. Mean over seeds and draws of labelled patients ({' or '.join(map(str, draws))} "
        f"draws below all labels); whiskers: {100 * first.level:g} % intervals over patients, and seeds where there "
        f"are several, drawn a little aside of each other."
    )
    figure, title = efficiency(curves, styles, y_label=name), f"Label efficiency: {_shared_name(first.group)}"
    chart = as_chart(figure, key=key, title=title, caption=caption)
    columns = [f"{amount_words(judged.group.amount)} ({num_labelled(judged.group):,.0f})" for judged in series]
    return chart, _table(series, values, columns, chart)


def robustness_chart(series: Sequence[Judged], styles: Mapping[str, SystemStyle], key: str) -> tuple[Chart, Table]:
    """Draw macro under each condition, and return its figures as a table."""
    first, values = series[0], _macros(series)
    conditions = [judged.group.condition for judged in series]
    name = f"macro {metric_name(first.metric)}"
    alike = [judged.group.condition for judged in series if _is_trained_alike(judged)]
    exception = f", except for {'; '.join(alike)}" if alike else ""
    caption = (
        f"{foreword(first.group.entries)}{heading(name)} when only the test signals are changed; nothing was "
        f"learned or selected anew{exception}. {100 * first.level:g} % intervals over patients, and seeds where there "
        "are several."
    )
    figure = robustness(dict(zip(conditions, values, strict=True)), styles, x_label=name)
    title = f"Robustness: {_shared_name(first.group)}, {amount_words(first.group.amount)}"
    chart = as_chart(figure, key=key, title=title, caption=caption)
    return chart, _table(series, values, conditions, chart)


def _macros(series: Sequence[Judged]) -> list[dict[str, OverSeeds]]:
    """Return for each table the macro of each system."""
    return [{system: judged.values(system, judged.metric)[MACRO] for system in judged.systems} for judged in series]


def _is_trained_alike(judged: Judged) -> bool:
    """Return True if the training signals were changed as the test signals were."""
    return any((entry.info.get("condition") or {}).get("trained") == "alike" for entry in judged.group.entries)


def _table(
    series: Sequence[Judged], values: Sequence[Mapping[str, OverSeeds]], columns: Sequence[str], chart: Chart
) -> Table:
    systems = dict.fromkeys(system for found in values for system in found)
    return Table(
        key=chart.key,
        title=chart.title,
        caption=chart.caption,
        corner="System",
        columns=columns,
        rows=[Row(name=name, cells=[score_cell(found.get(name)) for found in values]) for name in systems],
        records=[
            {
                "system": system,
                "labels": amount_words(judged.group.amount),
                "labelled_studies": num_labelled(judged.group),
                "condition": judged.group.condition,
                "metric": f"macro_{judged.metric}",
                **recorded(one),
            }
            for judged, found in zip(series, values, strict=True)
            for system, one in found.items()
        ],
    )


def _on(group: Group, labels: Sequence[str]) -> Group:
    """Return a table with some of the labels only."""
    systems = {
        system: [Entry(folder=entry.folder, evaluation=restricted(entry.evaluation, labels)) for entry in entries]
        for system, entries in group.systems.items()
    }
    return replace(group, systems=systems)


def _shared_name(group: Group) -> str:
    return ", ".join(str(part) for part in (group.task[3], group.protocol, group.readout) if part)
