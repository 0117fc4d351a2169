"""The table of a robustness sweep: each condition, and its paired difference to the studies as recorded."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamae.evals.results import Evaluation
from lamae.files import write_atomically
from lamae.metrics import Interval
from lamae.results import paired_difference

CSV_FILE, MARKDOWN_FILE = "robustness.csv", "robustness.md"
AS_RECORDED = "as recorded"


@dataclass(frozen=True, kw_only=True)
class RobustnessRow:
    """One condition.

    Attributes:
        condition: Its name, or ``"as recorded"``.
        value: Macro AUROC, or R squared for values, with its interval over patients.
        difference: The same minus that as recorded, on the same draws of patients; None for the first row.
        said: What ``result.json`` says of the condition.
    """

    condition: str
    value: Interval
    difference: Interval | None
    said: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class RobustnessSummary:
    """What a sweep found.

    Attributes:
        out: Folder of the RESULT folders and the tables.
        system: Display name.
        metric: ``"macro_auroc"``, or ``"macro_r2"`` for values.
        rows: As recorded first, then one a condition.
    """

    out: Path
    system: str
    metric: str
    rows: tuple[RobustnessRow, ...]

    def __str__(self) -> str:
        return "\n".join([f"{self.system}: {self.out}", *markdown(self).splitlines()])


def summarise(out: Path, evaluations: Sequence[Evaluation]) -> RobustnessSummary:
    """Return the table of a sweep and write it as CSV and Markdown.

    Args:
        out: Folder to write into.
        evaluations: As recorded first.

    Raises:
        OSError: Writing failed.
    """
    clean = evaluations[0]
    metric = "macro_r2" if clean.is_regression else "macro_auroc"
    rows = [
        RobustnessRow(
            condition=AS_RECORDED if one is clean else str(one.info["condition"]["name"]),
            value=one.metric(metric),
            difference=None if one is clean else paired_difference(one, clean, metric=metric),
            said=dict(one.info.get("condition") or {}),
        )
        for one in evaluations
    ]
    summary = RobustnessSummary(out=out, system=clean.system, metric=metric, rows=tuple(rows))
    write_atomically(out / CSV_FILE, _csv(summary).encode())
    write_atomically(out / MARKDOWN_FILE, markdown(summary).encode())
    return summary


def markdown(summary: RobustnessSummary) -> str:
    """Return the table in Markdown."""
    name = {"macro_auroc": "macro AUROC", "macro_r2": "macro R2"}[summary.metric]
    lines = [f"| condition | {name} | minus as recorded | note |", "|---|---|---|---|"]
    lines += [
        f"| {row.condition} | {_interval(row.value)} | {_interval(row.difference, sign='+')} | {note(row.said)} |"
        for row in summary.rows
    ]
    return "\n".join(lines) + "\n"


def note(said: dict[str, Any]) -> str:
    """Return what a reader must know of a condition beside its name."""
    notes = []
    if "arrived_snr_db" in said:
        arrived = said["arrived_snr_db"]
        notes.append("nothing arrives" if arrived is None else f"{arrived:.1f} dB after the pack's filters (median)")
    counted = {
        "leads_without_signal": "leads without a signal left alone",
        "leads_rescaled": "leads with a coarser step",
        "studies_without_some_of_the_leads": "studies lack some of these leads",
    }
    notes += [f"{said[key]:,} {words}" for key, words in counted.items() if said.get(key)]
    if "largest_change" in said:
        notes.append(f"largest change of a score {said['largest_change']:.0e}")
    return "; ".join(notes)


def _interval(found: Interval | None, *, sign: str = "") -> str:
    if found is None:
        return ""
    return f"{found.value:{sign}.3f} [{found.low:{sign}.3f}, {found.high:{sign}.3f}]"


def _csv(summary: RobustnessSummary) -> str:
    text = io.StringIO()
    names = ["system", "condition", "trained", "metric", "value", "low", "high", "difference", "difference_low"]
    writer = csv.DictWriter(text, [*names, "difference_high", "arrived_snr_db", "note"], lineterminator="\n")
    writer.writeheader()
    for row in summary.rows:
        nothing = Interval(math.nan, math.nan, math.nan)
        difference = nothing if row.difference is None else row.difference
        figures = dict(zip(names[4:7], (row.value.value, row.value.low, row.value.high), strict=True))
        changes = {"difference": difference.value, "difference_low": difference.low, "difference_high": difference.high}
        plain = {key: "" if math.isnan(value) else value for key, value in (figures | changes).items()}
        writer.writerow(
            {
                "system": summary.system,
                "condition": row.condition,
                "trained": row.said.get("trained", AS_RECORDED),
                "metric": summary.metric,
                **plain,
                "arrived_snr_db": row.said.get("arrived_snr_db", ""),
                "note": note(row.said),
            }
        )
    return text.getvalue()
