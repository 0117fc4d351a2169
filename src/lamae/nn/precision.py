"""The precision in which a model computes, and the device on which it does."""

from typing import Literal

import torch

from lamae.errors import ConfigError

Precision = Literal["fp32", "bf16"]


def autocast(precision: Precision, device: torch.device | str) -> torch.autocast:
    """Return the context in which a model computes: bfloat16 autocast (on CPUs too), or nothing changed.

    Args:
        precision: ``"bf16"`` or ``"fp32"``.
        device: Where the model computes.
    """
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=precision == "bf16")


def choose_device(name: torch.device | str, *, local_rank: int = 0) -> torch.device:
    """Return the device of a name; ``"auto"`` is a GPU when there is one, else the CPU.

    Raises:
        ConfigError: The name is no device, or there is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device {name!r} is unknown: expected auto, cpu, cuda, cuda:0, ...") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device {name!r} was asked for, but torch finds no GPU: use device auto or cpu")
    return torch.device("cuda", local_rank) if device.type == "cuda" and device.index is None else device
