"""The pre-norm transformer block of ViT, the stack of them, and their initialisation."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from lamae.errors import ConfigError
from lamae.nn.attention import AttentionKernel, SelfAttention
from lamae.nn.positions import Rotation

NORM_EPS = 1e-6

MIMETIC_VALUE_GAIN = 0.7
"""Scale of values at the start, and of the way back beside it, so that attention does not drown the token."""


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Size of a stack of blocks.

    Attributes:
        dim: Width of the tokens.
        depth: Number of blocks; 0 (for latent attention) means none.
        num_heads: Heads of each attention; divides ``dim``.
        mlp_ratio: Inner width of the MLP in units of ``dim``.
    """

    dim: int
    depth: int
    num_heads: int
    mlp_ratio: float = 4.0

    def __post_init__(self) -> None:
        if self.dim < 1 or self.depth < 0 or self.num_heads < 1 or self.mlp_ratio <= 0:
            raise ConfigError(f"dim, num_heads and mlp_ratio must be above 0 and depth not below 0, found {self}")
        if self.dim % self.num_heads:
            raise ConfigError(f"num_heads must divide dim, found dim {self.dim} and num_heads {self.num_heads}")


class Block(nn.Module):
    """Pre-norm block: (1) tokens plus attention of the normed tokens, (2) plus an MLP (GELU) of the normed sum.

    Args:
        config: Width, heads and MLP.
        kernel: Attention kernel, see `lamae.nn.attention.choose_kernel`.
    """

    def __init__(self, config: TransformerConfig, *, kernel: AttentionKernel) -> None:
        super().__init__()
        mlp_dim = int(config.dim * config.mlp_ratio)
        self.attention_norm = nn.LayerNorm(config.dim, eps=NORM_EPS)
        self.attention = SelfAttention(dim=config.dim, num_heads=config.num_heads, kernel=kernel)
        self.mlp_norm = nn.LayerNorm(config.dim, eps=NORM_EPS)
        self.mlp = nn.Sequential(nn.Linear(config.dim, mlp_dim), nn.GELU(), nn.Linear(mlp_dim, config.dim))

    def forward(
        self,
        tokens: Float[Tensor, "b n dim"],
        key_mask: Bool[Tensor, "b n"] | None = None,
        *,
        skip: int = 0,
        rotate: Rotation | None = None,
    ) -> Float[Tensor, "b rest dim"]:
        """Apply the block; tokens that ``key_mask`` excludes are seen by none.

        The first ``skip`` tokens are seen but not computed; ``rotate`` goes to the attention.
        """
        tokens = tokens[:, skip:] + self.attention(self.attention_norm(tokens), key_mask, skip=skip, rotate=rotate)
        return tokens + self.mlp(self.mlp_norm(tokens))


class Transformer(nn.Module):
    """A stack of blocks; the norm after the last one is its caller's.

    Args:
        config: Size.
        kernel: Attention kernel.
    """

    def __init__(self, config: TransformerConfig, *, kernel: AttentionKernel) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(config, kernel=kernel) for _ in range(config.depth))

    def forward(
        self,
        tokens: Float[Tensor, "b n dim"],
        key_mask: Bool[Tensor, "b n"] | None = None,
        *,
        skip: int = 0,
        rotate: Rotation | None = None,
    ) -> Float[Tensor, "b rest dim"]:
        """Apply the blocks in order; the last one does not compute the first ``skip`` tokens, which nobody reads."""
        last = len(self.blocks) - 1
        for index, block in enumerate(self.blocks):
            tokens = block(tokens, key_mask, skip=skip if index == last else 0, rotate=rotate)
        return tokens


def initialise(module: nn.Module, *, generator: torch.Generator | None = None) -> None:
    """Initialise as MAE does: Xavier-uniform linear layers with zero bias, norms at identity.

    Args:
        module: Its `nn.Linear` and `nn.LayerNorm` layers are initialised, in the order of ``modules()``.
        generator: Source of randomness; None is torch's default generator.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.LayerNorm):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)


def initialise_mimetic(module: nn.Module, *, generator: torch.Generator | None = None) -> None:
    """Begin every attention as attention to similar tokens (after Trockman and Kolter 2023).

    Queries and keys share one random rotation, so that a token attends to tokens like itself; with positions in the
    tokens these are its neighbours. Values and the projection back are transposes of each other, so that what is
    attended to is added to the token. Trained transformers look alike; here it is given instead of learned.

    Args:
        module: Its `SelfAttention` layers are initialised, in the order of ``modules()``.
        generator: Source of randomness; None is torch's default generator.
    """
    for layer in module.modules():
        if isinstance(layer, SelfAttention):
            weight = layer.qkv.weight
            dim = weight.shape[1]
            alike = nn.init.orthogonal_(torch.empty(dim, dim), generator=generator)
            value = nn.init.orthogonal_(torch.empty(dim, dim), gain=MIMETIC_VALUE_GAIN, generator=generator)
            with torch.no_grad():
                weight.copy_(torch.cat([alike, alike, value]))
                layer.out.weight.copy_(MIMETIC_VALUE_GAIN * value.T)


def token_parameter(*shape: int) -> nn.Parameter:
    """Return a learned token or table of tokens (CLS, mask token, identities), drawn by `initialise_tokens`."""
    return nn.Parameter(torch.zeros(*shape))


def initialise_tokens(*tokens: nn.Parameter, generator: torch.Generator | None = None) -> None:
    """Draw learned tokens from a normal distribution with standard deviation 0.02, cut at two of them."""
    for token in tokens:
        nn.init.trunc_normal_(token, std=0.02, a=-0.04, b=0.04, generator=generator)
