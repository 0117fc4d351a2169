"""Small heads on frozen inputs: a grid of settings trained on the same batches, the best epoch of the best one kept."""

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lamae.data import global_batch
from lamae.errors import ConfigError, DataError
from lamae.evals.probes.selection import (
    Predicted,
    base_rate_logits,
    criterion,
    is_better,
    predict_divisions,
    validation_value,
)
from lamae.evals.settings import EvalSettings, Progress, SelectBy
from lamae.evals.tasks.task import Part, Task
from lamae.metrics import sigmoid

Inputs = Callable[[np.ndarray], tuple[Tensor, ...]]
"""Gives what a head takes for some studies, by their positions in ``task.rows``."""


@dataclass(frozen=True, kw_only=True)
class HeadGrid:
    """Configuration of the training of heads, and the settings that are tried.

    Attributes:
        lr: Rates of AdamW.
        weight_decay: Decoupled weight decays; not on parameters of one axis.
        balanced: True makes positives of a label weigh as much as its negatives together. The logits are moved back
            by the logarithm of that weight (King and Zeng 2001), so that they stay probabilities of the data.
        epochs: Maximum number of epochs.
        patience: Early-stopping patience of a setting, in epochs.
        batch_size: Studies in a step.

    Raises:
        ConfigError: A setting is outside its range.
    """

    lr: tuple[float, ...]
    weight_decay: tuple[float, ...]
    balanced: tuple[bool, ...] = (False, True)
    epochs: int = 30
    patience: int = 5
    batch_size: int = 64

    def __post_init__(self) -> None:
        if not self.lr or not self.weight_decay or not self.balanced:
            raise ConfigError(f"a grid of heads needs at least one value of each setting, found {self}")
        if min(self.lr) <= 0 or min(self.weight_decay) < 0 or min(self.epochs, self.patience, self.batch_size) < 1:
            raise ConfigError(
                f"lr, epochs, patience and batch_size must be above 0 and weight_decay not below, found {self}"
            )


def train_heads(
    make_head: Callable[[int, np.ndarray], nn.Module],
    inputs: Inputs,
    task: Task,
    settings: EvalSettings,
    grid: HeadGrid,
    *,
    what: str,
    progress: Progress,
) -> Predicted:
    """Train the heads of a grid for each division of a task, and predict the test studies once, by the best one.

    All settings see the same batches in the same order, so that inputs are read and prepared once for all of them.

    Args:
        make_head: Gives a head for a seed, given also the positions of the training studies.
        inputs: Gives the inputs of the heads.
        task: Labels and divisions.
        settings: Seed, and the measure to choose by.
        grid: The settings to try.
        what: The work in words, for the progress.
        progress: Called after each epoch.

    Returns:
        As `lamae.evals.probes.selection.Predicted`.

    Raises:
        DataError: A loss stopped being finite, or no label has both classes in a validation set.
    """

    def predict(number: int, part: Part) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        trainer = _Trainer(make_head, inputs, task, part, settings, grid, settings.seed + number)
        chosen = trainer.fit(what, progress)
        return trainer.predict(part.validation), trainer.predict(part.test), chosen

    tried = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(grid).items()}
    if task.is_regression:
        del tried["balanced"]
    return predict_divisions(task, settings, predict, lambda _: {"grid": tried})


def masked_loss(
    outputs: Tensor, targets: Tensor, *, is_regression: bool, positive_weight: Tensor | None = None
) -> Tensor:
    """Return the mean over known targets: binary cross-entropy of logits, or squared error; 0 when none is known.

    Args:
        outputs: ``[studies, labels]``.
        targets: ``[studies, labels]``, NaN where unknown.
        is_regression: True if targets are values.
        positive_weight: ``[labels]`` weight of a positive beside a negative; None weighs them alike.
    """
    known = ~targets.isnan()
    filled = targets.nan_to_num()
    if is_regression:
        losses = nn.functional.mse_loss(outputs, filled, reduction="none")
    else:
        losses = nn.functional.binary_cross_entropy_with_logits(
            outputs, filled, reduction="none", pos_weight=positive_weight
        )
    return (losses * known).sum() / known.sum().clamp_min(1)


@dataclass(kw_only=True)
class _Candidate:
    """One setting of the grid: its head, and the best epoch so far."""

    setting: Mapping[str, Any]
    head: nn.Module
    optimiser: torch.optim.Optimizer
    positive_weight: Tensor | None
    best_value: float | None = None
    best_epoch: int = 0
    best_state: Mapping[str, Tensor] | None = None


class _Trainer:
    """The candidates of one division."""

    def __init__(
        self,
        make_head: Callable[[int, np.ndarray], nn.Module],
        inputs: Inputs,
        task: Task,
        part: Part,
        settings: EvalSettings,
        grid: HeadGrid,
        seed: int,
    ) -> None:
        self.inputs, self.task, self.part, self.grid, self.seed = inputs, task, part, grid, seed
        self.by: SelectBy = criterion(task, settings)
        train = task.targets[part.train]
        self.offset, self.scale = offset_and_scale(task, part)
        self.bias = self.offset if task.is_regression else base_rate_logits(train)
        self.targets = torch.from_numpy(((train - self.offset) / self.scale).astype(np.float32))
        self.candidates = [self._candidate(make_head, setting) for setting in _settings(grid, task)]
        self.best = self.candidates[0]

    def fit(self, what: str, progress: Progress) -> dict[str, Any]:
        """Train all candidates until each stops, keep the best, and say which it is."""
        running, steps = list(self.candidates), math.ceil(len(self.part.train) / self.grid.batch_size)
        for epoch in range(1, self.grid.epochs + 1):
            for step in range((epoch - 1) * steps, epoch * steps):
                self._step(running, step)
            for candidate, logits in zip(running, self._logits(running, self.part.validation), strict=True):
                self._judge(candidate, logits, epoch)
            progress(what, epoch, self.grid.epochs)
            running = [one for one in running if epoch - one.best_epoch < self.grid.patience]
            if not running:
                break
        for candidate in self.candidates:
            assert candidate.best_value is not None
            if is_better(candidate.best_value, self.best.best_value, self.by):
                self.best = candidate
        assert self.best.best_state is not None
        self.best.head.load_state_dict(self.best.best_state)
        return {**self.best.setting, "best_epoch": self.best.best_epoch, "value": self.best.best_value}

    def predict(self, positions: np.ndarray) -> np.ndarray:
        """Return ``[studies, labels]`` probabilities, or values, of the best candidate."""
        (outputs,) = self._logits([self.best], positions)
        return outputs if self.task.is_regression else sigmoid(outputs)

    def _candidate(self, make_head: Callable[[int, np.ndarray], nn.Module], setting: Mapping[str, Any]) -> _Candidate:
        head = make_head(self.seed, self.part.train)
        device = next(head.parameters()).device
        weight = _positive_weight(self.targets).to(device) if setting["balanced"] else None
        if not self.task.is_regression:
            start = torch.from_numpy(self.bias).float().to(device)
            with torch.no_grad():
                last_linear(head).bias.copy_(start if weight is None else start + weight.log())
        groups = [
            {"params": [p for p in head.parameters() if (p.squeeze().ndim >= 2) == is_matrix], "weight_decay": decay}
            for is_matrix, decay in ((True, setting["weight_decay"]), (False, 0.0))
        ]
        optimiser = torch.optim.AdamW([group for group in groups if group["params"]], lr=setting["lr"])
        return _Candidate(setting=setting, head=head, optimiser=optimiser, positive_weight=weight)

    def _step(self, running: list[_Candidate], step: int) -> None:
        num_rows = len(self.part.train)
        size = min(self.grid.batch_size, num_rows)
        rows = global_batch(num_rows, size, seed=self.seed, step=step)
        given, wanted = self.inputs(self.part.train[rows]), self.targets[rows]
        for candidate in running:
            candidate.head.train()
            outputs = candidate.head(*given)
            loss = masked_loss(
                outputs,
                wanted.to(outputs.device),
                is_regression=self.task.is_regression,
                positive_weight=candidate.positive_weight,
            )
            candidate.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(candidate.head.parameters(), 1.0)
            if not bool(torch.isfinite(norm)) or not bool(torch.isfinite(loss)):
                raise DataError(
                    f"the loss of a head is {loss.item()} with a gradient of {norm.item()} at step {step} "
                    f"({dict(candidate.setting)}): features or targets are too large for this protocol",
                    reason="non-finite-loss",
                )
            candidate.optimiser.step()

    @torch.inference_mode()
    def _logits(self, candidates: list[_Candidate], positions: np.ndarray) -> list[np.ndarray]:
        """Return ``[studies, labels]`` float64 of each candidate: logits at the data's base rate, or values."""
        found: list[list[np.ndarray]] = [[] for _ in candidates]
        for start in range(0, len(positions), self.grid.batch_size):
            given = self.inputs(positions[start : start + self.grid.batch_size])
            for candidate, blocks in zip(candidates, found, strict=True):
                candidate.head.eval()
                outputs = candidate.head(*given)
                if candidate.positive_weight is not None:
                    outputs = outputs - candidate.positive_weight.log()
                blocks.append(outputs.double().cpu().numpy())
        return [np.concatenate(blocks) * self.scale + self.offset for blocks in found]

    def _judge(self, candidate: _Candidate, outputs: np.ndarray, epoch: int) -> None:
        value = validation_value(outputs, self.bias, self.task.targets[self.part.validation], self.by)
        if is_better(value, candidate.best_value, self.by):
            state = {name: tensor.detach().clone() for name, tensor in candidate.head.state_dict().items()}
            candidate.best_value, candidate.best_epoch, candidate.best_state = value, epoch, state


def _settings(grid: HeadGrid, task: Task) -> list[dict[str, Any]]:
    balanced = (False,) if task.is_regression else grid.balanced
    return [
        {"lr": lr, "weight_decay": decay, "balanced": one}
        for one, decay, lr in itertools.product(balanced, grid.weight_decay, grid.lr)
    ]


def _positive_weight(targets: Tensor) -> Tensor:
    """Return ``[labels]``: negatives to a positive among the known targets, within 1/100 and 100."""
    positives, known = (targets == 1).sum(dim=0), (~targets.isnan()).sum(dim=0)
    return ((known - positives) / positives.clamp_min(1)).clamp(0.01, 100.0).float()


def offset_and_scale(task: Task, part: Part) -> tuple[np.ndarray, np.ndarray]:
    """Return ``[labels]`` mean and deviation of the training targets of a regression; 0 and 1 for classes."""
    if not task.is_regression:
        return np.zeros(len(task.label_names)), np.ones(len(task.label_names))
    train = task.targets[part.train]
    return np.nanmean(train, axis=0), np.nanstd(train, axis=0)


def last_linear(head: nn.Module) -> nn.Linear:
    """Return the last linear layer, whose bias says what is predicted before anything is learned."""
    return [layer for layer in head.modules() if isinstance(layer, nn.Linear)][-1]
