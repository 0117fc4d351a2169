"""Latent attention on top of an encoder that was pretrained without any, to be learned from labels (Ind + LA)."""

from dataclasses import replace

import torch

from lamae.errors import ConfigError
from lamae.models import MaskedAutoencoder


def with_added_latent(model: MaskedAutoencoder, depth: int, *, seed: int) -> MaskedAutoencoder:
    """Return a model with the encoder of another one and new latent attention with a CLS token on it.

    It is a masked autoencoder like any other: it is kept, loaded, read out and embedded as one.

    Args:
        model: A model without latent attention.
        depth: Number of layers; width and heads are the encoder's.
        seed: Seed of the new weights.

    Raises:
        ConfigError: The model has latent attention, or instances with CLS tokens of their own.
    """
    if model.config.latent.depth > 0:
        raise ConfigError(
            f"added_latent is for a run without latent attention; this one has {model.config.latent.depth} layers of it"
        )
    encoder = model.config.encoder
    latent = replace(model.config.latent, depth=depth, dim=encoder.dim, num_heads=encoder.num_heads)
    generator = torch.Generator().manual_seed(seed)
    extended = MaskedAutoencoder(replace(model.config, latent=latent), generator=generator)
    extended.load_state_dict({**extended.state_dict(), **model.state_dict()})
    return extended.train(model.training)
