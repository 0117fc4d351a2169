"""The tables of scores: the main metric by label in the order of the ICD tree, and all macro metrics."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lamae.compare.captions import caption_of
from lamae.compare.hierarchy import label_rows, positives_words
from lamae.compare.judged import MACRO, Judged
from lamae.compare.over_seeds import OverSeeds
from lamae.compare.table import NOTHING, Cell, Mark, Row, Table
from lamae.report.wording import metric_name, number

_LOWER_IS_BETTER = ("mae", "brier", "ece")
POSITIVES = "Positives (patients)"


def label_table(judged: Judged, key: str) -> Table:
    """Return the papers' table: rows by the hierarchy, columns by system, best and second marked, stars after Holm."""
    values = {system: judged.values(system, judged.metric) for system in judged.systems}
    info = judged.group.first.info
    rows = [Row(name=MACRO, cells=[Cell(text=""), *_cells(judged, values, MACRO)])]
    for label in label_rows(judged.labels, info):
        positives = Cell(text=positives_words(info, label.name))
        cells = [positives, *_cells(judged, values, label.name)]
        rows.append(Row(name=label.name, title=label.title, depth=label.depth, cells=cells))
    name = metric_name(judged.metric)
    return Table(
        key=key,
        title=f"{name} by label: {judged.group.name}",
        caption=caption_of(judged, f"{name} (best bold, second in italics or underlined)", correction=True),
        corner="Label",
        columns=[POSITIVES, *judged.systems],
        rows=rows,
        records=[record for system in judged.systems for record in _records(judged, system, values[system])],
        notes=judged.warnings,
    )


def macro_table(judged: Judged, key: str) -> Table:
    """Return all macro metrics, a row a system."""
    macros = {system: macro_values(judged, system) for system in judged.systems}
    metrics = list(dict.fromkeys(name for found in macros.values() for name in found))
    columns = {name: _marks([macros[s].get(name) for s in judged.systems], name) for name in metrics}
    rows = [
        Row(
            name=system,
            cells=[
                score_cell(
                    macros[system].get(name), mark=columns[name][index], stars=_macro_stars(judged, system, name)
                )
                for name in metrics
            ],
        )
        for index, system in enumerate(judged.systems)
    ]
    return Table(
        key=key,
        title=f"Macro metrics: {judged.group.name}",
        caption=caption_of(judged, f"Means over labels{_thresholds_words(judged)}", correction=True),
        corner="System",
        columns=[metric_name(name) for name in metrics],
        rows=rows,
        records=[
            {"system": system, "metric": name, **_figures(found)}
            for system, values in macros.items()
            for name, found in values.items()
        ],
        notes=judged.warnings,
    )


def macro_values(judged: Judged, system: str) -> dict[str, OverSeeds]:
    """Return the macro metrics of a system; those that no draws give are read from its results."""
    found = {name: judged.values(system, name)[MACRO] for name in judged.metrics}
    entries = judged.group.systems[system]
    whole = all(len(entry.evaluation.label_names) == len(judged.labels) for entry in entries)
    for name in entries[0].info["metrics"]:
        metric = name.removeprefix("macro_")
        if metric in found or not whole or not all(name in entry.info["metrics"] for entry in entries):
            continue
        values = [(entry.seed, entry.evaluation.metric(name)) for entry in entries]
        by_seed = {seed: [interval.value for own, interval in values if own == seed] for seed, _ in values}
        means = [sum(several) / len(several) for several in by_seed.values()]
        mean = sum(means) / len(means)
        spread = math.sqrt(sum((one - mean) ** 2 for one in means) / (len(means) - 1)) if len(means) > 1 else math.nan
        ends = (values[0][1].low, values[0][1].high) if len(values) == 1 else (math.nan, math.nan)
        found[metric] = OverSeeds(value=mean, low=ends[0], high=ends[1], sd=spread, num_seeds=len(means))
    return {f"macro_{name}": value for name, value in found.items()}


def score_cell(found: OverSeeds | None, *, mark: Mark = "", stars: str = "") -> Cell:
    """Show a value with its spread over seeds, and its interval below it."""
    if found is None or math.isnan(found.value):
        return Cell(text=NOTHING)
    spread = "" if math.isnan(found.sd) else f" ± {number(found.sd)}"
    return Cell(text=f"{number(found.value)}{spread}", note=interval_words(found), mark=mark, stars=stars)


def interval_words(found: OverSeeds) -> str:
    """Return ``[0.812, 0.846]``, empty where there is none."""
    return "" if math.isnan(found.low) or math.isnan(found.high) else f"[{number(found.low)}, {number(found.high)}]"


def _cells(judged: Judged, values: Mapping[str, Mapping[str, OverSeeds]], row: str) -> list[Cell]:
    found = [values[system][row] for system in judged.systems]
    marks = _marks(found, judged.metric)
    return [
        score_cell(one, mark=mark, stars=_stars(judged, system, row))
        for system, one, mark in zip(judged.systems, found, marks, strict=True)
    ]


def _stars(judged: Judged, system: str, row: str) -> str:
    return judged.differences[system].stars(row) if system in judged.differences else ""


def _macro_stars(judged: Judged, system: str, name: str) -> str:
    return _stars(judged, system, MACRO) if name == f"macro_{judged.metric}" else ""


def _marks(values: Sequence[OverSeeds | None], metric: str) -> list[Mark]:
    """Mark the best and the second of a row as they are shown: what rounds alike is marked alike."""
    sign = 1 if metric.rpartition("_")[2] in _LOWER_IS_BETTER else -1
    shown = [None if one is None or math.isnan(one.value) else sign * round(one.value, 3) for one in values]
    ranked = sorted({value for value in shown if value is not None})
    marks: dict[float | None, Mark] = dict(zip(ranked, ("best", "second"), strict=False))
    return [marks.get(value, "") if value is not None else "" for value in shown]


def _records(judged: Judged, system: str, values: Mapping[str, OverSeeds]) -> list[dict[str, Any]]:
    labels = {row.name: row for row in label_rows(judged.labels, judged.group.first.info)}
    return [
        {
            "label": row,
            "title": labels[row].title if row in labels else "",
            "depth": labels[row].depth if row in labels else "",
            "system": system,
            "metric": judged.metric,
            **_figures(found),
            "stars": _stars(judged, system, row),
        }
        for row, found in values.items()
    ]


def _figures(found: OverSeeds) -> dict[str, Any]:
    figures = {"value": found.value, "low": found.low, "high": found.high, "sd_seeds": found.sd}
    known = {name: "" if math.isnan(value) else value for name, value in figures.items()}
    return {**known, "seeds": found.num_seeds}


def _thresholds_words(judged: Judged) -> str:
    policies = {str((entry.info.get("thresholds") or {}).get("policy")) for entry in judged.group.entries} - {"None"}
    if not policies:
        return ""
    words = " and ".join("chosen on validation studies" if one == "validation" else one for one in sorted(policies))
    return f" (threshold of F1: {words}; lower is better for Brier score and ECE)"
