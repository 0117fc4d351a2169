"""The configuration of a masked autoencoder; it is stored with its checkpoint."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from lamae.batch import ClipConfig
from lamae.errors import ConfigError
from lamae.nn.attention import AttentionKernel
from lamae.nn.mask_config import MaskConfig
from lamae.nn.normalise import Normalisation
from lamae.nn.patches import patch_grid
from lamae.nn.positions import MAE_WAVELENGTHS
from lamae.nn.transformer import TransformerConfig


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """The instances of one stream and how they are cut and normalised.

    Attributes:
        patch: Extent of a patch along each axis, in samples, pixels or frames.
        grid: Extent of an instance along each axis, such as ``(1000,)`` for 10 s at 100 Hz.
        view_names: Views that the model knows, in the order of its identity table.
        channels: Channels of an instance.
        normalise: z-score by ``"study"`` or ``"view"``, or ``"fixed"`` division.
        fixed_scale: Physical units (mV, grey level) that become 1 with ``normalise="fixed"``.
        std_floor: Least standard deviation by which z-scores divide, in physical units.
        any_grid: Whether instances of another extent are welcome too, such as longer recordings; else ``grid`` is
            exact. Their positions follow from the same waves.
        clip: How instances are cut from videos; None takes recordings whole.
    """

    patch: tuple[int, ...]
    grid: tuple[int, ...]
    view_names: tuple[str, ...]
    channels: int = 1
    normalise: Normalisation = "study"
    fixed_scale: float = 1.0
    std_floor: float = 0.01
    any_grid: bool = False
    clip: ClipConfig | None = None

    def __post_init__(self) -> None:
        patch_grid(self.grid, self.patch)
        if self.clip is not None:
            of_clips = self.clip.instances == "clip"
            if len(self.grid) != (3 if of_clips else 2) or (of_clips and self.grid[0] != self.clip.frames):
                raise ConfigError(
                    f"clip gives instances of {f'{self.clip.frames} frames' if of_clips else 'one frame'}, but grid is "
                    f"{self.grid}: it must be (frames, height, width) for clips and (height, width) for frames"
                )
        if self.channels < 1 or self.fixed_scale <= 0 or self.std_floor <= 0:
            raise ConfigError(f"channels, fixed_scale and std_floor must be above 0, found {self}")
        if not self.view_names or len(set(self.view_names)) != len(self.view_names):
            raise ConfigError(f"view_names must be one or more distinct names, found {self.view_names}")

    @property
    def counts(self) -> tuple[int, ...]:
        """Return the number of patches along each axis."""
        return patch_grid(self.grid, self.patch)

    @property
    def num_patches(self) -> int:
        """Return the number of patches of an instance."""
        return math.prod(self.counts)

    @property
    def instances_per_recording(self) -> int:
        """Return the number of instances that a recording gives: its frames where each is one."""
        return self.clip.frames if self.clip is not None and self.clip.instances == "frame" else 1

    @property
    def num_elements(self) -> int:
        """Return the number of values in a patch, channels included."""
        return math.prod(self.patch) * self.channels


@dataclass(frozen=True, kw_only=True)
class MaskedAutoencoderConfig:
    """Everything that `lamae.models.MaskedAutoencoder` is built from.

    Attributes:
        kind: The kind of model, by which `lamae.models.MODELS` finds its class.
        streams: Instances by name of the stream; each stream has its own encoder and decoder of the same size.
        encoder: Size of the encoder; depth 0 leaves patches, positions and identities to latent attention, so that all
            views of a study are encoded as one joint set of tokens (as in ST-MEM).
        latent: Size of latent attention; depth 0 makes the views independent (MAE). Its width is the encoder's.
        decoder: Size of the decoder.
        view_identity: ``"learned"``: an embedding of the view's name is added in encoder and decoder.
        encoder_weights: ``"shared"``: one encoder for all views of a stream. ``"private"``: one for each view name, in
            which the weights tell the views apart; decoder and latent attention stay shared.
        instance_cls: Each instance has a CLS token of its own as in ViTMAE; for latent depth 0.
        decoder_context: What the decoder of an instance sees of the rest of its study: nothing (the papers), its CLS
            token, or its CLS token and the mean token of each view.
        target: ``"patch-normalised"``: each patch by its own mean and standard deviation; ``"raw"``: as normalised.
        position_wavelengths: Shortest and longest wavelength of the positions, in patches; MAE's by default.
        initialisation: ``"mae"``: Xavier-uniform as in MAE. ``"mimetic"``: attention begins as attention to similar
            tokens, such as neighbours in time, see `lamae.nn.transformer.initialise_mimetic`; the first predictions
            are near 0. Short trainings leave the plateau at which nothing but a patch's mean is known much sooner.
        attention_kernel: See `lamae.nn.attention.choose_kernel`.
        mask: Masks of pretraining.

    Raises:
        ConfigError: Settings contradict each other.
    """

    kind: Literal["masked-autoencoder"] = "masked-autoencoder"
    streams: Mapping[str, StreamConfig]
    encoder: TransformerConfig
    latent: TransformerConfig
    decoder: TransformerConfig
    view_identity: Literal["none", "learned"] = "learned"
    encoder_weights: Literal["shared", "private"] = "shared"
    instance_cls: bool = False
    decoder_context: Literal["none", "cls", "summaries"] = "none"
    target: Literal["raw", "patch-normalised"] = "patch-normalised"
    position_wavelengths: tuple[float, float] = MAE_WAVELENGTHS
    initialisation: Literal["mae", "mimetic"] = "mae"
    attention_kernel: AttentionKernel = "auto"
    mask: MaskConfig = field(default_factory=MaskConfig)

    def __post_init__(self) -> None:
        if not self.streams:
            raise ConfigError("streams is empty: a model needs at least one stream")
        if any("." in name or not name for name in self.streams):
            raise ConfigError(f"names of streams must be non-empty and without dots, found {list(self.streams)}")
        shortest, longest = self.position_wavelengths
        if not 2 < shortest < longest:
            raise ConfigError(
                "position_wavelengths must be two rising numbers above 2 patches, found "
                f"{self.position_wavelengths}: shorter ones cannot be told from longer ones on a grid of patches"
            )
        if self.encoder.depth < 1 and self.latent.depth < 1:
            raise ConfigError(
                f"encoder.depth must be at least 1 where latent.depth is 0, found {self.encoder.depth}: "
                "only latent attention can do without an encoder before it"
            )
        if self.latent.depth > 0 and self.latent.dim != self.encoder.dim:
            raise ConfigError(
                f"latent.dim must equal encoder.dim, found {self.latent.dim} and {self.encoder.dim}: "
                "latent attention works on the encoder's tokens"
            )
        if self.latent.depth > 0 and self.instance_cls:
            raise ConfigError("instance_cls is for latent depth 0: with latent attention the study has the CLS token")
        if self.latent.depth == 0:
            self._check_independent()
        if self.mask.hides_views and self.decoder_context == "none":
            raise ConfigError(
                "mask.hidden_views needs decoder_context 'cls' or 'summaries': "
                "without it nothing leads from the other views to the decoder of a hidden one"
            )
        for stream in self.streams.values():
            self.mask.num_visible(*stream.counts)

    def _check_independent(self) -> None:
        if self.decoder_context != "none":
            raise ConfigError(f"decoder_context {self.decoder_context!r} needs latent attention, but latent.depth is 0")
        if self.mask.latent_ratio > 0:
            raise ConfigError(f"mask.latent_ratio {self.mask.latent_ratio} needs latent attention: latent.depth is 0")

    @property
    def patch_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the extent of a patch by stream, as `lamae.nn.masks.draw_masks` takes it."""
        return {name: stream.patch for name, stream in self.streams.items()}

    @property
    def has_latent_attention(self) -> bool:
        """Return whether the instances of a study meet in latent attention."""
        return self.latent.depth > 0

    def system_name(self, *, aligned: bool) -> str:
        """Return the name of the pretrained system in tables, as ``docs/systems.md`` has them."""
        if self.encoder.depth == 0:
            name = "Joint"
        elif self.has_latent_attention:
            name = "LAMAE"
        else:
            name = "MMVM" if aligned else "Ind_P"
        if aligned and self.has_latent_attention:
            name += " + alignment"
        return name if self.encoder_weights == "shared" else f"{name}, private encoders"

    def card(self) -> dict[str, Any]:
        """Return what else a matched control must share, for the card of a run."""
        return {
            "target": self.target,
            "decoder_context": self.decoder_context,
            "encoder_weights": self.encoder_weights,
        }

    def for_counting(self) -> "MaskedAutoencoderConfig":
        """Return a model of as many operations: shared encoders cost what private ones do; attention is explicit."""
        return replace(self, encoder_weights="shared", attention_kernel="matmul")
