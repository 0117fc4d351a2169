"""Evaluations in a row that go on where they were: a finished RESULT of the same request is not made again."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lamae._version import __version__
from lamae.errors import FormatError
from lamae.evals.identity import content_hash
from lamae.results import Evaluation, read_result, write_result

REQUEST = "request"
"""Key of ``result.json`` under which stands the hash of everything that was asked for."""


def request_hash(request: Mapping[str, Any]) -> str:
    """Return the hash of everything a result depends on, the version of this library included."""
    return content_hash({"lamae": __version__, **request})


def finished(folder: Path, request: str) -> Evaluation | None:
    """Return the evaluation of a RESULT folder if it is whole and answers the request, None otherwise."""
    try:
        found = read_result(folder)
    except FormatError:
        return None
    return found if found.info.get(REQUEST) == request else None


def kept_or_made(folder: Path, request: str, make: Callable[[], Evaluation]) -> Evaluation:
    """Return the finished evaluation of a folder, or make and write it; another result there is replaced.

    Raises:
        OSError: Writing failed.
    """
    found = finished(folder, request)
    if found is None:
        found = with_request(make(), request)
        write_result(folder, found)
    return found


def with_request(evaluation: Evaluation, request: str) -> Evaluation:
    """Return an evaluation that says which request it answers."""
    return replace(evaluation, info={**evaluation.info, REQUEST: request})
