"""Progress of evaluations: a bar with the time left on a terminal, now and then a line elsewhere."""

import sys
import time
from types import TracebackType
from typing import Self

SECONDS_BETWEEN_LINES = 20.0


class TextProgress:
    """Shows what is being done, how far it is and how long it will take; a context manager that is called."""

    def __init__(self) -> None:
        self._what, self._started, self._shown = "", 0.0, 0.0
        self._on_terminal = sys.stderr.isatty()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` parts of ``what`` are done."""
        now = time.monotonic()
        if what != self._what:
            self._what, self._started, self._shown = what, now, now
        wait = 0.2 if self._on_terminal else SECONDS_BETWEEN_LINES
        if now - self._shown < wait and done < total:
            return
        self._shown = now
        left = (now - self._started) / done * (total - done) if done else float("nan")
        told = f"{what}: {done} of {total}" + (f", about {left:.0f} s left" if 0 < done < total else "")
        if self._on_terminal:
            print(f"\r\x1b[2K{told}", end="", file=sys.stderr, flush=True)
        elif now - self._started >= SECONDS_BETWEEN_LINES:
            print(told, file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._on_terminal and self._what:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
