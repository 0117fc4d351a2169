"""The tables of sweeps, as CSV and Markdown: label efficiency over draws, robustness by condition."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from lamae.files import csv_text, write_atomically
from lamae.metrics import Interval
from lamae.results import Evaluation, caveats, paired_difference

AS_RECORDED = "as recorded"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class EfficiencyRow:
    """One amount of labels.

    Attributes:
        amount: ``"fraction-0.05"`` or ``"count-100"``.
        draws: Number of draws.
        studies: Labelled training studies, the mean over draws.
        patients: Their patients.
        labels_taught: Lowest number of labels that one of its draws could teach.
        labels: Labels that the figures are means over, the same in every row.
        metric: ``"auroc"``, or ``"r2"`` for values.
        mean: Mean over draws of the mean over labels.
        sd: Standard deviation over draws; None for one draw.
        lowest: Lowest draw.
        highest: Highest draw.
    """

    amount: str
    draws: int
    studies: float
    patients: float
    labels_taught: int
    labels: int
    metric: str
    mean: float
    sd: float | None
    lowest: float
    highest: float


@dataclass(frozen=True, kw_only=True)
class RobustnessRow:
    """One condition.

    Attributes:
        condition: Its name, or ``"as recorded"``.
        value: Macro AUROC, or R squared for values, with its interval over patients.
        difference: The same minus that as recorded, on the same draws of patients; None for the first row.
        said: The entry ``condition`` of ``result.json``.
    """

    condition: str
    value: Interval
    difference: Interval | None
    said: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class SweepSummary(Generic[T]):
    """The findings of a sweep.

    Attributes:
        out: Folder of the RESULT folders and the tables.
        system: Display name.
        caveats: What must stand beside the figures, see `lamae.results.caveats`.
        rows: One an amount, fewest labels first; or as recorded first, then one a condition.
        markdown: The table, with what its means are over and the caveats.
        label_names: Labels that the figures of a label-efficiency sweep are means over.
        not_everywhere: Labels that some of its draws could not teach, which are left out of the means.
    """

    out: Path
    system: str
    caveats: tuple[str, ...]
    rows: tuple[T, ...]
    markdown: str
    label_names: tuple[str, ...] = ()
    not_everywhere: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.system}: {self.out}\n{self.markdown.rstrip()}"


def summarise_efficiency(out: Path, draws: Sequence[tuple[str, Evaluation]]) -> SweepSummary[EfficiencyRow]:
    """Return the table of a label-efficiency sweep and write it: mean and spread over draws of the same labels.

    Args:
        out: Folder to write into.
        draws: Amount and evaluation of every draw.

    Raises:
        OSError: Writing failed.
    """
    evaluations = [evaluation for _, evaluation in draws]
    every = list(dict.fromkeys(name for one in reversed(evaluations) for name in one.label_names))
    common = tuple(name for name in every if all(name in one.label_names for one in evaluations))
    amounts = dict.fromkeys(amount for amount, _ in draws)
    rows = tuple(_efficiency_row(one, [made for amount, made in draws if amount == one], common) for one in amounts)
    head = (
        f"labels | draws | labelled studies | patients | {_macro(evaluations[0])} | sd over draws | lowest to highest"
    )
    lines = [
        f"{row.amount} | {row.draws} | {row.studies:,.0f} | {row.patients:,.0f} | {row.mean:.3f} | "
        f"{'' if row.sd is None else f'{row.sd:.3f}'} | {row.lowest:.3f} to {row.highest:.3f}"
        for row in rows
    ]
    notes = f"\nMeans over the {len(common)} labels that every draw could teach.\n"
    if left_out := tuple(name for name in every if name not in common):
        notes += f"Left out, some draw had none of them: {', '.join(left_out)}.\n"
    table = _markdown(head, lines) + notes
    found = _written(out / "label-efficiency", evaluations, rows, [*map(asdict, rows)], table)
    return replace(found, label_names=common, not_everywhere=left_out)


def summarise_robustness(out: Path, evaluations: Sequence[Evaluation]) -> SweepSummary[RobustnessRow]:
    """Return the table of a robustness sweep and write it: each condition with its paired difference.

    Args:
        out: Folder to write into.
        evaluations: As recorded first.

    Raises:
        OSError: Writing failed.
    """
    clean = evaluations[0]
    metric = "macro_r2" if clean.is_regression else "macro_auroc"
    rows = tuple(
        RobustnessRow(
            condition=AS_RECORDED if one is clean else str(one.info["condition"]["name"]),
            value=one.metric(metric),
            difference=None if one is clean else paired_difference(one, clean, metric=metric),
            said=dict(one.info.get("condition") or {}),
        )
        for one in evaluations
    )
    lines = [
        f"{row.condition} | {_interval(row.value)} | {_interval(row.difference, sign='+')} | {_note(row.said)}"
        for row in rows
    ]
    table = _markdown(f"condition | {_macro(clean)} | minus as recorded | note", lines)
    return _written(out / "robustness", [clean], rows, [_robustness_csv(metric, row) for row in rows], table)


def _written(
    file: Path, judged: Sequence[Evaluation], rows: tuple[T, ...], records: Sequence[Mapping[str, Any]], table: str
) -> SweepSummary[T]:
    """Write a table as CSV and Markdown, with the caveats of what was judged, and return what is found."""
    system, said = judged[0].system, tuple(dict.fromkeys(caveat for one in judged for caveat in caveats(one.info)))
    records = [{"system": system, **record, "caveats": "; ".join(said)} for record in records]
    markdown = table + "".join(f"\nNOTE: {system} {caveat}.\n" for caveat in said)
    write_atomically(file.with_suffix(".csv"), csv_text(records).encode())
    write_atomically(file.with_suffix(".md"), markdown.encode())
    return SweepSummary(out=file.parent, system=system, caveats=said, rows=rows, markdown=markdown)


def _macro(evaluation: Evaluation) -> str:
    return "macro R2" if evaluation.is_regression else "macro AUROC"


def macro_over(evaluation: Evaluation, labels: Sequence[str], metric: str) -> float:
    """Return the mean over some labels of their own figures; labels that cannot be judged are left out."""
    by_name = {row["label"]: row.get(metric) for row in evaluation.info["per_label"]}
    values = [found["value"] for name in labels if (found := by_name[name]) is not None and found["value"] is not None]
    return float(np.mean(values)) if values else float("nan")


def _efficiency_row(amount: str, evaluations: Sequence[Evaluation], labels: Sequence[str]) -> EfficiencyRow:
    metric = "r2" if evaluations[0].is_regression else "auroc"
    values = np.array([macro_over(one, labels, metric) for one in evaluations])
    train = [one.info["split"]["train"] for one in evaluations]
    return EfficiencyRow(
        amount=amount,
        draws=len(evaluations),
        studies=float(np.mean([one["studies"] for one in train])),
        patients=float(np.mean([one["patients"] for one in train])),
        labels_taught=min(len(one.label_names) for one in evaluations),
        labels=len(labels),
        metric=metric,
        mean=float(values.mean()),
        sd=float(values.std(ddof=1)) if len(values) > 1 else None,
        lowest=float(values.min()),
        highest=float(values.max()),
    )


def _robustness_csv(metric: str, row: RobustnessRow) -> dict[str, Any]:
    difference = row.difference or Interval(math.nan, math.nan, math.nan)
    figures = {"value": row.value.value, "low": row.value.low, "high": row.value.high}
    figures |= {"difference": difference.value, "difference_low": difference.low, "difference_high": difference.high}
    return {
        "condition": row.condition,
        "trained": row.said.get("trained", AS_RECORDED),
        "metric": metric,
        **{name: "" if math.isnan(value) else value for name, value in figures.items()},
        "arrived_snr_db": row.said.get("arrived_snr_db", ""),
        "note": _note(row.said),
    }


def _note(said: Mapping[str, Any]) -> str:
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


def _markdown(head: str, rows: Sequence[str]) -> str:
    lines = [f"| {head} |", "|" + "---|" * (head.count("|") + 1), *(f"| {row} |" for row in rows)]
    return "\n".join(lines) + "\n"
