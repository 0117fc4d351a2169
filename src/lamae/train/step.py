"""One training step on one page."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lamae.batch import StudyBatch
from lamae.data import MicroBatch, PackDataset, Prefetch, global_batch, in_order, micro_batches
from lamae.errors import DataError
from lamae.models import Pretrainable
from lamae.models.pretrainable import total_loss
from lamae.nn.masks import draw_masks
from lamae.nn.output import LossPart
from lamae.nn.plan import MaskPlan
from lamae.nn.precision import autocast
from lamae.train.config import PretrainConfig
from lamae.train.objective import pretraining_losses
from lamae.train.optim import learning_rate
from lamae.train.workers import Workers

_MASKS, _VALIDATION_MASKS = 1, 2

Augment = Callable[[StudyBatch, int, int], StudyBatch]
"""Returns a batch, augmented on its device: a function of the batch, the seed of the run and the step. Grids and what
was recorded stay as they are: the masks are drawn before."""


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """Everything that a step needs.

    Attributes:
        config: Settings of the run.
        model: The model, for its weights and its configuration.
        forward: The same model as it is called: compiled, wrapped for several processes, or itself.
        optimiser: The optimiser of its parameters.
        dataset: The training studies.
        workers: The processes of the run.
        augment: Changes a training batch on the device, given the seed of the run and the step; None changes nothing.
        ahead: Reads the batches of micro-batches (step, number) in a thread; None reads them when they are asked for.
    """

    config: PretrainConfig
    model: Pretrainable
    forward: nn.Module
    optimiser: torch.optim.Optimizer
    dataset: PackDataset
    workers: Workers
    augment: Augment | None = None
    ahead: Prefetch[tuple[int, int], StudyBatch] | None = None

    def read(self, step: int, number: int) -> StudyBatch:
        """Return the studies of a micro-batch of this process, on the CPU."""
        if self.ahead is not None:
            return self.ahead.get((step, number))
        return read_batch(self, own_micro_batches(self, step)[number], step)


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """The result of a step.

    Attributes:
        loss: Mean loss over the studies of the global batch, all its parts together.
        grad_norm: Norm of the gradient before clipping.
        lr: Learning rate.
        summary: ``[studies, dim]`` what monitors look at, of this process's last micro-batch.
        parts: What the loss consists of, by name, with ``NAME_weight`` of weighted parts; empty when it is one part.
    """

    loss: float
    grad_norm: float
    lr: float
    summary: Tensor
    parts: Mapping[str, float] = field(default_factory=dict)

    @property
    def finite(self) -> bool:
        """Return whether loss and gradient were finite; if not, the step changed nothing."""
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


def train_step(trainer: Trainer, step: int) -> StepResult:
    """Do one step: gradients of all micro-batches, the check that they are finite, then the optimiser.

    Losses are computed as sums over ``optim.batch_size`` and then divided by the fraction of these studies that have
    anything to predict: only when all micro-batches of all processes were seen is it known.

    Raises:
        DataError: No study of the step has anything to predict.
    """
    config, workers = trainer.config, trainer.workers
    pieces = own_micro_batches(trainer, step)
    totals: list[Tensor] = []
    losses: list[Mapping[str, LossPart]] = []
    summary, num_with_target = torch.empty(0), 0
    for number, micro in enumerate(pieces):
        batch, plan = draw_batch(trainer, trainer.read(step, number), step)
        num_with_target += plan.num_with_target
        with _synchronised(trainer.forward, last=number == len(pieces) - 1):
            with autocast(config.precision, workers.device):
                output = trainer.forward(batch, plan)
                parts = pretraining_losses(config, trainer.model, output, global_size=micro.global_size, step=step)
                total = total_loss(parts)
            (total * workers.world_size).backward()  # DDP averages gradients over processes; the loss is a sum
        totals.append(total.detach())
        losses.append({name: replace(part, value=part.value.detach()) for name, part in parts.items()})
        summary = output.summary
    share = _share_with_target(trainer, num_with_target, step)
    if share < 1:
        for parameter in trainer.model.parameters():
            if parameter.grad is not None:
                parameter.grad.div_(share)
    grad_norm = nn.utils.clip_grad_norm_(trainer.model.parameters(), config.optim.clip or math.inf)
    *own, norm = torch.stack([torch.stack(totals).sum(), *_sums(losses), grad_norm]).tolist()
    loss, *values = (value / share for value in workers.sum(*own))
    result = StepResult(
        loss=loss,
        grad_norm=norm,
        lr=learning_rate(config.optim, step),
        summary=summary,
        parts=_told_parts(losses[0], values),
    )
    if result.finite:
        for group in trainer.optimiser.param_groups:
            group["lr"] = result.lr
        trainer.optimiser.step()
        trainer.model.after_step(step, steps=config.optim.steps)
    trainer.optimiser.zero_grad()
    return result


@torch.no_grad()
def dry_run(trainer: Trainer) -> None:
    """Do the forward pass of one study, so that what does not fit together is found before anything is written.

    Raises:
        ConfigError: The data do not fit the model, or the batch cannot be cut.
    """
    micro = own_micro_batches(trainer, 0)[0]
    one = MicroBatch(indices=micro.indices[:1], positions=micro.positions[:1], global_size=micro.global_size)
    with autocast(trainer.config.precision, trainer.workers.device):
        trainer.model(*draw_batch(trainer, read_batch(trainer, one, 0), 0))


def own_micro_batches(trainer: Trainer, step: int) -> list[MicroBatch]:
    """Return this process's micro-batches of a step."""
    optim, workers = trainer.config.optim, trainer.workers
    indices = global_batch(len(trainer.dataset), optim.batch_size, seed=trainer.config.seed, step=step)
    cut = micro_batches(indices, rank=workers.rank, world_size=workers.world_size, accumulation=optim.accumulation)
    return list(cut)


def read_ahead(trainer: Trainer) -> Prefetch[tuple[int, int], StudyBatch]:
    """Return a reader of this process's micro-batches, by step and number, that is one batch ahead."""
    optim = trainer.config.optim

    def read(key: tuple[int, int]) -> StudyBatch:
        step, number = key
        return read_batch(trainer, own_micro_batches(trainer, step)[number], step)

    def following(key: tuple[int, int]) -> tuple[int, int] | None:
        step, number = key
        if number + 1 < optim.accumulation:
            return step, number + 1
        return (step + 1, 0) if step + 1 < optim.steps else None

    return Prefetch(read, following)


def read_batch(trainer: Trainer, micro: MicroBatch, step: int) -> StudyBatch:
    """Choose and read the studies of a micro-batch; a function of the step alone, so it may be done ahead."""
    return trainer.dataset.batch(micro.indices, positions=micro.positions, global_size=micro.global_size, step=step)


def draw_batch(trainer: Trainer, batch: StudyBatch, step: int) -> tuple[StudyBatch, MaskPlan]:
    """Draw the masks of a batch, bring both to the device, and augment the batch there."""
    device = trainer.workers.device
    plan = _masks(trainer.config, batch, _MASKS, step)
    batch = batch.to(device)
    if trainer.augment is not None:
        batch = trainer.augment(batch, trainer.config.seed, step)
    return batch, plan.to(device)


@torch.no_grad()
def find_culprits(trainer: Trainer, step: int) -> list[int]:
    """Return the rows of this process's part of a step whose loss, each computed alone, is not finite."""
    found = []
    for micro in own_micro_batches(trainer, step):
        for index, position in zip(micro.indices, micro.positions, strict=True):
            alone = MicroBatch(indices=np.array([index]), positions=np.array([position]), global_size=micro.global_size)
            batch, plan = draw_batch(trainer, read_batch(trainer, alone, step), step)
            with autocast(trainer.config.precision, trainer.workers.device):
                output = trainer.model(batch, plan)
                parts = pretraining_losses(trainer.config, trainer.model, output, global_size=1, step=step)
            if not math.isfinite(total_loss(parts).item()):
                found.append(int(index))
    return found


@torch.no_grad()
def validation_loss(trainer: Trainer, dataset: PackDataset) -> float:
    """Return the mean of the model's own loss over the validation studies with anything to predict, masks always alike.

    Alignment is left out, so that systems with and without it can be compared.
    """
    config = trainer.config
    num = min(len(dataset), config.data.validation_studies)
    total, num_with_target = 0.0, 0
    for rows in in_order(num, config.optim.batch_size):
        batch = dataset.batch(rows, positions=rows, global_size=num)
        plan = validation_masks(config, batch).to(trainer.workers.device)
        num_with_target += plan.num_with_target
        with autocast(config.precision, trainer.workers.device):
            output = trainer.model(batch.to(trainer.workers.device), plan)
            total += total_loss(trainer.model.losses(output, global_size=num)).item()
    return total / (num_with_target / (num * len(config.model.mask.drawn)))


def validation_masks(config: PretrainConfig, batch: StudyBatch) -> MaskPlan:
    """Draw the masks of a validation batch: the same ones for the same studies at any step."""
    return _masks(config, batch, _VALIDATION_MASKS, 0)


def _masks(config: PretrainConfig, batch: StudyBatch, purpose: int, step: int) -> MaskPlan:
    seed = int(np.random.SeedSequence([config.seed, purpose, step]).generate_state(1, np.uint64)[0])
    generator = torch.Generator().manual_seed(seed)
    return draw_masks(config.model.mask, batch, config.model.patch_shapes, generator)


def _share_with_target(trainer: Trainer, num_with_target: int, step: int) -> float:
    """Return the fraction of the studies (and masks) of a global batch in which there is anything to predict."""
    optim, num_masks = trainer.config.optim, len(trainer.config.model.mask.drawn)
    (total,) = trainer.workers.sum(num_with_target)
    if not total:
        raise DataError(
            f"step {step}: none of the {optim.batch_size} studies has anything to predict, because no recording that "
            "was drawn has two recorded patches: raise data.min_views or optim.batch_size, or use a smaller patch",
            reason="no-targets",
        )
    return total / (num_masks * optim.batch_size)


def _sums(losses: Sequence[Mapping[str, LossPart]]) -> list[Tensor]:
    """Sums over micro-batches of each part of the loss; none where it has one part."""
    names = list(losses[0]) if len(losses[0]) > 1 else []
    return [torch.stack([parts[name].value for parts in losses]).sum() for name in names]


def _told_parts(parts: Mapping[str, LossPart], values: Sequence[float]) -> dict[str, float]:
    told = dict(zip(parts, values, strict=True)) if values else {}
    weights = {f"{name}_weight": part.weight for name, part in parts.items() if values and part.weight is not None}
    return told | weights


def _synchronised(forward: nn.Module, *, last: bool) -> Any:
    """Exchange gradients between processes after the last micro-batch only."""
    wrapped = isinstance(forward, DistributedDataParallel)
    return forward.no_sync() if wrapped and not last else nullcontext()
