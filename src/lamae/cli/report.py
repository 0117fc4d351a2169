"""`lamae report RUN|RESULT ... --out report.html`: one self-contained page."""

import argparse
from pathlib import Path

from lamae.cli.arguments import Verbs, add_overwrite


def add_verbs(verbs: Verbs) -> None:
    """Add ``report`` to the parser."""
    parser = verbs.add_parser("report", help="write one self-contained HTML page from runs and results")
    parser.add_argument(
        "inputs",
        type=Path,
        nargs="+",
        metavar="RUN|RESULT|COMPARISON",
        help="folders of runs, results and comparisons",
    )
    parser.add_argument("--out", type=Path, required=True, help="HTML file to write")
    add_overwrite(parser)
    parser.add_argument("--title", help="title of the page")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Write the page and print where it is."""
    from lamae.report import write_report

    page = write_report(arguments.inputs, arguments.out, title=arguments.title, overwrite=arguments.overwrite)
    print(f"report: {page}")
