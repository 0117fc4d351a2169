"""Outputs of models and parts of losses: what passes between models and objectives."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from jaxtyping import Bool, Float, Int64
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class LossPart:
    """A named part of a loss, which adds up over micro-batches and ranks to the mean over studies of the global batch.

    Attributes:
        value: A scalar with gradient, not yet weighted.
        weight: What it is multiplied by in the whole loss; None: nothing, and no weight is logged.
    """

    value: Float[Tensor, ""]
    weight: float | None = None


@dataclass(frozen=True, kw_only=True)
class MaskedPrediction:
    """Target patches of one stream under one mask, predicted and true.

    Attributes:
        predicted: Predicted elements of the target patches.
        target: Their true values (normalised as the model is configured), without gradient.
        valid: Which elements were recorded; None: all. Others carry no meaning.
        study_of: Study of each instance.
    """

    predicted: Float[Tensor, "instances targets elements"]
    target: Float[Tensor, "instances targets elements"]
    valid: Bool[Tensor, "instances targets elements"] | None
    study_of: Int64[Tensor, " instances"]


@dataclass(frozen=True, kw_only=True)
class EncodedInstances:
    """Tokens that the encoder makes of the visible patches of one stream under one mask, before latent attention.

    Attributes:
        tokens: Tokens of the instances that have a visible token, with gradient.
        valid: Which of them stand for anything recorded; None: all.
        cls: Own CLS token of each instance; None for models without.
        study_of: Study of each of these instances.
        recording_of: Number of each one's recording within its study; None: each is a recording of its own.
    """

    tokens: Float[Tensor, "encoded visible dim"]
    valid: Bool[Tensor, "encoded visible"] | None
    cls: Float[Tensor, "encoded dim"] | None
    study_of: Int64[Tensor, " encoded"]
    recording_of: Int64[Tensor, " encoded"] | None = None


@dataclass(frozen=True, kw_only=True)
class MaskedOutput:
    """All predictions of a batch.

    Attributes:
        predictions: For each stream one prediction a mask.
        num_studies: Number of studies in the batch.
        summary: Mean of each study's latent tokens under the first mask, without gradient: what monitors of collapse
            look at.
        encoded: For each stream the encoder's tokens under each mask, which objectives of alignment take.
    """

    predictions: Mapping[str, tuple[MaskedPrediction, ...]]
    num_studies: int
    summary: Float[Tensor, "studies dim"]
    encoded: Mapping[str, tuple[EncodedInstances, ...]] = field(default_factory=dict)
