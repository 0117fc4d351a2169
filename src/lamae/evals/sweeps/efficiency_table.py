"""The table of a label-efficiency sweep: mean and spread over draws, on the labels that every draw could teach."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from lamae.evals.results import Evaluation
from lamae.files import write_atomically

CSV_FILE, MARKDOWN_FILE = "label-efficiency.csv", "label-efficiency.md"


@dataclass(frozen=True, kw_only=True)
class EfficiencyRow:
    """One amount of labels.

    Attributes:
        amount: ``"fraction-0.05"`` or ``"count-100"``.
        draws: Number of draws.
        studies: Labelled training studies, the mean over draws.
        patients: Their patients.
        labels_taught: Fewest labels that one of its draws could teach.
        labels: Labels that the figures are means over, the same in every row.
        metric: Which figure: ``"auroc"``, or ``"r2"`` for values.
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
class EfficiencySummary:
    """What a sweep found.

    Attributes:
        out: Folder of the RESULT folders and the tables.
        system: Display name.
        label_names: Labels that the figures are means over.
        not_everywhere: Labels that some draw could not teach, which are left out of the means.
        rows: One an amount, fewest labels first.
    """

    out: Path
    system: str
    label_names: tuple[str, ...]
    not_everywhere: tuple[str, ...]
    rows: tuple[EfficiencyRow, ...]

    def __str__(self) -> str:
        lines = [f"{self.system}: {self.out}", *markdown(self).splitlines()]
        return "\n".join(lines)


def summarise(out: Path, found: Sequence[tuple[str, Evaluation]]) -> EfficiencySummary:
    """Return the table of a sweep and write it as CSV and Markdown.

    Args:
        out: Folder to write into.
        found: Amount and evaluation of every draw.

    Raises:
        OSError: Writing failed.
    """
    evaluations = [evaluation for _, evaluation in found]
    known = [set(one.label_names) for one in evaluations]
    every = list(dict.fromkeys(name for one in reversed(evaluations) for name in one.label_names))
    common = tuple(name for name in every if all(name in names for names in known))
    metric = "r2" if evaluations[0].is_regression else "auroc"
    amounts = list(dict.fromkeys(amount for amount, _ in found))
    rows = [_row(amount, [one for name, one in found if name == amount], common, metric) for amount in amounts]
    summary = EfficiencySummary(
        out=out,
        system=evaluations[0].system,
        label_names=common,
        not_everywhere=tuple(name for name in every if name not in common),
        rows=tuple(rows),
    )
    write_atomically(out / CSV_FILE, _csv(summary).encode())
    write_atomically(out / MARKDOWN_FILE, markdown(summary).encode())
    return summary


def macro_over(evaluation: Evaluation, labels: Sequence[str], metric: str) -> float:
    """Return the mean over some labels of their own figures; labels that cannot be judged are left out."""
    by_name = {row["label"]: row.get(metric) for row in evaluation.info["per_label"]}
    values = [found["value"] for name in labels if (found := by_name[name]) is not None and found["value"] is not None]
    return float(np.mean(values)) if values else float("nan")


def markdown(summary: EfficiencySummary) -> str:
    """Return the table in Markdown, with what its means are over."""
    name = {"auroc": "AUROC", "r2": "R2"}[summary.rows[0].metric]
    lines = [
        f"| labels | draws | labelled studies | patients | macro {name} | sd over draws | lowest to highest |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in summary.rows:
        spread = "" if row.sd is None else f"{row.sd:.3f}"
        lines.append(
            f"| {row.amount} | {row.draws} | {row.studies:,.0f} | {row.patients:,.0f} | {row.mean:.3f} | {spread} | "
            f"{row.lowest:.3f} to {row.highest:.3f} |"
        )
    lines += ["", f"Means over the {len(summary.label_names)} labels that every draw could teach."]
    if summary.not_everywhere:
        lines.append(f"Left out, some draw had none of them: {', '.join(summary.not_everywhere)}.")
    return "\n".join(lines) + "\n"


def _row(amount: str, evaluations: Sequence[Evaluation], labels: Sequence[str], metric: str) -> EfficiencyRow:
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


def _csv(summary: EfficiencySummary) -> str:
    text = io.StringIO()
    names = ["system", *(field.name for field in fields(EfficiencyRow))]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({"system": summary.system, **asdict(row)} for row in summary.rows)
    return text.getvalue()
