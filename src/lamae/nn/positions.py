"""Fixed sine-cosine positions of patches in one, two and three dimensions."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from lamae.errors import ConfigError

MAE_WAVELENGTHS = (2 * math.pi, 2 * math.pi * 10000)
"""Shortest and longest wavelength of MAE's table, in patches."""


def sincos_positions(
    counts: tuple[int, ...], dim: int, *, wavelengths: tuple[float, float] = MAE_WAVELENGTHS
) -> Float[Tensor, "patches dim"]:
    """Return the fixed position embedding of each patch of a grid.

    Each axis has an equal even share of ``dim``, the last axis first, sines before cosines; what is left over is 0. In
    two dimensions this is the table of MAE (He et al. 2022, ``util/pos_embed.py``). The rows of a shorter
    one-dimensional grid are the first rows of a longer one.

    Args:
        counts: Number of patches along each axis.
        dim: Width of the tokens.
        wavelengths: Shortest and longest wavelength in patches; the others lie between them in equal ratios. Those far
            longer than the grid are the same number for all patches.

    Raises:
        ConfigError: ``dim`` is too small to hold two numbers an axis.
    """
    share = dim // (2 * len(counts)) * 2
    if share < 2:
        raise ConfigError(f"positions on {len(counts)} axes need a dim of at least {2 * len(counts)}, found {dim}")
    axes = torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in counts], indexing="ij")
    parts = [_sincos(axis.flatten(), share, wavelengths) for axis in reversed(axes)]
    table = torch.cat(parts, dim=1)
    return torch.nn.functional.pad(table, (0, dim - table.shape[1])).float()


def _sincos(
    positions: Float[Tensor, " patches"], dim: int, wavelengths: tuple[float, float]
) -> Float[Tensor, "patches dim"]:
    shortest, longest = wavelengths
    ratios = (longest / shortest) ** -(torch.arange(dim // 2, dtype=torch.float64) / (dim / 2))
    frequencies = 2 * math.pi / shortest * ratios
    angles = positions[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)
