"""Models: encode instances apart, exchange between all instances of a study, decode instances apart."""

from lamae.models.config import MaskedAutoencoderConfig, StreamConfig
from lamae.models.masked_autoencoder import MaskedAutoencoder
from lamae.models.readout import Features, Readout, by_view, read_out

__all__ = [
    "Features",
    "MaskedAutoencoder",
    "MaskedAutoencoderConfig",
    "Readout",
    "StreamConfig",
    "by_view",
    "read_out",
]
