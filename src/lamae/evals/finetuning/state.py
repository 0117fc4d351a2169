"""The state that a fine-tuning that was cut off goes on from, kept in its RESULT folder until the result is there."""

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamae.checkpoint import read_state, write_state
from lamae.config import difference
from lamae.errors import CheckpointError, ConfigError
from lamae.files import read_json, write_json

FOLDER = "progress"
SETTINGS_FILE, TRAINING_FILE = "settings.json", "training"
_SAID = ("epoch", "best_epoch", "best_value")


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """The training of one division after an epoch.

    Attributes:
        epoch: Epochs done.
        best_epoch: Number of the best one, from 1.
        best_value: Its value on the validation studies; higher is better.
        parts: ``"best"`` and ``"weights"``: the trained weights after the best and the last epoch, by parameter.
            ``"optimiser"``: its state, see `lamae.checkpoint.optimiser_tensors`.
    """

    epoch: int = 0
    best_epoch: int = 0
    best_value: float = -math.inf
    parts: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)

    def with_part(self, name: str, tensors: Mapping[str, Tensor]) -> "TrainingState":
        """Return the state with other tensors of a part."""
        return replace(self, parts={**self.parts, name: tensors})


class FinetuneState:
    """Finished divisions and the state of the one in work, each file there whole or not at all.

    Args:
        result: RESULT folder.
        settings: All that the training depends on, of plain JSON types.
        overwrite: Remove the beginning of a fine-tuning with other settings.

    Raises:
        ConfigError: The folder holds the beginning of a fine-tuning with other settings; the message lists where.
        CheckpointError: What it holds is damaged.
    """

    def __init__(self, result: Path, settings: Mapping[str, Any], *, overwrite: bool = False) -> None:
        self.folder = result / FOLDER
        file = self.folder / SETTINGS_FILE
        wanted = json.loads(json.dumps(settings))
        try:
            differing = difference(read_json(file), wanted) if file.is_file() else ["not begun"]
        except ValueError as error:
            if not overwrite:
                raise CheckpointError(f"{file}: not readable as JSON ({error}); {self._anew}") from error
            differing = ["damaged"]
        if differing and (overwrite or not file.is_file()):
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            write_json(file, wanted)
        elif differing:
            raise ConfigError(
                f"{result}: holds a fine-tuning that was begun with other settings (begun != this command): "
                f"{'; '.join(differing)}. Give the same settings to go on with it, choose another folder, or "
                f"{self._anew}"
            )

    @property
    def _anew(self) -> str:
        return f"remove {self.folder} to begin anew"

    def finished(self, division: int) -> tuple[dict[str, Any], np.ndarray, np.ndarray] | None:
        """Return the choice of a finished division, its test scores and its validation scores; None if not finished."""
        found = self._read(_name(division))
        if found is None:
            return None
        chosen, parts = found
        return chosen, parts["scores"]["test"].numpy(), parts["scores"]["validation"].numpy()

    def finish(self, division: int, chosen: Mapping[str, Any], test: np.ndarray, validation: np.ndarray) -> None:
        """Keep the outcome of a division; its training state is no longer needed."""
        scores = {"test": torch.from_numpy(test), "validation": torch.from_numpy(validation)}
        write_state(self._path(_name(division)), dict(chosen), {"scores": scores})
        self._path(TRAINING_FILE).unlink(missing_ok=True)

    def training(self, division: int) -> TrainingState | None:
        """Return the state in which the training of a division was cut off; None when it was not begun."""
        found = self._read(TRAINING_FILE)
        if found is None or found[0]["division"] != division:
            return None
        about, parts = found
        return TrainingState(**{name: about[name] for name in _SAID}, parts=parts)

    def keep(self, division: int, state: TrainingState) -> None:
        """Keep the state after an epoch, in place of the one before."""
        about = {name: getattr(state, name) for name in _SAID}
        write_state(self._path(TRAINING_FILE), about | {"division": division}, state.parts)

    def remove(self) -> None:
        """Remove all of it: the result is there."""
        shutil.rmtree(self.folder)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"

    def _read(self, name: str) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]] | None:
        try:
            return read_state(self._path(name))
        except FileNotFoundError:
            return None
        except CheckpointError as error:
            raise CheckpointError(f"{error}; {self._anew}") from error


def _name(division: int) -> str:
    return f"division-{division:02d}"
