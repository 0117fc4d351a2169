"""Lines of metrics: summed over the steps since the last line, written as JSON and, when asked, for TensorBoard."""

from collections.abc import Mapping
from typing import Any

from lamae.errors import MissingExtraError
from lamae.nn.monitors import effective_rank, feature_std
from lamae.train.config import PretrainConfig
from lamae.train.run_folder import RunFolder
from lamae.train.step import StepResult
from lamae.train.workers import Workers


class MetricsLog:
    """Collects what steps report.

    Args:
        folder: Folder of the run.
        config: Settings of the run.
        workers: The processes of the run; only the main one writes.

    Attributes:
        loss: Last written training loss.
        validation_loss: Last measured validation loss.
        seconds: Time of all steps so far, resumed ones included.
    """

    def __init__(self, folder: RunFolder, config: PretrainConfig, workers: Workers) -> None:
        self.loss: float | None = None
        self.validation_loss: float | None = None
        self.seconds = 0.0
        self._folder, self._config = folder, config
        self._losses, self._recent_seconds, self._num = 0.0, 0.0, 0
        self._parts: dict[str, float] = {}
        self._board = _tensorboard(folder) if config.tensorboard and workers.is_main else None

    def add(self, result: StepResult, *, seconds: float) -> None:
        """Take in a step."""
        self._losses += result.loss
        self._parts = {name: self._parts.get(name, 0.0) + value for name, value in result.parts.items()}
        self._recent_seconds += seconds
        self._num += 1
        self.seconds += seconds

    def write(self, step: int, result: StepResult, *, validation: float | None) -> str:
        """Write a line for the steps since the last one, and return it in words.

        Args:
            step: Steps done.
            result: The last step.
            validation: Validation loss, when it was measured now.
        """
        rate = self._config.optim.batch_size * self._num / max(self._recent_seconds, 1e-9)
        self.loss = self._losses / self._num
        line: dict[str, Any] = {
            "step": step,
            "loss": self.loss,
            **{name: value / self._num for name, value in self._parts.items()},
            "lr": result.lr,
            "grad_norm": result.grad_norm,
            "studies_per_s": round(rate, 1),
            "feature_std": feature_std(result.summary),
            "effective_rank": effective_rank(result.summary),
            "seconds": round(self.seconds, 3),
        }
        if validation is not None:
            self.validation_loss = line["validation_loss"] = validation
        self._folder.append_metrics(line)
        if self._board is not None:
            for name in line.keys() - {"step"}:
                self._board.add_scalar(name, line[name], step)
        self._losses, self._recent_seconds, self._num, self._parts = 0.0, 0.0, 0, {}
        told = "" if validation is None else f"  validation {validation:.4f}"
        return (
            f"loss {self.loss:.4f}{told}  lr {result.lr:.1e}  gradient {result.grad_norm:.2f}  "
            f"rank {line['effective_rank']:.1f}  {rate:.0f} studies/s"
        )

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps, so that a resumed run writes the same lines."""
        return {
            "losses": self._losses,
            "parts": dict(self._parts),
            "recent_seconds": self._recent_seconds,
            "num": self._num,
            "seconds": self.seconds,
            "loss": self.loss,
            "validation_loss": self.validation_loss,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` returned."""
        self._losses, self._recent_seconds = state["losses"], state["recent_seconds"]
        self._parts = dict(state.get("parts", {}))  # checkpoints before there were parts have none
        self._num, self.seconds = state["num"], state["seconds"]
        self.loss, self.validation_loss = state["loss"], state["validation_loss"]

    def close(self) -> None:
        """Finish the TensorBoard files."""
        if self._board is not None:
            self._board.close()


def _tensorboard(folder: RunFolder) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtraError("tensorboard", extra="tracking", purpose="the setting tensorboard: true") from error
    return SummaryWriter(folder.path / "tensorboard")
