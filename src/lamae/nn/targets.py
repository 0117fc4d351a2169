"""Normalised patches, cut from integers, and the targets that a masked autoencoder predicts."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from lamae.batch import Instances
from lamae.nn.normalise import Statistics, apply_statistics
from lamae.nn.patches import cut_patches

TARGET_EPS = 1e-6


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Target patches and the way back: ``values * gain + shift`` are normalised samples.

    Attributes:
        values: What is to be predicted; 0 where nothing was recorded.
        gain: Standard deviation of each patch, or 1.
        shift: Mean of each patch, or 0.
    """

    values: Float[Tensor, "instances targets elements"]
    gain: Float[Tensor, "instances targets 1"]
    shift: Float[Tensor, "instances targets 1"]


def make_targets(
    patches: Float[Tensor, "instances targets elements"],
    valid: Bool[Tensor, "instances targets elements"] | None,
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


def normalised_patches(
    instances: Instances,
    by: Statistics,
    patch: tuple[int, ...],
    places: Int64[Tensor, "instances some"],
    rows: Int64[Tensor, " some_instances"] | None = None,
) -> tuple[Float[Tensor, "_instances some elements"], Bool[Tensor, "_instances some elements"] | None]:
    """Cut patches from the integers and normalise these only.

    Args:
        instances: Values as integers.
        by: Statistics of the instances.
        patch: Extent of a patch along each axis.
        places: Patches of each instance.
        rows: Instances whose patches are wanted; None: all.

    Returns:
        The patches, 0 where nothing was recorded, and which of their elements were recorded (None: all).
    """
    values, valid = instances.values, instances.valid
    if rows is not None:
        values, valid, places, by = values[rows], None if valid is None else valid[rows], places[rows], by.of(rows)
    if valid is not None:
        valid = cut_patches(valid.unsqueeze(1).expand(values.shape), patch, places)
    return apply_statistics(cut_patches(values, patch, places), by, valid), valid


def element_validity(
    instances: Instances, patch: tuple[int, ...], places: Int64[Tensor, "instances some"]
) -> Bool[Tensor, "instances some elements"] | None:
    """Return which elements of the patches at ``places`` were recorded; None: all."""
    if instances.valid is None:
        return None
    return cut_patches(instances.valid.unsqueeze(1).expand(instances.values.shape), patch, places)
