"""Recipes: functions that return a full configuration. What a recipe resolved to is written into every run."""

from lamae.errors import ConfigError, did_you_mean
from lamae.recipes import ecg
from lamae.train import PretrainConfig


def _at_all_sizes(**systems):
    return {f"ecg-{name.replace('_', '-')}-{size}": (s, size) for name, s in systems.items() for size in ecg.SCALES}


_RECIPES = {
    **_at_all_sizes(lamae=ecg.lamae, independent=ecg.independent, mmvm=ecg.mmvm, joint=ecg.joint),
    "ecg-lamae-paper": (ecg.lamae_paper, "base"),
    **_at_all_sizes(lamae_8lead=ecg.lamae_8lead, independent_8lead=ecg.independent_8lead),
}
"""The system and the size of each recipe."""


def names() -> list[str]:
    """Return the names of all recipes."""
    return list(_RECIPES)


def get(name: str) -> PretrainConfig:
    """Return the configuration of a recipe.

    Raises:
        ConfigError: There is no such recipe; the message names the nearest one and lists all.
    """
    if name not in _RECIPES:
        raise ConfigError(f"unknown recipe {name!r}: {did_you_mean(name, _RECIPES)}There are {', '.join(_RECIPES)}")
    system, size = _RECIPES[name]
    return system(size)


def describe(name: str) -> str:
    """Return what a recipe says about itself: data, machine, time, score, command."""
    get(name)
    return ecg.describe(*_RECIPES[name])
