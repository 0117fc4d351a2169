"""Recipes for the eight leads I, II, V1 to V6: the twelve without the four that are linear copies of two others.

Nothing else differs from the recipe of the same size, so the pair shows what the copies are worth. Packs and files of
twelve leads need no other preparation: the model takes its own eight from them (``docs/pretext-audit.md``).
"""

from dataclasses import replace

from lamae.ecg.same_time import EIGHT_LEADS
from lamae.recipes import ecg
from lamae.train import PretrainConfig


def eight_leads(config: PretrainConfig) -> PretrainConfig:
    """Return a recipe for twelve leads as one for eight: the model knows no others, and training uses no others."""
    streams = {name: replace(stream, view_names=EIGHT_LEADS) for name, stream in config.model.streams.items()}
    return replace(config, model=replace(config.model, streams=streams), data=replace(config.data, views=EIGHT_LEADS))


def lamae_8lead_tiny() -> PretrainConfig:
    """The eight leads of ecg-lamae-tiny: two thirds of its tokens, no lead a copy of others.

    Time: about a minute and a half on 2 CPU cores.
    Command: lamae pretrain ecg-lamae-8lead-tiny --data PACK --out RUN
    """
    return eight_leads(ecg.lamae_tiny())


def lamae_8lead_small() -> PretrainConfig:
    """The eight leads of ecg-lamae-small. Time and score: not measured.

    Command: lamae pretrain ecg-lamae-8lead-small --data PACK --out RUN
    """
    return eight_leads(ecg.lamae_small())


def lamae_8lead_base() -> PretrainConfig:
    """The eight leads of ecg-lamae-base. Time and score: not measured.

    Command: torchrun --nproc-per-node 8 -m lamae pretrain ecg-lamae-8lead-base --data PACK --out RUN
    """
    return eight_leads(ecg.lamae_base())


def independent_8lead_tiny() -> PretrainConfig:
    """The control of ecg-lamae-8lead-tiny without latent attention.

    Command: lamae pretrain ecg-independent-8lead-tiny --data PACK --out RUN
    """
    return eight_leads(ecg.independent_tiny())


def independent_8lead_small() -> PretrainConfig:
    """The control of ecg-lamae-8lead-small without latent attention.

    Command: lamae pretrain ecg-independent-8lead-small --data PACK --out RUN
    """
    return eight_leads(ecg.independent_small())


def independent_8lead_base() -> PretrainConfig:
    """The control of ecg-lamae-8lead-base without latent attention.

    Command: lamae pretrain ecg-independent-8lead-base --data PACK --out RUN
    """
    return eight_leads(ecg.independent_base())
