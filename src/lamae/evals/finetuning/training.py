"""The loop of supervised training: AdamW with a rate for each layer, early stopping on the validation studies."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lamae.checkpoint import optimiser_tensors, restore_optimiser
from lamae.data import PackDataset, for_known_views, global_batch, in_order
from lamae.errors import DataError
from lamae.evals.finetuning.classifier import StudyClassifier
from lamae.evals.finetuning.state import TrainingState
from lamae.evals.probes.head_training import masked_loss
from lamae.evals.settings import FinetuneConfig, Progress
from lamae.evals.tasks.task import Part, Task
from lamae.metrics import auroc, mean_absolute_error
from lamae.nn.precision import autocast


def fit(
    model: StudyClassifier,
    task: Task,
    part: Part,
    config: FinetuneConfig,
    *,
    layer_decay: float,
    seed: int,
    progress: Progress,
    begun: TrainingState | None = None,
    keep: Callable[[TrainingState], None] | None = None,
) -> dict[str, Any]:
    """Train a classifier on the training studies of a part and leave it with the weights of its best epoch.

    Args:
        model: A classifier as it is before training; those of its parameters learn that require a gradient.
        task: Labels and divisions.
        part: The division.
        config: Settings of the training.
        layer_decay: Factor on the rate from each block to the one below it.
        seed: Seed of the order of the studies.
        progress: Called after each epoch.
        begun: State of the same training, cut off; it goes on from there, with the same weights at the end.
        keep: Called after each epoch with what is needed to go on from it.

    Returns:
        ``best_epoch`` (from 1), ``epochs`` done, ``value`` on the validation studies and its ``metric``.

    Raises:
        DataError: The loss stopped being finite.
    """
    dataset = _dataset(task, part.train, model)
    scaled = (task.targets[part.train] - np.array(model.config.offset)) / np.array(model.config.scale)
    targets = torch.from_numpy(scaled.astype(np.float32))
    _start_at_base_rate(model, targets)
    steps_per_epoch = max(1, math.ceil(len(dataset) / config.batch_size))
    optimiser = make_optimiser(model, config, layer_decay)
    state = begun or TrainingState()
    if begun is not None:
        _set_weights(model, begun.parts["weights"])
        restore_optimiser(optimiser, model, begun.parts["optimiser"], source="the fine-tuning that was cut off")
    while state.epoch < config.epochs and state.epoch - state.best_epoch < config.patience:
        first_step = state.epoch * steps_per_epoch
        _train_epoch(model, dataset, targets, optimiser, config, first_step, steps_per_epoch, seed)
        epoch, value = state.epoch + 1, _validation_value(model, task, part, config)
        if epoch == 1 or value > state.best_value:
            best = {name: parameter.detach().clone() for name, parameter in _trained(model)}
            state = replace(state, best_epoch=epoch, best_value=value).with_part("best", best)
        state = replace(state, epoch=epoch).with_part("weights", dict(_trained(model)))
        state = state.with_part("optimiser", optimiser_tensors(optimiser, model))
        if keep is not None:
            keep(state)
        progress(f"fine-tuning, validation {abs(value):.3f}", epoch, config.epochs)
    _set_weights(model, state.parts["best"])
    model.eval()
    metric = "mae" if task.is_regression else "macro-auroc"
    return {"best_epoch": state.best_epoch, "epochs": state.epoch, "value": abs(state.best_value), "metric": metric}


def predict(model: StudyClassifier, task: Task, positions: np.ndarray, config: FinetuneConfig) -> np.ndarray:
    """Return ``[studies, labels]`` predictions for some studies of a task."""
    model.eval()
    dataset = _dataset(task, positions, model)
    parts = []
    for indices in in_order(len(dataset), config.batch_size):
        with autocast(config.precision, model.device):
            parts.append(model.predict(dataset.batch(indices).to(model.device)))
    return np.concatenate(parts)


def make_optimiser(model: StudyClassifier, config: FinetuneConfig, layer_decay: float) -> torch.optim.AdamW:
    """Return AdamW with a smaller rate for each block nearer to the input (Clark et al. 2020, ELECTRA)."""
    depth = {name: _depth(name, model) for name, _ in _trained(model)}
    top = max(depth.values())
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in _trained(model):
        groups.setdefault((depth[name], parameter.squeeze().ndim >= 2), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": config.lr * layer_decay ** (top - level),
                "highest_lr": config.lr * layer_decay ** (top - level),
                "weight_decay": config.weight_decay if is_matrix else 0.0,
            }
            for (level, is_matrix), parameters in sorted(groups.items(), key=lambda item: item[0])
        ],
        betas=(0.9, 0.999),
    )


def _trained(model: StudyClassifier) -> list[tuple[str, nn.Parameter]]:
    return [
        (name, parameter)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and not name.startswith("encoder.decoders")
    ]


def _set_weights(model: StudyClassifier, weights: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in _trained(model):
            parameter.copy_(weights[name])


def _depth(name: str, model: StudyClassifier) -> int:
    """Return the level of a parameter: 0 for patch embedding, one a block, the last for what comes after them."""
    num_encoder, num_latent = model.encoder.config.encoder.depth, model.encoder.config.latent.depth
    words = name.split(".")
    if words[0] != "encoder":
        return num_encoder + num_latent
    below = 0 if words[1] == "encoders" else num_encoder
    if "blocks" in words:
        return below + 1 + int(words[words.index("blocks") + 1])
    if words[-2] == "norm":
        return below + (num_encoder if words[1] == "encoders" else num_latent)
    return below


def _dataset(task: Task, positions: np.ndarray, model: StudyClassifier) -> PackDataset:
    pack, rows = task.locate(positions)
    clip = model.encoder.config.streams[pack.info.modality].clip
    return for_known_views(pack, view_names=model.config.view_names, rows=rows, clip=clip)


def _start_at_base_rate(model: StudyClassifier, targets: Tensor) -> None:
    """Set the bias to the logit of the prevalence, so that rare labels do not spend the first steps on it."""
    if model.config.kind == "regression":
        return
    rate = targets.nanmean(dim=0).clamp(1e-4, 1 - 1e-4)
    with torch.no_grad():
        model.last_layer.bias.copy_(rate.logit())


def _train_epoch(
    model: StudyClassifier,
    dataset: PackDataset,
    targets: Tensor,
    optimiser: torch.optim.Optimizer,
    config: FinetuneConfig,
    first_step: int,
    num_steps: int,
    seed: int,
) -> None:
    model.train()
    for step in range(first_step, first_step + num_steps):
        _set_rate(optimiser, step, num_steps * config.epochs, config)
        indices = global_batch(len(dataset), min(config.batch_size, len(dataset)), seed=seed, step=step)
        batch = dataset.batch(indices)
        with autocast(config.precision, model.device):
            outputs = model(batch.to(model.device))
        wanted = targets[batch.index].to(outputs.device)
        loss = masked_loss(outputs.float(), wanted, is_regression=model.config.kind == "regression")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_([p for _, p in _trained(model)], config.clip)
        if not bool(torch.isfinite(loss)) or not bool(torch.isfinite(norm)):
            raise DataError(
                f"fine-tuning: the loss is {loss.item()} with a gradient of {norm.item()} at step {step}: lower lr "
                f"({config.lr}), or use precision fp32",
                reason="non-finite-loss",
            )
        optimiser.step()


def _set_rate(optimiser: torch.optim.Optimizer, step: int, num_steps: int, config: FinetuneConfig) -> None:
    warmup = round(config.warmup_fraction * num_steps)
    if step < warmup:
        factor = (step + 1) / warmup
    else:
        factor = 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(num_steps - warmup, 1)))
    for group in optimiser.param_groups:
        group["lr"] = group["highest_lr"] * factor


def _validation_value(model: StudyClassifier, task: Task, part: Part, config: FinetuneConfig) -> float:
    """Return macro AUROC, or minus the error in standard deviations of the training studies; higher is better."""
    scores, targets = predict(model, task, part.validation, config), task.targets[part.validation]
    if task.is_regression:
        return -float(np.nanmean(mean_absolute_error(targets, scores) / np.array(model.config.scale)))
    values = auroc(targets, scores)
    values = values[~np.isnan(values)]
    if len(values):
        return float(values.mean())
    known = ~np.isnan(targets)
    clipped = np.clip(scores, 1e-7, 1 - 1e-7)
    loss = -np.where(known, targets * np.log(clipped) + (1 - targets) * np.log(1 - clipped), 0)
    return -float(np.nansum(loss) / max(known.sum(), 1))
