"""What a model that predicts hidden patches returns, and what the objectives take."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Bool, Float, Int64
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class MaskedPrediction:
    """Hidden patches of one stream under one mask, predicted and true.

    Attributes:
        predicted: Predicted elements of the target patches.
        target: Their true values (normalised as the model is configured), without gradient.
        valid: Which elements were recorded; None: all. Others carry no meaning.
        study_of: Study of each instance.
    """

    predicted: Float[Tensor, "instances hidden elements"]
    target: Float[Tensor, "instances hidden elements"]
    valid: Bool[Tensor, "instances hidden elements"] | None
    study_of: Int64[Tensor, " instances"]


@dataclass(frozen=True, kw_only=True)
class MaskedOutput:
    """All predictions of a batch.

    Attributes:
        predictions: For each stream one prediction a mask.
        num_studies: Number of studies in the batch.
        summary: Mean of each study's latent tokens under the first mask, without gradient: what monitors of collapse
            look at.
    """

    predictions: Mapping[str, tuple[MaskedPrediction, ...]]
    num_studies: int
    summary: Float[Tensor, "studies dim"]
