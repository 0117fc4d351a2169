"""The page, assembled and written as one file without any link to the outside."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lamae._version import __version__
from lamae.errors import ConfigError
from lamae.files import refuse_existing, write_atomically
from lamae.report.curves import make_curves
from lamae.report.folders import read_folders
from lamae.report.pretraining import cards_of, make_sections
from lamae.report.results import Task, make_tasks
from lamae.report.style import MARK_PATHS, css_variables
from lamae.report.wording import NOTHING, count, heading, key_name, metric_name

_HERE = Path(__file__).parent


def write_report(inputs: Sequence[Path], out: Path, *, title: str | None = None, overwrite: bool = False) -> Path:
    """Write one self-contained HTML page from RUN and RESULT folders.

    Args:
        inputs: Folders of runs, results and comparisons, in the order in which to show them. The headline
            is about the first result that rests on a pretraining run: order, not score, chooses it.
        out: The HTML file to write, as a whole or not at all.
        title: Title of the page.
        overwrite: Replace another file; the same page may be written again.

    Returns:
        The path that was written.

    Raises:
        DataError: There is no input, or a folder is neither a RUN nor a RESULT, and no comparison.
        FormatError: A file is damaged, lacks what it must hold, or has an unknown format version.
        ConfigError: ``out`` is a folder, or another file that is not to be replaced.
        OSError: Writing failed; nothing half-written is left behind.
    """
    out = Path(out)
    if out.is_dir():
        raise ConfigError(f"{out}: is a folder; give the name of the HTML file to write, such as {out / 'report.html'}")
    page = render(inputs, title=title).encode()
    is_same = out.is_file() and out.read_bytes() == page
    refuse_existing(out, overwrite=overwrite or is_same, what="another file")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, page)
    return out


def render(inputs: Sequence[Path], *, title: str | None = None) -> str:
    """Return the page as text. Arguments and errors as in `write_report`."""
    runs, results, comparisons = read_folders(inputs)
    sections, tasks = make_sections(runs), make_tasks(results)
    shown = [*tasks, *(part for section in sections for part in (*section.data, *section.examples))]
    simulated = [*(part.simulated for part in shown), *(bool(one["simulated"]) for one in comparisons)]
    return (
        _environment()
        .get_template("report.html")
        .render(
            title=title or _title([section.name for section in sections], tasks, comparisons),
            runs=sections,
            curves=make_curves(runs),
            data=cards_of(sections),
            tasks=tasks,
            comparisons=comparisons,
            all_simulated=bool(simulated) and all(simulated),
            any_simulated=any(simulated),
            version=__version__,
            styles=Markup(_styles()),
        )
    )


def _title(names: Sequence[str], tasks: Sequence[Task], comparisons: Sequence[Mapping[str, Any]]) -> str:
    about = list(names) or [str(task.name) for task in tasks] or [str(one["title"]) for one in comparisons]
    return f"LAMAE report: {', '.join(dict.fromkeys(about))}"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(count=count, heading=heading, metric_name=metric_name, key_name=key_name, drawing=Markup)
    environment.globals.update(mark_paths=MARK_PATHS, nothing=NOTHING)
    return environment


def _styles() -> str:
    """Return the style sheet with the theme's colours for light and dark pages; paper is always light."""
    return "\n".join(
        [
            f":root {{ color-scheme: light dark; {css_variables('light')} }}",
            f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {css_variables('dark')} }} }}",
            (_HERE / "report.css").read_text(encoding="utf-8"),
        ]
    )
