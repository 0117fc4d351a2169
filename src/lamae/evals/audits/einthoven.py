"""Hidden patches that follow from other leads at the same time: by Einthoven's law, or by the best linear guess.

A batch and its mask are laid out by study, lead and time, so that leads at the same time stand in one column. A *cell*
is the smallest stretch in which nothing changes: a patch where every sample was recorded, else one sample.

The expected fraction of hidden patches that follow needs no drawn mask. A hidden patch follows if enough limb leads are
visible at the same time. How many are visible is binomial, because the leads' patches are drawn apart; whole hidden
views and the latent mask make it hypergeometric. Leads of one kind are exchangeable, so the number that is visible says
which sets of them are equally likely.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lamae.batch import Instances, StudyBatch
from lamae.ecg.same_time import (
    LIMB_ROWS,
    covariance_of,
    distinct_patterns,
    einthoven_weights,
    labels_put_right,
    linear_weights,
)
from lamae.errors import ConfigError
from lamae.models.config import MaskedAutoencoderConfig
from lamae.models.reconstruction import visible_slots
from lamae.nn.masks import MaskConfig
from lamae.nn.normalise import Normalised, normalise
from lamae.nn.patches import patchify, take_patches
from lamae.nn.plan import MaskPlan, StreamMask
from lamae.nn.targets import element_validity, make_targets

EINTHOVEN, PUT_RIGHT, LINEAR = "einthoven", "einthoven, labels put right", "linear"
"""Names of guesses."""


@dataclass(frozen=True, kw_only=True)
class Leads:
    """The leads of a batch, as a model is given them.

    Attributes:
        instances: The leads, on the CPU.
        num_studies: Number of studies.
        patch: Patch of the model's stream.
        target: Target of the model.
        normalised: The leads as the model normalises them.
    """

    instances: Instances
    num_studies: int
    patch: tuple[int, ...]
    target: Literal["raw", "patch-normalised"]
    normalised: Normalised

    def laid(self, values: Tensor, width: int) -> np.ndarray:
        """Lay ``[instances, ...]`` values out as ``[studies, leads, cells, width]`` float64."""
        return by_study(values.double().flatten(1).unflatten(1, (-1, width)), self.instances, self.num_studies)


def leads_of(batch: StudyBatch, config: MaskedAutoencoderConfig, stream: str) -> Leads:
    """Return the leads of a batch of a stream of a model."""
    settings, instances = config.streams[stream], batch.streams[stream]
    normalised = normalise(
        instances,
        how=settings.normalise,
        fixed_scale=settings.fixed_scale,
        std_floor=settings.std_floor,
        num_studies=batch.num_studies,
    )
    return Leads(
        instances=instances,
        num_studies=batch.num_studies,
        patch=settings.patch,
        target=config.target,
        normalised=normalised,
    )


def visible_cells(batch: StudyBatch, plan: MaskPlan, index: int, *, patch: int, stream: str = "ecg") -> np.ndarray:
    """Lay out one mask of a plan.

    Args:
        batch: Studies, on the CPU.
        plan: Its masks, on the CPU.
        index: Number of the mask.
        patch: Samples of a patch.
        stream: The stream of the leads.

    Returns:
        ``[studies, leads, cells]`` bool: recorded, and its token is seen by latent attention (by the encoder, where
        there is no latent mask).

    Raises:
        ConfigError: The instances have more than one axis, or a study has a lead twice.
    """
    instances = batch.streams[stream]
    if len(instances.grid) != 1:
        raise ConfigError(f"the audit is for instances of one axis such as leads, found {instances.grid}")
    mask, latent = plan.streams[stream][index], plan.latent[index]
    seen = visible_slots(mask)
    if latent.scatter_index is not None and latent.gather_index is not None:
        seen = seen & (latent.scatter_index[stream] < latent.gather_index.numel())
    num_patches = instances.grid[0] // patch
    visible = torch.zeros(len(instances), num_patches, dtype=torch.bool).scatter(1, mask.context, seen)
    if instances.valid is not None:
        visible = visible.repeat_interleave(patch, dim=1) & instances.valid
    return by_study(visible, instances, batch.num_studies)


def by_study(rows: Tensor, instances: Instances, num_studies: int) -> np.ndarray:
    """Lay ``[instances, ...]`` out as ``[studies, leads, ...]``, 0 for leads that a study does not have.

    Raises:
        ConfigError: A study has a lead twice.
    """
    places = instances.study_of * len(instances.view_names) + instances.view_of
    if len(places.unique()) != len(places):
        raise ConfigError("a study has the same view twice, so which ones are simultaneous is not known")
    laid = rows.new_zeros(num_studies * len(instances.view_names), *rows.shape[1:])
    laid[places] = rows
    return laid.view(num_studies, len(instances.view_names), *rows.shape[1:]).numpy()


def by_instance(laid: np.ndarray, instances: Instances) -> Tensor:
    """Take ``[studies, leads, ...]`` back to ``[instances, ...]``."""
    return torch.from_numpy(np.ascontiguousarray(laid[instances.study_of.numpy(), instances.view_of.numpy()]))


@dataclass(frozen=True, kw_only=True)
class HiddenPatches:
    """The hidden patches of one mask: what they are, and what can be said of them without a model.

    Attributes:
        target: ``[instances, hidden, elements]`` true values in the model's target.
        recorded: ``[instances, hidden, elements]`` bool.
        follows: ``[instances, hidden, elements]`` bool: exact from other leads by Einthoven's law.
        guesses: ``[instances, hidden, elements]`` by name of the guess, in the model's target.
    """

    target: Tensor
    recorded: Tensor
    follows: Tensor
    guesses: Mapping[str, Tensor]


def look_at(leads: Leads, mask: StreamMask, visible: np.ndarray, covariance: np.ndarray | None) -> HiddenPatches:
    """Return the hidden patches of a mask with every guess of them.

    The guesses: ``zero``; ``patch mean``, each patch's true mean; ``einthoven``, computed from the equations where they
    suffice and 0 elsewhere; ``einthoven, labels put right``, the same with exchanged labels exchanged back; and with a
    covariance ``linear``, the best linear guess from all visible leads at the same time. With patch-normalised targets
    a guess is normalised by itself, like the target; the linear one is then shrunk by its expected correlation.

    Args:
        leads: The leads of a batch.
        mask: A mask of them.
        visible: The same mask laid out by time, see `visible_cells`.
        covariance: ``[leads, leads]`` second moments, see `fit_covariance`.
    """
    instances, normalised, how = leads.instances, leads.normalised, leads.target
    patches = patchify(normalised.values, leads.patch)
    recorded = element_validity(instances, leads.patch, mask.target)
    target = make_targets(take_patches(patches, mask.target), recorded, how=how).values
    recorded = torch.ones_like(target, dtype=torch.bool) if recorded is None else recorded

    def taken(laid: np.ndarray) -> Tensor:
        return take_patches(by_instance(laid, instances).flatten(1).unflatten(1, patches.shape[1:]), mask.target)

    patterns, which = _patterns(visible)
    width = instances.grid[0] // visible.shape[2]
    solvable, weights = einthoven_weights(instances.view_names, patterns)
    follows = taken(_spread(solvable, which, visible, width)) & recorded
    gain, shift = normalised.gain.view(-1, 1, 1), normalised.shift.view(-1, 1, 1)
    mv = leads.laid(normalised.values * gain + shift, width)
    guesses = {"zero": torch.zeros_like(target), "patch mean": _patch_mean(target, recorded)}
    for name, solution in (
        (EINTHOVEN, _applied(weights, which, mv, visible)),
        (PUT_RIGHT, _repaired(leads, mv, visible)),
    ):
        values = (by_instance(solution, instances).flatten(1) - normalised.shift[:, None]) / normalised.gain[:, None]
        found = take_patches(values.float().unflatten(1, patches.shape[1:]), mask.target)
        guesses[name] = _as_target(found, follows, how)
    if covariance is not None:
        weights, explained = linear_weights(covariance, patterns)
        values = leads.laid(_centred(leads), width)
        guess = _as_target(taken(_applied(weights, which, values, visible)).float(), recorded, how)
        correlation = taken(_spread(np.sqrt(explained), which, visible, width)).float()
        guesses[LINEAR] = guess * correlation if how == "patch-normalised" else guess
    return HiddenPatches(target=target, recorded=recorded, follows=follows, guesses=guesses)


def fit_covariance(leads: Leads) -> np.ndarray:
    """Return ``[leads, leads]`` second moments of the leads at the same time, in the space of the model's input.

    For patch-normalised targets each patch is centred and weighs the same: all leads of one time are divided by their
    common size, which leaves every linear relation between them as it is.

    Args:
        leads: Leads of training studies.
    """
    instances = leads.instances
    values = leads.laid(_centred(leads), leads.patch[0])  # [S, L, P, E]
    valid = torch.ones(len(instances), instances.grid[0]) if instances.valid is None else instances.valid.float()
    recorded = by_study(valid, instances, leads.num_studies).reshape(values.shape) > 0
    if leads.target == "patch-normalised":
        count = np.maximum(recorded.sum(axis=(1, 3), keepdims=True), 1)
        size = np.sqrt((values**2).sum(axis=(1, 3), keepdims=True) / count)
        values = values / np.maximum(size, 1e-6)
    by_time = (laid.transpose(0, 2, 3, 1).reshape(-1, values.shape[1]) for laid in (values, recorded))
    return covariance_of(*by_time)


def labels_of(instances: Instances, num_studies: int) -> list[tuple[dict[str, str], tuple[str, ...], tuple[str, ...]]]:
    """Return for each study what `lamae.ecg.same_time.labels_put_right` says of its leads."""
    mv = instances.values[:, 0].double() * instances.scale[:, None]
    found = []
    for study in range(num_studies):
        rows = (instances.study_of == study).nonzero().squeeze(1)
        recorded = slice(None) if instances.valid is None else instances.valid[rows].all(dim=0)
        names = [instances.view_names[view] for view in instances.view_of[rows].tolist()]
        found.append(labels_put_right(dict(zip(names, mv[rows][:, recorded].numpy(), strict=True))))
    return found


def _repaired(leads: Leads, mv: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Return Einthoven's solution with each study's exchanged labels exchanged back."""
    names, found = leads.instances.view_names, labels_of(leads.instances, leads.num_studies)
    labels = [tuple(true.get(name, name) for name in names) for true, _, _ in found]
    solution = np.zeros_like(mv)
    for distinct in sorted(set(labels)):
        rows = np.array([own == distinct for own in labels])
        patterns, which = _patterns(visible[rows])
        solution[rows] = _applied(einthoven_weights(distinct, patterns)[1], which, mv[rows], visible[rows])
    return solution


def _patterns(visible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return distinct_patterns(visible.transpose(0, 2, 1).reshape(-1, visible.shape[1]))


def _spread(table: np.ndarray, which: np.ndarray, visible: np.ndarray, width: int) -> np.ndarray:
    """Spread ``[patterns, leads]`` to ``[studies, leads, cells, width]``."""
    S, L, C = visible.shape
    laid = table[which].reshape(S, C, L).transpose(0, 2, 1)
    return np.broadcast_to(laid[..., None], (S, L, C, width))


def _applied(weights: np.ndarray, which: np.ndarray, values: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Apply each cell's weights to its visible leads: ``[studies, leads, cells, width]``."""
    S, L, C, W = values.shape
    shown = np.where(visible[..., None], values, 0.0)
    columns = shown.transpose(0, 2, 1, 3).reshape(S * C, L, W)
    return (weights[which] @ columns).reshape(S, C, L, W).transpose(0, 2, 1, 3)


def _centred(leads: Leads) -> Tensor:
    """Return the normalised leads; for patch-normalised targets with the mean of each patch taken out."""
    values, valid = leads.normalised.values, leads.instances.valid
    if leads.target == "raw":
        return values
    patches = patchify(values, leads.patch)
    if valid is None:
        return (patches - patches.mean(dim=2, keepdim=True)).flatten(1)
    known = patchify(valid.unsqueeze(1), leads.patch)
    mean = patches.sum(dim=2, keepdim=True) / known.sum(dim=2, keepdim=True).clamp_min(1)
    return torch.where(known, patches - mean, 0.0).flatten(1)


def _as_target(guess: Tensor, where: Tensor, how: Literal["raw", "patch-normalised"]) -> Tensor:
    """Return a guess normalised by itself as the target is; 0 where there is none."""
    guess = torch.where(where, guess, 0.0)
    return guess if how == "raw" else make_targets(guess, where, how="patch-normalised").values


def _patch_mean(target: Tensor, recorded: Tensor) -> Tensor:
    count = recorded.sum(dim=2, keepdim=True).clamp_min(1)
    return (torch.where(recorded, target, 0.0).sum(dim=2, keepdim=True) / count).expand_as(target)


def expected_solvable(mask: MaskConfig, names: Sequence[str], num_patches: int) -> dict[str, float]:
    """Return for each lead the expected fraction of its hidden patches that follow from visible leads at the same time.

    The leads have the same number of hidden patches, so the fraction of all is the mean over leads. Every lead is
    present and recorded throughout; with a latent mask, a patch counts as visible when latent attention sees its token.

    Args:
        mask: The mask.
        names: Canonical names of the leads of a study.
        num_patches: Patches of a lead.

    Raises:
        ConfigError: There is only one patch a lead.
    """
    limb = [place for place, name in enumerate(names) if name in LIMB_ROWS]
    counts = _visible_among(mask, len(names), len(limb) - 1, num_patches) if limb else np.zeros(1)
    fractions = dict.fromkeys(names, 0.0)
    for lead in limb:
        others = [place for place in limb if place != lead]
        fractions[names[lead]] = sum(
            float(counts[number]) * _fraction_of_sets(names, lead, others, number) for number in range(len(others) + 1)
        )
    return fractions


def _fraction_of_sets(names: Sequence[str], lead: int, others: Sequence[int], number: int) -> float:
    """Return the fraction of the sets of ``number`` other limb leads from which a lead follows."""
    sets = list(combinations(others, number))
    patterns = np.zeros((len(sets), len(names)), dtype=bool)
    for row, chosen in enumerate(sets):
        patterns[row, list(chosen)] = True
    return float(einthoven_weights(names, patterns)[0][:, lead].mean())


def _visible_among(mask: MaskConfig, num_views: int, num_others: int, num_patches: int) -> np.ndarray:
    """Return the probability that 0, 1, .. of ``num_others`` leads are visible where another has a hidden patch."""
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
    """Return the same for blocks: each lead's begins at one of ``num_visible + 1`` places alike, drawn apart."""
    places, length = np.arange(num_patches), num_patches - num_visible
    first, last = np.maximum(places - length + 1, 0), np.minimum(places, num_visible)
    hidden = (last - first + 1) / (num_visible + 1)  # probability that a place is hidden in a lead
    at_place = np.stack([_binomial(num_others, 1 - fraction) for fraction in hidden])
    return hidden @ at_place / length


def _with_hidden_views(num_others: int, num_rest: int, num_hidden: int, fraction_visible: float) -> np.ndarray:
    """Return the same where ``num_hidden`` of ``num_rest`` other views are hidden whole, the rest at random places."""
    whole = _drawn(num_others, num_rest, num_rest - num_hidden)  # how many of the others are not hidden whole
    parts = [weight * _padded(_binomial(number, fraction_visible), num_others) for number, weight in enumerate(whole)]
    return np.sum(parts, axis=0)


def _binomial(number: int, chance: float) -> np.ndarray:
    return np.array(
        [comb(number, found) * chance**found * (1 - chance) ** (number - found) for found in range(number + 1)]
    )


def _drawn(number: int, total: int, drawn: int) -> np.ndarray:
    """Return the probability that 0, 1, .. of ``number`` marked items are among ``drawn`` of ``total``."""
    ways = [
        comb(number, found) * comb(total - number, drawn - found) if found <= drawn else 0
        for found in range(number + 1)
    ]
    return np.array([way / comb(total, drawn) for way in ways])


def _padded(counts: np.ndarray, num_others: int) -> np.ndarray:
    return np.pad(counts, (0, num_others + 1 - len(counts)))
