"""The precision in which a model computes."""

from typing import Literal

import torch

Precision = Literal["fp32", "bf16"]


def autocast(precision: Precision, device: torch.device | str) -> torch.autocast:
    """Return the context in which a model computes: bfloat16 autocast (on CPUs too), or nothing changed.

    Args:
        precision: ``"bf16"`` or ``"fp32"``.
        device: Where the model computes.
    """
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=precision == "bf16")
