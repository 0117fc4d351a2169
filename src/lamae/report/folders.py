"""The files of RUN, RESULT and comparison folders, checked while they are read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamae.errors import DataError, FormatError
from lamae.report.examples import Arrays, read_attention, read_reconstruction
from lamae.results import Evaluation, caveats, read_info
from lamae.results import read_result as read_evaluation
from lamae.results.folder import PREDICTIONS_FILE
from lamae.run_files import INFO_FILE, read_all_metrics, read_run_config, read_run_info, read_valid_json

COMPARISON_FILE = "comparison.json"
COMPARISON_FORMAT, COMPARISON_FORMAT_VERSION = "lamae-comparison", 2

_RUN_KEYS = ("recipe", "status", "packs", "training", "parameters")
_COMPARISON_KEYS = ("title", "simulated", "warnings", "sections")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A pretraining run. ``reconstructions`` is empty and ``attention`` None where the run left no such example."""

    info: Mapping[str, Any]
    config: Mapping[str, Any]
    metrics: tuple[Mapping[str, Any], ...]
    reconstructions: tuple[Arrays, ...]
    attention: Arrays | None


@dataclass(frozen=True, kw_only=True)
class Result:
    """A result of an evaluation. ``evaluation`` holds the predictions, None where they were not handed on."""

    info: Mapping[str, Any]
    evaluation: Evaluation | None

    @property
    def caveats(self) -> list[str]:
        """What must stand beside its figures."""
        return caveats(self.info)

    @property
    def system(self) -> str:
        """Display name of the system, with what sets this result apart: a condition, a fraction of the labels."""
        return ", ".join([str(self.info["system"]), *_apart(self.info)])


def _apart(info: Mapping[str, Any]) -> list[str]:
    split, condition = info.get("split") or {}, info.get("condition")
    words = [str(condition["name"])] if condition else []
    if split.get("label_count") is not None:
        words.append(f"labels of {split['label_count']:,} studies")
    elif split.get("label_fraction", 1) != 1:
        words.append(f"{100 * split['label_fraction']:g} % of the labels")
    else:
        return words
    return [*words, f"draw {split['label_draw']}"] if "label_draw" in split else words


def read_folders(inputs: Sequence[Path]) -> tuple[list[Run], list[Result], list[dict[str, Any]]]:
    """Read every RUN, RESULT and comparison folder, in the order given.

    Raises:
        DataError: There is no input, or a folder is none of them.
        FormatError: A file in it is damaged, lacks what it must hold, or has an unknown format version.
    """
    if not inputs:
        raise DataError("a report needs at least one RUN or RESULT folder: none was given", reason="no-input")
    runs, results, comparisons = [], [], []
    for folder in map(Path, inputs):
        if (folder / "result.json").is_file():
            results.append(read_result(folder))
        elif (folder / INFO_FILE).is_file():
            runs.append(read_run(folder))
        elif (folder / COMPARISON_FILE).is_file():
            comparisons.append(read_comparison(folder))
        else:
            raise DataError(
                f"{folder}: expected the folder of a RUN (with run.json) or of a RESULT (with result.json), or one "
                f"that `lamae compare` wrote ({COMPARISON_FILE}), found "
                f"{'neither file in it' if folder.is_dir() else 'no such folder'}",
                reason="no-run-or-result",
            )
    return runs, results, comparisons


def read_run(folder: Path) -> Run:
    """Read a RUN folder: ``run.json`` and ``config.yaml`` must be there, metrics and examples may be absent."""
    info = read_run_info(folder)
    _check_keys(folder / INFO_FILE, info, _RUN_KEYS)
    examples = folder / "examples"
    return Run(
        info=info,
        config=read_run_config(folder),
        metrics=tuple(read_all_metrics(folder, info)),
        reconstructions=tuple(map(read_reconstruction, sorted(examples.glob("reconstruction*.npz")))),
        attention=read_attention(examples / "attention.npz"),
    )


def read_result(folder: Path) -> Result:
    """Read a RESULT folder: ``result.json`` must be there, the predictions may be absent."""
    if not (folder / PREDICTIONS_FILE).is_file():
        return Result(info=read_info(folder), evaluation=None)
    evaluation = read_evaluation(folder)
    return Result(info=evaluation.info, evaluation=evaluation)


def read_comparison(folder: Path) -> dict[str, Any]:
    """Read ``comparison.json``: the tables and charts that `lamae compare` made, ready for the page.

    Raises:
        FormatError: It is damaged, of another format or version, or lacks what it must say.
    """
    file = folder / COMPARISON_FILE
    info = read_valid_json(file, of=(COMPARISON_FORMAT, COMPARISON_FORMAT_VERSION))
    found = info.get("format"), info.get("format_version")
    if found != (COMPARISON_FORMAT, COMPARISON_FORMAT_VERSION):
        raise FormatError(
            f"{file}: expected the format {COMPARISON_FORMAT!r} of version {COMPARISON_FORMAT_VERSION}, found {found}: "
            "compare again with this release of lamae",
            reason="unknown-format",
        )
    _check_keys(file, info, _COMPARISON_KEYS)
    return info


def _check_keys(file: Path, info: Mapping[str, Any], required: Sequence[str]) -> None:
    if absent := [key for key in required if key not in info]:
        raise FormatError(f"{file}: {', '.join(absent)} is missing", reason="missing-key")
