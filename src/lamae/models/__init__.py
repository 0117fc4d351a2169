"""Models: encode instances apart, exchange between all instances of a study, decode instances apart."""

from lamae.models.config import MaskedAutoencoderConfig, StreamConfig
from lamae.models.masked_autoencoder import MaskedAutoencoder
from lamae.models.pretrainable import Pretrainable, PretrainableConfig
from lamae.models.readout import Features, Readout, by_view, read_out

__all__ = [
    "MODELS",
    "Features",
    "MaskedAutoencoder",
    "MaskedAutoencoderConfig",
    "Pretrainable",
    "PretrainableConfig",
    "Readout",
    "StreamConfig",
    "by_view",
    "read_out",
]

MODELS: dict[str, type] = {"masked-autoencoder": MaskedAutoencoder}
"""The class of each kind of model, a `Pretrainable`; ``kind`` in a configuration or a checkpoint picks it."""
