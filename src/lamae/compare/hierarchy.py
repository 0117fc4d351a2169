"""The order of the rows: macro first, then the labels as ICD-10-CM's tree has them, or by how common they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LabelRow:
    """A label, how deep it stands, and what it means."""

    name: str
    depth: int
    title: str


def label_rows(labels: Sequence[str], info: Mapping[str, Any]) -> list[LabelRow]:
    """Return the labels in the order of their tree, with their depth below those ancestors that are labels too.

    Without a tree (``labels.paths`` of the result) they stand by their number of positives, most first.

    Args:
        labels: Names of the labels.
        info: A result that has them.
    """
    held, paths = info["labels"], info["labels"].get("paths") or {}
    titles = held.get("titles") or {}
    if not paths:
        positives = {str(row["label"]): row.get("positives") or 0 for row in info["per_label"]}
        common_first = sorted(labels, key=lambda name: -positives.get(name, 0))
        return [LabelRow(name, 0, str(titles.get(name, ""))) for name in common_first]
    in_tree = sorted(labels, key=lambda name: _whole_path(name, paths))
    known = set(labels)
    return [
        LabelRow(
            name,
            sum(ancestor in known for ancestor in _whole_path(name, paths)[:-1]),
            str(titles.get(name, "")),
        )
        for name in in_tree
    ]


def positives_words(info: Mapping[str, Any], label: str) -> str:
    """Return ``"142 of 97 patients"``: how many tested studies and patients have a label."""
    row = next((row for row in info["per_label"] if row["label"] == label), {})
    if (positives := row.get("positives")) is None:
        return ""
    patients = row.get("positive_patients")
    return f"{positives:,}" if patients is None else f"{positives:,} ({patients:,})"


def _whole_path(name: str, paths: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    path = tuple(map(str, paths.get(name) or ()))
    return path if path and path[-1] == name else (*path, name)
