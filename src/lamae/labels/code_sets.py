"""The label sets that are made from one column of codes."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from lamae.labels import icd10, scp, snomed
from lamae.labels.label_table import Statements

CODE_SETS = (
    *scp.SETS,
    "icd10-chapter-ix",
    "icd10-expanded",
    "icd10-chapters",
    "icd10-blocks",
    "icd10-3char",
    "icd10-4char",
    "icd10-codes",
    "icd10-top40",
    "icd10-strodthoff",
    "snomed",
    "snomed-scored",
)

DEFAULT_MIN_COUNT = 10
_CHAPTER = re.compile(r"icd10-chapter-([a-z]+)")
_LEVEL = re.compile(r"icd10-(chapters|blocks|3char|4char|codes|expanded)(?::([A-Za-z]+))?")
_LEVEL_WORDS: dict[icd10.Level, str] = {
    "chapters": "chapters",
    "blocks": "blocks",
    "3char": "3-character categories",
    "4char": "4-character subcategories",
    "codes": "codes as long as they were coded",
    "expanded": "chapters, blocks, 3- and 4-character codes, ancestors added",
}
_SNOMED: dict[str, tuple[Callable[[str], Iterable[str]], str]] = {
    "snomed": (lambda code: (code,), "SNOMED CT codes"),
    "snomed-scored": (snomed.scored_labels, "the 26 scored diagnoses of the Challenge 2021"),
}
_BENCHMARK = re.compile(r"icd10-strodthoff(?::([A-Z]))?")


@dataclass(frozen=True, kw_only=True)
class CodeSet:
    """The rule that makes a label set from a column of codes.

    Attributes:
        column: The column.
        labels_of: Returns the labels that a code stands for.
        description: Description of the labels in words.
        min_count: Default minimum number of positive training studies.
        max_labels: Default maximum number of labels.
        statements: Default choice of the studies that take part.
        order: Sort key of the labels.
        known: Returns the code itself, its longest known prefix, or ``""``; None where no table lists the codes.
        keeps_unknown: If true, unknown codes are labels too.
        title_of: Returns the title of a label, None where no table has one.
        place_of: Returns the path of a label in the hierarchy, from the top down to itself.
    """

    column: str
    labels_of: Callable[[str], Iterable[str]]
    description: str
    min_count: int = DEFAULT_MIN_COUNT
    max_labels: int | None = None
    statements: Statements = "any"
    order: Callable[[str], Any] = str
    known: Callable[[str], str] | None = None
    keeps_unknown: bool = False
    title_of: Callable[[str], str | None] = lambda name: None
    place_of: Callable[[str], tuple[str, ...]] | None = None


def code_set(label_set: str) -> CodeSet | None:
    """Return the rule of a label set, None if it is not made from codes."""
    if label_set in scp.SETS:
        return CodeSet(
            column="codes_scp",
            labels_of=partial(scp.scp_labels, label_set=label_set),
            description=f"SCP statements: {label_set}",
            min_count=1,
            statements="in-set",
            known=scp.known,
            title_of=partial(scp.title_of, label_set=label_set),
        )
    if label_set in _SNOMED:
        labels_of, description = _SNOMED[label_set]
        return CodeSet(column="codes_snomed", labels_of=labels_of, description=description, title_of=snomed.title_of)
    return _icd10_set(label_set)


def _icd10_set(label_set: str) -> CodeSet | None:
    if label_set == "icd10-top40":
        labels_of = partial(icd10.level_labels, level="3char")
        return _icd10(labels_of, "ICD-10-CM 3-character categories, the 40 most frequent", max_labels=40)
    if benchmark := _BENCHMARK.fullmatch(label_set):
        labels_of = partial(icd10.strodthoff_labels, chapter_letter=benchmark.group(1) or "")
        return _icd10(labels_of, "ICD-10-CM codes of up to 5 characters and their beginnings", keeps_unknown=True)
    if chapter := _CHAPTER.fullmatch(label_set):
        level, number = "expanded", chapter.group(1).upper()
    elif one := _LEVEL.fullmatch(label_set):
        level, number = cast(icd10.Level, one.group(1)), (one.group(2) or "").upper()
    else:
        return None
    if number and not icd10.is_chapter(number):
        return None
    return _icd10(
        partial(icd10.level_labels, level=level, chapter=number),
        f"ICD-10-CM{f' chapter {number}' if number else ''}: {_LEVEL_WORDS[level]}",
        order=(lambda node: (icd10.level_of(node), node)) if level == "expanded" else str,
    )


def _icd10(labels_of: Callable[[str], Iterable[str]], description: str, **options: Any) -> CodeSet:
    return CodeSet(
        column="codes_icd10cm",
        labels_of=labels_of,
        description=description,
        known=icd10.resolve,
        title_of=icd10.title_of,
        place_of=icd10.place_of,
        **options,
    )
