"""What pretraining minimises: reconstruction, and where a run asks for it the alignment of views beside it."""

from dataclasses import dataclass, replace

from torch import Tensor

from lamae.nn.output import MaskedOutput
from lamae.objectives import alignment, masked_reconstruction
from lamae.train.config import PretrainConfig


@dataclass(frozen=True, kw_only=True)
class Loss:
    """The share of some studies in the loss of a global batch.

    Attributes:
        total: What is minimised: reconstruction plus ``weight`` times alignment.
        reconstruction: See `lamae.objectives.masked_reconstruction`.
        alignment: See `lamae.objectives.alignment`, not weighted; None for runs without.
        weight: Its weight in this step.
    """

    total: Tensor
    reconstruction: Tensor
    alignment: Tensor | None = None
    weight: float = 0.0

    def detach(self) -> "Loss":
        """Return the same figures without their gradients."""
        return replace(
            self,
            total=self.total.detach(),
            reconstruction=self.reconstruction.detach(),
            alignment=None if self.alignment is None else self.alignment.detach(),
        )


def pretraining_loss(config: PretrainConfig, output: MaskedOutput, *, global_size: int, step: int) -> Loss:
    """Return the loss of some of the studies of a step; it adds up to the mean over the studies of the global batch."""
    reconstruction = masked_reconstruction(output, global_size=global_size)
    if config.alignment is None:
        return Loss(total=reconstruction, reconstruction=reconstruction)
    aligned = alignment(output, config.alignment, global_size=global_size)
    weight = config.alignment.weight(step, warmup_steps=config.optim.warmup_steps, steps=config.optim.steps)
    total = reconstruction + weight * aligned
    return Loss(total=total, reconstruction=reconstruction, alignment=aligned, weight=weight)
