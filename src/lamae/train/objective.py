"""The loss of pretraining: the model's own loss, and where a run asks for it the alignment of views beside it."""

from typing import Any

from lamae.models import Pretrainable
from lamae.nn.output import LossPart
from lamae.objectives import alignment
from lamae.train.config import PretrainConfig


def pretraining_losses(
    config: PretrainConfig, model: Pretrainable, output: Any, *, global_size: int, step: int
) -> dict[str, LossPart]:
    """Return the parts of the loss of some of the studies of a step, by name.

    Args:
        config: Settings of the run.
        model: The model that made the output.
        output: Its output; alignment takes a `lamae.nn.output.MaskedOutput`.
        global_size: Number of studies in the global batch.
        step: Number of the step, from 0.
    """
    parts = dict(model.losses(output, global_size=global_size))
    if config.alignment is not None:
        value = alignment(output, config.alignment, global_size=global_size)
        weight = config.alignment.weight(step, warmup_steps=config.optim.warmup_steps, steps=config.optim.steps)
        parts["alignment"] = LossPart(value=value, weight=weight)
    return parts
