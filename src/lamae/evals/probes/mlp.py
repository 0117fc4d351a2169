"""A multi-layer perceptron on frozen features: a small network can tell from them what a line cannot."""

import numpy as np
import torch
from torch import Tensor, nn

from lamae.evals.probes.head_training import HeadGrid, train_heads
from lamae.evals.probes.linear_models import mean_and_inverse
from lamae.evals.probes.selection import Predicted
from lamae.evals.settings import EvalSettings, Progress, silent
from lamae.evals.tasks.task import Task
from lamae.nn.transformer import initialise

HIDDEN_DIM = 256
GRID = HeadGrid(lr=(3e-4, 3e-3), weight_decay=(1e-2, 1.0), epochs=100, patience=10, batch_size=128)
"""The settings that are tried; the best epoch of the best setting is chosen on the validation studies."""


class _Standardised(nn.Module):
    """One hidden layer with GELU on features that are standardised by the training studies.

    Args:
        mean: ``[features]``.
        inverse: ``[features]``, 1 / standard deviation; 0 for constant features.
        num_outputs: Number of labels.
    """

    def __init__(self, mean: Tensor, inverse: Tensor, num_outputs: int) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("inverse", inverse)
        self.layers = nn.Sequential(nn.Linear(len(mean), HIDDEN_DIM), nn.GELU(), nn.Linear(HIDDEN_DIM, num_outputs))

    def forward(self, vectors: Tensor) -> Tensor:
        """Return ``[studies, labels]`` of ``[studies, features]``."""
        return self.layers((vectors - self.get_buffer("mean")) * self.get_buffer("inverse"))


def predict_by_mlp(
    features: np.ndarray, task: Task, settings: EvalSettings, *, grid: HeadGrid = GRID, progress: Progress = silent
) -> Predicted:
    """Train a perceptron with one hidden layer for each division of a task and predict its test studies.

    Args:
        features: ``[studies, features]``, rows as in ``task.rows``.
        task: Labels and divisions.
        settings: Seed, and the measure to choose by.
        grid: The settings to try.
        progress: Called after each epoch.

    Returns:
        As `lamae.evals.probes.selection.Predicted`.

    Raises:
        DataError: A loss stopped being finite, or no label has both classes in a validation set.
    """

    def make_head(seed: int, train: np.ndarray) -> nn.Module:
        mean, inverse = mean_and_inverse(np.asarray(features[train], dtype=np.float64))
        head = _Standardised(torch.from_numpy(mean).float(), torch.from_numpy(inverse).float(), len(task.label_names))
        initialise(head, generator=torch.Generator().manual_seed(seed))
        return head

    def inputs(positions: np.ndarray) -> tuple[Tensor, ...]:
        return (torch.from_numpy(np.asarray(features[positions], dtype=np.float32)),)

    return train_heads(make_head, inputs, task, settings, grid, what="training perceptrons", progress=progress)
