"""Identity of a judged encoder: the name to show, and what a result keeps of the run that it comes from."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from lamae.checkpoint import CheckpointMeta
from lamae.config import read_yaml
from lamae.errors import CheckpointError
from lamae.files import read_json_object

Weights = Literal["pretrained", "random"]
Initialisation = Literal["pretrained", "scratch", "random"]

LATENT_ATTENTION, INDEPENDENT = "LAMAE", "Ind_P"
_ALIGNED = "MMVM"
"""Independent leads with another objective: without pretraining it is the same as `INDEPENDENT`."""


def system_name(
    description: Mapping[str, Any],
    initialisation: Initialisation = "pretrained",
    *,
    readout: str | None = None,
    added_latent: int = 0,
) -> str:
    """Return the name to show, the same over seeds, label fractions and protocols (docs/systems.md).

    Args:
        description: Result of `describe_encoder`.
        initialisation: ``"scratch"`` when all weights were learned from labels, ``"random"`` when none were learned.
        readout: ``"encoder-..."`` bypasses latent attention, which makes LAMAE the system LAMAE_E.
        added_latent: Depth of latent attention that was added after pretraining.
    """
    if initialisation == "random":
        return "Random"
    card = description.get("card") or {}
    pretrained = str(card.get("system") or (LATENT_ATTENTION if description["latent_depth"] > 0 else INDEPENDENT))
    if added_latent:
        return f"{pretrained.replace(INDEPENDENT, 'Ind')} + LA"
    if initialisation == "scratch":
        return _from_scratch(pretrained)
    bypassed = str(readout or "").startswith("encoder-") and description["latent_depth"] > 0
    return f"{pretrained}_E" if bypassed else pretrained


def _from_scratch(pretrained: str) -> str:
    """Return the name of a system's architecture when all of it is learned from labels."""
    if pretrained == LATENT_ATTENTION:
        return "Scratch"
    for name in (INDEPENDENT, _ALIGNED):
        if pretrained.startswith(name):  # "Ind_P, private encoders" too
            return pretrained.replace(name, "Ind_S", 1)
    return f"{pretrained}, scratch"


def describe_encoder(run: str | Path, meta: CheckpointMeta, *, weights: Weights, seed: int) -> dict[str, Any]:
    """Return recipe, step, hashes, seed and card of a model, as a result holds them.

    Weights that were never trained keep the card of their architecture, without what pretraining cost.

    Raises:
        CheckpointError: ``run.json`` is damaged.
    """
    info, pretrained = run_info(run), weights == "pretrained"
    card = info.get("card")
    if card is not None and not pretrained:
        card = _without_training(card)
    return {
        "recipe": info.get("recipe"),
        "config_hash": content_hash(meta.model_config),
        "checkpoint_hash": meta.weights_sha256 if pretrained else None,
        "step": meta.step if pretrained else 0,
        "weights": weights if pretrained else f"random, seed {seed}",
        "latent_depth": meta.model_config["latent"]["depth"],
        "seed": _pretraining_seed(run, info) if pretrained else seed,
        "card": card,
    }


def run_folder(run: str | Path) -> Path | None:
    """Return the folder with ``run.json`` that a run or a checkpoint within it belongs to; None without one."""
    path = Path(run).resolve()
    return next((folder for folder in (path, *path.parents[:2]) if (folder / "run.json").is_file()), None)


def run_info(run: str | Path) -> dict[str, Any]:
    """Return the content of ``run.json``; empty without one.

    Raises:
        CheckpointError: It is not readable.
    """
    folder = run_folder(run)
    if folder is None:
        return {}
    try:
        return read_json_object(folder / "run.json")
    except ValueError as error:
        raise CheckpointError(f"{folder / 'run.json'}: not readable as JSON ({error})") from error


def content_hash(content: Any) -> str:
    """Return a short hash of what JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]


def _pretraining_seed(run: str | Path, info: Mapping[str, Any]) -> int | None:
    """Return the seed of the card, of the configuration in a run from before there were cards, or None."""
    card, folder = info.get("card") or {}, run_folder(run)
    if "seed" in card:
        return card["seed"]
    config = None if folder is None else folder / "config.yaml"
    return read_yaml(config).get("seed") if config is not None and config.is_file() else None


def _without_training(card: Mapping[str, Any]) -> dict[str, Any]:
    cost = {"steps": 0, "studies": 0, "seconds": None, "seed": None}
    flops = card.get("flops")
    return {**card, **cost, "flops": {**flops, "total": 0} if isinstance(flops, Mapping) else flops}
