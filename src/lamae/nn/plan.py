"""Plans of masks: index sets for one batch that say what a model may see and must predict, made outside the model."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from lamae.batch import StudyBatch, to_device
from lamae.nn.noise import rank_within


@dataclass(frozen=True, kw_only=True)
class StreamMask:
    """Context patches (seen by the encoder) and target patches (predicted) of each instance; the counts are constant.

    Attributes:
        context: Patches that the encoder sees, in any order.
        target: Patches to predict.
        encoded: Instances with a visible token, ascending; None when all have one. Others (wholly hidden or empty
            views) never enter the encoder, and what ``context`` says of them only keeps the counts constant.
        context_valid: For each encoded instance, which of its context patches hold anything recorded; None: all.
        slot_valid: For each instance, which of its patches (context, then target) hold anything recorded; None: all.
    """

    context: Int64[Tensor, "instances visible"]
    target: Int64[Tensor, "instances targets"]
    encoded: Int64[Tensor, " encoded"] | None = None
    context_valid: Bool[Tensor, "encoded visible"] | None = None
    slot_valid: Bool[Tensor, "instances slots"] | None = None


@dataclass(frozen=True, kw_only=True)
class LatentPlan:
    """Layout of the encoded tokens of a batch as studies for latent attention, and the way back.

    Encoded tokens are numbered stream by stream (in the order of the batch), instance by instance, slot by slot.

    Attributes:
        members: The encoded instances of each study (numbered stream by stream), padded with instance 0.
        members_valid: Which of them are no padding; None: all.
        gather_index: The kept tokens of each study, padded to the longest with token 0; None when all tokens are kept
            and the studies are equally long, so that reshaping is enough.
        gather_valid: Which of them are no padding; None: all.
        scatter_index: For each stream, where the token of each context slot stands in the flattened
            ``[studies * kept]`` layout, or ``studies * kept`` for slots without a token (of a hidden view, masked in
            latent space, not recorded); None when each slot has its token in order.
    """

    members: Int64[Tensor, "studies members"]
    members_valid: Bool[Tensor, "studies members"] | None = None
    gather_index: Int64[Tensor, "studies kept"] | None = None
    gather_valid: Bool[Tensor, "studies kept"] | None = None
    scatter_index: Mapping[str, Int64[Tensor, "instances visible"]] | None = None


@dataclass(frozen=True, kw_only=True)
class MaskPlan:
    """One or several masks of one batch; each is encoded, decoded and judged by itself.

    Attributes:
        streams: For each stream its masks, the same number in each stream.
        latent: The latent layout that goes with each of them.
        num_with_target: Number of studies that have anything to predict, summed over the masks: what a loss is a mean
            over.
    """

    streams: Mapping[str, tuple[StreamMask, ...]]
    latent: tuple[LatentPlan, ...]
    num_with_target: int = 0

    @property
    def num_masks(self) -> int:
        """Number of masks for each instance."""
        return len(self.latent)

    def to(self, device: torch.device | str) -> "MaskPlan":
        """Return the same plan on ``device``."""
        return to_device(self, device)


def make_stream_mask(
    context: Int64[Tensor, "instances visible"],
    target: Int64[Tensor, "instances targets"],
    *,
    patch_valid: Bool[Tensor, "instances patches"] | None,
    hidden: Bool[Tensor, " instances"] | None,
) -> StreamMask:
    """Fill in the flags of a mask; flags that would say "all" are None, which is the fast path.

    Args:
        context: Patches that the encoder sees.
        target: Patches to predict.
        patch_valid: Which patches hold anything recorded; None: all.
        hidden: Instances without any visible token; None: no instance.
    """
    seen = torch.ones_like(context, dtype=torch.bool)
    slot_valid = None
    if patch_valid is not None:
        slot_valid = patch_valid.gather(1, torch.cat([context, target], dim=1))
        seen = slot_valid[:, : context.shape[1]]
    has_token = seen.any(dim=1) if hidden is None else seen.any(dim=1) & ~hidden
    encoded = None if bool(has_token.all()) else has_token.nonzero().squeeze(1)
    rows = seen if encoded is None else seen[encoded]
    return StreamMask(
        context=context,
        target=target,
        encoded=encoded,
        context_valid=None if bool(rows.all()) else rows,
        slot_valid=None if slot_valid is None or bool(slot_valid.all()) else slot_valid,
    )


def make_latent_plan(
    batch: StudyBatch,
    masks: Mapping[str, StreamMask],
    *,
    ratio: float = 0.0,
    noise: Mapping[str, Tensor] | None = None,
) -> LatentPlan:
    """Lay the encoded tokens out as studies, keeping a constant fraction of each study's tokens.

    Args:
        batch: The batch that the masks belong to.
        masks: One mask for each stream.
        ratio: Fraction of each study's visible tokens that latent attention does not see; at least one stays.
        noise: For each stream ``[instances, visible]``; the tokens with the least noise stay. Not read at ratio 0.
    """
    study, keep = _tokens(batch, masks)
    if ratio > 0:
        if noise is None:
            raise ValueError("a latent ratio above 0 needs noise")
        flat = torch.cat([_encoded(noise[name], mask).flatten() for name, mask in masks.items()])
        keep = _keep_fraction(study, keep, flat, ratio)
    instances = torch.cat([_encoded(batch.streams[name].study_of.cpu(), mask) for name, mask in masks.items()])
    members, members_valid = _by_study(torch.arange(len(instances)), instances, batch.num_studies)
    tokens = keep.nonzero().squeeze(1)
    gather_index, gather_valid = _by_study(tokens, study[keep], batch.num_studies)
    in_order = len(masks) == 1 and gather_valid is None and len(tokens) == len(keep)
    if in_order and all(mask.encoded is None for mask in masks.values()):
        return LatentPlan(members=members, members_valid=members_valid)
    where = torch.full((len(keep),), gather_index.numel(), dtype=torch.int64)
    where[keep] = study[keep] * gather_index.shape[1] + rank_within(study[keep], tokens)
    return LatentPlan(
        members=members,
        members_valid=members_valid,
        gather_index=None if in_order else gather_index,
        gather_valid=gather_valid,
        scatter_index=_by_instance(where, masks, nowhere=gather_index.numel()),
    )


def studies_with_target(batch: StudyBatch, masks: Mapping[str, StreamMask]) -> Bool[Tensor, " studies"]:
    """Return which studies have a recorded patch to predict, in any stream, under one mask for each stream."""
    found = torch.zeros(batch.num_studies, dtype=torch.bool)
    for name, mask in masks.items():
        num_visible, study_of = mask.context.shape[1], batch.streams[name].study_of
        if mask.slot_valid is not None:
            study_of = study_of[mask.slot_valid[:, num_visible:].any(dim=1)]
        found[study_of] = True
    return found


def full_plan(
    batch: StudyBatch,
    patch_valid: Mapping[str, Bool[Tensor, "instances patches"] | None],
    num_patches: Mapping[str, int],
) -> MaskPlan:
    """Return the plan in which each recorded patch is visible and nothing is to be predicted.

    Args:
        batch: The batch.
        patch_valid: For each stream, which patches hold anything recorded; None: all.
        num_patches: For each stream, the number of patches of an instance.
    """
    masks = {}
    for name, instances in batch.streams.items():
        context = torch.arange(num_patches[name]).expand(len(instances), -1)
        target = torch.empty(len(instances), 0, dtype=torch.int64)
        valid = patch_valid[name]
        valid = None if valid is None else valid.cpu()
        masks[name] = make_stream_mask(context, target, patch_valid=valid, hidden=None)
    latent = make_latent_plan(batch, masks)
    return MaskPlan(streams={name: (mask,) for name, mask in masks.items()}, latent=(latent,))


def _encoded(rows: Tensor, mask: StreamMask) -> Tensor:
    return rows if mask.encoded is None else rows[mask.encoded]


def _tokens(batch: StudyBatch, masks: Mapping[str, StreamMask]) -> tuple[Tensor, Tensor]:
    """Study of each encoded token, and whether it stands for anything recorded."""
    studies, usable = [], []
    for name, mask in masks.items():
        study_of = _encoded(batch.streams[name].study_of.cpu(), mask)
        num_visible = mask.context.shape[1]
        studies.append(study_of.repeat_interleave(num_visible))
        valid = mask.context_valid
        usable.append(torch.ones(len(study_of) * num_visible, dtype=torch.bool) if valid is None else valid.flatten())
    return torch.cat(studies), torch.cat(usable)


def _keep_fraction(study: Tensor, usable: Tensor, noise: Tensor, ratio: float) -> Tensor:
    """Keep the tokens of each study with the least noise: ``1 - ratio`` of the usable ones, at least one."""
    num_usable = torch.bincount(study[usable], minlength=int(study.max()) + 1)
    num_kept = (num_usable * (1 - ratio)).round().long().clamp_min(1)
    return usable & (rank_within(study, noise.masked_fill(~usable, torch.inf)) < num_kept[study])


def _by_study(items: Tensor, study: Tensor, num_studies: int) -> tuple[Tensor, Tensor | None]:
    """Lay ascending items out as ``[studies, most]``, padded with 0, and say which are no padding (None: all)."""
    counts = torch.bincount(study, minlength=num_studies)
    table = torch.zeros(num_studies, int(counts.max()), dtype=torch.int64)
    valid = torch.arange(table.shape[1]) < counts[:, None]
    table[study, rank_within(study, items)] = items
    return table, None if bool(valid.all()) else valid


def _by_instance(where: Tensor, masks: Mapping[str, StreamMask], *, nowhere: int) -> dict[str, Tensor]:
    """Cut what is known of each encoded token into ``[instances, visible]`` by stream."""
    laid, start = {}, 0
    for name, mask in masks.items():
        num_instances, num_visible = mask.context.shape
        rows = torch.arange(num_instances) if mask.encoded is None else mask.encoded
        laid[name] = torch.full((num_instances, num_visible), nowhere, dtype=torch.int64)
        laid[name][rows] = where[start : start + len(rows) * num_visible].view(len(rows), num_visible)
        start += len(rows) * num_visible
    return laid
