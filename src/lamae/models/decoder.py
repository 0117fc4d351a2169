"""The decoder of single instances: a small ViT on tokens, mask tokens and what it may know of the study."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from lamae.models.config import MaskedAutoencoderConfig, StreamConfig
from lamae.nn.plan import StreamMask
from lamae.nn.positions import SinCosPositions
from lamae.nn.transformer import NORM_EPS, Transformer, token_parameter

FIRST_HEAD = 0.1
"""Factor on the head's weights with mimetic initialisation."""


class InstanceDecoder(nn.Module):
    """Decodes each instance by itself, all instances with the same weights.

    1. The instance's tokens (`embed` has brought them to the decoder's width) are followed by a mask token for each
       target; they stay in the order of the mask, so that nothing is un-shuffled.
    2. Positions (and the identity of the view) are added, and context tokens of the study stand in front.
    3. The blocks are applied; patches without anything recorded are seen by none. The last block computes only the
       slots that are asked for.
    4. `predict` norms them and projects them to the elements of a patch.

    Args:
        config: The whole model's configuration.
        stream: The stream that this decoder is for.
    """

    def __init__(self, config: MaskedAutoencoderConfig, stream: StreamConfig) -> None:
        super().__init__()
        dim = config.decoder.dim
        self.embed = nn.Linear(config.encoder.dim, dim)
        self.context_embed = nn.Linear(config.encoder.dim, dim) if config.decoder_context != "none" else None
        self.mask_token = token_parameter(dim)
        self.positions = SinCosPositions(stream.counts, dim, wavelengths=config.position_wavelengths)
        self.identity = token_parameter(len(stream.view_names), dim) if config.view_identity == "learned" else None
        self.transformer = Transformer(config.decoder, kernel=config.attention_kernel)
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.head = nn.Linear(dim, stream.num_elements)

    def forward(
        self,
        tokens: Float[Tensor, "instances visible dim"],
        mask: StreamMask,
        view_of: Int64[Tensor, " instances"],
        front: Float[Tensor, "instances front dim"] | None,
        front_valid: Bool[Tensor, "instances front"] | None,
        *,
        counts: tuple[int, ...],
        skip: int,
    ) -> Float[Tensor, "instances some dim"]:
        """Decode slots.

        Args:
            tokens: Tokens of the context slots; the mask token where a slot has none.
            mask: Context and target patches.
            view_of: View of each instance in the order of the stream's ``view_names``.
            front: Tokens that stand in front and have no position: context of the study, CLS of the instance.
            front_valid: Which of them exist; None: all.
            counts: Number of patches of an instance along each axis.
            skip: How many slots from the first are not asked for: the context slots, or 0.

        Returns:
            The other slots (context, then target), before the norm.
        """
        N, _, D = tokens.shape
        targets = self.mask_token.to(tokens.dtype).expand(N, mask.target.shape[1], D)
        places = torch.cat([mask.context, mask.target], dim=1)
        slots = torch.cat([tokens, targets], dim=1) + self.positions(places, counts)  # [N, visible + targets, D]
        if self.identity is not None:
            slots = slots + self.identity[view_of].unsqueeze(1)
        if front is None:
            return self.transformer(slots, mask.slot_valid, skip=skip)
        key_mask = _join_masks(front, front_valid, slots, mask.slot_valid)
        slots = torch.cat([front.to(slots.dtype), slots], dim=1)
        return self.transformer(slots, key_mask, skip=skip + front.shape[1])

    def shrink_head(self) -> None:
        """Let the first predictions be near 0, the mean of a normalised patch."""
        with torch.no_grad():
            self.head.weight.mul_(FIRST_HEAD)

    def predict(self, slots: Float[Tensor, "instances some dim"]) -> Float[Tensor, "instances some elements"]:
        """Project decoded slots to the elements of their patches."""
        return self.head(self.norm(slots))


def _join_masks(front: Tensor, front_valid: Tensor | None, slots: Tensor, slot_valid: Tensor | None) -> Tensor | None:
    if front_valid is None and slot_valid is None:
        return None
    if front_valid is None:
        front_valid = torch.ones(front.shape[:2], dtype=torch.bool, device=front.device)
    if slot_valid is None:
        slot_valid = torch.ones(slots.shape[:2], dtype=torch.bool, device=slots.device)
    return torch.cat([front_valid, slot_valid], dim=1)
