"""A table before it is written in any format: cells as words with their marks, and the same figures as records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

NOTHING = "–"
Mark = Literal["", "best", "second"]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell.

    Attributes:
        text: The figure or words.
        note: What stands below it in small: an interval.
        mark: Whether it is the best or the second of its row.
        stars: Of a corrected test.
    """

    text: str
    note: str = ""
    mark: Mark = ""
    stars: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row: a name, how deep it stands in a hierarchy, what the name means, and its cells."""

    name: str
    cells: Sequence[Cell]
    depth: int = 0
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table.

    Attributes:
        key: Name of its files.
        title: Heading.
        caption: All that must be known to read it.
        corner: Heading of the first column.
        columns: Headings of the others.
        rows: The rows.
        records: The figures themselves, one record a line of the CSV file.
        notes: Warnings that belong beside the table.
    """

    key: str
    title: str
    caption: str
    corner: str
    columns: Sequence[str]
    rows: Sequence[Row]
    records: Sequence[Mapping[str, Any]]
    notes: Sequence[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A drawing: ``svg`` for pages; ``svg_file`` and ``png`` are the bytes of its files."""

    key: str
    title: str
    caption: str
    svg: str
    svg_file: bytes
    png: bytes


def words_cell(words: str) -> Cell:
    """Return a cell of words."""
    return Cell(text=words)
