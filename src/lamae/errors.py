"""The errors that users meet. Each message names the object, what was expected, what was found and what to do."""


class DataError(ValueError):
    """A file, record or table cannot be used as it is.

    Args:
        message: Which file or record, what was expected, what was found, what to do.
        reason: A short fixed slug such as ``"truncated-file"``, without any name or path in it: rejected files are
            counted by it, and it may stand in logs and reports where the message may not.
    """

    def __init__(self, message: str, *, reason: str = "unusable-data") -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), str(self), self.reason)


class FormatError(DataError):
    """A file breaks the rules of its own format, or its format is not known."""


class ConfigError(ValueError):
    """A setting is unknown, of the wrong type, contradicts another one, or differs from the run it should resume."""


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged, of an unknown version, or belongs to another model."""


class MissingExtraError(ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package {package!r}: install it with  pip install 'lamae[{extra}]'")


def _rebuild(kind: type[DataError], message: str, reason: str) -> DataError:
    return kind(message, reason=reason)
