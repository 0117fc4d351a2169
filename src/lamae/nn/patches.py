"""Cutting instances into patches and putting them together again, in one, two and three dimensions."""

import torch
from einops import rearrange
from jaxtyping import Int64, Shaped
from torch import Tensor

from lamae.errors import ConfigError


def patch_grid(grid: tuple[int, ...], patch: tuple[int, ...]) -> tuple[int, ...]:
    """Return the number of patches along each axis.

    Raises:
        ConfigError: The grid and the patch have different numbers of axes, there are more than three, or an extent is
            no multiple of the patch's.
    """
    if len(grid) != len(patch) or not 1 <= len(grid) <= 3:
        raise ConfigError(f"grid {grid} and patch {patch} must have the same number of axes, 1 to 3")
    if any(p < 1 or g < p or g % p for g, p in zip(grid, patch, strict=True)):
        raise ConfigError(
            f"grid {grid} is not divisible by patch {patch}: choose a patch that divides each extent, "
            "or another length of the recording"
        )
    return tuple(g // p for g, p in zip(grid, patch, strict=True))


def patchify(
    values: Shaped[Tensor, "instances channel *grid"], patch: tuple[int, ...]
) -> Shaped[Tensor, "instances patches elements"]:
    """Cut each instance into patches; a patch's elements run along its axes in order, channels last (as in MAE).

    Args:
        values: Instances with one, two or three axes.
        patch: Extent of a patch along each axis, such as ``(25,)``, ``(16, 16)`` or ``(2, 16, 16)``.

    Raises:
        ConfigError: The grid is not divisible by the patch.
    """
    patch_grid(tuple(values.shape[2:]), patch)
    match patch:
        case (t,):
            return rearrange(values, "n c (gt t) -> n gt (t c)", t=t)
        case (h, w):
            return rearrange(values, "n c (gh h) (gw w) -> n (gh gw) (h w c)", h=h, w=w)
        case (t, h, w):
            return rearrange(values, "n c (gt t) (gh h) (gw w) -> n (gt gh gw) (t h w c)", t=t, h=h, w=w)
    raise AssertionError(patch)


def cut_patches(
    values: Shaped[Tensor, "instances channel *grid"], patch: tuple[int, ...], places: Int64[Tensor, "instances some"]
) -> Shaped[Tensor, "instances some elements"]:
    """Cut the patches at the given places only: the same ones as `take_patches` of `patchify`.

    Args:
        values: Instances with one, two or three axes.
        patch: Extent of a patch along each axis.
        places: Patches of each instance, in the order of `patchify`.

    Raises:
        ConfigError: The grid is not divisible by the patch.
    """
    counts = patch_grid(tuple(values.shape[2:]), patch)
    if len(counts) == 1:
        return take_patches(patchify(values, patch), places)  # patches of one channel are a view
    N, axes = len(values), range(len(counts))
    sizes = [size for count, extent in zip(counts, patch, strict=True) for size in (count, extent)]
    laid = values.reshape(N, -1, *sizes)
    laid = laid.permute(0, *[2 + 2 * axis for axis in axes], *[3 + 2 * axis for axis in axes], 1)
    rows = torch.arange(N, device=places.device).unsqueeze(1)
    return laid[(rows, *torch.unravel_index(places, counts))].flatten(2)


def take_patches(
    patches: Shaped[Tensor, "instances patches elements"], places: Int64[Tensor, "instances some"]
) -> Shaped[Tensor, "instances some elements"]:
    """Return the patches of each instance at the given places."""
    N, P, _ = patches.shape
    rows = torch.arange(N, device=patches.device).unsqueeze(1) * P + places
    return patches.flatten(0, 1).index_select(0, rows.flatten()).unflatten(0, rows.shape)


def unpatchify(
    patches: Shaped[Tensor, "instances patches elements"], patch: tuple[int, ...], grid: tuple[int, ...]
) -> Shaped[Tensor, "instances channel *grid"]:
    """Put patches together again: the inverse of `patchify`.

    Args:
        patches: All patches of each instance, in the order of `patchify`.
        patch: Extent of a patch along each axis.
        grid: Extent of an instance along each axis.

    Raises:
        ConfigError: The grid is not divisible by the patch.
    """
    counts = patch_grid(grid, patch)
    match patch:
        case (t,):
            return rearrange(patches, "n gt (t c) -> n c (gt t)", t=t)
        case (h, w):
            return rearrange(patches, "n (gh gw) (h w c) -> n c (gh h) (gw w)", gh=counts[0], h=h, w=w)
        case (t, h, w):
            return rearrange(
                patches,
                "n (gt gh gw) (t h w c) -> n c (gt t) (gh h) (gw w)",
                gt=counts[0],
                gh=counts[1],
                t=t,
                h=h,
                w=w,
            )
    raise AssertionError(patch)
