"""Argument types that several verbs share."""

import argparse
import math
from typing import Any, TypeAlias

from lamae.errors import ConfigError

Verbs: TypeAlias = "argparse._SubParsersAction[Any]"

READOUTS = ("cls", "mean", "view-concat", "encoder-mean", "encoder-view-concat")
"""The read-outs of `lamae.models.Readout`, here so that no command needs torch for its help."""


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """Add the permission to replace what is there."""
    parser.add_argument("--overwrite", action="store_true", help="replace something else that is there")


def positive_int(text: str) -> int:
    """Return a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, found {text!r}")
    return value


def count(text: str) -> int:
    """Return a whole number of at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, found {text!r}")
    return value


def seconds(text: str) -> float:
    """Return a number of seconds of at least 0."""
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of seconds of at least 0, found {text!r}")
    return value


def add_file_timeout(parser: argparse.ArgumentParser) -> None:
    """Add the option of the verbs that read files one after another."""
    parser.add_argument(
        "--file-timeout", type=seconds, default=60.0, metavar="SECONDS",
        help="longest time for one file, which is then refused; 0: no limit, and no process for reading (default: 60)",
    )  # fmt: skip


def key_values(pairs: list[str]) -> dict[str, str]:
    """Return ``["a=1", "b=x"]`` as a dictionary.

    Raises:
        ConfigError: A pair has no ``=``.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator:
            raise ConfigError(f"expected NAME=VALUE, found {pair!r}")
        found[key] = value
    return found


def dotted(words: list[str]) -> dict[str, str]:
    """Return ``["--a.b", "1", "--c=2"]`` as ``{"a.b": "1", "c": "2"}``.

    Raises:
        ConfigError: A word is no ``--name``, or its value is missing.
    """
    found: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        if not word.startswith("--"):
            raise ConfigError(f"unexpected argument {word!r}: settings are given as --name.of.setting VALUE")
        name, separator, value = word[2:].partition("=")
        if not separator:
            value = next(rest, None)
            if value is None:
                raise ConfigError(f"the setting {word!r} has no value: give --{name} VALUE")
        found[name] = value
    return found


def number_list(text: str) -> tuple[int, ...]:
    """Return ``"1-3,7"`` as ``(1, 2, 3, 7)``."""
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        try:
            numbers.extend(range(int(first), int(last or first) + 1))
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected numbers such as 1-9 or 1,2,5, found {text!r}") from None
    return tuple(numbers)
