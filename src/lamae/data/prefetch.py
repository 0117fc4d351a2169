"""One batch ahead: while a step computes, a thread reads what the next one needs."""

from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Prefetch(Generic[Key, Value]):
    """Reads values by key, and after each one the following one ahead of time.

    A value depends on its key alone, so what is read ahead changes nothing: another key than the expected one is read
    when it is asked for. An error of reading ahead is raised when that value is asked for.

    Args:
        read: Returns the value of a key; it is called in another thread, one call at a time.
        following: Returns the key that will probably be asked for after a key; None for none.
    """

    def __init__(self, read: Callable[[Key], Value], following: Callable[[Key], Key | None]) -> None:
        self._read, self._following = read, following
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lamae-prefetch")
        self._ahead: tuple[Key, Future[Value]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def get(self, key: Key) -> Value:
        """Return the value of a key, and begin to read the following one."""
        ahead = self._ahead
        future = ahead[1] if ahead is not None and ahead[0] == key else self._thread.submit(self._read, key)
        value = future.result()
        following = self._following(key)
        self._ahead = None if following is None else (following, self._thread.submit(self._read, following))
        return value
