"""What a report is made of: the files of RUN and RESULT folders, checked while they are read."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lamae.config import read_yaml
from lamae.errors import DataError, FormatError
from lamae.report.comparisons import COMPARISON_FILE, ComparisonFolder, read_comparison
from lamae.results import Evaluation, read_info
from lamae.results import read_result as read_evaluation
from lamae.results.folder import PREDICTIONS_FILE

RUN_FORMAT = "lamae-run"
FORMAT_VERSION = 1

_RUN_KEYS = ("recipe", "status", "packs", "training", "parameters")
_RECONSTRUCTION_ARRAYS = ("leads", "rate_hz", "original", "reconstructed", "masked", "simulated")
_ATTENTION_ARRAYS = ("leads", "weights", "cls")


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """``examples/reconstruction*.npz``: one study with its hidden parts and what the model made of them.

    Attributes:
        leads: Names of the leads.
        rate_hz: Samples a second.
        original: ``[leads, samples]`` in mV.
        reconstructed: ``[leads, samples]`` in mV.
        masked: ``[leads, samples]`` bool.
        simulated: Whether the study is simulated.
        title: Title of the picture; empty where the file gives none.
    """

    leads: tuple[str, ...]
    rate_hz: float
    original: np.ndarray
    reconstructed: np.ndarray
    masked: np.ndarray
    simulated: bool
    title: str


@dataclass(frozen=True, kw_only=True)
class Attention:
    """``examples/attention.npz``: latent attention between leads.

    Attributes:
        leads: Names of the leads.
        weights: ``[layers, leads, leads]``, the share of its attention that the lead of a row gives to each lead.
        cls: ``[leads]``, the share that the CLS token gives to each lead.
    """

    leads: tuple[str, ...]
    weights: np.ndarray
    cls: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Run:
    """A pretraining run. ``reconstructions`` is empty and ``attention`` None where the run left no such example."""

    info: Mapping[str, Any]
    config: Mapping[str, Any]
    metrics: tuple[Mapping[str, Any], ...]
    reconstructions: tuple[Reconstruction, ...]
    attention: Attention | None


@dataclass(frozen=True, kw_only=True)
class Result:
    """A result of an evaluation. ``evaluation`` holds the predictions, None where they were not handed on."""

    info: Mapping[str, Any]
    evaluation: Evaluation | None

    @property
    def system(self) -> str:
        """Display name of what was judged, with what sets this result apart: a condition, a share of the labels."""
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


def read_folders(inputs: Sequence[Path]) -> tuple[list[Run], list[Result], list[ComparisonFolder]]:
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
        elif (folder / "run.json").is_file():
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
    examples = folder / "examples"
    return Run(
        info=info,
        config=read_yaml(folder / "config.yaml"),
        metrics=_read_metrics(folder / "metrics.jsonl"),
        reconstructions=tuple(map(_read_reconstruction, sorted(examples.glob("reconstruction*.npz")))),
        attention=_read_attention(examples / "attention.npz"),
    )


def read_run_info(folder: Path) -> dict[str, Any]:
    """Read ``run.json``: what a run says about itself."""
    return _read_json(folder / "run.json", RUN_FORMAT, _RUN_KEYS)


def read_result(folder: Path) -> Result:
    """Read a RESULT folder: ``result.json`` must be there, the predictions may be absent."""
    if not (folder / PREDICTIONS_FILE).is_file():
        return Result(info=read_info(folder), evaluation=None)
    evaluation = read_evaluation(folder)
    return Result(info=evaluation.info, evaluation=evaluation)


def _read_json(path: Path, kind: str, required: tuple[str, ...]) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FormatError(f"{path}: this is not valid JSON: {error}", reason="damaged-json") from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != kind:
        raise FormatError(f"{path}: expected the format {kind!r}, found {found!r}", reason="unknown-format")
    version = content.get("format_version")
    if version != FORMAT_VERSION:
        raise FormatError(
            f"{path}: expected format version {FORMAT_VERSION}, found {version!r}: read it with the release of lamae "
            "that wrote it, or a later one",
            reason="unknown-version",
        )
    if absent := [key for key in required if key not in content]:
        raise FormatError(f"{path}: {', '.join(absent)} is missing", reason="missing-key")
    return content


def _read_metrics(path: Path) -> tuple[Mapping[str, Any], ...]:
    """Read JSON lines. A last line without an end is what a killed run leaves, and is passed over."""
    if not path.is_file():
        return ()
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise FormatError(f"{path}: line {number} is not valid JSON: {error}", reason="damaged-json") from error
        if not isinstance(row, dict) or "step" not in row:
            raise FormatError(f"{path}: line {number} holds no 'step'", reason="missing-key")
        rows.append(row)
    return tuple(rows)


def _read_reconstruction(path: Path) -> Reconstruction:
    arrays = _read_arrays(path, _RECONSTRUCTION_ARRAYS, optional=("title",))
    expected = (len(arrays["leads"]), arrays["original"].shape[-1])
    _check_shapes(path, arrays, dict.fromkeys(("original", "reconstructed", "masked"), expected))
    return Reconstruction(
        leads=tuple(map(str, arrays["leads"])),
        rate_hz=float(arrays["rate_hz"]),
        original=arrays["original"],
        reconstructed=arrays["reconstructed"],
        masked=arrays["masked"].astype(bool),
        simulated=bool(arrays["simulated"]),
        title=str(arrays.get("title", "")),
    )


def _read_attention(path: Path) -> Attention | None:
    if not path.is_file():
        return None
    arrays = _read_arrays(path, _ATTENTION_ARRAYS)
    num_leads = len(arrays["leads"])
    _check_shapes(path, arrays, {"weights": (len(arrays["weights"]), num_leads, num_leads), "cls": (num_leads,)})
    return Attention(leads=tuple(map(str, arrays["leads"])), weights=arrays["weights"], cls=arrays["cls"])


def _read_arrays(path: Path, names: tuple[str, ...], *, optional: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    if not zipfile.is_zipfile(path):
        raise FormatError(f"{path}: this is not a readable .npz file", reason="damaged-npz")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in (*names, *optional) if name in archive}
    except (zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
        raise FormatError(f"{path}: this is not a readable .npz file: {error}", reason="damaged-npz") from error
    if absent := [name for name in names if name not in arrays]:
        raise FormatError(f"{path}: the array {', '.join(absent)} is missing", reason="missing-key")
    return arrays


def _check_shapes(path: Path, arrays: Mapping[str, np.ndarray], expected: Mapping[str, tuple[int, ...]]) -> None:
    for name, shape in expected.items():
        if arrays[name].shape != shape:
            raise FormatError(
                f"{path}: {name} must have the shape {shape}, found {arrays[name].shape}", reason="wrong-shape"
            )
