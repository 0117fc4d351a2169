"""Does the representation collapse? Two numbers that tell."""

import torch
from jaxtyping import Float
from torch import Tensor


def feature_std(features: Float[Tensor, "studies dim"]) -> float:
    """Return the standard deviation over studies, averaged over dimensions; 0 when all studies look the same."""
    return float(features.float().std(dim=0, correction=0).mean())


def effective_rank(features: Float[Tensor, "studies dim"]) -> float:
    """Return how many directions the studies spread over: 0 without any spread, at most ``min(studies - 1, dim)``.

    It is the exponential of the entropy of the normalised singular values of the centred features
    (Roy and Vetterli 2007, "The effective rank", definition 1).
    """
    centred = features.double() - features.double().mean(dim=0)
    singular = torch.linalg.svdvals(centred)
    total = singular.sum()
    if not total > 0:
        return 0.0
    shares = singular / total
    return float(torch.special.entr(shares).sum().exp())
