"""Drawing masks with constant counts, the same ones however a global batch is cut or its views are ordered."""

import math
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from lamae.batch import Instances, StudyBatch
from lamae.nn.mask_config import MaskConfig, MaskFamily
from lamae.nn.noise import Noise, first_of, make_noise, rank_within
from lamae.nn.patches import patch_grid, patchify
from lamae.nn.plan import MaskPlan, StreamMask, make_latent_plan, make_stream_mask

__all__ = ["MaskConfig", "MaskFamily", "draw_masks", "patches_with_data"]

Counts = tuple[int, ...]


def draw_masks(
    config: MaskConfig, batch: StudyBatch, patch_shapes: Mapping[str, tuple[int, ...]], generator: torch.Generator
) -> MaskPlan:
    """Draw the masks of a batch on the CPU.

    One number is taken from ``generator``, and all noise grows from it for the whole global batch. So a study's masks
    do not depend on the rank, the micro-batch or the order of leads, as long as each rank and each micro-batch of one
    step hands in a generator in the same state.

    Args:
        config: Kinds of masks and where their noise comes from.
        batch: The batch, on the CPU.
        patch_shapes: Extent of a patch by stream.
        generator: Source of randomness, on the CPU.

    Returns:
        Masks in which patches without anything recorded come last where the strategy allows, and are flagged.

    Raises:
        ConfigError: A patch does not divide its grid, or the strategy does not fit the stream.
    """
    seed = int(torch.randint(2**62, (1,), generator=generator))
    streams: dict[str, list[StreamMask]] = {name: [] for name in batch.streams}
    latents = []
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
    return MaskPlan(streams={name: tuple(masks) for name, masks in streams.items()}, latent=tuple(latents))


def patches_with_data(instances: Instances, patch: tuple[int, ...]) -> Bool[Tensor, "instances patches"] | None:
    """Return which patches hold anything recorded; None when every place was recorded."""
    if instances.valid is None:
        return None
    return patchify(instances.valid.unsqueeze(1), patch).any(dim=2)


def _draw_stream(family: MaskFamily, instances: Instances, patch: tuple[int, ...], noise: Noise) -> StreamMask:
    counts = patch_grid(instances.grid, patch)
    num_visible = family.num_visible(*counts)
    patch_valid = patches_with_data(instances, patch)
    order = _SCORES[family.strategy](family, noise, instances, counts, patch_valid).argsort(dim=1, stable=True)
    hidden = _hidden_views(noise, instances, family.hidden_views) if family.strategy == "view" else None
    return make_stream_mask(order[:, :num_visible], order[:, num_visible:], patch_valid=patch_valid, hidden=hidden)


def _random_score(
    family: MaskFamily, noise: Noise, instances: Instances, counts: Counts, patch_valid: Tensor | None
) -> Tensor:
    score = noise.by_instance("patch", math.prod(counts))
    return score if patch_valid is None else score + ~patch_valid


def _tube_score(
    family: MaskFamily, noise: Noise, instances: Instances, counts: Counts, patch_valid: Tensor | None
) -> Tensor:
    """Patches that no instance of the scope recorded come last: the same ones must be visible in all."""
    num_times = counts[0] if family.full_time else 1
    draw, groups = {
        "study": (noise.by_study, instances.study_of),
        "recording": (noise.by_recording, instances.recordings()[0]),
        "instance": (noise.by_instance, torch.arange(len(instances))),
    }[family.scope]
    score = draw("patch", math.prod(counts) // num_times)
    if patch_valid is not None:
        has_data = patch_valid.unflatten(1, (num_times, -1)).any(dim=1).float()
        in_any = torch.zeros(int(groups.max()) + 1, score.shape[1]).index_add(0, groups, has_data)
        score = score + (in_any == 0)[groups]
    return score.repeat(1, num_times)


def _block_score(
    family: MaskFamily, noise: Noise, instances: Instances, counts: Counts, patch_valid: Tensor | None
) -> Tensor:
    """Blocks lie anywhere where they fit; patches without data keep their place in them."""
    num_patches, num_visible = math.prod(counts), family.num_visible(*counts)
    if len(counts) == 1 and family.num_blocks == 1 and family.block_ratio is None:
        start = (noise.by_instance("block", 1) * (num_visible + 1)).long()
        return _within(torch.arange(num_patches), start, num_patches - num_visible).float()
    covered = torch.zeros(len(instances), num_patches, dtype=torch.bool)
    for number in range(family.num_blocks):
        covered |= _block(noise.by_instance(f"block/{number}", 1 + len(counts)), counts, family)
    num_times = counts[0] if family.full_time else 1
    score = covered[:, : num_patches // num_times] + noise.by_instance("patch", num_patches // num_times)
    return score.repeat(1, num_times)  # what is too few or too many is evened out at random, at all times alike


def _block(
    noise: Float[Tensor, "instances draws"], counts: Counts, family: MaskFamily
) -> Bool[Tensor, "instances patches"]:
    """Return which patches lie in a block of each instance; the draws are for its aspect and its place on each axis."""
    places = torch.unravel_index(torch.arange(math.prod(counts)), counts)
    extents = _block_extents(noise[:, :1], counts, family)
    inside = torch.ones(len(noise), len(places[0]), dtype=torch.bool)
    for axis, (count, extent) in enumerate(zip(counts, extents, strict=True)):
        start = (noise[:, 1 + axis, None] * (count - extent + 1)).long()
        inside &= _within(places[axis], start, extent)
    return inside


def _block_extents(
    noise: Float[Tensor, "instances 1"], counts: Counts, family: MaskFamily
) -> list[Int64[Tensor, "instances 1"]]:
    """Return the patches of a block along each axis: its fraction of the grid is shared out equally among the axes."""
    part, ones = family.one_block, torch.ones_like(noise)
    if len(counts) == 1:
        wanted = [ones * part * counts[0]]
    else:
        of_time = 1.0 if family.full_time else part ** (1 / 3)
        area = (part if len(counts) == 2 else part / of_time) * math.prod(counts[-2:])
        low, high = family.block_aspect
        aspect = low + noise * (high - low)
        wanted = [ones * of_time * count for count in counts[:-2]] + [(area * aspect).sqrt(), (area / aspect).sqrt()]
    return [w.round().long().clamp(1, count) for w, count in zip(wanted, counts, strict=True)]


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
