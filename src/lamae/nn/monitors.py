"""Monitors of collapse: how varied the representations of a batch are."""

import torch
from jaxtyping import Float
from torch import Tensor


@torch.no_grad()
def feature_std(features: Float[Tensor, "n dim"]) -> float:
    """Return the mean over the features of their standard deviation over rows; near 0 when all rows are alike."""
    if len(features) < 2:
        return 0.0
    return float(features.float().std(dim=0).mean())


@torch.no_grad()
def effective_rank(features: Float[Tensor, "n dim"]) -> float:
    """Return the effective number of directions in which rows vary: exp of the entropy of the singular values.

    The singular values of the centred matrix are scaled to sum 1 (Roy and Vetterli 2007). It is 1 when all rows lie on
    a line, at most ``min(n - 1, dim)``, and 0 when all rows are equal.
    """
    centred = features.double() - features.double().mean(dim=0)
    values = torch.linalg.svdvals(centred)
    total = values.sum()
    if not total > 1e-12:
        return 0.0
    fraction = values / total
    return float(torch.special.entr(fraction).sum().exp())
