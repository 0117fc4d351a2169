"""Attention pooling of frozen tokens: a learned query decides which tokens of a study speak for a label."""

import numpy as np
import torch
from torch import Tensor, nn

from lamae.evals.probes.features import TaskTokens
from lamae.evals.probes.head_training import HeadGrid, train_heads
from lamae.evals.probes.selection import Predicted
from lamae.evals.settings import EvalSettings, Progress, silent
from lamae.evals.tasks.task import Task
from lamae.models.heads import AttentiveHead
from lamae.nn.transformer import NORM_EPS

GRID = HeadGrid(lr=(1e-3, 5e-3), weight_decay=(1e-2, 1e-1), epochs=30, patience=5, batch_size=64)
"""The settings that are tried; the best epoch of the best setting is chosen on the validation studies."""


class PooledTokens(nn.Module):
    """`AttentiveHead` on tokens that are the same in every epoch: the same numbers for far fewer multiplications.

    There is one query and the tokens need no gradient, so the query is taken through the keys' weights once, and the
    tokens are mixed before they go through the values' weights: ``q (W_k x) = (q W_k) x`` and
    ``sum_n a_n (W_v x_n) = W_v (sum_n a_n x_n)``. The keys' bias is the same for all tokens and falls out of the
    softmax. A study then costs ``4 * heads`` operations a token value in place of ``4 * dim``.

    Args:
        head: The head.
    """

    def __init__(self, head: AttentiveHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, tokens: Tensor, valid: Tensor) -> Tensor:
        """Return ``[studies, outputs]``.

        Args:
            tokens: ``[studies, tokens, dim]``, each token with mean 0 and variance 1 (`normed`).
            valid: ``[studies, tokens]`` bool, true for tokens that are attended to.
        """
        head, (B, _, D) = self.head, tokens.shape
        H, norm = head.num_heads, head.token_norm
        key, value = head.key_value.weight.view(2, H, D // H, D).unbind(0)  # each [H, D / H, D]
        query = head.query.view(H, 1, D // H) / (D // H) ** 0.5
        towards = (query @ key).squeeze(1) * norm.weight  # [H, D]
        scores = tokens @ towards.T  # [B, N, H]; the norm's bias adds the same to all tokens
        scores = scores.masked_fill(~valid.unsqueeze(-1), torch.finfo(scores.dtype).min)
        mixed = scores.softmax(dim=1).transpose(1, 2) @ tokens  # [B, H, D]
        mixed = mixed * norm.weight + norm.bias
        pooled = torch.einsum("bhd,hed->bhe", mixed, value).reshape(B, D) + head.key_value.bias[D:]
        return head.linear(head.norm(pooled))


def normed(tokens: Tensor) -> Tensor:
    """Return float32 tokens with mean 0 and variance 1 each: the part of the token norm that learns nothing."""
    return nn.functional.layer_norm(tokens.float(), tokens.shape[-1:], eps=NORM_EPS)


def predict_by_attention(
    tokens: TaskTokens,
    task: Task,
    settings: EvalSettings,
    *,
    grid: HeadGrid = GRID,
    device: str = "cpu",
    progress: Progress = silent,
) -> Predicted:
    """Train an attentive head for each division of a task and predict its test studies.

    Args:
        tokens: Tokens of the studies of the task.
        task: Labels and divisions.
        settings: Seed, and the measure to choose by.
        grid: The settings to try.
        device: Where to train.
        progress: Called after each epoch.

    Returns:
        As `lamae.evals.probes.selection.Predicted`.

    Raises:
        DataError: A loss stopped being finite, or no label has both classes in a validation set.
    """

    def make_head(seed: int, train: np.ndarray) -> nn.Module:
        del train
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            head = AttentiveHead(dim=tokens.dim, num_heads=tokens.num_heads, num_outputs=len(task.label_names))
        return PooledTokens(head).to(device)

    def inputs(positions: np.ndarray) -> tuple[Tensor, ...]:
        values, valid = tokens.take(positions)
        return normed(torch.from_numpy(np.ascontiguousarray(values)).to(device)), torch.from_numpy(valid).to(device)

    return train_heads(make_head, inputs, task, settings, grid, what="training attentive heads", progress=progress)
