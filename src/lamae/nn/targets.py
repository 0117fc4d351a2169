"""What a masked autoencoder predicts: the hidden patches, raw or each normalised by itself."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from lamae.batch import Instances
from lamae.nn.patches import patchify

TARGET_EPS = 1e-6


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Target patches and the way back: ``values * gain + shift`` are normalised samples.

    Attributes:
        values: What is to be predicted; 0 where nothing was recorded.
        gain: Standard deviation of each patch, or 1.
        shift: Mean of each patch, or 0.
    """

    values: Float[Tensor, "instances hidden elements"]
    gain: Float[Tensor, "instances hidden 1"]
    shift: Float[Tensor, "instances hidden 1"]


def make_targets(
    patches: Float[Tensor, "instances hidden elements"],
    valid: Bool[Tensor, "instances hidden elements"] | None,
    *,
    how: Literal["raw", "patch-normalised"],
) -> Targets:
    """Turn patches into targets.

    ``"patch-normalised"`` subtracts the patch's mean and divides by the root of its unbiased variance plus 1e-6, as
    MAE does (He et al. 2022, ``models_mae.py``, ``norm_pix_loss``), over recorded elements only.

    Args:
        patches: Target patches, 0 where nothing was recorded.
        valid: Which elements were recorded; None: all.
        how: Kind of target.
    """
    if how == "raw":
        one = patches.new_ones(*patches.shape[:2], 1)
        return Targets(values=patches, gain=one, shift=torch.zeros_like(one))
    if valid is None:
        count = patches.new_full((1,), float(patches.shape[-1]))
        shift = patches.mean(dim=-1, keepdim=True)
        centred = patches - shift
    else:
        count = valid.sum(dim=-1, keepdim=True).float().clamp_min(1)
        shift = patches.sum(dim=-1, keepdim=True) / count
        centred = torch.where(valid, patches - shift, 0.0)
    variance = torch.linalg.vector_norm(centred, dim=-1, keepdim=True) ** 2 / (count - 1).clamp_min(1)
    gain = (variance + TARGET_EPS).sqrt()
    return Targets(values=centred.div_(gain), gain=gain, shift=shift)


def element_validity(
    instances: Instances, patch: tuple[int, ...], places: Int64[Tensor, "instances hidden"]
) -> Bool[Tensor, "instances hidden elements"] | None:
    """Which elements of the patches at ``places`` were recorded; None: all."""
    if instances.valid is None:
        return None
    valid = instances.valid.unsqueeze(1).expand(instances.values.shape)
    patches = patchify(valid, patch)
    return patches[torch.arange(len(patches), device=places.device).unsqueeze(1), places]
