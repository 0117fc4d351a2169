"""Errors raised to users; each message names the object, what was expected, what was found and what to do."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from numbers import Integral


class DataError(ValueError):
    """Raised when a file, record or table cannot be used as it is.

    Args:
        message: File or record, what was expected, what was found, what to do.
        reason: Short fixed slug such as ``"truncated-file"``, without names or paths: rejected files are counted by it,
            and it may appear in logs and reports where the message may not.
    """

    def __init__(self, message: str, *, reason: str = "unusable-data") -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), str(self), self.reason)


class FormatError(DataError):
    """Raised when a file violates its own format, or its format is unknown."""


class ConfigError(ValueError):
    """Raised when a setting is unknown, of the wrong type, contradicts another one, or differs from the resumed run."""


class CheckpointError(ValueError):
    """Raised when a checkpoint is missing, damaged, of an unknown version, or belongs to another model."""


class MissingExtraError(ImportError):
    """Raised when an optional dependency is not installed; the message names the extra that installs it."""

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package {package!r}: install it with  pip install 'lamae[{extra}]'")


def _rebuild(kind: type[DataError], message: str, reason: str) -> DataError:
    return kind(message, reason=reason)


def did_you_mean(name: object, known: Iterable[str], form: str = "did you mean {!r}? ") -> str:
    """Return a hint at the known name nearest to a wrong one, in words; empty where none is near."""
    near = get_close_matches(str(name), list(known), n=1)
    return form.format(near[0]) if near else ""


def check_batch_size(found: object) -> None:
    """Check the number of studies that a model is given at once.

    Raises:
        ConfigError: It is no whole number of at least 1.
    """
    if not isinstance(found, Integral) or found < 1:
        raise ConfigError(f"batch_size must be a whole number of at least 1, found {found!r}")


def check_choice(what: str, found: object, known: Sequence[str]) -> None:
    """Check that a word is one of those that are known.

    Raises:
        ConfigError: It is not; the message names the nearest and lists all.
    """
    if found not in known:
        hint = did_you_mean(found, known)
        raise ConfigError(f"unknown {what} {found!r}: {hint}expected one of {', '.join(known)}")


def refuse_twice(what: str, names: Sequence[str]) -> None:
    """Raise `ConfigError` if a name is given more than once; ``what`` says of what, in the plural."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{what} given twice: {', '.join(twice)}")
