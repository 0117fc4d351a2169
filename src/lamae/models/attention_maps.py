"""Summaries of latent attention by view, for reports."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class LatentAttentionMaps:
    """Attention weights summed over the tokens of a view, averaged over heads, asking tokens and studies.

    Attributes:
        view_names: Names of the views, the order of rows and columns.
        views: Fraction of its attention that a token of the row's view gives to the column's view. What is missing to 1
            in a row goes to the CLS token.
        cls: Fraction of its attention that the CLS token gives to each view.

    A row is the mean over the studies that have its view, in which a view that a study lacks is given 0.
    """

    view_names: tuple[str, ...]
    views: Float[Tensor, "layers views views"]
    cls: Float[Tensor, "layers views"]


def summarise_attention(
    weights: Sequence[Float[Tensor, "studies tokens tokens"]],
    token_view: Int64[Tensor, "studies kept"],
    view_names: tuple[str, ...],
) -> LatentAttentionMaps:
    """Summarise the weights of each layer by view.

    Args:
        weights: For each layer the weights (asking token, token asked), averaged over heads, CLS first.
        token_view: View of each token as an index into ``view_names``; -1 for tokens to leave out (padding).
        view_names: Names of the views.
    """
    of_view = (token_view.unsqueeze(-1) == torch.arange(len(view_names), device=token_view.device)).float()
    num_tokens = of_view.sum(dim=1)  # [studies, views]
    num_studies = (num_tokens > 0).float().sum(dim=0).clamp_min(1)
    views, cls = [], []
    for layer in weights:
        given = layer.float()[:, :, 1:] @ of_view  # [studies, 1 + kept, views]
        by_view = of_view.transpose(1, 2) @ given[:, 1:] / num_tokens.clamp_min(1).unsqueeze(-1)
        views.append(by_view.sum(dim=0) / num_studies.unsqueeze(-1))
        cls.append(given[:, 0].mean(dim=0))
    return LatentAttentionMaps(view_names=view_names, views=torch.stack(views), cls=torch.stack(cls))
