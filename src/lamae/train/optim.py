"""The optimiser and its learning rate."""

import math

import torch
from torch import nn

from lamae.train.config import OptimConfig


def make_optimiser(model: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """Return a fused AdamW that leaves parameters of one axis (biases, norms, single tokens) without weight decay."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.squeeze().ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.squeeze().ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)


def learning_rate(config: OptimConfig, step: int) -> float:
    """Return the rate of a step (from 0): a linear rise over the warm-up, then half a cosine that ends at 0.

    The first step already moves, and the last one still does.
    """
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(config.steps - config.warmup_steps, 1)
    return config.lr * 0.5 * (1 + math.cos(math.pi * progress))
