"""The device, the precision and the software in which a model computes."""

import platform
from typing import Literal

import numpy as np
import torch

from lamae._version import __version__
from lamae.errors import ConfigError

Precision = Literal["fp32", "bf16"]


def versions() -> dict[str, str]:
    """Return the versions of what computes."""
    return {
        "lamae": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def autocast(precision: Precision | None, device: torch.device | str) -> torch.autocast:
    """Return the context in which a model computes: bfloat16 autocast (on CPUs too), or nothing changed.

    Args:
        precision: ``"bf16"``; ``"fp32"`` and None change nothing.
        device: Where the model computes.
    """
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=precision == "bf16")


def choose_device(name: str, *, local_rank: int = 0) -> torch.device:
    """Return the device of a name; ``"auto"`` is a GPU when there is one, else the CPU.

    Args:
        name: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, or ``"mps"``.
        local_rank: Number of the GPU where the name says none.

    Raises:
        ConfigError: The name is no device that a model can compute on, or there is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise _unknown(name) from error
    if device.type not in ("cpu", "cuda", "mps"):
        raise _unknown(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device {name!r} was asked for, but torch finds no GPU: use device auto or cpu")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(f"device {name!r} was asked for, but torch finds no Apple GPU: use device auto or cpu")
    if device.type == "cuda":
        device = torch.device("cuda", local_rank) if device.index is None else device
        if device.index >= (found := torch.cuda.device_count()):
            raise ConfigError(f"device {device} was asked for, but torch finds {found} GPUs, counted from 0")
    return device


def _unknown(name: str) -> ConfigError:
    return ConfigError(f"device {name!r} is unknown: expected auto, cpu, cuda, cuda:0, ...")
