"""A table: cells as words with their marks, the same figures as records, and both as CSV, Markdown and LaTeX."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lamae.files import csv_text

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        **{one: f"\\{one}" for one in "&%$#_{}"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "−": r"$-$",
        "±": r"$\pm$",
        "–": "--",
        "²": r"$^2$",
        "≥": r"$\geq$",
        "≤": r"$\leq$",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "“": "``",
        "”": "''",
        "…": r"\ldots{}",
        "\u00a0": "~",
    }
)
_LONGTABLE_ABOVE = 45
Mark = Literal["", "best", "second"]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell.

    Attributes:
        text: The figure or words.
        note: An interval, shown below it in small print.
        mark: Mark of the best and of the second of a row.
        stars: Stars of a corrected test.
    """

    text: str
    note: str = ""
    mark: Mark = ""
    stars: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row: its name, its depth in a hierarchy, the meaning of the name, and its cells."""

    name: str
    cells: Sequence[Cell]
    depth: int = 0
    title: str = ""

    @property
    def full_name(self) -> str:
        """Name and title."""
        return f"{self.name} {self.title}".strip()


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table.

    Attributes:
        key: Name of its files.
        title: Heading.
        caption: All that a reader must know.
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


def known(**figures: float) -> dict[str, Any]:
    """Return the figures of a record, with nothing in the place of NaN."""
    return {name: "" if math.isnan(value) else value for name, value in figures.items()}


def as_csv(table: Table) -> str:
    """Return the figures, one a line, with every number unrounded."""
    return csv_text(table.records)


def as_markdown(table: Table) -> str:
    """Return the table with its heading, caption and notes. Best in bold, second in italics."""
    header = [table.corner, *table.columns]
    lines = [f"### {table.title}", "", *(f"> {note}" for note in table.notes), *([""] if table.notes else [])]
    lines += [_markdown_row(header), _markdown_row(["---"] + ["---:"] * len(table.columns))]
    for row in table.rows:
        name = "&nbsp;" * (2 * row.depth) + _markdown(row.full_name)
        lines.append("| " + " | ".join([name, *map(_markdown_cell, row.cells)]) + " |")
    return "\n".join([*lines, "", _markdown(table.caption), ""])


def as_latex(table: Table) -> str:
    """Return a ``booktabs`` table with caption and label; a long one as ``longtable``. Best in bold, second underlined.

    Needs ``\\usepackage{booktabs}``, and ``longtable`` where the table says so.
    """
    columns = "l" + "r" * len(table.columns)
    names = " & ".join(map(_latex, [table.corner, *table.columns])) + r" \\"
    head = [r"\toprule", names, r"\midrule"]
    body = [_latex_row(row) for row in table.rows]
    caption = [rf"\caption{{{_latex(table.caption)}}}", rf"\label{{tab:{table.key}}}"]
    if long := len(table.rows) > _LONGTABLE_ABOVE:
        begin = [rf"\begin{{longtable}}{{{columns}}}", "".join(caption) + r" \\", *head, r"\endfirsthead"]
        begin += [*head, r"\endhead", r"\bottomrule", r"\endfoot"]
        end = [r"\end{longtable}"]
    else:
        begin = [r"\begin{table}", r"\centering", *caption, rf"\begin{{tabular}}{{{columns}}}", *head]
        end = [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    needs = rf"% needs \usepackage{{booktabs{',longtable' if long else ''}}}"
    return "\n".join([needs, *(f"% {note}" for note in table.notes), *begin, *body, *end, ""])


def _markdown(text: str) -> str:
    """Escape what Markdown would read as markup."""
    return re.sub(r"([\\|*_<>`\[\]])", r"\\\1", text).replace("\n", " ")


def _markdown_row(words: list[str]) -> str:
    return "| " + " | ".join(word if set(word) <= set("-:") else _markdown(word) for word in words) + " |"


def _markdown_cell(cell: Cell) -> str:
    text = _markdown(cell.text)
    marked = {"best": f"**{text}**", "second": f"*{text}*"}.get(cell.mark, text)
    stars = cell.stars.replace("*", r"\*")
    return f"{marked}{stars}" + (f" {_markdown(cell.note)}" if cell.note else "")


def _latex(text: str) -> str:
    return text.translate(_LATEX)


def _latex_row(row: Row) -> str:
    indent = rf"\hspace{{{row.depth}em}}" if row.depth else ""
    return " & ".join([indent + _latex(row.full_name), *map(_latex_cell, row.cells)]) + r" \\"


def _latex_cell(cell: Cell) -> str:
    text = _latex(cell.text)
    marked = {"best": rf"\textbf{{{text}}}", "second": rf"\underline{{{text}}}"}.get(cell.mark, text)
    stars = f"$^{{{cell.stars}}}$" if cell.stars else ""
    note = rf" {{\scriptsize {_latex(cell.note)}}}" if cell.note else ""
    return f"{marked}{stars}{note}"
