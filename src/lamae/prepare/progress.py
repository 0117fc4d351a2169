"""How far a preparation is: a bar with rate and time left on a terminal, else a line now and then in the log."""

import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 30.0


class Progress(Protocol):
    """Is told about each finished shard."""

    def advance(self, num_studies: int, rejected_by_reason: Mapping[str, int]) -> None:
        """Count studies that were looked at, and those of them that were refused."""
        ...


@contextmanager
def show_progress(total: int, already: int, *, show: bool) -> Iterator[Progress]:
    """Show the progress while the block runs.

    Args:
        total: Number of studies.
        already: Studies that an earlier run has done.
        show: False shows nothing at all.
    """
    if not show:
        yield _Silent()
    elif sys.stderr.isatty():
        with _terminal_bar(total, already) as bar:
            yield bar
    else:
        yield _Log(total, already)


class _Silent:
    def advance(self, num_studies: int, rejected_by_reason: Mapping[str, int]) -> None:
        pass


class _Log:
    def __init__(self, total: int, already: int) -> None:
        self._total = total
        self._already = already
        self._done = already
        self._rejected: Counter[str] = Counter()
        self._started = self._last_line = time.monotonic()

    def advance(self, num_studies: int, rejected_by_reason: Mapping[str, int]) -> None:
        self._done += num_studies
        self._rejected.update(rejected_by_reason)
        now = time.monotonic()
        if now - self._last_line < _SECONDS_BETWEEN_LINES and self._done < self._total:
            return
        self._last_line = now
        rate = (self._done - self._already) / max(now - self._started, 1e-9)
        logger.info(
            "%d of %d studies, %.0f a second, %.0f s left, %d refused",
            self._done,
            self._total,
            rate,
            (self._total - self._done) / max(rate, 1e-9),
            self._rejected.total(),
        )


class _Bar:
    def __init__(self, progress, task) -> None:
        self._progress = progress
        self._task = task
        self._rejected = 0

    def advance(self, num_studies: int, rejected_by_reason: Mapping[str, int]) -> None:
        self._rejected += sum(rejected_by_reason.values())
        self._progress.update(self._task, advance=num_studies, refused=self._rejected)


@contextmanager
def _terminal_bar(total: int, already: int) -> Iterator[_Bar]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task) -> Text:
            return Text(f"{task.speed:,.0f}/s" if task.speed else "-/s")

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[refused]} refused"),
    )
    with RichProgress(*columns, console=Console(stderr=True), speed_estimate_period=30.0) as progress:
        yield _Bar(progress, progress.add_task("studies", total=total, completed=already, refused=0))
