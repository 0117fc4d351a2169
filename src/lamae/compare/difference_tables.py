"""The tables of paired differences: macro and by label with their tests, and seed by seed."""

import math
from collections.abc import Sequence
from typing import Any

from lamae.compare.captions import caption_of
from lamae.compare.differences import Difference
from lamae.compare.hierarchy import label_rows
from lamae.compare.judged import MACRO, Judged
from lamae.compare.over_seeds import OverSeeds
from lamae.compare.table import NOTHING, Cell, Row, Table
from lamae.report.wording import metric_name, number, signed

_COLUMNS = ("Difference", "p, patients and seeds", "p, permutation", "p, larger of both", "Smallest detectable")


def all_differences(judged: Judged) -> list[Difference]:
    """Return every system minus the reference, and LAMAE minus independent leads where that is another one."""
    main = [] if judged.main_difference is None else [judged.main_difference]
    return [*judged.differences.values(), *main]


def difference_table(judged: Judged, key: str) -> Table:
    """Return the macro differences, one row a pair of systems; the records hold those by label too."""
    name = metric_name(judged.metric)
    differences = all_differences(judged)
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
        rows=[Row(name=f"{one.system} − {one.reference}", cells=_cells(one, MACRO)) for one in differences],
        records=[record for one in differences for record in _records(judged, one)],
        notes=[note for one in differences for note in one.notes],
    )


def seed_table(judged: Judged, key: str) -> Table | None:
    """Return macro and its difference seed by seed with the paired t test; None with one seed each."""
    differences = [one for one in all_differences(judged) if len(one.per_seed) > 1]
    if not differences:
        return None
    most = max(len(one.per_seed) for one in differences)
    rows = [
        Row(
            name=f"{one.system} − {one.reference}",
            cells=[
                *(
                    Cell(text=signed(value), note=_pair(pair))
                    for value, pair in zip(one.per_seed, one.seeds, strict=True)
                ),
                *(Cell(text="") for _ in range(most - len(one.per_seed))),
                Cell(text=f"{signed(one.rows[MACRO].value)} ± {number(one.rows[MACRO].sd)}"),
                Cell(text=_p(one.rows[MACRO].p_seeds)),
                Cell(text=_signed_interval(one.rows[MACRO])),
                Cell(text=number(one.rows[MACRO].smallest_detectable)),
            ],
        )
        for one in differences
    ]
    name = metric_name(judged.metric)
    return Table(
        key=key,
        title=f"Seed by seed: {judged.group.name}",
        caption=caption_of(
            judged, f"Macro {name}, first minus second, for each pair of pretraining seeds", correction=False
        )
        + " The t test is over the seeds alone, on these test patients; the interval is over seeds and patients.",
        corner="Systems",
        columns=[
            *(f"Pair {index + 1}" for index in range(most)),
            "Mean ± sd",
            "p, t test",
            "Interval",
            "Smallest detectable",
        ],
        rows=rows,
        records=[
            {
                "system": one.system,
                "reference": one.reference,
                "seed": pair[0],
                "seed_reference": pair[1],
                "difference": value,
            }
            for one in differences
            for value, pair in zip(one.per_seed, one.seeds, strict=True)
        ],
        notes=[note for one in differences for note in one.notes],
    )


def _cells(one: Difference, row: str) -> list[Cell]:
    found = one.rows[row]
    return [
        Cell(text=signed(found.value), note=_signed_interval(found), stars=one.stars(row)),
        Cell(text=_p(found.p_value)),
        Cell(text=_p(one.p_permutation[row])),
        Cell(text=_p(one.p_holm[row])),
        Cell(text=number(found.smallest_detectable)),
    ]


def _records(judged: Judged, one: Difference) -> list[dict[str, Any]]:
    titles = {row.name: row.title for row in label_rows(judged.labels, judged.group.first.info)}
    return [
        {
            "system": one.system,
            "reference": one.reference,
            "label": row,
            "title": titles.get(row, ""),
            "metric": judged.metric,
            **_known(
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


def _known(**figures: float) -> dict[str, Any]:
    return {name: "" if math.isnan(value) else value for name, value in figures.items()}


def _pair(pair: Sequence[int | None]) -> str:
    names = ["–" if seed is None else str(seed) for seed in pair]
    return f"seed {names[0]}" if names[0] == names[1] else f"seeds {names[0]} and {names[1]}"


def _signed_interval(found: OverSeeds) -> str:
    return "" if math.isnan(found.low) else f"[{signed(found.low)}, {signed(found.high)}]"


def _p(value: float) -> str:
    if math.isnan(value):
        return NOTHING
    return "< .001" if value < 0.001 else f"{value:.3f}".lstrip("0") if value < 1 else "1"
