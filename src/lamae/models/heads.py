"""Heads that turn features into predictions."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from lamae.errors import ConfigError
from lamae.nn.attention import attend
from lamae.nn.transformer import NORM_EPS, initialise, initialise_tokens, token_parameter


class MLPHead(nn.Module):
    """Norm, one inner layer with GELU, dropout, and a linear layer, on one vector a study.

    Args:
        dim: Width of the vectors.
        hidden_dim: Width of the inner layer.
        num_outputs: Number of labels or values.
        dropout: Fraction of inner values that training sets to 0.
    """

    def __init__(self, *, dim: int, hidden_dim: int, num_outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ConfigError(f"dropout must lie in [0, 1), found {dropout}")
        self.layers = nn.Sequential(
            nn.LayerNorm(dim, eps=NORM_EPS),
            nn.Linear(dim, hidden_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_dim, num_outputs),
        )
        initialise(self)

    def forward(self, vectors: Float[Tensor, "studies dim"]) -> Float[Tensor, "studies outputs"]:
        """Return one number a study and output."""
        return self.layers(vectors)


class AttentiveHead(nn.Module):
    """A learned query that attends to all tokens of a study, then a linear layer.

    1. Tokens are normed and projected to keys and values.
    2. The query attends to the tokens that exist, with several heads.
    3. The result is normed and projected to the outputs.

    Args:
        dim: Width of the tokens.
        num_heads: Number of heads; divides ``dim``.
        num_outputs: Number of labels or values.
    """

    def __init__(self, *, dim: int, num_heads: int, num_outputs: int) -> None:
        super().__init__()
        if dim % num_heads:
            raise ConfigError(f"num_heads must divide dim, found dim {dim} and num_heads {num_heads}")
        self.num_heads = num_heads
        self.token_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.query = token_parameter(1, 1, dim)
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.linear = nn.Linear(dim, num_outputs)
        initialise(self)
        initialise_tokens(self.query)

    def forward(
        self, tokens: Float[Tensor, "studies tokens dim"], valid: Bool[Tensor, "studies tokens"] | None = None
    ) -> Float[Tensor, "studies outputs"]:
        """Return one number a study and output, from the tokens that ``valid`` allows (None: all)."""
        B, N, D = tokens.shape
        pairs = self.key_value(self.token_norm(tokens)).view(B, N, 2, self.num_heads, D // self.num_heads)
        key, value = pairs.permute(2, 0, 3, 1, 4).unbind(0)  # each [B, heads, N, D / heads]
        query = self.query.to(key.dtype).view(1, self.num_heads, 1, -1).expand(B, -1, -1, -1)
        mixed = attend(query, key, value, kernel="auto", key_mask=valid)
        return self.linear(self.norm(mixed.reshape(B, D)))


def tokens_by_study(
    tokens: Float[Tensor, "instances patches dim"],
    token_valid: Bool[Tensor, "instances patches"],
    study_of: Tensor,
    num_studies: int,
) -> tuple[Float[Tensor, "studies tokens dim"], Bool[Tensor, "studies tokens"]]:
    """Lay the tokens of all instances out by study, padded to the longest, for `AttentiveHead`.

    Args:
        tokens: Tokens of instances, as in `lamae.models.Features`.
        token_valid: Which of them mean anything.
        study_of: Study of each instance, ``[instances]``, non-decreasing.
        num_studies: Number of studies.
    """
    counts = torch.bincount(study_of, minlength=num_studies)
    place = torch.arange(len(study_of), device=study_of.device) - (counts.cumsum(0) - counts)[study_of]
    longest = int(counts.max())
    laid = tokens.new_zeros(num_studies, longest, *tokens.shape[1:])
    valid = token_valid.new_zeros(num_studies, longest, tokens.shape[1])
    laid = laid.index_put((study_of, place), tokens)
    valid[study_of, place] = token_valid
    return laid.flatten(1, 2), valid.flatten(1, 2)
