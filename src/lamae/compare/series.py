"""Scores over several tables: over the number of labels, and over conditions of the test signals."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lamae.compare.charts import as_chart, efficiency, robustness
from lamae.compare.checks import simulated_words
from lamae.compare.entry import AS_RECORDED, Entry, share_words
from lamae.compare.groups import Group
from lamae.compare.judged import MACRO, Judged, Settings, judge_group
from lamae.compare.marks import SystemStyle
from lamae.compare.over_seeds import OverSeeds
from lamae.compare.score_tables import score_cell
from lamae.compare.table import Chart, Row, Table
from lamae.report.wording import metric_name
from lamae.results import restricted


def efficiency_series(groups: Sequence[Group]) -> list[list[Group]]:
    """Return the tables that differ in the share of labels only, fewest labels first; each list has two or more."""
    by_rest = _by_rest([g for g in groups if g.condition == AS_RECORDED], lambda g: (g.task, g.protocol, g.readout))
    ordered = [sorted(found, key=num_labelled) for found in by_rest]
    return [found for found in ordered if len({group.share for group in found}) > 1]


def condition_series(groups: Sequence[Group]) -> list[list[Group]]:
    """Return the tables that differ in the condition only, as recorded first; each list has two or more."""
    by_rest = _by_rest(groups, lambda g: (g.task, g.protocol, g.readout, g.share))
    ordered = [sorted(found, key=lambda group: group.condition != AS_RECORDED) for found in by_rest]
    return [found for found in ordered if len({group.condition for group in found}) > 1]


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
    curves: dict[str, list[tuple[float, OverSeeds]]] = {}
    for judged in series:
        for system in judged.systems:
            found = judged.values(system, judged.metric)[MACRO]
            curves.setdefault(system, []).append((num_labelled(judged.group), found))
    first = series[-1]
    name = f"macro {metric_name(first.metric)}"
    draws = {len({entry.label_draw for entry in judged.group.entries}) for judged in series[:-1]}
    caption = (
        f"{simulated_words(first.group.entries)}{_capital(name)} over the {len(first.labels)} labels that every share "
        f"of the labels could teach. Mean over seeds and draws of labelled patients ({_joined(draws)} draws below all "
        f"labels); whiskers: {100 * first.level:g} % intervals over patients, and seeds where there are several, "
        f"drawn a little aside of each other."
    )
    title = f"Label efficiency: {_shared_name(first.group)}"
    chart = as_chart(efficiency(curves, styles, y_label=name), key=key, title=title, caption=caption)
    columns = [f"{share_words(judged.group.share)} ({num_labelled(judged.group):,.0f})" for judged in series]
    return chart, _table(series, list(curves), columns, key=key, title=title, caption=caption)


def robustness_chart(series: Sequence[Judged], styles: Mapping[str, SystemStyle], key: str) -> tuple[Chart, Table]:
    """Draw macro under each condition, and return its figures as a table."""
    rows = {
        judged.group.condition: {system: judged.values(system, judged.metric)[MACRO] for system in judged.systems}
        for judged in series
    }
    first = series[0]
    name = f"macro {metric_name(first.metric)}"
    alike = [judged.group.condition for judged in series if _is_trained_alike(judged)]
    anew = f"was learned or selected anew, except for {'; '.join(alike)}" if alike else "was learned or selected anew"
    caption = (
        f"{simulated_words(first.group.entries)}{_capital(name)} when only the test signals are changed; nothing "
        f"{anew}. {100 * first.level:g} % intervals over patients, and seeds where there are several."
    )
    title = f"Robustness: {_shared_name(first.group)}, {share_words(first.group.share)}"
    systems = list(dict.fromkeys(system for judged in series for system in judged.systems))
    chart = as_chart(robustness(rows, styles, x_label=name), key=key, title=title, caption=caption)
    return chart, _table(series, systems, list(rows), key=key, title=title, caption=caption)


def _is_trained_alike(judged: Judged) -> bool:
    """Whether the training signals were changed as the test signals were."""
    return any((entry.info.get("condition") or {}).get("trained") == "alike" for entry in judged.group.entries)


def _table(
    series: Sequence[Judged], systems: Sequence[str], columns: Sequence[str], *, key: str, title: str, caption: str
) -> Table:
    values = [{system: judged.values(system, judged.metric)[MACRO] for system in judged.systems} for judged in series]
    return Table(
        key=key,
        title=title,
        caption=caption,
        corner="System",
        columns=list(columns),
        rows=[Row(name=name, cells=[score_cell(found.get(name)) for found in values]) for name in systems],
        records=[
            {
                "system": system,
                "labels": share_words(judged.group.share),
                "labelled_studies": num_labelled(judged.group),
                "condition": judged.group.condition,
                "metric": f"macro_{judged.metric}",
                "value": one.value,
                "low": one.low,
                "high": one.high,
                "sd_seeds": "" if np.isnan(one.sd) else one.sd,
                "seeds": one.num_seeds,
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


def _by_rest(groups: Sequence[Group], rest) -> list[list[Group]]:
    found: dict[object, list[Group]] = {}
    for group in groups:
        found.setdefault(rest(group), []).append(group)
    return list(found.values())


def _shared_name(group: Group) -> str:
    return ", ".join(str(part) for part in (group.task[3], group.protocol, group.readout) if part)


def _joined(numbers: set[int]) -> str:
    return " or ".join(map(str, sorted(numbers)))


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
