"""The card of a run: what must be equal in a control, told without opening the checkpoint."""

import platform
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lamae.config import to_dict
from lamae.models import build_model
from lamae.models.accounting import count_parameters, example_batch, flops_per_step
from lamae.nn.mask_config import MaskConfig
from lamae.nn.output import MaskedOutput
from lamae.objectives import alignment
from lamae.train.config import PretrainConfig
from lamae.train.optim import schedule_in_words
from lamae.train.workers import Workers

CPU_INFO = Path("/proc/cpuinfo")


def run_card(
    config: PretrainConfig, *, modality: str, num_studies: int, workers: Workers, seconds: float | None = None
) -> dict[str, Any]:
    """Describe a run by what a matched control must share.

    Args:
        config: Settings of the run.
        modality: The stream that the run trains on.
        num_studies: Number of training studies.
        workers: The processes of the run.
        seconds: Time of all training steps, resumed ones included; None before the end.

    Returns:
        Plain JSON types; the table of ``run.json`` in ``docs/training.md`` says what each entry means.
    """
    return {
        **planned_card(config, modality=modality, world_size=workers.world_size),
        "studies": num_studies,
        "seconds": None if seconds is None else round(seconds, 1),
        "hardware": hardware(workers),
    }


def planned_card(config: PretrainConfig, *, modality: str, world_size: int = 1) -> dict[str, Any]:
    """Return the card that a run of this configuration would have, without its data, its time and its machine.

    Floating point operations are counted for studies that have all views used, see `flops_of_run`.

    Args:
        config: Settings of the run.
        modality: The stream that the run trains on.
        world_size: Number of processes.
    """
    model, optim = config.model, config.optim
    with torch.device("meta"):
        parameters = count_parameters(build_model(model))
    return {
        "system": system_name(config),
        "parameters": parameters,
        "tokens": tokens_of_study(config, modality),
        "mask": mask_of_card(model.mask),
        **model.card(),
        "alignment": None if config.alignment is None else config.alignment.metric,
        "flops": flops_of_run(config, modality, world_size=world_size),
        "steps": optim.steps,
        "batch_size": optim.batch_size,
        "optimiser": optim.optimiser,
        "lr": optim.lr,
        "schedule": schedule_in_words(optim),
        "warmup_steps": optim.warmup_steps,
        "weight_decay": optim.weight_decay,
        "precision": config.precision,
        "seed": config.seed,
    }


def system_name(config: PretrainConfig) -> str:
    """Return the name of the pretrained system in tables, as ``docs/systems.md`` has them."""
    return config.model.system_name(aligned=config.alignment is not None)


def mask_of_card(mask: MaskConfig) -> dict[str, Any]:
    """Return the settings of masks: the flat ones, or the families in their place."""
    told = to_dict(mask)
    families, noise = told.pop("families"), told.pop("noise")
    if families:
        told = {"latent_ratio": mask.latent_ratio, "families": families}
    return told if noise == "by-name" else told | {"noise": noise}


def tokens_of_study(config: PretrainConfig, modality: str) -> dict[str, int]:
    """Return how many tokens a study with all views used has, and how many the encoder sees under the first mask.

    The views are whole recordings, one of each name; of shorter ones the same fraction of tokens is seen.
    """
    stream = config.model.streams[modality]
    views = len(stream.view_names if config.data.views is None else config.data.views)
    seen = max(views - config.model.mask.drawn[0].hidden_views, 1)
    each = stream.instances_per_recording
    return {
        "per_view": each * stream.num_patches,
        "views": views,
        "visible": seen * each * config.model.mask.num_visible(*stream.counts),
        "total": views * each * stream.num_patches,
    }


def flops_of_run(config: PretrainConfig, modality: str, *, world_size: int) -> dict[str, Any]:
    """Count the floating point operations of a run by PyTorch's counter, forward and backward.

    Counted are matrix products and attention, two for a multiplication with its addition, of studies that have all
    views used: absent leads and leads hidden by ``data.min_views`` cost less. Not counted are norms, activations, the
    optimiser, validation, and the kernels' recomputation of attention in the backward pass.

    Args:
        config: Settings of the run.
        modality: The stream that the run trains on.
        world_size: Number of processes among which a batch is cut.

    Returns:
        ``"step"``: of a whole global batch. ``"total"``: of all steps. ``"by_part"``: of a study, in whole numbers.
    """
    batch_size, pieces = config.optim.batch_size, world_size * config.optim.accumulation
    by_part: Counter[str] = Counter()
    for size, count in Counter(len(part) for part in np.array_split(np.arange(batch_size), pieces)).items():
        for part, flops in _flops(config, modality, size).items():
            by_part[part] += count * flops
    return {
        "step": by_part["total"],
        "total": by_part["total"] * config.optim.steps,
        "by_part": {part: round(flops / batch_size) for part, flops in by_part.items()},
    }


def hardware(workers: Workers) -> dict[str, Any]:
    """Return what a run computes on: kind and model of the processor, never the name of the machine."""
    device = workers.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()
    return {
        "device": device.type,
        "name": name,
        "threads": torch.get_num_threads(),
        "processes": workers.world_size,
    }


def processor_name(cpu_info: Path = CPU_INFO) -> str:
    """Return the model of the processor, or its architecture where the system does not tell."""
    if cpu_info.is_file():
        for line in cpu_info.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return value.strip()
    return platform.machine()


def with_seconds(card: Mapping[str, Any], seconds: float, workers: Workers) -> dict[str, Any]:
    """Return a card with the time and the hardware of a run that ended."""
    return {**card, "seconds": round(seconds, 1), "hardware": hardware(workers)}


def _flops(config: PretrainConfig, modality: str, num_studies: int) -> dict[str, int]:
    """Count the operations of one micro-batch."""
    batch = example_batch(config.model, num_studies=num_studies, views={modality: config.data.views})
    chosen = config.alignment
    if chosen is None:
        return flops_per_step(config.model, batch)

    def aligned(output: MaskedOutput) -> torch.Tensor:
        return alignment(output, chosen, global_size=num_studies)

    return flops_per_step(config.model, batch, alignment=aligned)
