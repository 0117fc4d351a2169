"""Versions and machine of a run."""

import platform
from typing import Any

import numpy as np
import torch

from lamae._version import __version__
from lamae.train.workers import Workers


def environment(workers: Workers) -> dict[str, Any]:
    """Return versions and the machine, without its name."""
    device = workers.device
    return {
        "lamae": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processes": workers.world_size,
        "threads": torch.get_num_threads(),
    }
