"""Our masked autoencoder and transformers' ViTMAE with the same weights, pixels and masks.

Shared by the parity test and the benchmark. Latent attention of depth 0, a CLS token for each instance and no view
identity make our model the ViTMAE of He et al. 2022; one image is a study with one view.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import ViTMAEConfig, ViTMAEForPreTraining

from lamae.batch import Instances, StudyBatch
from lamae.models import MaskedAutoencoder, MaskedAutoencoderConfig, StreamConfig
from lamae.nn.masks import MaskConfig
from lamae.nn.plan import MaskPlan, make_latent_plan, make_stream_mask
from lamae.nn.transformer import NORM_EPS, TransformerConfig
from lamae.objectives import masked_reconstruction


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Both models, and one batch for both of them.

    Attributes:
        ours: Our model.
        theirs: transformers' model, with the same weights.
        batch: The pixels as studies of one view.
        plan: The masks derived from the noise.
        pixels: The pixels.
        noise: What transformers sorts to draw its masks.
    """

    ours: MaskedAutoencoder
    theirs: ViTMAEForPreTraining
    batch: StudyBatch
    plan: MaskPlan
    pixels: Tensor
    noise: Tensor

    def our_loss(self) -> Tensor:
        """Return the loss of our model."""
        return masked_reconstruction(self.ours(self.batch, self.plan), global_size=len(self.pixels))

    def their_loss(self) -> Tensor:
        """Return the loss of transformers' model."""
        return self.theirs(self.pixels, noise=self.noise).loss


def make_pair(
    *,
    encoder: TransformerConfig,
    decoder: TransformerConfig,
    image_size: int,
    patch_size: int,
    batch_size: int,
    mask_ratio: float,
    normalised_target: bool,
    channels: int = 3,
    seed: int = 0,
) -> Pair:
    """Build both models with equal shapes and weights, and a batch of noise images."""
    torch.manual_seed(seed)
    theirs = ViTMAEForPreTraining(
        ViTMAEConfig(
            hidden_size=encoder.dim,
            num_hidden_layers=encoder.depth,
            num_attention_heads=encoder.num_heads,
            intermediate_size=int(encoder.dim * encoder.mlp_ratio),
            decoder_hidden_size=decoder.dim,
            decoder_num_hidden_layers=decoder.depth,
            decoder_num_attention_heads=decoder.num_heads,
            decoder_intermediate_size=int(decoder.dim * decoder.mlp_ratio),
            image_size=image_size,
            patch_size=patch_size,
            num_channels=channels,
            mask_ratio=mask_ratio,
            norm_pix_loss=normalised_target,
            layer_norm_eps=NORM_EPS,
        )
    )
    stream = StreamConfig(
        patch=(patch_size, patch_size),
        grid=(image_size, image_size),
        channels=channels,
        view_names=("image",),
        normalise="fixed",
    )
    ours = MaskedAutoencoder(
        MaskedAutoencoderConfig(
            streams={"image": stream},
            encoder=encoder,
            latent=TransformerConfig(dim=encoder.dim, depth=0, num_heads=encoder.num_heads),
            decoder=decoder,
            view_identity="none",
            instance_cls=True,
            target="patch-normalised" if normalised_target else "raw",
            mask=MaskConfig(ratio=mask_ratio),
        )
    )
    nn.init.normal_(theirs.vit.embeddings.cls_token, std=0.02)
    nn.init.normal_(theirs.decoder.mask_token, std=0.02)
    copy_weights(theirs, ours)
    copy_positions(ours, theirs)
    pixels = torch.randn(batch_size, channels, image_size, image_size)
    noise = torch.rand(batch_size, stream.num_patches)
    batch, plan = _as_studies(pixels, noise, num_visible=int(stream.num_patches * (1 - mask_ratio)))
    return Pair(ours=ours.train(), theirs=theirs.train(), batch=batch, plan=plan, pixels=pixels, noise=noise)


def _as_studies(pixels: Tensor, noise: Tensor, *, num_visible: int) -> tuple[StudyBatch, MaskPlan]:
    """Return each image as a study of one view; the patches with the least noise are visible, as in transformers."""
    size = len(pixels)
    instances = Instances(
        values=pixels,
        scale=torch.ones(size),
        valid=None,
        study_of=torch.arange(size),
        recording_of=torch.zeros(size, dtype=torch.int64),
        view_of=torch.zeros(size, dtype=torch.int64),
        time_of=torch.zeros(size),
        view_names=("image",),
    )
    batch = StudyBatch(
        streams={"image": instances},
        num_studies=size,
        positions=torch.arange(size),
        global_size=size,
        index=torch.arange(size),
    )
    order = noise.argsort(dim=1)
    mask = make_stream_mask(order[:, :num_visible], order[:, num_visible:], patch_valid=None, hidden=None)
    return batch, MaskPlan(streams={"image": (mask,)}, latent=(make_latent_plan(batch, {"image": mask}),))


def matched_parameters(
    theirs: ViTMAEForPreTraining, ours: MaskedAutoencoder
) -> list[tuple[nn.Parameter, list[nn.Parameter], Any]]:
    """Map each of our parameters to the parameters of transformers it is computed from, and the function."""
    encoder, decoder = ours.encoders["image"], ours.decoder("image")
    embed: Any = theirs.vit.embeddings
    kernel = embed.patch_embeddings.projection

    def same(tensor: Tensor) -> Tensor:
        return tensor

    def as_linear(weight: Tensor) -> Tensor:  # [dim, channel, height, width] -> [dim, height * width * channel]
        return weight.permute(0, 2, 3, 1).flatten(1)

    pairs: list[tuple[nn.Parameter, list[nn.Parameter], Any]] = [
        (encoder.embed.weight, [kernel.weight], as_linear),
        (encoder.embed.bias, [kernel.bias], same),
        (encoder.cls, [embed.cls_token], same),
        (decoder.mask_token, [theirs.decoder.mask_token], torch.flatten),
    ]
    for mine, other in (
        (encoder.norm, theirs.vit.layernorm),
        (decoder.embed, theirs.decoder.decoder_embed),
        (decoder.norm, theirs.decoder.decoder_norm),
        (decoder.head, theirs.decoder.decoder_pred),
    ):
        pairs += [(mine.weight, [other.weight], same), (mine.bias, [other.bias], same)]
    for stack, layers in (
        (encoder.transformer, theirs.vit.layers),
        (decoder.transformer, theirs.decoder.decoder_layers),
    ):
        for block, layer in zip(stack.blocks, layers, strict=True):
            pairs += _block_pairs(block, layer, same)
    return pairs


def _block_pairs(block: Any, layer: Any, same: Any) -> list[tuple[nn.Parameter, list[nn.Parameter], Any]]:
    attention = layer.attention
    projections = [attention.q_proj, attention.k_proj, attention.v_proj]

    def joined(*parts: Tensor) -> Tensor:
        return torch.cat(parts)

    pairs = [
        (block.attention.qkv.weight, [p.weight for p in projections], joined),
        (block.attention.qkv.bias, [p.bias for p in projections], joined),
    ]
    for mine, other in (
        (block.attention.out, attention.o_proj),
        (block.attention_norm, layer.layernorm_before),
        (block.mlp_norm, layer.layernorm_after),
        (block.mlp[0], layer.mlp.fc1),
        (block.mlp[2], layer.mlp.fc2),
    ):
        pairs += [(mine.weight, [other.weight], same), (mine.bias, [other.bias], same)]
    return pairs


@torch.no_grad()
def copy_weights(theirs: ViTMAEForPreTraining, ours: MaskedAutoencoder) -> None:
    """Copy all weights of transformers' model into ours; raise if a parameter of either model is left over."""
    pairs = matched_parameters(theirs, ours)
    mine = {id(parameter) for parameter, _, _ in pairs}
    other = {id(parameter) for _, parameters, _ in pairs for parameter in parameters}
    left = [name for name, parameter in ours.named_parameters() if id(parameter) not in mine]
    left += [name for name, p in theirs.named_parameters() if p.requires_grad and id(p) not in other]
    if left:
        raise ValueError(f"parameters without a counterpart: {left}")
    for parameter, parts, combine in pairs:
        parameter.copy_(combine(*parts))


@torch.no_grad()
def copy_positions(ours: MaskedAutoencoder, theirs: Any) -> None:
    """Copy our fixed positions into transformers' model, whose positions are 0 when built from a configuration.

    The first row belongs to the CLS token and stays 0.
    """
    theirs.vit.embeddings.position_embeddings[0, 1:] = ours.encoders["image"].positions.table
    theirs.decoder.decoder_pos_embed[0, 1:] = ours.decoder("image").positions.table
