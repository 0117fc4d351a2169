"""Multi-head self-attention with one place where the kernel is chosen."""

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from lamae.nn.positions import Rotation

AttentionKernel = Literal["auto", "sdpa", "matmul"]

LONGEST_MATMUL = 512
"""Above this number of keys the explicit kernel's ``queries x keys`` matrix costs more memory than it saves time."""


def choose_kernel(kernel: AttentionKernel, query: Float[Tensor, "..."], num_keys: int) -> AttentionKernel:
    """Return the kernel that ``attend`` uses: ``"sdpa"`` or ``"matmul"``.

    The rule of ``"auto"``: bfloat16 on a CPU with at most `LONGEST_MATMUL` keys goes through explicit
    matmul-softmax-matmul, everything else through `torch.nn.functional.scaled_dot_product_attention`. The reason is
    measured: for short sequences, torch's CPU bfloat16 kernel takes 4 to 6 times as long forward and backward as the
    explicit one (torch 2.13), while in float32 it is as fast or faster.
    """
    if kernel != "auto":
        return kernel
    short_bf16_on_cpu = query.device.type == "cpu" and query.dtype == torch.bfloat16 and num_keys <= LONGEST_MATMUL
    return "matmul" if short_bf16_on_cpu else "sdpa"


def attend(
    query: Float[Tensor, "b h n e"],
    key: Float[Tensor, "b h m e"],
    value: Float[Tensor, "b h m e"],
    *,
    kernel: AttentionKernel,
    key_mask: Bool[Tensor, "b m"] | None = None,
) -> Float[Tensor, "b h n e"]:
    """Scaled dot-product attention over the keys that ``key_mask`` allows (None: all).

    A row without any allowed key attends to all of them: its output means nothing but is finite.
    """
    if choose_kernel(kernel, query, key.shape[2]) == "matmul":
        return attention_weights(query, key, key_mask=key_mask) @ value
    mask = None if key_mask is None else _allowed(key_mask)
    return scaled_dot_product_attention(query, key, value, attn_mask=mask)


def attention_weights(
    query: Float[Tensor, "b h n e"], key: Float[Tensor, "b h m e"], *, key_mask: Bool[Tensor, "b m"] | None = None
) -> Float[Tensor, "b h n m"]:
    """Return the weights that `attend` gives to the keys; each row sums to 1."""
    B, H, N, E = query.shape
    M = key.shape[2]
    flat_query, flat_key = query.reshape(B * H, N, E), key.reshape(B * H, M, E)
    nothing = query.new_zeros(1, 1, 1)  # beta 0: not read
    scores = torch.baddbmm(nothing, flat_query, flat_key.transpose(1, 2), beta=0, alpha=1 / math.sqrt(E))
    scores = scores.view(B, H, N, M)
    if key_mask is not None:
        scores = scores.masked_fill(~_allowed(key_mask), -torch.inf)
    return scores.softmax(dim=-1, dtype=scores.dtype)


def _allowed(key_mask: Bool[Tensor, "b m"]) -> Bool[Tensor, "b 1 1 m"]:
    return (key_mask | ~key_mask.any(dim=1, keepdim=True))[:, None, None, :]


class SelfAttention(nn.Module):
    """Multi-head self-attention: one projection to queries, keys and values, `attend`, one projection back.

    Args:
        dim: Width of the tokens.
        num_heads: Number of heads; divides ``dim``.
        kernel: Which kernel; see `choose_kernel`.
    """

    def __init__(self, *, dim: int, num_heads: int, kernel: AttentionKernel) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.kernel: AttentionKernel = kernel
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self,
        tokens: Float[Tensor, "b n dim"],
        key_mask: Bool[Tensor, "b n"] | None = None,
        *,
        skip: int = 0,
        rotate: Rotation | None = None,
    ) -> Float[Tensor, "b rest dim"]:
        """Let each token but the first ``skip`` attend to all tokens that ``key_mask`` allows.

        ``rotate`` turns queries and keys by the places of their tokens, see `lamae.nn.positions.rotary`; None: nothing.
        """
        B, N, D = tokens.shape
        query, key, value = self._project(tokens)
        if rotate is not None:
            query, key = rotate(query), rotate(key)
        mixed = attend(query[:, :, skip:], key, value, kernel=self.kernel, key_mask=key_mask)
        return self.out(mixed.transpose(1, 2).reshape(B, N - skip, D))

    def weights(
        self, tokens: Float[Tensor, "b n dim"], key_mask: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b h n n"]:
        """Return the attention weights of each head, for reports."""
        query, key, _ = self._project(tokens)
        return attention_weights(query, key, key_mask=key_mask)

    def _project(self, tokens: Float[Tensor, "b n dim"]) -> tuple[Tensor, ...]:
        B, N, D = tokens.shape
        qkv = self.qkv(tokens).view(B, N, 3, self.num_heads, D // self.num_heads)
        qkv = qkv.permute(2, 0, 3, 1, 4)
        if choose_kernel(self.kernel, qkv, N) == "matmul":
            qkv = qkv.contiguous()  # one copy instead of one in each product
        return qkv.unbind(0)  # each [b h n e]
