"""`lamae compare RESULT RESULT ... --out FOLDER`: several systems side by side."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lamae.cli.arguments import Verbs, add_overwrite, count, positive_int

if TYPE_CHECKING:
    from lamae.compare import Comparison
    from lamae.compare.table import Table


def add_verbs(verbs: Verbs) -> None:
    """Add ``compare`` to the parser."""
    parser = verbs.add_parser(
        "compare",
        help="tables, tests and charts of several systems",
        description="Results of one system may differ in seed, draw of labels, share of labels and condition.",
    )
    parser.add_argument("results", type=Path, nargs="+", metavar="RESULT", help="folders of results")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder to write")
    add_overwrite(parser)
    parser.add_argument("--reference", metavar="SYSTEM", help="hold the others against it (default: independent leads)")
    parser.add_argument("--draws", type=positive_int, help="draws of patients (default: those of the first result)")
    parser.add_argument(
        "--permutations", type=count, default=1999, help="of the paired test; 0 for none (default: %(default)s)"
    )
    parser.add_argument(
        "--mixed", action="store_true", help="let protocols and read-outs differ within a table; it says so loudly"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Compare, print the main table, the warnings and the paths."""
    from lamae.compare import Settings, compare

    settings = Settings(
        reference=arguments.reference,
        draws=arguments.draws,
        permutations=arguments.permutations,
        mixed=arguments.mixed,
    )
    comparison = compare(arguments.results, arguments.out, settings=settings, overwrite=arguments.overwrite)
    print(told(comparison, arguments.out))


def told(comparison: "Comparison", out: Path) -> str:
    """Return the main table as text, the warnings, and where everything is."""
    from lamae.compare.write import ALL_TABLES, CHARTS, PAGE, TABLES

    table = comparison.main_table
    paths = [
        ("page", out / PAGE),
        ("tables", out / ALL_TABLES),
        ("csv, md, tex", out / TABLES),
        ("charts", out / CHARTS),
    ]
    warnings = dict.fromkeys([*comparison.warnings, *(w for s in comparison.sections for w in s.warnings)])
    lines = [table.title, "", *aligned_lines(table), "", f"^ best of its column. {table.caption}", ""]
    lines += [f"WARNING: {warning}" for warning in warnings] + ([""] if warnings else [])
    return "\n".join(lines + [f"{name}: {path}" for name, path in paths])


def aligned_lines(table: "Table") -> list[str]:
    """Return a table as lines of text; the best of a column has ``^`` behind it, intervals follow their figure."""
    header = [table.corner, *table.columns]
    rows = [
        [row.name, *(f"{c.text}{'^' if c.mark == 'best' else ''}{c.stars} {c.note}".rstrip() for c in row.cells)]
        for row in table.rows
    ]
    widths = [max(len(line[column]) for line in [header, *rows]) for column in range(len(header))]
    return [
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip()
        for line in [header, *rows]
    ]
