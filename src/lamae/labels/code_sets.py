"""The label sets that are made from one column of codes, by name."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from lamae.labels import icd10, scp, snomed
from lamae.labels.label_table import Statements

CODE_SETS = (
    *scp.SETS,
    "icd10-chapter-ix",
    "icd10-3char",
    "icd10-top40",
    "icd10-strodthoff",
    "snomed",
    "snomed-scored",
)

DEFAULT_MIN_COUNT = 10
_CHAPTER = re.compile(r"icd10-chapter-([a-z]+)")
_BENCHMARK = re.compile(r"icd10-strodthoff(?::([A-Z]))?")


@dataclass(frozen=True, kw_only=True)
class CodeSet:
    """How a label set is made from a column of codes.

    Attributes:
        column: The column.
        labels_of: Labels that a code stands for.
        description: What the labels are.
        min_count: Least number of positive training studies, unless another is asked for.
        max_labels: Greatest number of labels, unless another is asked for.
        statements: Which studies take part, unless something else is asked for.
        order: Key by which the labels are sorted.
        looks_up_icd10: Whether codes that ICD-10-CM does not know are lost.
    """

    column: str
    labels_of: Callable[[str], Iterable[str]]
    description: str
    min_count: int = DEFAULT_MIN_COUNT
    max_labels: int | None = None
    statements: Statements = "any"
    order: Callable[[str], Any] = str
    looks_up_icd10: bool = False


def code_set(label_set: str) -> CodeSet | None:
    """Return how a label set is made from codes, or nothing if it is not one of these."""
    if label_set in scp.SETS:
        return CodeSet(
            column="codes_scp",
            labels_of=partial(scp.scp_labels, label_set=label_set),
            description=f"SCP statements: {label_set}",
            min_count=1,
            statements="in-set",
        )
    if label_set == "snomed":
        return CodeSet(column="codes_snomed", labels_of=lambda code: (code,), description="SNOMED CT codes")
    if label_set == "snomed-scored":
        description = "the 26 scored diagnoses of the Challenge 2021"
        return CodeSet(column="codes_snomed", labels_of=snomed.scored_labels, description=description)
    return _icd10_set(label_set)


def _icd10_set(label_set: str) -> CodeSet | None:
    if label_set in ("icd10-3char", "icd10-top40"):
        limit = 40 if label_set == "icd10-top40" else None
        return CodeSet(
            column="codes_icd10cm",
            labels_of=icd10.category_labels,
            description="ICD-10-CM 3-character categories" + (f", the {limit} most frequent" if limit else ""),
            max_labels=limit,
            looks_up_icd10=True,
        )
    if chapter := _CHAPTER.fullmatch(label_set):
        number = chapter.group(1).upper()
        if not icd10.is_chapter(number):
            return None
        return CodeSet(
            column="codes_icd10cm",
            labels_of=partial(icd10.hierarchy_labels, chapter=number),
            description=f"ICD-10-CM chapter {number}: chapter, blocks, 3- and 4-character codes, ancestors added",
            order=lambda node: (icd10.level(node), node),
            looks_up_icd10=True,
        )
    if benchmark := _BENCHMARK.fullmatch(label_set):
        return CodeSet(
            column="codes_icd10cm",
            labels_of=partial(icd10.strodthoff_labels, chapter_letter=benchmark.group(1) or ""),
            description="ICD-10-CM codes of up to 5 characters and their beginnings",
        )
    return None
