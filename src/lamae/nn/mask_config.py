"""Settings of masks."""

import math
from dataclasses import dataclass
from typing import Literal

from lamae.errors import ConfigError
from lamae.nn.noise import NoiseKind

MaskStrategy = Literal["random", "tube", "block", "view"]


@dataclass(frozen=True, kw_only=True)
class MaskFamily:
    """One kind of mask, drawn once or several times.

    Attributes:
        strategy: ``"random"``: patches of each instance by themselves. ``"tube"``: the same patches in all instances of
            ``scope`` (for ECGs: the same times in all leads, so that no lead can be computed from others by Einthoven's
            law). ``"block"``: the union of ``num_blocks`` contiguous blocks of each instance. ``"view"``: whole
            recordings, and random patches of the others.
        ratio: Fraction of an instance's recorded patches that the encoder does not see.
        hidden_views: Recordings of each study without any visible token (``"view"`` only); one always stays. Such a
            recording is asked for as many patches as the others.
        scope: What shares the patches of a tube: all instances of a ``"study"``, those of a ``"recording"``, or none
            (``"instance"``, with ``full_time``: the tubes of VideoMAE).
        full_time: Hide the same places at all times of a clip (patches on three axes; ``"tube"`` and ``"block"`` only).
        num_blocks: Number of blocks; where they overlap, random patches are added up to ``ratio``, and where they cover
            more, random ones become visible.
        block_ratio: Fraction of the patches that one block covers; None: ``ratio``.
        block_aspect: Range of a block's height over its width.
        num_masks: Masks of this kind for each instance.

    Raises:
        ConfigError: A number is out of its range, or a setting is not read by the strategy.
    """

    strategy: MaskStrategy = "random"
    ratio: float = 0.75
    hidden_views: int = 0
    scope: Literal["study", "recording", "instance"] = "study"
    full_time: bool = False
    num_blocks: int = 1
    block_ratio: float | None = None
    block_aspect: tuple[float, float] = (0.75, 1.5)
    num_masks: int = 1

    def __post_init__(self) -> None:
        low, high = self.block_aspect
        if not 0 < self.ratio < 1 or not 0 < self.one_block < 1 or not 0 < low <= high:
            raise ConfigError(
                f"ratio and block_ratio must lie in (0, 1) and block_aspect be two rising numbers, found {self}"
            )
        if self.num_masks < 1 or self.hidden_views < 0 or self.num_blocks < 1:
            raise ConfigError(
                f"num_masks must be at least 1, hidden_views at least 0 and num_blocks at least 1, found {self}"
            )
        if (self.strategy == "view") != (self.hidden_views > 0):
            raise ConfigError(
                f"hidden_views ({self.hidden_views}) above 0 and strategy 'view' ({self.strategy!r}) go together"
            )
        if self.strategy != "tube" and self.scope != "study":
            raise ConfigError(f"scope {self.scope!r} is for the mask strategy 'tube', found {self.strategy!r}")
        of_blocks = (self.num_blocks, self.block_ratio, self.block_aspect)
        if self.strategy != "block" and of_blocks != (1, None, MaskFamily.block_aspect):
            raise ConfigError(
                f"num_blocks, block_ratio and block_aspect are for the mask strategy 'block', found {self.strategy!r}"
            )
        if self.full_time and self.strategy not in ("tube", "block"):
            raise ConfigError(f"full_time is for the mask strategies 'tube' and 'block', found {self.strategy!r}")

    @property
    def one_block(self) -> float:
        """Return the fraction of the patches that one block covers."""
        return self.ratio if self.block_ratio is None else self.block_ratio

    def num_visible(self, *counts: int) -> int:
        """Return the number of patches that the encoder sees of an instance: at least 1, and at least 1 is hidden.

        Args:
            counts: Number of recorded patches along each axis, or of all of them.

        Raises:
            ConfigError: There is only one patch, or the mask needs more axes.
        """
        if self.full_time and len(counts) != 3:
            raise ConfigError(f"full_time is for patches on three axes (time first), found {len(counts)}")
        if self.full_time:
            return counts[0] * _num_visible(math.prod(counts[1:]), self.ratio)
        return _num_visible(math.prod(counts), self.ratio)


@dataclass(frozen=True, kw_only=True)
class MaskConfig:
    """Masks that hide patches from the encoder and tokens from latent attention.

    Attributes:
        strategy: Of the only family, see `MaskFamily`; read where ``families`` is empty, as the next two.
        ratio: Fraction of an instance's recorded patches that the encoder does not see.
        latent_ratio: Fraction of a study's visible tokens that latent attention does not see, under each mask.
        hidden_views: Recordings of each study without any visible token (``"view"`` only); one always stays.
        num_masks: Masks for each instance, which share its loading and normalisation.
        families: Several kinds of masks, each with settings of its own, in place of the flat settings.
        noise: Where random numbers come from, see `lamae.nn.noise.make_noise`. ``"by-name"`` draws a stream for all
            names of views and the whole global batch; ``"by-recording"`` computes what the batch at hand needs and
            tells two recordings of one name apart.

    Raises:
        ConfigError: A number is out of its range, or families and flat settings are both given.
    """

    strategy: MaskStrategy = "random"
    ratio: float = 0.75
    latent_ratio: float = 0.0
    hidden_views: int = 0
    num_masks: int = 1
    families: tuple[MaskFamily, ...] = ()
    noise: NoiseKind = "by-name"

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1 or not 0 <= self.latent_ratio < 1:
            raise ConfigError(f"ratio must lie in (0, 1) and latent_ratio in [0, 1), found {self}")
        if self.num_masks < 1 or self.hidden_views < 0:
            raise ConfigError(f"num_masks must be at least 1 and hidden_views at least 0, found {self}")
        flat = self._flat()
        if self.families and flat != MaskFamily():
            raise ConfigError(
                "mask.families takes the place of mask.strategy, ratio, hidden_views and num_masks: "
                f"give either, found both in {self}"
            )

    def _flat(self) -> MaskFamily:
        return MaskFamily(
            strategy=self.strategy, ratio=self.ratio, hidden_views=self.hidden_views, num_masks=self.num_masks
        )

    @property
    def drawn(self) -> tuple[MaskFamily, ...]:
        """Return the family of each mask of a plan."""
        families = self.families or (self._flat(),)
        return tuple(family for family in families for _ in range(family.num_masks))

    @property
    def hides_views(self) -> bool:
        """Return whether any mask hides whole recordings."""
        return any(family.hidden_views > 0 for family in self.drawn)

    def num_visible(self, *counts: int) -> int:
        """Return the number of patches that the encoder sees of an instance under the first mask.

        Raises:
            ConfigError: There is only one patch, or a mask does not fit the axes.
        """
        first, *_ = (family.num_visible(*counts) for family in self.drawn)
        return first


def _num_visible(num_patches: int, ratio: float) -> int:
    if num_patches < 2:
        raise ConfigError(f"masking needs at least 2 patches an instance, found {num_patches}: use a smaller patch")
    return min(max(round(num_patches * (1 - ratio)), 1), num_patches - 1)
