"""Identity of a judged encoder: the name to show, and what a result keeps of the checkpoint that it comes from."""

from collections.abc import Mapping
from typing import Any, Literal

from lamae.checkpoint import CheckpointMeta
from lamae.files import content_hash
from lamae.provenance import taught

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

    Weights that learned labels before, or whose pretraining stopped early, have a name of their own.

    Args:
        description: Result of `describe_encoder`.
        initialisation: ``"scratch"`` when all weights were learned from labels, ``"random"`` when none were learned.
        readout: ``"encoder-..."`` bypasses latent attention, which makes LAMAE the system LAMAE_E.
        added_latent: Depth of latent attention that was added after pretraining.
    """
    if initialisation == "random":
        return "Random"
    card, depth, trained_on = description.get("card") or {}, description["latent_depth"], description.get("trained_on")
    was_added = any(one.get("added_latent") for one in trained_on or ())
    name = str(card.get("system") or (LATENT_ATTENTION if depth > 0 and not was_added else INDEPENDENT))
    if initialisation == "scratch":
        return _from_scratch(name, depth)
    if added_latent or was_added:
        name = f"{name.replace(INDEPENDENT, 'Ind')} + LA"
    elif any(one.get("initialisation") == "scratch" for one in trained_on or ()):
        name = _from_scratch(name, depth)
    if str(readout or "").startswith("encoder-") and depth > 0:
        name = f"{name}_E"
    stopped = "" if description.get("finished", True) else f", step {description['step']} of {card['steps']}"
    return f"{name}{stopped}{taught(trained_on or ())}"


def _from_scratch(pretrained: str, depth: int) -> str:
    """Return the name of a system's architecture when all of it is learned from labels."""
    independent = next((name for name in (INDEPENDENT, _ALIGNED) if pretrained.startswith(name)), None)
    if pretrained == LATENT_ATTENTION or (independent and depth > 0):  # latent attention was added
        return "Scratch"
    if independent:  # "Ind_P, private encoders" too
        return pretrained.replace(independent, "Ind_S", 1)
    return f"{pretrained}, scratch"


def describe_encoder(meta: CheckpointMeta, *, weights: Weights, seed: int) -> dict[str, Any]:
    """Return recipe, step, hashes, seed, trainings and card of a model, as a result holds them.

    All of it is what the checkpoint says itself, wherever it lies. Weights that were never trained keep the card of
    their architecture, without what pretraining cost.
    """
    pretrained = weights == "pretrained"
    card = next((one["card"] for one in reversed(meta.trained_on) if one.get("card")), None)
    if card is not None and not pretrained:
        card = without_training(card)
    return {
        "recipe": next((one["recipe"] for one in reversed(meta.trained_on) if one.get("recipe")), None),
        "config_hash": content_hash(meta.model_config),
        "checkpoint_hash": meta.weights_sha256 if pretrained else None,
        "step": meta.step if pretrained else 0,
        "finished": not pretrained or meta.step >= (card or {}).get("steps", 0),
        "weights": weights if pretrained else f"random, seed {seed}",
        "latent_depth": meta.model_config["latent"]["depth"],
        "seed": (card or {}).get("seed") if pretrained else seed,
        "trained_on": [{key: one[key] for key in one if key != "card"} for one in meta.trained_on if pretrained],
        "card": card,
    }


def without_training(card: Mapping[str, Any], *, seed: int | None = None) -> dict[str, Any]:
    """Return the card of an architecture, without what its pretraining was and cost; the seed is its weights'."""
    cost = {"steps": 0, "studies": 0, "seconds": None, "seed": seed}
    flops = card.get("flops")
    return {**card, **cost, "flops": {**flops, "total": 0} if isinstance(flops, Mapping) else flops}
