"""Files of a RUN folder as others read them: ``run.json``, ``config.yaml`` and ``metrics.jsonl``, each under a hash."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lamae.config import read_yaml
from lamae.errors import ConfigError, FormatError
from lamae.files import parse_json_object, read_json, sha256, with_hash, without_hash, write_atomically, write_json

RUN_FORMAT, RUN_FORMAT_VERSION = "lamae-run", 2
CONFIG_FILE, INFO_FILE, METRICS_FILE = "config.yaml", "run.json", "metrics.jsonl"
_CONFIG_HASH = "config_sha256"


def hardware_words(hardware: Mapping[str, Any]) -> str:
    """Return what a run was computed on, as its card tells it: ``"NVIDIA H100, 16 threads, 4 processes"``."""
    threads = f"{hardware['threads']} threads" if hardware.get("threads") else ""
    processes = f"{hardware['processes']} processes" if (hardware.get("processes") or 1) > 1 else ""
    return ", ".join(str(part) for part in (hardware.get("name") or hardware.get("device"), threads, processes) if part)


def write_run_info(folder: Path, content: Mapping[str, Any]) -> None:
    """Write ``run.json``, with the hash of the ``config.yaml`` that is there."""
    told = {"format": RUN_FORMAT, "format_version": RUN_FORMAT_VERSION, **content}
    write_json(folder / INFO_FILE, told | {_CONFIG_HASH: sha256(folder / CONFIG_FILE)})


def read_run_info(folder: Path) -> dict[str, Any]:
    """Read ``run.json``.

    Raises:
        FileNotFoundError: There is none.
        FormatError: It is damaged, or of another format or version.
    """
    file = folder / INFO_FILE
    info = read_valid_json(file, of=(RUN_FORMAT, RUN_FORMAT_VERSION))
    if (found := info.get("format")) != RUN_FORMAT:
        raise FormatError(f"{file}: expected the format {RUN_FORMAT!r}, found {found!r}", reason="unknown-format")
    if (version := info.get("format_version")) != RUN_FORMAT_VERSION:
        raise FormatError(
            f"{file}: expected format version {RUN_FORMAT_VERSION}, found {version!r}: read it with the release of "
            "lamae that wrote it, or pretrain again",
            reason="unknown-version",
        )
    return info


def read_valid_json(file: Path, *, of: tuple[str, int]) -> dict[str, Any]:
    """Read what `lamae.files.write_json` wrote.

    Raises:
        FileNotFoundError: There is no such file.
        FormatError: It is damaged (``damaged-json``).
    """
    try:
        return read_json(file, of=of)
    except ValueError as error:
        raise FormatError(f"{file}: this is not valid JSON: {error}", reason="damaged-json") from error


def read_run_config(folder: Path) -> dict[str, Any]:
    """Read ``config.yaml`` and check that it is the one that the run began with.

    Raises:
        ConfigError: It cannot be read, or was changed since.
        FormatError: ``run.json`` is damaged, or of another format or version.
    """
    file = folder / CONFIG_FILE
    if file.is_file() and (folder / INFO_FILE).is_file() and read_run_info(folder).get(_CONFIG_HASH) != sha256(file):
        raise ConfigError(
            f"{file}: was changed after the run began (its hash is not the one in {INFO_FILE}), so it does not say "
            f"what was trained: put it back as it was. For a run with these settings: lamae pretrain RECIPE "
            f"--config {file} --data PACK --out ANOTHER_FOLDER"
        )
    return read_yaml(file)


def read_metrics(file: Path) -> list[dict[str, Any]]:
    """Read the lines of ``metrics.jsonl``; a last one that was cut off by a crash is left out.

    Raises:
        FormatError: A line is not as it was written; the message gives its number.
    """
    rows = []
    for number, line in enumerate(file.read_bytes().split(b"\n")[:-1], start=1):
        try:
            row = without_hash(parse_json_object(line.decode()))
        except ValueError as error:
            raise FormatError(f"{file}: line {number} is not valid JSON: {error}", reason="damaged-json") from error
        if type(row.get("step")) is not int:
            raise FormatError(f"{file}: line {number} holds no 'step'", reason="missing-key")
        rows.append(row)
    return rows


def read_all_metrics(folder: Path, info: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Read the metrics of a run, none where the file is absent, and check that those of a finished run reach its end.

    Args:
        folder: Folder of the run.
        info: Content of its ``run.json``.

    Raises:
        FormatError: As `read_metrics`, or the last lines are missing.
    """
    file = folder / METRICS_FILE
    rows = read_metrics(file) if file.is_file() else []
    if rows and info.get("status") == "finished" and rows[-1]["step"] != info.get("step"):
        raise FormatError(
            f"{file}: ends at step {rows[-1]['step']}, but the run finished at step {info.get('step')}: the last lines "
            "are missing or damaged",
            reason="truncated-file",
        )
    return rows


def append_metrics(file: Path, line: Mapping[str, Any]) -> None:
    """Add a line to ``metrics.jsonl``."""
    with file.open("a", encoding="utf-8") as opened:
        opened.write(_as_line(line))


def write_metrics(file: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write ``metrics.jsonl`` anew, whole or not at all."""
    write_atomically(file, "".join(map(_as_line, lines)).encode())


def _as_line(line: Mapping[str, Any]) -> str:
    return json.dumps(with_hash(line)) + "\n"
