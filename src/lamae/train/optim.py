"""The optimiser and its learning rate."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from lamae.models import Pretrainable
from lamae.train.config import OptimConfig


def make_optimiser(model: nn.Module | Pretrainable, config: OptimConfig) -> torch.optim.Optimizer:
    """Return the optimiser of the parameters that ask for a gradient.

    Parameters of one axis (biases, norms, single tokens) have no weight decay.
    With ``"muon"`` the matrices of the transformer blocks are moved by Muon (Jordan et al. 2024), at rates that fit
    AdamW's (Liu et al. 2025), and all other parameters by AdamW.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if config.optimiser == "adamw":
        return _adamw([p for _, p in named], config)
    matrices = [p for name, p in named if ".blocks." in name and p.ndim == 2]
    rest = [p for name, p in named if ".blocks." not in name or p.ndim != 2]
    muon = torch.optim.Muon(matrices, lr=config.lr, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw")
    return JointOptimiser(muon, _adamw(rest, config))


class JointOptimiser(torch.optim.Optimizer):
    """Two optimisers of different parameters as one, with one state: what saves and sets rates need not know of two."""

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        self._parts: tuple[torch.optim.Optimizer, ...] = ()
        super().__init__(
            [parameter for part in parts for group in part.param_groups for parameter in group["params"]], {}
        )
        self.param_groups = [group for part in parts for group in part.param_groups]
        self._parts = parts
        self._share()

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Let each part take its step."""
        for part in self._parts:
            part.step()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._share()

    def _share(self) -> None:
        """Let the parts work on this one's groups and state, also after both were loaded anew."""
        start = 0
        for part in self._parts:
            end = start + len(part.param_groups)
            part.param_groups, part.state = self.param_groups[start:end], self.state
            start = end


def _adamw(parameters: list[nn.Parameter], config: OptimConfig) -> torch.optim.AdamW:
    groups = [
        {"params": [p for p in parameters if p.squeeze().ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.squeeze().ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)


def learning_rate(config: OptimConfig, step: int) -> float:
    """Return the rate of a step (from 0): a linear rise over the warm-up, then as ``config.schedule`` says.

    The first step already moves, and the last one still does.
    """
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    return config.lr * SCHEDULES[config.schedule](config, step)


def cosine(config: OptimConfig, step: int) -> float:
    """Return the fraction of the highest rate: half a cosine from the end of the warm-up that ends at 0."""
    progress = (step - config.warmup_steps) / max(config.steps - config.warmup_steps, 1)
    return 0.5 * (1 + math.cos(math.pi * progress))


def constant(config: OptimConfig, step: int) -> float:
    """Return the fraction of the highest rate: all of it, and over the cool-down a line that ends at 0."""
    return min((config.steps - step) / max(config.cooldown_steps, 1), 1.0)


SCHEDULES: dict[str, Callable[[OptimConfig, int], float]] = {"cosine": cosine, "constant": constant}
"""Schedules that follow the warm-up, by the name in a configuration."""


def schedule_in_words(config: OptimConfig) -> str:
    """Return the schedule for the card of a run."""
    rest = "cosine to 0" if config.schedule == "cosine" else "constant"
    cooldown = f", linear to 0 over the last {config.cooldown_steps}" if config.cooldown_steps else ""
    return f"linear warm-up of {config.warmup_steps} steps, {rest}{cooldown}"
