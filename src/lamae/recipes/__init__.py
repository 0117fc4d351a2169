"""Recipes: functions that return a full configuration. What a recipe resolved to is written into every run."""

from difflib import get_close_matches

from lamae.errors import ConfigError
from lamae.recipes import ecg, ecg_eight_leads
from lamae.train import PretrainConfig

_RECIPES = {
    "ecg-lamae-tiny": ecg.lamae_tiny,
    "ecg-lamae-small": ecg.lamae_small,
    "ecg-lamae-base": ecg.lamae_base,
    "ecg-independent-tiny": ecg.independent_tiny,
    "ecg-independent-small": ecg.independent_small,
    "ecg-independent-base": ecg.independent_base,
    "ecg-mmvm-tiny": ecg.mmvm_tiny,
    "ecg-mmvm-small": ecg.mmvm_small,
    "ecg-mmvm-base": ecg.mmvm_base,
    "ecg-joint-tiny": ecg.joint_tiny,
    "ecg-joint-small": ecg.joint_small,
    "ecg-joint-base": ecg.joint_base,
    "ecg-lamae-paper": ecg.lamae_paper,
    "ecg-lamae-8lead-tiny": ecg_eight_leads.lamae_8lead_tiny,
    "ecg-lamae-8lead-small": ecg_eight_leads.lamae_8lead_small,
    "ecg-lamae-8lead-base": ecg_eight_leads.lamae_8lead_base,
    "ecg-independent-8lead-tiny": ecg_eight_leads.independent_8lead_tiny,
    "ecg-independent-8lead-small": ecg_eight_leads.independent_8lead_small,
    "ecg-independent-8lead-base": ecg_eight_leads.independent_8lead_base,
}


def names() -> list[str]:
    """Return the names of all recipes."""
    return list(_RECIPES)


def get(name: str) -> PretrainConfig:
    """Return the configuration of a recipe.

    Raises:
        ConfigError: There is no such recipe; the message names the nearest one and lists all.
    """
    if name not in _RECIPES:
        near = get_close_matches(name, list(_RECIPES), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"unknown recipe {name!r}: {hint}There are {', '.join(_RECIPES)}")
    return _RECIPES[name]()


def describe(name: str) -> str:
    """Return what a recipe says about itself: data, machine, time, score, command."""
    get(name)
    return (_RECIPES[name].__doc__ or "").strip()
