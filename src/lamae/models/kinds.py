"""The kinds of models there are."""

import torch

from lamae.models.masked_autoencoder import MaskedAutoencoder
from lamae.models.pretrainable import Pretrainable, PretrainableConfig

MODELS: dict[str, type] = {"masked-autoencoder": MaskedAutoencoder}
"""The class of each kind of model, a `Pretrainable`; ``kind`` in a configuration or a checkpoint picks it."""


def model_configs() -> dict[str, type]:
    """Return the class of the configuration of each kind of model."""
    return {kind: model.config_class for kind, model in MODELS.items()}


def build_model(config: PretrainableConfig, *, generator: torch.Generator | None = None) -> Pretrainable:
    """Return a new model of the kind that a configuration is of.

    Args:
        config: Configuration of the model.
        generator: Source of the initial weights; None is torch's default generator.
    """
    return MODELS[config.kind](config, generator=generator)
