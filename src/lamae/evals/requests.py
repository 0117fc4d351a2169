"""Requests of results: the same one may be made again in its RESULT folder, and another one is not lost unasked."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lamae._version import __version__
from lamae.errors import ConfigError, FormatError
from lamae.evals.settings import EvalSettings
from lamae.evals.tasks.task import Task
from lamae.files import content_hash, refuse_existing
from lamae.results import Evaluation, read_info, read_result, write_result
from lamae.results.folder import RESULT_FILE

REQUEST = "request"
"""Key of ``result.json`` under which stands the hash of everything that was asked for."""

_OTHER_FOLDERS = ("run.json", "pack.json", "comparison.json")
_OF_A_RESULT = (RESULT_FILE, "predictions.parquet", "head.json", "head.safetensors", "checkpoint", "progress")


def request_of(task: Task, settings: EvalSettings, system: Mapping[str, Any]) -> str:
    """Return the hash of everything that a result depends on, the version of this library included.

    Args:
        task: Packs and labels.
        settings: Settings of the task and of its judging.
        system: What the system depends on, of plain JSON types.
    """
    return content_hash(
        {
            **system,
            "lamae": __version__,
            "packs": [pack.info.content_hash for pack in task.packs],
            "labels": [task.label_set, *task.label_names],
            "settings": settings.plain(),
        }
    )


def claim(folder: str | Path | None, request: str, *, overwrite: bool, checkpoint: Path | None = None) -> None:
    """Check that a folder may become the RESULT of a request, before any work is done; None is no folder.

    It may if it is new, if its result is of the same request or damaged, or if ``overwrite`` gives it up: then that
    result is removed. The checkpoint to read must not lie in it.

    Raises:
        ConfigError: It is a file, holds a run, pack or comparison, the result of another request, or the checkpoint.
    """
    if folder is None:
        return
    folder = Path(folder)
    strangers = [name for name in _OTHER_FOLDERS if (folder / name).exists()]
    if strangers or folder.is_file():
        raise ConfigError(f"{folder}: {', '.join(strangers) or 'a file'} is there, no result; give another folder")
    if checkpoint is not None and checkpoint.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(f"{folder}: holds the encoder itself, which would be replaced; give another folder")
    try:
        if read_info(folder).get(REQUEST) == request:
            return
    except FormatError as error:
        if error.reason == "damaged-result" or not (folder / RESULT_FILE).exists():
            return
    refuse_existing(folder / RESULT_FILE, overwrite=overwrite, what="the result of another request")
    for name in _OF_A_RESULT:
        file = folder / name
        shutil.rmtree(file) if file.is_dir() else file.unlink(missing_ok=True)


def finished(folder: Path, request: str, *, overwrite: bool) -> Evaluation | None:
    """Return the evaluation of a RESULT folder if it is whole and answers the request; else None, and see `claim`."""
    claim(folder, request, overwrite=overwrite)
    try:
        return read_result(folder)
    except FormatError:
        return None


def kept_or_made(folder: Path, request: str, make: Callable[[], Evaluation], *, overwrite: bool) -> Evaluation:
    """Return the finished evaluation of a folder, or make and write it.

    Raises:
        ConfigError: The folder holds another result, see `claim`.
        OSError: Writing failed.
    """
    found = finished(folder, request, overwrite=overwrite)
    return answered(make(), request, folder) if found is None else found


def answered(evaluation: Evaluation, request: str, folder: str | Path | None) -> Evaluation:
    """Return an evaluation that says which request it answers, and write it to its RESULT folder, if any."""
    evaluation = replace(evaluation, info={**evaluation.info, REQUEST: request})
    if folder is not None:
        write_result(folder, evaluation)
    return evaluation
