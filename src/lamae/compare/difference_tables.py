"""The tables and forests of paired differences: macro and by label with their tests, and seed by seed."""

import math
from collections.abc import Sequence
from typing import Any

from lamae.compare.charts import Chart, ForestRow, as_chart, forest
from lamae.compare.differences import Difference
from lamae.compare.entry import foreword
from lamae.compare.estimates import MACRO
from lamae.compare.judged import Judged
from lamae.compare.score_tables import caption_of
from lamae.compare.table import Cell, Row, Table, known
from lamae.report.wording import NOTHING, metric_name, number, signed

_SEED_COLUMNS = ("Mean ± sd", "p, t test", "Interval", "Smallest detectable")
_COLUMNS = ("Difference", "p, patients and seeds", "p, permutation", "p, larger of both", "Smallest detectable")


def difference_table(judged: Judged, key: str) -> Table:
    """Return the macro differences, one row a pair of systems; the records hold those by label too."""
    name = metric_name(judged.metric)
    differences = judged.all_differences
    return Table(
        key=key,
        title=f"Paired differences of macro {name}: {judged.group.name}",
        caption=caption_of(
            judged,
            f"First system minus second, macro {name}, on the same patients and the same draws of them. Smallest "
            f"detectable: the true difference that these data would show at 5 % with 80 % power. Differences",
            correction=False,
        )
        + " A star needs the larger of both p values; each pair is one test of its own, and the number of pairs is not "
        "corrected for.",
        corner="Systems",
        columns=list(_COLUMNS),
        rows=[Row(name=one.name, cells=_cells(one)) for one in differences],
        records=[record for one in differences for record in _records(judged, one)],
        notes=[note for one in differences for note in one.notes],
    )


def seed_table(judged: Judged, key: str) -> Table | None:
    """Return macro and its difference seed by seed with the paired t test; None with one seed each."""
    differences = [one for one in judged.all_differences if len(one.per_seed) > 1]
    if not differences:
        return None
    most = max(len(one.per_seed) for one in differences)
    rows, records = [], []
    for one in differences:
        cells, macro = [Cell(text="")] * most, one.rows[MACRO]
        for index, (value, pair) in enumerate(zip(one.per_seed, one.seeds, strict=True)):
            cells[index] = Cell(text=signed(value), note=_pair(pair))
            named = {"system": one.system, "reference": one.reference, "seed": pair[0], "seed_reference": pair[1]}
            records.append({**named, "difference": value})
        summary = f"{signed(macro.value)} ± {number(macro.sd)}", _p(macro.p_seeds), macro.interval(signed)
        cells += [Cell(text=text) for text in (*summary, number(macro.smallest_detectable))]
        rows.append(Row(name=one.name, cells=cells))
    name = metric_name(judged.metric)
    return Table(
        key=key,
        title=f"Seed by seed: {judged.group.name}",
        caption=caption_of(
            judged, f"Macro {name}, first minus second, for each pair of pretraining seeds", correction=False
        )
        + " The t test is over the seeds alone, on these test patients; the interval is over seeds and patients.",
        corner="Systems",
        columns=[*(f"Pair {index + 1}" for index in range(most)), *_SEED_COLUMNS],
        rows=rows,
        records=records,
        notes=[note for one in differences for note in one.notes],
    )


def _cells(one: Difference) -> list[Cell]:
    found = one.rows[MACRO]
    others = _p(found.p_value), _p(one.p_permutation[MACRO]), _p(one.p_holm[MACRO]), number(found.smallest_detectable)
    first = Cell(text=signed(found.value), note=found.interval(signed), stars=one.stars(MACRO))
    return [first, *(Cell(text=text) for text in others)]


def _records(judged: Judged, one: Difference) -> list[dict[str, Any]]:
    titles = {row.name: row.title for row in judged.label_rows}
    return [
        {
            "system": one.system,
            "reference": one.reference,
            "label": row,
            "title": titles.get(row, ""),
            "metric": judged.metric,
            **known(
                difference=found.value,
                low=found.low,
                high=found.high,
                sd_seeds=found.sd,
                standard_error=found.standard_error,
                p_standard_error=found.p_value,
                p_permutation=one.p_permutation[row],
                p_larger=one.p_value[row],
                p_holm=one.p_holm[row],
                p_t_test_seeds=found.p_seeds,
                smallest_detectable=found.smallest_detectable,
            ),
            "pairs_of_seeds": found.num_seeds,
        }
        for row, found in one.rows.items()
    ]


def _pair(pair: Sequence[int | None]) -> str:
    names = ["–" if seed is None else str(seed) for seed in pair]
    return f"seed {names[0]}" if names[0] == names[1] else f"seeds {names[0]} and {names[1]}"


def _p(value: float) -> str:
    if math.isnan(value):
        return NOTHING
    return "< .001" if value < 0.001 else f"{value:.3f}".lstrip("0") if value < 1 else "1"


def macro_forest(judged: Judged, key: str) -> Chart:
    """Draw the macro difference of every pair."""
    name = metric_name(judged.metric)
    rows = [ForestRow(name=one.name, found=one.rows[MACRO], stars=one.stars(MACRO)) for one in judged.all_differences]
    return _chart(judged, rows, key=key, of=f"macro {name}", title=f"Paired differences of macro {name}")


def label_forest(judged: Judged, one: Difference, key: str) -> Chart:
    """Draw one pair's difference by label, in the order of the tree, macro on top."""
    names = {MACRO: MACRO} | {label.name: f"{label.name} {label.title}".strip() for label in judged.label_rows}
    rows = [
        ForestRow(name=name, found=one.rows[row], stars=one.stars(row), bold=row == MACRO)
        for row, name in names.items()
    ]
    of = f"{metric_name(judged.metric)}, {one.name}"
    return _chart(judged, rows, key=key, of=of, title=f"{one.name} by label")


def _chart(judged: Judged, rows: Sequence[ForestRow], *, key: str, of: str, title: str) -> Chart:
    over = "patients and pretraining seeds" if judged.has_several_seeds else "patients"
    caption = (
        f"{foreword(judged.group.entries)}Right of nothing the first system is better. {100 * judged.level:g} % "
        f"intervals over {over}, each alone; stars after Holm's correction over the labels (macro is one test)."
    )
    figure = forest(rows, x_label=f"difference of {of}")
    return as_chart(figure, key=key, title=f"{title}: {judged.group.name}", caption=caption)
