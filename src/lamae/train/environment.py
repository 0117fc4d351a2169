"""What a run was computed with."""

import platform
from typing import Any

import numpy as np
import torch

from lamae._version import __version__
from lamae.models import MaskedAutoencoder
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


def parameter_counts(model: MaskedAutoencoder) -> dict[str, int]:
    """Return the number of parameters of each part of a model and of the whole."""
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    return parts | {"total": sum(parameter.numel() for parameter in model.parameters())}
