"""The tables of scores: the main metric by label in the order of the ICD tree, all macro metrics, and captions."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lamae.compare.entry import AS_RECORDED, amount_words, foreword
from lamae.compare.estimates import MACRO, OverSeeds
from lamae.compare.groups import Group
from lamae.compare.judged import Judged, LabelRow
from lamae.compare.table import Cell, Mark, Row, Table, known
from lamae.report.wording import NOTHING, metric_name, number
from lamae.results import grouped

_LOWER_IS_BETTER = ("mae", "brier", "ece")
POSITIVES = "Positives (patients)"


def label_table(judged: Judged, key: str) -> Table:
    """Return the papers' table: rows by the hierarchy, columns by system, best and second marked, stars after Holm."""
    values = {system: judged.values(system, judged.metric) for system in judged.systems}
    rows = []
    for label in [LabelRow(MACRO, 0, ""), *judged.label_rows]:
        scores = _cells(judged, [found[label.name] for found in values.values()], judged.metric, label.name)
        cells = [Cell(text=_positives_words(judged, label.name)), *scores]
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
    columns = [_cells(judged, [found.get(name) for found in macros.values()], name, MACRO) for name in metrics]
    rows = [Row(name=system, cells=cells) for system, *cells in zip(macros, *columns, strict=True)]
    return Table(
        key=key,
        title=f"Macro metrics: {judged.group.name}",
        caption=caption_of(judged, f"Means over labels{_thresholds_words(judged)}", correction=True),
        corner="System",
        columns=[metric_name(name) for name in metrics],
        rows=rows,
        records=[
            {"system": system, "metric": name, **recorded(found)}
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
    for name in entries[0].info["metrics"] if whole else ():
        metric = name.removeprefix("macro_")
        if metric in found or not all(name in entry.info["metrics"] for entry in entries):
            continue
        by_seed = grouped(entries, lambda entry: entry.seed).values()
        means = [sum(one.evaluation.metric(name).value for one in seed) / len(seed) for seed in by_seed]
        mean = sum(means) / len(means)
        spread = math.sqrt(sum((one - mean) ** 2 for one in means) / (len(means) - 1)) if len(means) > 1 else math.nan
        low, high = math.nan, math.nan
        if len(entries) == 1:
            low, high = entries[0].evaluation.metric(name).low, entries[0].evaluation.metric(name).high
        found[metric] = OverSeeds(value=mean, low=low, high=high, sd=spread, num_seeds=len(means))
    return {f"macro_{name}": value for name, value in found.items()}


def score_cell(found: OverSeeds | None, *, mark: Mark = "", stars: str = "") -> Cell:
    """Show a value with its spread over seeds, and its interval below it."""
    if found is None or math.isnan(found.value):
        return Cell(text=NOTHING)
    spread = "" if math.isnan(found.sd) else f" ± {number(found.sd)}"
    return Cell(text=f"{number(found.value)}{spread}", note=found.interval(number), mark=mark, stars=stars)


def _cells(judged: Judged, found: Sequence[OverSeeds | None], metric: str, row: str) -> list[Cell]:
    """Return the cells of one row or column of systems; the main metric has stars."""
    is_main = metric.removeprefix("macro_") == judged.metric
    return [
        score_cell(one, mark=mark, stars=_stars(judged, system, row) if is_main else "")
        for system, one, mark in zip(judged.systems, found, _marks(found, metric), strict=True)
    ]


def _stars(judged: Judged, system: str, row: str) -> str:
    return judged.differences[system].stars(row) if system in judged.differences else ""


def _marks(values: Sequence[OverSeeds | None], metric: str) -> list[Mark]:
    """Mark the best and the second of a row as they are shown: what rounds alike is marked alike."""
    sign = 1 if metric.rpartition("_")[2] in _LOWER_IS_BETTER else -1
    shown = [None if one is None or math.isnan(one.value) else sign * round(one.value, 3) for one in values]
    ranked = sorted({value for value in shown if value is not None})
    marks: dict[float | None, Mark] = dict(zip(ranked, ("best", "second"), strict=False))
    return [marks.get(value, "") if value is not None else "" for value in shown]


def _records(judged: Judged, system: str, values: Mapping[str, OverSeeds]) -> list[dict[str, Any]]:
    labels = {row.name: row for row in judged.label_rows}
    return [
        {
            "label": row,
            "title": labels[row].title if row in labels else "",
            "depth": labels[row].depth if row in labels else "",
            "system": system,
            "metric": judged.metric,
            **recorded(found),
            "stars": _stars(judged, system, row),
        }
        for row, found in values.items()
    ]


def recorded(found: OverSeeds) -> dict[str, Any]:
    """Return a value, its interval and its spread for a record."""
    return {**known(value=found.value, low=found.low, high=found.high, sd_seeds=found.sd), "seeds": found.num_seeds}


def _positives_words(judged: Judged, label: str) -> str:
    """Return ``"142 (97)"``: the number of tested studies and of patients that have a label."""
    row = next((row for row in judged.group.first.info["per_label"] if row["label"] == label), {})
    if (positives := row.get("positives")) is None:
        return ""
    patients = row.get("positive_patients")
    return f"{positives:,}" if patients is None else f"{positives:,} ({patients:,})"


def _thresholds_words(judged: Judged) -> str:
    policies = {str((entry.info.get("thresholds") or {}).get("policy")) for entry in judged.group.entries} - {"None"}
    if not policies:
        return ""
    words = " and ".join("chosen on validation studies" if one == "validation" else one for one in sorted(policies))
    return f" (threshold of F1: {words}; lower is better for Brier score and ECE)"


def caption_of(judged: Judged, what: str, *, correction: bool) -> str:
    """Return a caption: quantity, test set, protocol, meaning of intervals and stars, and selection of settings."""
    group, first = judged.group, judged.group.first
    data, split = first.info["data"], first.info["split"]
    test = split.get("test") or {}
    folds = split.get("cross_validated_folds")
    protocol = [
        f"Protocol {group.protocol}",
        f"read-out {group.readout}" if group.readout else "",
        f"{amount_words(group.amount)} of the training set",
        f"test signals: {group.condition}" if group.condition != AS_RECORDED else "",
        f"cross-validated over {folds} folds" if folds else "",
    ]
    parts = [
        f"{foreword(group.entries)}{what} on {data['cohort']} {data['cohort_version']}, label set "
        f"{group.task[3]} ({len(judged.labels)} labels), {test.get('studies', '?'):,} test studies of "
        f"{judged.num_patients:,} patients.",
        f"{', '.join(part for part in protocol if part)}.",
        f"{100 * judged.level:g} % intervals over {judged.draws:,} draws of patients{_seeds_words(judged)}.",
        _stars_words(judged) if correction else "",
        f"Labels without positives or negatives in the test set: policy “{first.info.get('absent_policy', 'skip')}”.",
        _selection_words(group),
    ]
    return " ".join(part for part in parts if part)


def _seeds_words(judged: Judged) -> str:
    counts = {system: len(seeds) for system, seeds in judged.by_seed.items()}
    if not judged.has_several_seeds:
        return ", one seed of pretraining each: other seeds are not in them"
    words = ", ".join(f"{system} {count}" for system, count in counts.items())
    words = f"{max(counts.values())} seeds each" if len(set(counts.values())) == 1 else f"seeds: {words}"
    return f" and over the seeds where there are several (± standard deviation between seeds; {words})"


def _stars_words(judged: Judged) -> str:
    over = "patients and seeds" if judged.has_several_seeds else "patients"
    permuted = ""
    if permutations := judged.settings.permutations:
        permuted = (
            f"the larger p of the paired permutation test over patients ({permutations:,} permutations, smallest p "
            f"{1 / (1 + permutations):.2g}) and"
        )
    return (
        f"Stars: the difference to {judged.reference}, {permuted or 'p'} of the paired difference over its standard "
        f"error ({over}), after Holm's correction over {len(judged.labels)} labels below .05 (*), .01 (**), .001 (***)"
        "; macro is one test."
    )


def _selection_words(group: Group) -> str:
    """Return what the results say of the selection of settings and the uses of the test set."""
    on = {str((entry.info.get("selection") or {}).get("on", "validation")) for entry in group.entries}
    uses = {entry.info["split"].get("test_uses") for entry in group.entries}
    selected = f"Settings were selected on {' and '.join(sorted(on))} studies"
    if uses == {1}:
        return f"{selected}; every result touched the test set once."
    return f"{selected}; not every result says how often its test set was touched."
