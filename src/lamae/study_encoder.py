"""A pretrained model as a step of a scikit-learn pipeline."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from lamae.embedder import OneStudy, load
from lamae.models import Readout
from lamae.nn.precision import Precision
from lamae.pack import Pack


class StudyEncoder(TransformerMixin, BaseEstimator):
    """Turns studies into vectors with frozen weights; fitting only loads them.

    Args:
        run: Folder of a run or of a checkpoint.
        readout: As `lamae.models.read_out` names them; None for the model's own.
        device: Where the model computes; ``"auto"`` takes a GPU when there is one.
        precision: ``"fp32"`` or ``"bf16"``; None takes the run's own.
        batch_size: Studies at once; None takes the run's own, at most 64.
    """

    def __init__(
        self,
        run: str,
        *,
        readout: Readout | None = None,
        device: str = "auto",
        precision: Precision | None = None,
        batch_size: int | None = None,
    ) -> None:
        self.run, self.device, self.batch_size = run, device, batch_size
        self.readout: Readout | None = readout
        self.precision: Precision | None = precision

    def fit(self, studies: object = None, targets: object = None) -> Self:
        """Load the model; nothing is learned."""
        self.embedder_ = load(self.run, device=self.device, precision=self.precision)
        return self

    def transform(self, studies: Sequence[OneStudy] | Pack) -> np.ndarray:
        """Return ``[studies, features]`` of a list of studies or paths, or of a pack."""
        return self.embedder_.embed(studies, readout=self.readout, batch_size=self.batch_size)
