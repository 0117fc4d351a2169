"""Drawing masks with constant counts, the same ones however a global batch is cut or its views are ordered."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from lamae.batch import Instances, StudyBatch
from lamae.errors import ConfigError
from lamae.nn.patches import patch_grid, patchify
from lamae.nn.plan import MaskPlan, StreamMask, make_latent_plan, make_stream_mask, rank_within

MaskStrategy = Literal["random", "tube", "block", "view"]


@dataclass(frozen=True, kw_only=True)
class MaskConfig:
    """What is hidden from the encoder and from latent attention.

    Attributes:
        strategy: ``"random"``: patches of each instance by themselves. ``"tube"``: the same patches in all instances of
            a study (for ECGs: the same times in all leads, so that no lead can be computed from others by Einthoven's
            law). ``"block"``: one contiguous stretch of each instance. ``"view"``: whole views, and random patches of
            the others.
        ratio: Share of an instance's patches that the encoder does not see.
        latent_ratio: Share of a study's visible tokens that latent attention does not see.
        hidden_views: Views of each study without any visible token (``"view"`` only); one view always stays. Such a
            view is asked for as many patches as the others.
        num_masks: Masks for each instance, which share its loading and normalisation.
    """

    strategy: MaskStrategy = "random"
    ratio: float = 0.75
    latent_ratio: float = 0.0
    hidden_views: int = 0
    num_masks: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1 or not 0 <= self.latent_ratio < 1:
            raise ConfigError(f"ratio must lie in (0, 1) and latent_ratio in [0, 1), found {self}")
        if self.num_masks < 1 or self.hidden_views < 0:
            raise ConfigError(f"num_masks must be at least 1 and hidden_views at least 0, found {self}")
        if (self.strategy == "view") != (self.hidden_views > 0):
            raise ConfigError(
                f"hidden_views ({self.hidden_views}) above 0 and strategy 'view' ({self.strategy!r}) go together"
            )

    def num_visible(self, num_patches: int) -> int:
        """Number of patches that the encoder sees of an instance: at least 1, and at least 1 is hidden.

        Raises:
            ConfigError: There is only one patch.
        """
        if num_patches < 2:
            raise ConfigError(f"masking needs at least 2 patches an instance, found {num_patches}: use a smaller patch")
        return min(max(round(num_patches * (1 - self.ratio)), 1), num_patches - 1)


def draw_masks(
    config: MaskConfig, batch: StudyBatch, patch_shapes: Mapping[str, tuple[int, ...]], generator: torch.Generator
) -> MaskPlan:
    """Draw the masks of a batch on the CPU.

    One number is taken from ``generator``, and all noise grows from it for the whole global batch, by position of the
    study, name of the view and patch. So a study's masks do not depend on the rank, the micro-batch or the order of
    leads, as long as each rank and each micro-batch of one step hands in a generator in the same state.

    Args:
        config: Strategy, ratios and number of masks.
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
    for index in range(config.num_masks):
        masks, latent_noise = {}, {}
        for name, instances in batch.streams.items():
            noise = _Noise(seed=f"{seed}/{index}/{name}", batch=batch, instances=instances)
            masks[name] = _draw_stream(config, instances, patch_shapes[name], noise)
            streams[name].append(masks[name])
            if config.latent_ratio > 0:
                num_patches = masks[name].context.shape[1] + masks[name].target.shape[1]
                latent_noise[name] = noise.by_instance("latent", num_patches).gather(1, masks[name].context)
        latents.append(make_latent_plan(batch, masks, ratio=config.latent_ratio, noise=latent_noise))
    return MaskPlan(streams={name: tuple(masks) for name, masks in streams.items()}, latent=tuple(latents))


def patches_with_data(instances: Instances, patch: tuple[int, ...]) -> Bool[Tensor, "instances patches"] | None:
    """Which patches hold anything recorded; None when every place was recorded."""
    if instances.valid is None:
        return None
    return patchify(instances.valid.unsqueeze(1), patch).any(dim=2)


@dataclass(frozen=True, kw_only=True)
class _Noise:
    """Uniform noise of one stream and mask that depends on position, view name and patch only."""

    seed: str
    batch: StudyBatch
    instances: Instances

    def by_study(self, purpose: str, num: int) -> Float[Tensor, "instances num"]:
        """The same noise for all instances of a study."""
        table = self._table(purpose, (self.batch.global_size, num))
        return table[self.batch.positions[self.instances.study_of]]

    def by_instance(self, purpose: str, num: int) -> Float[Tensor, "instances num"]:
        """Noise for each instance: by its view's name and, where a view is there several times, by which one it is."""
        names = self.instances.view_names
        slot_of_view = torch.tensor([sorted(names).index(name) for name in names])
        study_of, view_of = self.instances.study_of, self.instances.view_of
        repeat = rank_within(study_of * len(names) + view_of, torch.arange(len(study_of)))
        noise = torch.empty(len(study_of), num)
        for index in range(int(repeat.max()) + 1):
            rows = repeat == index
            table = self._table(f"{purpose}/{index}", (self.batch.global_size, len(names), num))
            noise[rows] = table[self.batch.positions[study_of[rows]], slot_of_view[view_of[rows]]]
        return noise

    def _table(self, purpose: str, shape: tuple[int, ...]) -> Tensor:
        seed = random.Random(f"{self.seed}/{purpose}").getrandbits(62)
        return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def _draw_stream(config: MaskConfig, instances: Instances, patch: tuple[int, ...], noise: _Noise) -> StreamMask:
    counts = patch_grid(instances.grid, patch)
    num_patches = 1
    for count in counts:
        num_patches *= count
    num_visible = config.num_visible(num_patches)
    patch_valid = patches_with_data(instances, patch)
    if config.strategy == "block" and len(counts) > 1:
        raise ConfigError(f"the mask strategy 'block' is for one axis (time), found patches on {len(counts)}")
    score = _SCORES[config.strategy](noise, num_patches, num_visible, patch_valid)
    order = score.argsort(dim=1, stable=True)
    hidden = _hidden_views(noise, config.hidden_views) if config.strategy == "view" else None
    return make_stream_mask(order[:, :num_visible], order[:, num_visible:], patch_valid=patch_valid, hidden=hidden)


def _random_score(noise: _Noise, num_patches: int, num_visible: int, patch_valid: Tensor | None) -> Tensor:
    score = noise.by_instance("patch", num_patches)
    return score if patch_valid is None else score + ~patch_valid


def _tube_score(noise: _Noise, num_patches: int, num_visible: int, patch_valid: Tensor | None) -> Tensor:
    """Patches that no instance of the study recorded come last: the same times must be visible in all."""
    score = noise.by_study("patch", num_patches)
    if patch_valid is None:
        return score
    study_of = noise.instances.study_of
    in_any = torch.zeros(noise.batch.num_studies, num_patches).index_add(0, study_of, patch_valid.float())
    return score + (in_any == 0)[study_of]


def _block_score(noise: _Noise, num_patches: int, num_visible: int, patch_valid: Tensor | None) -> Tensor:
    """The masked stretch starts anywhere where it fits; patches without data keep their place in it."""
    start = (noise.by_instance("block", 1) * (num_visible + 1)).long()
    place = torch.arange(num_patches)
    return ((place >= start) & (place < start + num_patches - num_visible)).float()


def _hidden_views(noise: _Noise, num_hidden: int) -> Bool[Tensor, " instances"]:
    study_of = noise.instances.study_of
    present = torch.bincount(study_of)
    num_hidden_of: Int64[Tensor, " studies"] = (present - 1).clamp(min=0, max=num_hidden)
    return rank_within(study_of, noise.by_instance("view", 1).squeeze(1)) < num_hidden_of[study_of]


_SCORES: dict[str, Callable[[_Noise, int, int, Tensor | None], Tensor]] = {
    "random": _random_score,
    "tube": _tube_score,
    "block": _block_score,
    "view": _random_score,
}
"""Patches with the lowest scores are visible."""
