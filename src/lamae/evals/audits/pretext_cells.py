"""A batch and its mask laid out by study, lead and time, so that leads at the same time stand in one column.

A *cell* is the smallest stretch in which nothing changes: a patch where every sample was recorded, else one sample.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lamae.batch import Instances, StudyBatch
from lamae.errors import ConfigError
from lamae.models.reconstruction import visible_slots
from lamae.nn.plan import MaskPlan


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Which cells are visible, and which must be predicted.

    Attributes:
        visible: ``[studies, leads, cells]`` bool: recorded, and its token is seen by latent attention (by the encoder,
            where there is no latent mask).
        hidden: ``[studies, leads, cells]`` bool: recorded, and asked for.
    """

    visible: np.ndarray
    hidden: np.ndarray


def cells_of(batch: StudyBatch, plan: MaskPlan, index: int, *, patch: int, stream: str = "ecg") -> Cells:
    """Lay out one mask of a plan.

    Args:
        batch: Studies, on the CPU.
        plan: Its masks, on the CPU.
        index: Which mask.
        patch: Samples of a patch.
        stream: The stream of the leads.

    Raises:
        ConfigError: The instances have more than one axis, or a study has a lead twice.
    """
    instances = batch.streams[stream]
    if len(instances.grid) != 1:
        raise ConfigError(f"the audit is for instances of one axis such as leads, found {instances.grid}")
    mask, latent = plan.streams[stream][index], plan.latent[index]
    seen = visible_slots(mask)
    if latent.put is not None and latent.take is not None:
        seen = seen & (latent.put[stream] < latent.take.numel())
    num_patches = instances.grid[0] // patch
    visible, hidden = (
        torch.zeros(len(instances), num_patches, dtype=torch.bool).scatter(1, places, marked)
        for places, marked in ((mask.context, seen), (mask.target, torch.ones_like(mask.target, dtype=torch.bool)))
    )
    if instances.valid is not None:
        visible, hidden = (flags.repeat_interleave(patch, dim=1) & instances.valid for flags in (visible, hidden))
    return Cells(
        visible=by_study(visible, instances, batch.num_studies), hidden=by_study(hidden, instances, batch.num_studies)
    )


def by_study(rows: Tensor, instances: Instances, num_studies: int) -> np.ndarray:
    """Lay ``[instances, ...]`` out as ``[studies, leads, ...]``, 0 for leads that a study does not have.

    Raises:
        ConfigError: A study has a lead twice.
    """
    places = instances.study_of * len(instances.view_names) + instances.view_of
    if len(places.unique()) != len(places):
        raise ConfigError("a study has the same view twice, so which ones are simultaneous is not known")
    laid = rows.new_zeros(num_studies * len(instances.view_names), *rows.shape[1:])
    laid[places] = rows
    return laid.view(num_studies, len(instances.view_names), *rows.shape[1:]).numpy()


def by_instance(laid: np.ndarray, instances: Instances) -> Tensor:
    """Take ``[studies, leads, ...]`` back to ``[instances, ...]``."""
    return torch.from_numpy(np.ascontiguousarray(laid[instances.study_of.numpy(), instances.view_of.numpy()]))
