"""The expected share of hidden patches that follow from other leads by Einthoven's law, without drawing a mask.

A hidden patch follows if enough limb leads are visible at the same time. How many are visible is binomial, because the
leads' patches are drawn apart; whole hidden views and the latent mask make it hypergeometric. Leads of one kind are
exchangeable, so the number that is visible says which sets of them are equally likely.
"""

from collections.abc import Sequence
from itertools import combinations
from math import comb

import numpy as np

from lamae.ecg.same_time import LIMB_ROWS, einthoven_weights
from lamae.nn.masks import MaskConfig


def expected_solvable(mask: MaskConfig, names: Sequence[str], num_patches: int) -> dict[str, float]:
    """Return for each lead the expected share of its hidden patches that follow from visible leads at the same time.

    The leads have the same number of hidden patches, so the share of all is the mean over leads. Every lead is present
    and recorded throughout; with a latent mask, a patch counts as visible when latent attention sees its token.

    Args:
        mask: What is hidden.
        names: Canonical names of the leads of a study.
        num_patches: Patches of a lead.

    Raises:
        ConfigError: There is only one patch a lead.
    """
    limb = [place for place, name in enumerate(names) if name in LIMB_ROWS]
    counts = _visible_among(mask, len(names), len(limb) - 1, num_patches) if limb else np.zeros(1)
    shares = dict.fromkeys(names, 0.0)
    for lead in limb:
        others = [place for place in limb if place != lead]
        shares[names[lead]] = sum(
            float(counts[number]) * _share_of_sets(names, lead, others, number) for number in range(len(others) + 1)
        )
    return shares


def _share_of_sets(names: Sequence[str], lead: int, others: Sequence[int], number: int) -> float:
    """Share of the sets of ``number`` other limb leads from which a lead follows."""
    sets = list(combinations(others, number))
    patterns = np.zeros((len(sets), len(names)), dtype=bool)
    for row, chosen in enumerate(sets):
        patterns[row, list(chosen)] = True
    return float(einthoven_weights(names, patterns)[0][:, lead].mean())


def _visible_among(mask: MaskConfig, num_views: int, num_others: int, num_patches: int) -> np.ndarray:
    """Probability that 0, 1, .. of ``num_others`` leads are visible where another lead has a hidden patch."""
    num_visible = mask.num_visible(num_patches)
    num_hidden_views = min(mask.hidden_views, num_views - 1)
    if mask.strategy == "tube":
        counts = _binomial(num_others, 0.0)
    elif mask.strategy == "block":
        counts = _block(num_others, num_visible, num_patches)
    else:
        own_hidden = num_hidden_views / num_views
        parts = [
            weight * _with_hidden_views(num_others, num_views - 1, hidden, num_visible / num_patches)
            for weight, hidden in ((own_hidden, num_hidden_views - 1), (1 - own_hidden, num_hidden_views))
            if weight > 0
        ]
        counts = np.sum(parts, axis=0)
    if mask.latent_ratio == 0:
        return counts
    num_tokens = (num_views - num_hidden_views) * num_visible
    num_kept = max(round(num_tokens * (1 - mask.latent_ratio)), 1)
    kept = [weight * _padded(_drawn(number, num_tokens, num_kept), num_others) for number, weight in enumerate(counts)]
    return np.sum(kept, axis=0)


def _block(num_others: int, num_visible: int, num_patches: int) -> np.ndarray:
    """The hidden stretch begins at each of ``num_visible + 1`` places alike; the leads' stretches are drawn apart."""
    places, length = np.arange(num_patches), num_patches - num_visible
    first, last = np.maximum(places - length + 1, 0), np.minimum(places, num_visible)
    hidden = (last - first + 1) / (num_visible + 1)  # probability that a place is hidden in a lead
    at_place = np.stack([_binomial(num_others, 1 - share) for share in hidden])
    return hidden @ at_place / length


def _with_hidden_views(num_others: int, num_rest: int, num_hidden: int, share_visible: float) -> np.ndarray:
    """``num_hidden`` of the ``num_rest`` other views are hidden whole, the rest at random places."""
    whole = _drawn(num_others, num_rest, num_rest - num_hidden)  # how many of the others are not hidden whole
    parts = [weight * _padded(_binomial(number, share_visible), num_others) for number, weight in enumerate(whole)]
    return np.sum(parts, axis=0)


def _binomial(number: int, share: float) -> np.ndarray:
    return np.array(
        [comb(number, found) * share**found * (1 - share) ** (number - found) for found in range(number + 1)]
    )


def _drawn(number: int, total: int, drawn: int) -> np.ndarray:
    """Probability that 0, 1, .. of ``number`` marked items are among ``drawn`` of ``total``."""
    ways = [
        comb(number, found) * comb(total - number, drawn - found) if found <= drawn else 0
        for found in range(number + 1)
    ]
    return np.array([way / comb(total, drawn) for way in ways])


def _padded(counts: np.ndarray, num_others: int) -> np.ndarray:
    return np.pad(counts, (0, num_others + 1 - len(counts)))
