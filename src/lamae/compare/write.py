"""The folder of a comparison: tables as CSV, Markdown and LaTeX, charts as PNG and SVG, a page, a JSON of it all."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lamae._version import __version__
from lamae.compare.charts import Chart
from lamae.compare.comparison import Comparison, make_comparison
from lamae.compare.entry import read_entries
from lamae.compare.judged import Settings
from lamae.compare.table import Table, as_csv, as_latex, as_markdown
from lamae.errors import ConfigError
from lamae.files import content_hash, read_json_object, refuse_existing, write_atomically, write_json
from lamae.report import write_report
from lamae.report.folders import COMPARISON_FILE, COMPARISON_FORMAT, COMPARISON_FORMAT_VERSION

TABLES, CHARTS, PAGE, ALL_TABLES = "tables", "charts", "comparison.html", "tables.md"


def compare(
    results: Sequence[str | Path], out: str | Path, *, settings: Settings | None = None, overwrite: bool = False
) -> Comparison:
    """Compare results and write the folder.

    Args:
        results: RESULT folders of two or more systems; several seeds, draws and amounts of labels, conditions and label
            sets may be among them.
        out: Folder to write: ``comparison.html``, ``tables.md``, ``tables/*.csv|md|tex``, ``charts/*.png|svg`` and
            ``comparison.json``.
        settings: Settings of the comparison.
        overwrite: Replace a comparison of other results or settings in ``out``; the same one may be made again.

    Raises:
        DataError: Results cannot be compared; the message says in what they differ.
        FormatError: A folder holds no result, or a damaged one.
        ConfigError: There is no such reference, or ``out`` holds something else.
        OSError: Writing failed.
    """
    out, settings = Path(out), settings or Settings()
    entries = read_entries([Path(one) for one in results])
    request = content_hash([__version__, asdict(settings), *(entry.info for entry in entries)])
    _check_out(out, request, overwrite=overwrite)
    comparison = make_comparison(entries, settings)
    for folder in (out / TABLES, out / CHARTS):
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
    for content in comparison.contents:
        _write(out, content, comparison.caveats)
    tables = [as_markdown(content) for content in comparison.contents if isinstance(content, Table)]
    warnings = [f"> **{warning}**" for warning in comparison.warnings]
    write_atomically(out / ALL_TABLES, "\n\n".join([f"# {comparison.title}", *warnings, *tables]).encode())
    write_json(out / COMPARISON_FILE, {"request": request} | as_json(comparison))
    write_report([out], out / PAGE, title=comparison.title, overwrite=True)
    return comparison


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return the content of the page and of `lamae report`."""
    return {
        "format": COMPARISON_FORMAT,
        "format_version": COMPARISON_FORMAT_VERSION,
        "lamae": __version__,
        "title": comparison.title,
        "simulated": comparison.simulated,
        "warnings": list(comparison.warnings),
        "sections": [
            {
                "title": section.title,
                "warnings": list(section.warnings),
                "parts": [_part_as_json(part) for part in section.parts],
            }
            for section in comparison.sections
        ],
    }


def _part_as_json(part: Table | Chart) -> dict[str, Any]:
    words = {"title": part.title, "caption": part.caption}
    if isinstance(part, Chart):
        return {"kind": "chart", **words, "folded": part.folded, "svg": part.svg}
    rows = [asdict(row) for row in part.rows]
    columns = list(part.columns)
    return {"kind": "table", **words, "folded": False, "corner": part.corner, "columns": columns, "rows": rows}


def _write(out: Path, content: Table | Chart, caveats: Mapping[str, str]) -> None:
    if isinstance(content, Chart):
        write_atomically(out / CHARTS / f"{content.key}.svg", content.svg_file)
        write_atomically(out / CHARTS / f"{content.key}.png", content.png)
        return
    if caveats:  # a caption says them in every other format
        records = [{**row, "caveats": _caveats(row, caveats)} for row in content.records]
        content = replace(content, records=records)
    for ending, text in (("csv", as_csv(content)), ("md", as_markdown(content)), ("tex", as_latex(content))):
        write_atomically(out / TABLES / f"{content.key}.{ending}", text.encode())


def _caveats(row: Mapping[str, Any], caveats: Mapping[str, str]) -> str:
    """Return the caveats of the systems of a record."""
    systems = [row[name] for name in ("system", "reference") if row.get(name) in caveats]
    return "; ".join(f"{system} {caveats[system]}" for system in systems)


def _check_out(out: Path, request: str, *, overwrite: bool) -> None:
    file = out / COMPARISON_FILE
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: is a file; give the name of a folder to write")
    if out.is_dir() and any(out.iterdir()) and not file.is_file():
        raise ConfigError(f"{out}: holds files but no comparison ({COMPARISON_FILE}); choose another folder")
    with contextlib.suppress(FileNotFoundError, ValueError):
        overwrite = overwrite or read_json_object(file).get("request") == request
    refuse_existing(file, overwrite=overwrite, what="another comparison")
