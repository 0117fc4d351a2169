"""The folder of a run: its configuration, its metrics and its own description."""

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from lamae.config import difference, from_dict, to_dict
from lamae.errors import ConfigError
from lamae.files import write_atomically
from lamae.run_files import (
    CONFIG_FILE,
    METRICS_FILE,
    append_metrics,
    read_metrics,
    read_run_config,
    read_run_info,
    write_metrics,
    write_run_info,
)
from lamae.train.config import PretrainConfig

NONFINITE_FILE = "nonfinite.json"
LOCK_FILE = ".lock"


class RunFolder:
    """Files of one run.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoint"

    @property
    def info(self) -> dict[str, Any]:
        """Content of ``run.json``; empty when there is none yet."""
        try:
            return read_run_info(self.path)
        except FileNotFoundError:
            return {}

    @contextmanager
    def claimed(self, config: PretrainConfig, packs: list[dict[str, Any]]) -> Iterator[None]:
        """Hold the folder for a new run, or for the same run again, so that no other process works on it.

        Args:
            config: Configuration of the run.
            packs: Data card of each pack, with its ``content_hash``.

        Raises:
            ConfigError: The folder holds something else, or a run of another configuration or other data (the message
                lists where they differ), or another process works on it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        strangers = [file for file in self.path.iterdir() if not file.name.startswith(".")]
        if strangers and not (self.path / CONFIG_FILE).exists():
            raise ConfigError(f"{self.path}: holds files but no run ({CONFIG_FILE}); choose another folder")
        with (self.path / LOCK_FILE).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ConfigError(f"{self.path}: another process is working on this run; wait for it") from error
            self._check_or_write_config(config, packs)
            yield

    def _check_or_write_config(self, config: PretrainConfig, packs: list[dict[str, Any]]) -> None:
        file = self.path / CONFIG_FILE
        if not file.exists():
            write_atomically(file, yaml.safe_dump(to_dict(config), sort_keys=False).encode())
            return
        before = from_dict(PretrainConfig, read_run_config(self.path), source=str(file))
        if differing := difference(before, config):
            raise ConfigError(
                f"{self.path}: holds a run of another configuration (that run != this command): "
                f"{'; '.join(differing)}. Choose another folder, or give the same settings to resume"
            )
        old = [pack["content_hash"] for pack in self.info.get("packs", packs)]
        if old != [pack["content_hash"] for pack in packs]:
            raise ConfigError(f"{self.path}: holds a run on other packs; choose another folder, or give the same packs")

    def write_info(self, content: Mapping[str, Any]) -> None:
        """Write ``run.json``."""
        write_run_info(self.path, content)

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Add a line to ``metrics.jsonl``."""
        append_metrics(self.path / METRICS_FILE, line)

    def cut_metrics(self, step: int) -> None:
        """Remove the lines of later steps, which a resumed run does again."""
        file = self.path / METRICS_FILE
        if file.exists():
            write_metrics(file, [line for line in read_metrics(file) if line["step"] <= step])
