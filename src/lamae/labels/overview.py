"""An overview of a label set: labels by their hierarchy, counts in each split, and labels left out.

Aggregate counts only: no study and no patient is named.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamae.errors import ConfigError
from lamae.labels.label_table import LabelTable
from lamae.labels.vocabulary import MinCount, min_count_for

_SHOWN = 20
"""Labels left out that are printed; unknown codes are all printed."""


@dataclass(frozen=True, kw_only=True)
class LabelCount:
    """One label.

    Attributes:
        name: The label.
        title: Its title, empty where no table has one.
        path: Its path in the hierarchy, from the top down to itself; the label alone without a hierarchy.
        depth: Number of its ancestors that are labels.
        studies: Positive studies (of a regression: studies with a value) in each group.
        patients: Patients who have them.
    """

    name: str
    title: str
    path: tuple[str, ...]
    depth: int
    studies: Mapping[str, int]
    patients: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class LabelOverview:
    """A label set of a pack in figures.

    Attributes:
        label_set: Its name.
        description: Its description in words.
        groups: Studies and patients that take part, for each split or fold.
        labels: The labels, parents before their children.
        notes: Record of how the labels were made.
        wanted: The minimum count for a wanted number of labels, if one was asked for.
    """

    label_set: str
    description: str
    groups: Mapping[str, tuple[int, int]]
    labels: tuple[LabelCount, ...]
    notes: Mapping[str, Any]
    wanted: MinCount | None

    def __str__(self) -> str:
        lines = [f"{self.label_set}: {self.description}", *_group_lines(self), "", *_label_lines(self)]
        lines += ["", *_note_lines(self.notes)]
        if self.wanted is not None:
            lines.append(str(self.wanted))
        return "\n".join(lines)

    def as_csv(self) -> str:
        """Return the labels as comma-separated values, one row a label."""
        sink = io.StringIO()
        writer = csv.writer(sink, lineterminator="\n")
        counted = [f"{group}_{what}" for group in self.groups for what in ("studies", "patients")]
        writer.writerow(["label", "title", "path", "depth", *counted])
        for one in self.labels:
            counts = [number for group in self.groups for number in (one.studies[group], one.patients[group])]
            writer.writerow([one.name, one.title, " > ".join(one.path), one.depth, *counts])
        return sink.getvalue()


def overview(
    table: LabelTable,
    label_set: str,
    *,
    groups: Mapping[str, np.ndarray],
    patients: Sequence[str],
    want: int | None = None,
) -> LabelOverview:
    """Count the labels of a set.

    Args:
        table: The labels.
        label_set: Name of the set.
        groups: Rows of each split or fold.
        patients: Patient key of each study.
        want: Number of labels to find the minimum count for.

    Raises:
        ConfigError: A number of labels is wanted of a set that does not count.
    """
    if want is not None and "counts" not in table.notes:
        raise ConfigError(f"{label_set!r} keeps all of its labels, so no minimum count gives {want} of them")
    patient = np.unique(np.array(patients, dtype=object), return_inverse=True)[1]
    kept = {group: rows[table.keep[rows]] for group, rows in groups.items()}
    names = sorted(table.names, key=lambda name: table.paths[name]) if table.paths else table.names
    known = set(names)
    labels = []
    for name in names:
        column = table.values[:, table.names.index(name)]
        has = ~np.isnan(column) if table.kind == "regression" else column == 1
        path = tuple(table.paths.get(name, (name,)))
        labels.append(
            LabelCount(
                name=name,
                title=table.titles.get(name, ""),
                path=path,
                depth=len(known.intersection(path[:-1]) - {name}),
                studies={group: int(has[rows].sum()) for group, rows in kept.items()},
                patients={group: len(np.unique(patient[rows[has[rows]]])) for group, rows in kept.items()},
            )
        )
    counts = {**table.notes.get("counts", {}), **table.notes.get("dropped_labels", {})}
    return LabelOverview(
        label_set=label_set,
        description=table.description,
        groups={group: (len(rows), len(np.unique(patient[rows]))) for group, rows in kept.items()},
        labels=tuple(labels),
        notes=table.notes,
        wanted=None if want is None else min_count_for(counts, want),
    )


def _group_lines(found: LabelOverview) -> list[str]:
    return [
        f"{group}: {studies:,} studies of {patients:,} patients" for group, (studies, patients) in found.groups.items()
    ]


def _label_lines(found: LabelOverview) -> list[str]:
    names = ["  " * one.depth + one.name for one in found.labels]
    width = max(len("label"), *map(len, names))
    columns = [f"{group} (patients)" for group in found.groups]
    lines = ["  ".join(["label".ljust(width), *(column.rjust(len(column)) for column in columns), "title"])]
    for name, one in zip(names, found.labels, strict=True):
        cells = [
            f"{one.studies[group]:,} ({one.patients[group]:,})".rjust(len(column))
            for group, column in zip(found.groups, columns, strict=True)
        ]
        lines.append("  ".join([name.ljust(width), *cells, one.title]).rstrip())
    return lines


def _note_lines(notes: Mapping[str, Any]) -> list[str]:
    lines = [f"{one}: {notes[one]}" for one in ("vocabulary", "min_count", "max_labels", "statements") if one in notes]
    if tied := notes.get("tied_labels"):
        lines.append(f"as frequent as the last label kept, but left out: {', '.join(tied)}")
    dropped = {name: f"{count:,}" for name, count in (notes.get("dropped_labels") or {}).items()}
    lines += _listed("labels left out, with their positive studies", dropped, _SHOWN)
    for key in ("num_icd9_dropped", "num_icd9_translated"):
        if key in notes:
            lines.append(f"{key.removeprefix('num_').replace('_', ' ')}: {notes[key]:,}")
    lines += _listed("ICD-9-CM codes without a target", notes.get("icd9_without_target") or {})
    what = "labels all the same" if notes.get("keeps_unknown_codes") else "lost"
    lines += _listed(f"unknown codes ({what}), with their number", notes.get("unknown_codes") or {})
    retired = {
        code: f"{one['counted_as']}, {one['count']:,}" for code, one in (notes.get("retired_codes") or {}).items()
    }
    return lines + _listed("retired or over-long codes, what they are known as, and their number", retired)


def _listed(what: str, items: Mapping[str, Any], most: int | None = None) -> list[str]:
    if not items:
        return []
    shown = ", ".join(f"{name} ({value})" for name, value in list(items.items())[:most])
    more = f", and {len(items) - most:,} more" if most is not None and len(items) > most else ""
    return [f"{what}: {len(items):,}: {shown}{more}"]
