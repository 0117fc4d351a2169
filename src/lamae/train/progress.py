"""Progress of a run: a bar on a terminal, lines elsewhere."""

import logging
import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

logger = logging.getLogger("lamae.train")


class TrainingProgress:
    """Shows how far a run is and when it will be done.

    Args:
        steps: Steps of the whole run.
        start: Steps that are done already.
        enabled: False shows nothing.
    """

    def __init__(self, *, steps: int, start: int, enabled: bool) -> None:
        self._steps, self._start, self._enabled = steps, start, enabled
        self._began = time.perf_counter()
        console = Console(stderr=True)
        self._bar = None
        if enabled and console.is_terminal:
            columns = (TextColumn("pretraining"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, TextColumn("{task.fields[line]}"), console=console)
            self._task = self._bar.add_task("", total=steps, completed=start, line="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, step: int) -> None:
        """Say that ``step`` steps are done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=step)

    def report(self, step: int, line: str) -> None:
        """Show a line of metrics."""
        if self._bar is not None:
            self._bar.update(self._task, completed=step, line=line)
        elif self._enabled:
            per_step = (time.perf_counter() - self._began) / max(step - self._start, 1)
            left = format_seconds(per_step * (self._steps - step))
            self._say(f"step {step}/{self._steps}  {line}  {left} left")

    def note(self, text: str) -> None:
        """Say something that is no metric."""
        if self._bar is not None:
            self._bar.console.print(text, highlight=False)
        elif self._enabled:
            self._say(text)

    def _say(self, text: str) -> None:
        if logger.isEnabledFor(logging.INFO):
            logger.info(text)
        else:
            print(text, file=sys.stderr)


def format_seconds(seconds: float) -> str:
    """Return ``"1 h 02 min"``, ``"3 min 20 s"`` or ``"15 s"``."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"
