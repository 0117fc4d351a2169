"""Context of the study for the decoder of one instance."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lamae.batch import Instances
from lamae.models.decoder import InstanceDecoder
from lamae.nn.plan import LatentPlan, StreamMask


def study_context(
    how: Literal["none", "cls", "summaries"],
    decoder: InstanceDecoder,
    instances: Instances,
    masks: Mapping[str, StreamMask],
    plan: LatentPlan,
    *,
    cls: Float[Tensor, "studies width"] | None,
    tokens: Mapping[str, Float[Tensor, "_instances _visible dim"]],
) -> tuple[Float[Tensor, "instances front dim"] | None, Bool[Tensor, "instances front"] | None]:
    """Return the tokens that stand in front of each instance in the decoder, and which of them exist (None: all).

    Args:
        how: Nothing, the study's CLS token, or that and the mean of the tokens of each encoded view of the study.
        decoder: The decoder that will see them.
        instances: Its instances.
        masks: The masks of all streams.
        plan: The latent layout.
        cls: CLS token of each study, in the encoder's width.
        tokens: For each stream the tokens of the context slots, in the decoder's width.
    """
    if how == "none" or cls is None or decoder.context_embed is None:
        return None, None
    study = decoder.context_embed(cls).unsqueeze(1)  # [B, 1, D]
    if how == "cls":
        return study.index_select(0, instances.study_of), None
    means = torch.cat([_mean_of_encoded(tokens[name], masks[name], plan, name) for name in masks])
    B, S = plan.members.shape
    views = means.index_select(0, plan.members.flatten()).view(B, S, -1)
    front = torch.cat([study.to(views.dtype), views], dim=1).index_select(0, instances.study_of)
    if plan.members_valid is None:
        return front, None
    valid = torch.nn.functional.pad(plan.members_valid, (1, 0), value=True)
    return front, valid.index_select(0, instances.study_of)


def _mean_of_encoded(
    tokens: Float[Tensor, "instances visible dim"], mask: StreamMask, plan: LatentPlan, name: str
) -> Float[Tensor, "encoded dim"]:
    """Return the mean of each encoded instance's tokens, without the slots that have none."""
    rows = tokens if mask.encoded is None else tokens[mask.encoded]
    if plan.scatter_index is None or plan.gather_index is None:  # every slot of an encoded instance has its token
        return rows.mean(dim=1)
    where = plan.scatter_index[name] if mask.encoded is None else plan.scatter_index[name][mask.encoded]
    present = (where < plan.gather_index.numel()).unsqueeze(-1).to(tokens.dtype)
    return (rows * present).sum(dim=1) / present.sum(dim=1).clamp_min(1)
