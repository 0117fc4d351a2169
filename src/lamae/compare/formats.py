"""A table as CSV, Markdown and LaTeX."""

import csv
import io
import re
from collections.abc import Sequence

from lamae.compare.table import Cell, Table

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
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
_LATEX_PATTERN = re.compile("|".join(map(re.escape, _LATEX)))
_LONGTABLE_ABOVE = 45


def as_csv(table: Table) -> str:
    """Return the figures, one a line, with every number unrounded."""
    fields = list(dict.fromkeys(key for record in table.records for key in record))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fields, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(table.records)
    return stream.getvalue()


def as_markdown(table: Table) -> str:
    """Return the table with its heading, caption and notes. Best in bold, second in italics."""
    header = [table.corner, *table.columns]
    lines = [f"### {table.title}", "", *(f"> {note}" for note in table.notes), *([""] if table.notes else [])]
    lines += [_markdown_row(header), _markdown_row(["---"] + ["---:"] * len(table.columns))]
    for row in table.rows:
        indent = "&nbsp;" * (2 * row.depth)
        name = f"{indent}{_markdown(row.name)}" + (f" {_markdown(row.title)}" if row.title else "")
        lines.append("| " + " | ".join([name, *map(_markdown_cell, row.cells)]) + " |")
    return "\n".join([*lines, "", _markdown(table.caption), ""])


def as_latex(table: Table) -> str:
    """Return a ``booktabs`` table with caption and label; a long one as ``longtable``. Best in bold, second underlined.

    Needs ``\\usepackage{booktabs}``, and ``longtable`` where the table says so.
    """
    columns = "l" + "r" * len(table.columns)
    head = " & ".join([_latex(table.corner), *map(_latex, table.columns)]) + r" \\"
    body = [_latex_row(row.name, row.title, row.depth, row.cells) for row in table.rows]
    caption = [rf"\caption{{{_latex(table.caption)}}}", rf"\label{{tab:{table.key}}}"]
    notes = [f"% {note}" for note in table.notes]
    if len(table.rows) > _LONGTABLE_ABOVE:
        return "\n".join(
            [
                r"% needs \usepackage{booktabs,longtable}",
                *notes,
                rf"\begin{{longtable}}{{{columns}}}",
                "".join(caption) + r" \\",
                r"\toprule",
                head,
                r"\midrule",
                r"\endfirsthead",
                r"\toprule",
                head,
                r"\midrule",
                r"\endhead",
                r"\bottomrule",
                r"\endfoot",
                *body,
                r"\end{longtable}",
                "",
            ]
        )
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            *notes,
            r"\begin{table}",
            r"\centering",
            *caption,
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            head,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


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
    return _LATEX_PATTERN.sub(lambda found: _LATEX[found[0]], text)


def _latex_row(name: str, title: str, depth: int, cells: Sequence[Cell]) -> str:
    indent = rf"\hspace{{{depth}em}}" if depth else ""
    called = f" {_latex(title)}" if title else ""
    shown = [_latex_cell(cell) for cell in cells]
    return " & ".join([f"{indent}{_latex(name)}{called}", *shown]) + r" \\"


def _latex_cell(cell: Cell) -> str:
    text = _latex(cell.text)
    marked = {"best": rf"\textbf{{{text}}}", "second": rf"\underline{{{text}}}"}.get(cell.mark, text)
    stars = f"$^{{{cell.stars}}}$" if cell.stars else ""
    note = rf" {{\scriptsize {_latex(cell.note)}}}" if cell.note else ""
    return f"{marked}{stars}{note}"
