"""Progress of long work: a bar with the time left on a terminal, a line now and then elsewhere."""

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class Moment:
    """State of the work at a moment.

    Attributes:
        done: Parts that are done, those of earlier runs included.
        total: Number of parts.
        rate: Parts a second since this run began.
        left_s: Seconds that the rest will take at that rate.
        note: What there is to say at the moment, such as ``"3 refused"`` or a line of metrics.
    """

    done: int
    total: int
    rate: float
    left_s: float
    note: str


class Progress:
    """Shows how far some work is and how long it will take; a context manager.

    Args:
        what: What is being done, for the bar.
        total: Number of parts.
        done: Parts that an earlier run has done.
        show: False shows nothing at all.
        line: Words of a line where there is no terminal.
        every_s: Least seconds between two lines; with 0 there is one for each note. The end has one in any case, but
            for work that takes less than ``quiet_s``.
        quiet_s: Seconds at the beginning without any line.
        show_rate: Whether the bar shows parts a second.
        log: Name of the logger that lines go to; None, or one that lets no information pass: standard error.
        keep: Whether the bar stays when the work is done.
    """

    def __init__(
        self,
        what: str,
        *,
        total: int,
        done: int = 0,
        show: bool = True,
        line: Callable[[Moment], str],
        every_s: float = 0.0,
        quiet_s: float = 0.0,
        show_rate: bool = False,
        log: str | None = None,
        keep: bool = True,
    ) -> None:
        self._total, self._start, self._show, self._line = total, done, show, line
        self._every_s, self._quiet_s = every_s, quiet_s
        self._began = self._told = time.perf_counter()
        self._logger = logging.getLogger(log) if log is not None else None
        self._bar = _bar(what, show_rate=show_rate, keep=keep) if show and sys.stderr.isatty() else None
        self._task: Any = None if self._bar is None else self._bar.add_task("", total=total, completed=done, note="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, done: int, note: str | None = None) -> None:
        """Say that ``done`` parts are done, and what there is to say of it."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, **({} if note is None else {"note": note}))
            return
        now = time.perf_counter()
        due = now - self._told >= self._every_s if self._every_s else note is not None
        if self._show and (due or (self._every_s and done == self._total)) and now - self._began >= self._quiet_s:
            self._told = now
            self.say(self._line(self._moment(done, now, note or "")))

    def say(self, text: str) -> None:
        """Say something that is no progress."""
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False)
        elif self._show and self._logger is not None and self._logger.isEnabledFor(logging.INFO):
            self._logger.info(text)
        elif self._show:
            print(text, file=sys.stderr, flush=True)

    def _moment(self, done: int, now: float, note: str) -> Moment:
        each_s = (now - self._began) / max(done - self._start, 1)
        rate = 1 / max(each_s, 1e-9)
        return Moment(done=done, total=self._total, rate=rate, left_s=each_s * (self._total - done), note=note)


class TaskProgress:
    """Progress of one task after another, for work that says ``(what, done, total)``; a context manager."""

    def __init__(self, *, every_s: float = 20.0) -> None:
        self._every_s = every_s
        self._what = ""
        self._shown: Progress | None = None

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` parts of ``what`` are done."""
        if what != self._what or self._shown is None:
            self._close()
            self._what = what
            self._shown = Progress(
                what, total=total, line=self._words, every_s=self._every_s, quiet_s=self._every_s, keep=False
            ).__enter__()
        self._shown.advance(done)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _words(self, moment: Moment) -> str:
        left = f", about {moment.left_s:.0f} s left" if 0 < moment.done < moment.total else ""
        return f"{self._what}: {moment.done} of {moment.total}{left}"

    def _close(self) -> None:
        if self._shown is not None:
            self._shown.__exit__(None, None, None)
        self._shown = None


def format_seconds(seconds: float) -> str:
    """Return ``"1 h 02 min"``, ``"3 min 20 s"`` or ``"15 s"``."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


def _bar(what: str, *, show_rate: bool, keep: bool) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Any) -> Text:
            return Text(f"{task.speed:,.0f}/s" if task.speed else "-/s")

    columns = [TextColumn(what, markup=False), BarColumn(), MofNCompleteColumn(), *([Rate()] if show_rate else [])]
    columns += [TimeRemainingColumn(), TextColumn("{task.fields[note]}", markup=False)]
    console = Console(stderr=True)
    return Bar(*columns, console=console, transient=not keep, speed_estimate_period=30.0)
