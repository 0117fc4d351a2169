"""Versions and machine of a run."""

import platform
from typing import Any

import torch

from lamae.nn.precision import versions
from lamae.train.workers import Workers


def environment(workers: Workers) -> dict[str, Any]:
    """Return versions and the machine, without its name."""
    device = workers.device
    return {
        **versions(),
        "platform": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processes": workers.world_size,
        "threads": torch.get_num_threads(),
    }
