"""The encoder of single instances: a ViT on the visible patches only."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from lamae.batch import Instances
from lamae.errors import ConfigError
from lamae.models.config import MaskedAutoencoderConfig, StreamConfig
from lamae.nn.positions import SinCosPositions
from lamae.nn.transformer import NORM_EPS, Transformer, token_parameter


class InstanceEncoder(nn.Module):
    """Encodes the visible patches of each instance by itself.

    1. Each visible patch is projected to a token; its position (and the identity of its view) is added.
    2. With ``instance_cls`` a CLS token of the instance stands in front.
    3. The blocks and a norm are applied; at depth 0 neither, so that the tokens are patches with their place and view.

    Args:
        config: The whole model's configuration.
        stream: The stream that this encoder is for.
        identity: Whether tokens may carry an identity of their view; without one ``config.view_identity`` is not read.
    """

    def __init__(self, config: MaskedAutoencoderConfig, stream: StreamConfig, *, identity: bool = True) -> None:
        super().__init__()
        dim = config.encoder.dim
        self.embed = nn.Linear(stream.num_elements, dim)
        self.positions = SinCosPositions(stream.counts, dim, wavelengths=config.position_wavelengths)
        learned = identity and config.view_identity == "learned"
        self.identity = token_parameter(len(stream.view_names), dim) if learned else None
        self.cls = token_parameter(1, 1, dim) if config.instance_cls else None
        self.transformer = Transformer(config.encoder, kernel=config.attention_kernel)
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS) if config.encoder.depth > 0 else nn.Identity()

    def forward(
        self,
        patches: Float[Tensor, "instances visible elements"],
        places: Int64[Tensor, "instances visible"],
        view_of: Int64[Tensor, " instances"],
        key_mask: Bool[Tensor, "instances visible"] | None,
        counts: tuple[int, ...],
    ) -> Float[Tensor, "instances tokens dim"]:
        """Encode visible patches.

        Args:
            patches: Visible patches, normalised.
            places: Which patch of its instance each one is.
            view_of: View of each instance in the order of the stream's ``view_names``.
            key_mask: Which patches hold anything recorded; None: all.
            counts: Number of patches of an instance along each axis.

        Returns:
            One token a visible patch, after the CLS token where the model has one for each instance.
        """
        tokens = self.embed(patches) + self.positions(places, counts)
        if self.identity is not None:
            tokens = tokens + self.identity[view_of].unsqueeze(1)
        if self.cls is not None:
            tokens = torch.cat([self.cls.expand(len(tokens), -1, -1), tokens], dim=1)
            key_mask = None if key_mask is None else nn.functional.pad(key_mask, (1, 0), value=True)
        return self.norm(self.transformer(tokens, key_mask))


def known_views(instances: Instances, stream: StreamConfig, *, needed: bool) -> Int64[Tensor, " instances"]:
    """Return the view of each instance in the order of the model's names, whatever the order of the batch's names.

    Args:
        instances: Instances with their own ``view_names``.
        stream: The names that the model knows.
        needed: Whether the model reads the identity at all; if not, any name is welcome.

    Raises:
        ConfigError: The batch has a view whose name the model does not know.
    """
    if not needed or instances.view_names == stream.view_names:
        return instances.view_of
    unknown = set(instances.view_names) - set(stream.view_names)
    if unknown:
        raise ConfigError(
            f"the batch has views {', '.join(sorted(unknown))} that the model does not know "
            f"(it knows {', '.join(stream.view_names)}): leave them out, or use view_identity 'none' "
            "and encoder_weights 'shared'"
        )
    index = [stream.view_names.index(name) for name in instances.view_names]
    return torch.tensor(index, device=instances.view_of.device)[instances.view_of]
