from dataclasses import replace

import pytest
import torch

from lamae.ecg.leads import LEADS
from lamae.errors import ConfigError
from lamae.models import MaskedAutoencoder, MaskedAutoencoderConfig, StreamConfig
from lamae.models.accounting import count_parameters, flops_per_step
from lamae.models.sizes import base, independent, joint, large, small, tiny
from lamae.nn.masks import MaskConfig, MaskFamily
from lamae.nn.transformer import TransformerConfig

LIMB = ("I", "II", "III", "aVR", "aVL", "aVF")
STREAM = StreamConfig(patch=(7,), grid=(77,), view_names=LIMB)


def config(**changes) -> MaskedAutoencoderConfig:
    settings = {
        "streams": {"ecg": STREAM},
        "encoder": TransformerConfig(dim=22, depth=2, num_heads=2),
        "latent": TransformerConfig(dim=22, depth=1, num_heads=2),
        "decoder": TransformerConfig(dim=15, depth=1, num_heads=3),
    }
    return MaskedAutoencoderConfig(**(settings | changes))


NO_LATENT = TransformerConfig(dim=22, depth=0, num_heads=2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"streams": {}}, "streams is empty"),
        ({"streams": {"a.b": STREAM}}, "without dots"),
        ({"encoder": NO_LATENT, "latent": NO_LATENT}, "encoder.depth must be at least 1 where latent.depth is 0"),
        ({"latent": TransformerConfig(dim=26, depth=1, num_heads=2)}, "latent.dim must equal encoder.dim"),
        ({"instance_cls": True}, "instance_cls is for latent depth 0"),
        ({"latent": NO_LATENT, "decoder_context": "cls"}, "needs latent attention"),
        ({"latent": NO_LATENT, "mask": MaskConfig(latent_ratio=0.5)}, "latent_ratio 0.5 needs latent attention"),
        ({"mask": MaskConfig(strategy="view", hidden_views=2)}, "hidden_views needs decoder_context"),
        ({"streams": {"ecg": replace(STREAM, patch=(77,))}}, "at least 2 patches"),
        ({"mask": MaskConfig(families=(MaskFamily(strategy="tube", full_time=True),))}, "full_time is for patches on"),
        (
            {"mask": MaskConfig(families=(MaskFamily(), MaskFamily(strategy="view", hidden_views=2)))},
            "hidden_views needs decoder_context",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        config(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"patch": (5,)}, "not divisible"),
        ({"channels": 0}, "channels, fixed_scale and std_floor"),
        ({"fixed_scale": 0.0}, "channels, fixed_scale and std_floor"),
        ({"std_floor": -1.0}, "channels, fixed_scale and std_floor"),
        ({"view_names": ()}, "distinct names"),
        ({"view_names": ("I", "I")}, "distinct names"),
    ],
)
def test_bad_streams_are_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        replace(STREAM, **changes)


def ecg(size) -> MaskedAutoencoderConfig:
    stream = StreamConfig(patch=(25,), grid=(1000,), view_names=LEADS)
    return MaskedAutoencoderConfig(
        streams={"ecg": stream}, encoder=size.encoder, latent=size.latent, decoder=size.decoder
    )


@pytest.mark.parametrize(("size", "millions"), [(tiny, 0.784), (small, 28.7), (base, 109.1), (large, 342.1)])
def test_sizes_and_their_matched_controls(size, millions):
    with torch.device("meta"):
        counts, control = (count_parameters(MaskedAutoencoder(ecg(s))) for s in (size(), independent(size())))
    assert counts["total"] == pytest.approx(millions * 1e6, rel=0.01)
    assert counts["total"] == counts["encoder"] + counts["latent_attention"] + counts["decoder"]
    assert control["latent_attention"] == 0
    dim = size().encoder.dim
    assert counts["total"] - control["total"] == 3 * dim  # the CLS token and the norm of latent attention
    with torch.device("meta"):
        together = count_parameters(MaskedAutoencoder(ecg(joint(size()))))
    assert counts["total"] - together["total"] == 2 * dim  # the norm of the encoder
    assert together["encoder"] == 26 * dim + 12 * dim  # projection of patches, table of identities


def test_parameters_by_hand():
    counts = count_parameters(MaskedAutoencoder(config()))
    block = 4 * 22 * 22 + 4 * 22 + 2 * 4 * 22 * 22 + 5 * 22 + 4 * 22
    assert counts["encoder"] == 7 * 22 + 22 + 6 * 22 + 2 * block + 2 * 22
    assert counts["latent_attention"] == 22 + block + 2 * 22


def test_flops_by_hand(ecg_batch):
    """A matrix product costs 2 m n k forward and twice that backward; the pixels need no gradient."""
    batch, tokens, dim = ecg_batch(), 3, 22
    flops = flops_per_step(config(), batch)

    def block(num_sequences: int, length: int) -> int:
        return 3 * num_sequences * (24 * length * dim * dim + 4 * length * length * dim)

    assert flops["encoder"] == 2 * block(15, tokens) + 2 * 2 * 15 * tokens * 7 * dim
    assert flops["latent_attention"] == block(3, 1 + 5 * tokens)
    assert flops["decoder"] > 0
    assert flops["total"] == flops["encoder"] + flops["latent_attention"] + flops["decoder"]
