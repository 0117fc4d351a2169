"""The interface of models that can be pretrained; `lamae.train` knows this and no model by name."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from lamae.batch import StudyBatch
from lamae.models.attention_maps import LatentAttentionMaps
from lamae.models.config import StreamConfig
from lamae.models.readout import Features
from lamae.models.reconstruction import Reconstruction
from lamae.nn.mask_config import MaskConfig
from lamae.nn.output import LossPart
from lamae.nn.plan import MaskPlan


@runtime_checkable
class PretrainableConfig(Protocol):
    """The configuration of a model: a frozen dataclass that YAML can hold, with ``kind`` as one of its fields."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def kind(self) -> str:
        """Return the name of the kind of model, a key of `lamae.models.MODELS`."""
        ...

    @property
    def streams(self) -> Mapping[str, StreamConfig]:
        """Return instances by name of the stream: patches, grids and names of views."""
        ...

    @property
    def mask(self) -> MaskConfig:
        """Return the masks from which plans are drawn."""
        ...

    @property
    def patch_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Return the extent of a patch by stream."""
        ...

    @property
    def has_latent_attention(self) -> bool:
        """Return whether instances of a study meet in latent attention, whose CLS token is then a read-out."""
        ...

    @property
    def instance_cls(self) -> bool:
        """Return whether each instance has a CLS token of its own."""
        ...

    def system_name(self, *, aligned: bool) -> str:
        """Return the name of the pretrained system in tables, with or without alignment of views."""
        ...

    def card(self) -> dict[str, Any]:
        """Return what else a matched control must share, for the card of a run; plain JSON types."""
        ...

    def for_counting(self) -> "PretrainableConfig":
        """Return a model of as many operations, all of which torch's counter knows."""
        ...


@runtime_checkable
class Pretrainable(Protocol):
    """A model that can be pretrained, kept and read out: an `nn.Module` with a few methods.

    It is built from its configuration and ``generator``, the source of its initial weights. All of its state, an EMA
    included, lies in parameters and persistent buffers; parameters that do not ask for a gradient are not optimised.
    Its forward pass and its losses also run on torch's ``meta`` device, where operations are counted without values.
    """

    config_class: ClassVar[type]
    """Its configuration."""
    parts: ClassVar[Mapping[str, str]]
    """Names of its parts in reports by the attributes that hold them, the one that takes all the rest last."""

    @property
    def config(self) -> PretrainableConfig:
        """Return everything about the model."""
        ...

    def __call__(self, batch: StudyBatch, plan: MaskPlan) -> Any:
        """Do the forward pass of pretraining; ``summary`` of the result is ``[studies, dim]``, for monitors."""
        ...

    def losses(self, output: Any, *, global_size: int) -> Mapping[str, LossPart]:
        """Return the parts of the loss by name, the first one without a weight."""
        ...

    def after_step(self, step: int, *, steps: int) -> None:
        """Do what follows the optimiser's step number ``step`` (from 0) of ``steps``, such as moving an EMA."""
        ...

    def features(self, batch: StudyBatch, *, stream: str | None = None) -> Features:
        """Encode everything recorded; ``stream`` says whose tokens to return, None: those of the only one."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """As of `nn.Module`, like all that follow."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...  # noqa: D102
    def state_dict(self) -> dict[str, Any]: ...  # noqa: D102
    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any: ...  # noqa: D102
    def to(self, device: torch.device | str) -> Any: ...  # noqa: D102
    def train(self, mode: bool = True) -> Any: ...  # noqa: D102
    def eval(self) -> Any: ...  # noqa: D102


@runtime_checkable
class Drawable(Protocol):
    """A model of which a report may show a reconstruction and, where it has latent attention, its maps."""

    def reconstruct(self, batch: StudyBatch, plan: MaskPlan, *, stream: str | None = None) -> Reconstruction:
        """Fill in what the first mask of the plan hides."""
        ...

    def latent_attention_maps(self, batch: StudyBatch, *, stream: str | None = None) -> LatentAttentionMaps:
        """Return how much views attend to each other."""
        ...


def total_loss(parts: Mapping[str, LossPart]) -> Tensor:
    """Return the weighted sum of the parts of a loss."""
    first, *others = (part.value if part.weight is None else part.weight * part.value for part in parts.values())
    return sum(others, first)
