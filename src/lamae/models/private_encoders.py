"""An encoder for each view of a stream: private weights in place of shared ones."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from lamae.models.config import MaskedAutoencoderConfig, StreamConfig
from lamae.models.encoder import InstanceEncoder


class PrivateEncoders(nn.Module):
    """Encodes each instance with the weights of its own view.

    1. The instances are sorted by view.
    2. Each view's encoder encodes its own ones (none, where no study of the batch has the view: its gradient is 0).
    3. The tokens go back to the order of the instances.

    The weights tell the views apart, so these encoders have no table of identities; decoders keep theirs.

    Args:
        config: The whole model's configuration.
        stream: The stream that these encoders are for; encoder ``i`` belongs to its view name ``i``.
    """

    def __init__(self, config: MaskedAutoencoderConfig, stream: StreamConfig) -> None:
        super().__init__()
        self.views = nn.ModuleList(InstanceEncoder(config, stream, identity=False) for _ in stream.view_names)

    def forward(
        self,
        patches: Float[Tensor, "instances visible elements"],
        places: Int64[Tensor, "instances visible"],
        view_of: Int64[Tensor, " instances"],
        key_mask: Bool[Tensor, "instances visible"] | None,
        counts: tuple[int, ...],
    ) -> Float[Tensor, "instances tokens dim"]:
        """Encode visible patches; arguments and result as of `InstanceEncoder`."""
        order = view_of.argsort(stable=True)
        num_of_view = torch.bincount(view_of, minlength=len(self.views)).tolist()
        tokens = []
        for encoder, rows in zip(self.views, order.split(num_of_view), strict=True):
            own_mask = None if key_mask is None else key_mask[rows]
            tokens.append(encoder(patches[rows], places[rows], view_of[rows], own_mask, counts))
        return torch.cat(tokens)[order.argsort()]
