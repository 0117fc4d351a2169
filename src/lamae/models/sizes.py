"""Sizes of models as small functions; a matched control has the same layers, in encoder or latent attention."""

from dataclasses import dataclass, replace

from lamae.nn.transformer import TransformerConfig


@dataclass(frozen=True, kw_only=True)
class Size:
    """Sizes of the three parts of a masked autoencoder.

    Attributes:
        encoder: Encoder of single instances.
        latent: Latent attention; depth 0: none.
        decoder: Decoder of single instances.
    """

    encoder: TransformerConfig
    latent: TransformerConfig
    decoder: TransformerConfig


def tiny() -> Size:
    """0.8 million parameters, for demonstrations on a CPU."""
    return Size(
        encoder=TransformerConfig(dim=96, depth=4, num_heads=4),
        latent=TransformerConfig(dim=96, depth=2, num_heads=4),
        decoder=TransformerConfig(dim=64, depth=2, num_heads=2),
    )


def small() -> Size:
    """ViT-S (Touvron et al. 2021) with three layers of latent attention and a ViT-Ti decoder of four."""
    return Size(
        encoder=TransformerConfig(dim=384, depth=12, num_heads=6),
        latent=TransformerConfig(dim=384, depth=3, num_heads=6),
        decoder=TransformerConfig(dim=192, depth=4, num_heads=3),
    )


def base() -> Size:
    """ViT-B (Dosovitskiy et al. 2021) with latent attention and decoder as in the echo paper (appendix, table 4)."""
    return Size(
        encoder=TransformerConfig(dim=768, depth=12, num_heads=12),
        latent=TransformerConfig(dim=768, depth=3, num_heads=12),
        decoder=TransformerConfig(dim=192, depth=4, num_heads=3),
    )


def large() -> Size:
    """ViT-L (Dosovitskiy et al. 2021) with latent attention and decoder as in `base`; untried here."""
    return Size(
        encoder=TransformerConfig(dim=1024, depth=24, num_heads=16),
        latent=TransformerConfig(dim=1024, depth=3, num_heads=16),
        decoder=TransformerConfig(dim=192, depth=4, num_heads=3),
    )


def independent(size: Size) -> Size:
    """Return the matched control with independent views: the layers of latent attention go to the encoder."""
    depth = size.encoder.depth + size.latent.depth
    return replace(size, encoder=replace(size.encoder, depth=depth), latent=replace(size.latent, depth=0))


def joint(size: Size) -> Size:
    """Return the matched control with joint tokens: the layers of the encoder become layers of latent attention."""
    depth = size.encoder.depth + size.latent.depth
    return replace(size, encoder=replace(size.encoder, depth=0), latent=replace(size.latent, depth=depth))
