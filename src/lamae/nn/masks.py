"""Drawing masks, the same ones however a global batch is cut or its views are ordered.

Of each instance the same fraction of its *recorded* patches is visible, however short it is, and at least one patch is
hidden where it has two. The counts of slots are constant within a stream: what was not recorded fills up the context
and the targets, and is flagged.
"""

import math
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from lamae.batch import Instances, StudyBatch
from lamae.nn.mask_config import MaskConfig, MaskFamily
from lamae.nn.noise import Noise, first_of, make_noise, rank_within
from lamae.nn.patches import patch_grid, patchify
from lamae.nn.plan import MaskPlan, StreamMask, make_latent_plan, make_stream_mask, studies_with_target

__all__ = ["MaskConfig", "MaskFamily", "draw_masks", "patches_with_data"]

Counts = tuple[int, ...]


def draw_masks(
    config: MaskConfig, batch: StudyBatch, patch_shapes: Mapping[str, tuple[int, ...]], generator: torch.Generator
) -> MaskPlan:
    """Draw the masks of a batch on the CPU.

    One number is taken from ``generator``, and all noise grows from it for the whole global batch. So a study's masks
    do not depend on the rank, the micro-batch or the order of leads, as long as each rank and each micro-batch of one
    step hands in a generator in the same state. One exception: of recordings of different lengths in one stream, which
    are padded to the longest of their batch, noise ``"by-name"`` depends on that length; ``"by-recording"`` does not.

    Args:
        config: Kinds of masks and where their noise comes from.
        batch: The batch, on the CPU.
        patch_shapes: Extent of a patch by stream.
        generator: Source of randomness, on the CPU.

    Returns:
        Masks in which of ``T`` recorded patches ``family.num_visible(T)`` are visible, the same ones of all instances
        that share a tube. Patches without anything recorded are flagged.

    Raises:
        ConfigError: A patch does not divide its grid, or the strategy does not fit the stream.
    """
    seed = int(torch.randint(2**62, (1,), generator=generator))
    streams: dict[str, list[StreamMask]] = {name: [] for name in batch.streams}
    latents, with_target = [], []
    for index, family in enumerate(config.drawn):
        masks, latent_noise = {}, {}
        for name, instances in batch.streams.items():
            noise = make_noise(config.noise, seed=f"{seed}/{index}/{name}", batch=batch, instances=instances)
            masks[name] = _draw_stream(family, instances, patch_shapes[name], noise)
            streams[name].append(masks[name])
            if config.latent_ratio > 0:
                num_patches = masks[name].context.shape[1] + masks[name].target.shape[1]
                latent_noise[name] = noise.by_instance("latent", num_patches).gather(1, masks[name].context)
        latents.append(make_latent_plan(batch, masks, ratio=config.latent_ratio, noise=latent_noise))
        with_target.append(studies_with_target(batch, masks))
    return MaskPlan(
        streams={name: tuple(masks) for name, masks in streams.items()},
        latent=tuple(latents),
        num_with_target=int(torch.stack(with_target).sum()),
    )


def patches_with_data(instances: Instances, patch: tuple[int, ...]) -> Bool[Tensor, "instances patches"] | None:
    """Return which patches hold anything recorded; None when every place was recorded."""
    if instances.valid is None:
        return None
    return patchify(instances.valid.unsqueeze(1), patch).any(dim=2)


def _draw_stream(family: MaskFamily, instances: Instances, patch: tuple[int, ...], noise: Noise) -> StreamMask:
    counts = patch_grid(instances.grid, patch)
    num_visible, patch_valid = family.num_visible(*counts), patches_with_data(instances, patch)
    num_times = counts[0] if family.full_time else 1  # what is hidden is hidden at all times alike
    places = (1, *counts[1:]) if family.full_time else counts
    groups = None if family.strategy != "tube" else _sharing(family, instances)
    recorded = None if patch_valid is None else _recorded_places(patch_valid, num_times, groups)
    score = _SCORES[family.strategy](family, noise, instances, places, recorded)
    order = score.repeat(1, num_times).argsort(dim=1, stable=True)
    if patch_valid is not None and recorded is not None:
        visible = _visible_places(family, score, recorded).repeat(1, num_times) & patch_valid
        kind = torch.where(visible, 0, torch.where(patch_valid, 2, 1))  # what nobody recorded fills up the context
        order = order.gather(1, kind.gather(1, order).argsort(dim=1, stable=True))
    hidden = _hidden_views(noise, instances, family.hidden_views) if family.strategy == "view" else None
    return make_stream_mask(order[:, :num_visible], order[:, num_visible:], patch_valid=patch_valid, hidden=hidden)


def _recorded_places(
    patch_valid: Bool[Tensor, "instances patches"], num_times: int, groups: Int64[Tensor, " instances"] | None
) -> Bool[Tensor, "instances places"]:
    """Return the places that are recorded at any time, and in any instance of the group where there are groups."""
    recorded = patch_valid.unflatten(1, (num_times, -1)).any(dim=1)
    if groups is None:
        return recorded
    in_any = torch.zeros(int(groups.max()) + 1, recorded.shape[1]).index_add(0, groups, recorded.float())
    return (in_any > 0)[groups]


def _visible_places(
    family: MaskFamily, score: Float[Tensor, "instances places"], recorded: Bool[Tensor, "instances places"]
) -> Bool[Tensor, "instances places"]:
    """Return the recorded places with the lowest scores: as many as the family leaves visible of so many."""
    rank = score.masked_fill(~recorded, torch.inf).argsort(dim=1, stable=True).argsort(dim=1)
    return recorded & (rank < _num_visible(family, recorded))


def _num_visible(family: MaskFamily, recorded: Bool[Tensor, "instances places"]) -> Int64[Tensor, "instances 1"]:
    """Return how many recorded places of each instance are visible; nothing is hidden of a single one."""
    axes = (1, 1) if family.full_time else ()
    by_number = [0, 1, *(family.num_visible(*axes, number) for number in range(2, recorded.shape[1] + 1))]
    return torch.tensor(by_number)[recorded.sum(dim=1, keepdim=True)]


def _sharing(family: MaskFamily, instances: Instances) -> Int64[Tensor, " instances"]:
    """Return the group of instances that each one shares the patches of a tube with."""
    if family.scope == "instance":
        return torch.arange(len(instances))
    return instances.study_of if family.scope == "study" else instances.recordings()[0]


def _random_score(
    family: MaskFamily, noise: Noise, instances: Instances, places: Counts, recorded: Tensor | None
) -> Tensor:
    return noise.by_instance("patch", math.prod(places))


def _tube_score(
    family: MaskFamily, noise: Noise, instances: Instances, places: Counts, recorded: Tensor | None
) -> Tensor:
    draw = {"study": noise.by_study, "recording": noise.by_recording, "instance": noise.by_instance}[family.scope]
    return draw("patch", math.prod(places))


def _block_score(
    family: MaskFamily, noise: Noise, instances: Instances, places: Counts, recorded: Tensor | None
) -> Tensor:
    """Blocks lie anywhere where they fit into what was recorded."""
    num_places = math.prod(places)
    if recorded is None:
        recorded = torch.ones(len(instances), num_places, dtype=torch.bool)
    if len(places) == 1 and family.num_blocks == 1 and family.block_ratio is None:
        num_visible = _num_visible(family, recorded)
        start = (noise.by_instance("block", 1) * (num_visible + 1)).long()
        return _within(recorded.cumsum(dim=1) - 1, start, recorded.sum(dim=1, keepdim=True) - num_visible).float()
    covered = torch.zeros_like(recorded)
    for number in range(family.num_blocks):
        covered |= _block(noise.by_instance(f"block/{number}", 1 + len(places)), recorded, places, family)
    return covered + noise.by_instance("patch", num_places)  # what is too few or too many is evened out at random


def _block(
    noise: Float[Tensor, "instances draws"],
    recorded: Bool[Tensor, "instances places"],
    places: Counts,
    family: MaskFamily,
) -> Bool[Tensor, "instances places"]:
    """Return which places lie in a block of each instance; the draws are for its aspect and its place on each axis."""
    index = torch.unravel_index(torch.arange(math.prod(places)), places)
    first, counts = _box(recorded.unflatten(1, places))
    inside = torch.ones_like(recorded)
    for axis, extent in enumerate(_block_extents(noise[:, :1], counts, family)):
        start = first[axis] + (noise[:, 1 + axis, None] * (counts[axis] - extent + 1)).long()
        inside &= _within(index[axis], start, extent)
    return inside


def _box(
    recorded: Bool[Tensor, "instances *places"],
) -> tuple[list[Int64[Tensor, "instances 1"]], list[Int64[Tensor, "instances 1"]]]:
    """Return the first recorded place along each axis and the number of places up to the last one."""
    first, counts = [], []
    for axis in range(1, recorded.ndim):
        along = recorded.transpose(1, axis).flatten(2).any(dim=2) if recorded.ndim > 2 else recorded
        low, from_end = along.int().argmax(dim=1), along.flip(1).int().argmax(dim=1)
        first.append(low.unsqueeze(1))
        counts.append(torch.where(along.any(dim=1), along.shape[1] - from_end - low, 0).unsqueeze(1))
    return first, counts


def _block_extents(
    noise: Float[Tensor, "instances 1"], counts: list[Int64[Tensor, "instances 1"]], family: MaskFamily
) -> list[Int64[Tensor, "instances 1"]]:
    """Return the places of a block along each axis: its fraction of the grid is shared out equally among the axes."""
    part, ones = family.one_block, torch.ones_like(noise)
    if len(counts) == 1:
        wanted = [ones * part * counts[0]]
    else:
        of_time = 1.0 if family.full_time else part ** (1 / 3)
        area = ((part if len(counts) == 2 else part / of_time) * (counts[-2] * counts[-1]).double()).float()
        low, high = family.block_aspect
        aspect = low + noise * (high - low)
        wanted = [ones * of_time * count for count in counts[:-2]] + [(area * aspect).sqrt(), (area / aspect).sqrt()]
    return [w.round().long().clamp_min(1).minimum(count) for w, count in zip(wanted, counts, strict=True)]


def _within(place: Tensor, start: Tensor, extent: Tensor | int) -> Tensor:
    return (place >= start) & (place < start + extent)


def _hidden_views(noise: Noise, instances: Instances, num_hidden: int) -> Bool[Tensor, " instances"]:
    """Return the instances of the recordings that are hidden as a whole."""
    group_of, study_of = instances.recordings()
    score = noise.by_recording("view", 1).squeeze(1)[first_of(group_of)]
    num_hidden_of = (torch.bincount(study_of) - 1).clamp(min=0, max=num_hidden)
    return (rank_within(study_of, score) < num_hidden_of[study_of])[group_of]


_SCORES: dict[str, Callable[[MaskFamily, Noise, Instances, Counts, Tensor | None], Tensor]] = {
    "random": _random_score,
    "tube": _tube_score,
    "block": _block_score,
    "view": _random_score,
}
"""Patches with the lowest scores are visible."""
