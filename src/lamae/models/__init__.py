"""Models: encode instances apart, exchange between all instances of a study, decode instances apart."""

from lamae.models.config import MaskedAutoencoderConfig, StreamConfig
from lamae.models.kinds import MODELS, build_model, model_configs
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
    "build_model",
    "by_view",
    "model_configs",
    "read_out",
]
