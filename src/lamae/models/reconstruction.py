"""Predictions back in physical units, for looking at."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lamae.batch import Instances
from lamae.nn.normalise import Normalised
from lamae.nn.patches import unpatchify
from lamae.nn.plan import StreamMask
from lamae.nn.targets import Targets


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """One stream of a batch, seen and predicted, in physical units (mV, grey level).

    Attributes:
        original: What was recorded; 0 where nothing was.
        reconstructed: The prediction where ``masked``, the original elsewhere.
        masked: Places that the encoder did not see and the model predicted.
    """

    original: Float[Tensor, "instances channel *grid"]
    reconstructed: Float[Tensor, "instances channel *grid"]
    masked: Bool[Tensor, "instances *grid"]


def visible_slots(mask: StreamMask) -> Bool[Tensor, "instances visible"]:
    """Return which context slots hold a token of the encoder: none of a hidden view, none without anything recorded."""
    if mask.encoded is None:
        return torch.ones_like(mask.context, dtype=torch.bool) if mask.context_valid is None else mask.context_valid
    seen = torch.zeros_like(mask.context, dtype=torch.bool)
    seen[mask.encoded] = True if mask.context_valid is None else mask.context_valid
    return seen


def fill_in(
    predicted: Float[Tensor, "instances slots elements"],
    targets: Targets,
    normalised: Normalised,
    instances: Instances,
    mask: StreamMask,
    patch: tuple[int, ...],
) -> Reconstruction:
    """Put predictions of all slots (context, then target) in their places and undo both normalisations.

    Args:
        predicted: Predicted elements of all slots, in the units of ``targets``.
        targets: True values of all slots with the way back; with patch-normalised targets the true mean and deviation
            of each patch serve, which the model does not predict.
        normalised: The stream's values with the way back to physical units.
        instances: The instances.
        mask: The mask that was decoded.
        patch: Extent of a patch along each axis.
    """
    places = torch.cat([mask.context, mask.target], dim=1)
    back = places.argsort(dim=1)  # slot of each patch
    rows = torch.arange(len(places), device=places.device).unsqueeze(1)
    values = (predicted.float() * targets.gain + targets.shift)[rows, back]
    unseen = torch.cat([~visible_slots(mask), torch.ones_like(mask.target, dtype=torch.bool)], dim=1)[rows, back]
    recorded = instances.valid
    if recorded is None:
        recorded = torch.ones(len(instances), *instances.grid, dtype=torch.bool, device=places.device)
    masked = unpatchify(unseen.unsqueeze(-1).expand(values.shape), patch, instances.grid)[:, 0] & recorded
    one_each = (-1, *[1] * (normalised.values.ndim - 1))
    gain, shift = normalised.gain.view(one_each), normalised.shift.view(one_each)
    original = torch.where(recorded.unsqueeze(1), normalised.values * gain + shift, 0.0)
    filled = unpatchify(values, patch, instances.grid) * gain + shift
    return Reconstruction(
        original=original,
        reconstructed=torch.where(masked.unsqueeze(1), filled, original),
        masked=masked,
    )
