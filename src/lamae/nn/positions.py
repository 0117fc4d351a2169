"""Positions of patches in one, two and three dimensions: fixed sines and cosines that are added, or rotations."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from lamae.errors import ConfigError

MAE_WAVELENGTHS = (2 * math.pi, 2 * math.pi * 10000)
"""Shortest and longest wavelength of MAE's table, in patches."""

Rotation = Callable[[Float[Tensor, "b h n e"]], Float[Tensor, "b h n e"]]
"""Turns queries and keys by the places of their tokens."""


class SinCosPositions(nn.Module):
    """The table of `sincos_positions` for a configured grid of patches, and on demand for any other.

    Args:
        counts: Number of patches along each axis, as configured.
        dim: Width of the tokens.
        wavelengths: Shortest and longest wavelength in patches.
    """

    table: Tensor

    def __init__(self, counts: tuple[int, ...], dim: int, *, wavelengths: tuple[float, float]) -> None:
        super().__init__()
        self.counts, self.dim, self.wavelengths = counts, dim, wavelengths
        self._others: dict[tuple[int, ...], Tensor] = {}
        self.register_buffer("table", sincos_positions(counts, dim, wavelengths=wavelengths), persistent=False)

    def forward(
        self, places: Int64[Tensor, "instances some"], counts: tuple[int, ...]
    ) -> Float[Tensor, "instances some dim"]:
        """Return the positions of patches ``places`` of a grid of ``counts`` patches."""
        if counts == self.counts:
            return self.table[places]
        other = self._others.get(counts)
        if other is None or other.device != places.device:
            other = sincos_positions(counts, self.dim, wavelengths=self.wavelengths).to(places.device)
            self._others[counts] = other
        return other[places]


def sincos_positions(
    counts: tuple[int, ...], dim: int, *, wavelengths: tuple[float, float] = MAE_WAVELENGTHS
) -> Float[Tensor, "patches dim"]:
    """Return the fixed position embedding of each patch of a grid.

    Each axis has an equal even part of ``dim``, the last axis first, sines before cosines; what is left over is 0. In
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
    part = _dim_of_axis(len(counts), dim)
    axes = torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in counts], indexing="ij")
    parts = [_sincos(axis.flatten(), part, wavelengths) for axis in reversed(axes)]
    table = torch.cat(parts, dim=1)
    return torch.nn.functional.pad(table, (0, dim - table.shape[1])).float()


def rotary(
    places: Int64[Tensor, "b n"],
    counts: tuple[int, ...],
    head_dim: int,
    *,
    front: int = 0,
    wavelengths: tuple[float, float] = MAE_WAVELENGTHS,
) -> Rotation:
    """Return the rotation by which attention sees relative places (RoPE, Su et al. 2021), for `SelfAttention`.

    Each axis turns an equal even part of ``head_dim``, the first axis first: number ``i`` of a part together with
    number ``i`` of its second half, by the place along the axis times the frequency. What is left over stays, and so do
    tokens in front. A query at one place and a key at another then have a product that depends on the difference only.

    Args:
        places: Patch of each token, as an index into the grid.
        counts: Number of patches along each axis.
        head_dim: Width of a head.
        front: Number of tokens without a place (CLS, context) that stand in front.
        wavelengths: Shortest and longest wavelength in patches.

    Raises:
        ConfigError: ``head_dim`` is too small to hold two numbers an axis.
    """
    part = _dim_of_axis(len(counts), head_dim)
    frequencies = _frequencies(part, wavelengths).to(places.device)
    angles = [axis.unsqueeze(-1) * frequencies for axis in torch.unravel_index(places, counts)]
    turn = nn.functional.pad(torch.stack(angles, dim=2), (0, 0, 0, 0, front, 0))  # [b, front + n, axes, part / 2]
    cos, sin = turn.cos().float().unsqueeze(1), turn.sin().float().unsqueeze(1)

    def rotate(heads: Float[Tensor, "b h n e"]) -> Float[Tensor, "b h n e"]:
        turned, rest = heads[..., : part * len(counts)], heads[..., part * len(counts) :]
        first, second = turned.unflatten(-1, (len(counts), 2, part // 2)).unbind(-2)
        turned = torch.stack([first * cos - second * sin, first * sin + second * cos], dim=-2)
        return torch.cat([turned.flatten(-3).to(heads.dtype), rest], dim=-1)

    return rotate


def _dim_of_axis(num_axes: int, dim: int) -> int:
    part = dim // (2 * num_axes) * 2
    if part < 2:
        raise ConfigError(f"positions on {num_axes} axes need a dim of at least {2 * num_axes}, found {dim}")
    return part


def _frequencies(dim: int, wavelengths: tuple[float, float]) -> Float[Tensor, " half"]:
    shortest, longest = wavelengths
    ratios = (longest / shortest) ** -(torch.arange(dim // 2, dtype=torch.float64) / (dim / 2))
    return 2 * math.pi / shortest * ratios


def _sincos(
    positions: Float[Tensor, " patches"], dim: int, wavelengths: tuple[float, float]
) -> Float[Tensor, "patches dim"]:
    angles = positions[:, None] * _frequencies(dim, wavelengths)
    return torch.cat([angles.sin(), angles.cos()], dim=1)
