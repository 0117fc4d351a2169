"""Latent attention: all tokens of a study attend to each other (ECG paper eq. 1, echo paper eq. 2)."""

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor, nn

from lamae.nn.attention import AttentionKernel
from lamae.nn.plan import LatentPlan
from lamae.nn.transformer import NORM_EPS, Block, Transformer, TransformerConfig, token_parameter


class LatentAttention(nn.Module):
    """Mixes the tokens of all views of a study.

    1. A CLS token is put in front of the study's tokens.
    2. The blocks and a norm are applied; padding is seen by none.

    Without positions of its own: it treats the tokens as a set, and what tells them apart is in them.

    Args:
        config: Size; the depth is at least 1.
        kernel: Attention kernel.
    """

    def __init__(self, config: TransformerConfig, *, kernel: AttentionKernel) -> None:
        super().__init__()
        self.cls = token_parameter(1, 1, config.dim)
        self.transformer = Transformer(config, kernel=kernel)
        self.norm = nn.LayerNorm(config.dim, eps=NORM_EPS)

    def forward(
        self, tokens: Float[Tensor, "studies kept dim"], key_mask: Bool[Tensor, "studies kept"] | None
    ) -> tuple[Float[Tensor, "studies dim"], Float[Tensor, "studies kept dim"]]:
        """Return the CLS token and the mixed tokens of each study."""
        tokens, key_mask = self._with_cls(tokens, key_mask)
        tokens = self.norm(self.transformer(tokens, key_mask))
        return tokens[:, 0], tokens[:, 1:]

    def weights(
        self, tokens: Float[Tensor, "studies kept dim"], key_mask: Bool[Tensor, "studies kept"] | None
    ) -> list[Float[Tensor, "studies 1+kept 1+kept"]]:
        """Return the attention weights of each layer, averaged over its heads; CLS comes first."""
        tokens, key_mask = self._with_cls(tokens, key_mask)
        weights = []
        for block in self.transformer.blocks:
            assert isinstance(block, Block)
            weights.append(block.attention.weights(block.attention_norm(tokens), key_mask).mean(dim=1))
            tokens = block(tokens, key_mask)
        return weights

    def _with_cls(self, tokens: Tensor, key_mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        tokens = torch.cat([self.cls.to(tokens.dtype).expand(len(tokens), -1, -1), tokens], dim=1)
        return tokens, None if key_mask is None else nn.functional.pad(key_mask, (1, 0), value=True)


def gather_studies(
    tokens: list[Shaped[Tensor, "_instances _visible dim"]], plan: LatentPlan, num_studies: int
) -> Shaped[Tensor, "studies kept dim"]:
    """Lay the encoded tokens of all streams out as studies: by reshaping where that is enough."""
    if plan.gather_index is None:
        (only,) = tokens
        return only.reshape(num_studies, -1, only.shape[-1])
    flat = torch.cat([stream.flatten(0, 1) for stream in tokens])
    return flat.index_select(0, plan.gather_index.flatten()).view(*plan.gather_index.shape, flat.shape[-1])


def scatter_instances(
    tokens: Float[Tensor, "studies kept dim"],
    scatter_index: Int64[Tensor, "instances visible"] | None,
    *,
    absent: Float[Tensor, " dim"],
    shape: tuple[int, int],
) -> Float[Tensor, "instances visible dim"]:
    """Bring the tokens of studies back to their instances: the inverse of `gather_studies`.

    Args:
        tokens: Tokens by study.
        scatter_index: Where each slot's token stands, or one past the last for none; None when reshaping is enough.
        absent: What stands in slots without a token.
        shape: ``(instances, visible)``.
    """
    if scatter_index is None:
        return tokens.reshape(*shape, tokens.shape[-1])
    table = torch.cat([tokens.flatten(0, 1), absent.to(tokens.dtype).unsqueeze(0)])
    return table.index_select(0, scatter_index.flatten()).view(*shape, tokens.shape[-1])
