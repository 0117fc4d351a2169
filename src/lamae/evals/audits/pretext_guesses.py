"""Guesses of hidden patches from other leads at the same time, as the model's target would have them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lamae.batch import StudyBatch
from lamae.ecg.same_time import (
    covariance_of,
    distinct_patterns,
    einthoven_weights,
    labels_put_right,
    linear_weights,
)
from lamae.evals.audits.pretext_cells import Cells, by_instance, by_study
from lamae.models.config import MaskedAutoencoderConfig
from lamae.models.masked_autoencoder import take_patches
from lamae.nn.normalise import Normalised, normalise
from lamae.nn.patches import patchify
from lamae.nn.plan import StreamMask
from lamae.nn.targets import element_validity, make_targets

EINTHOVEN, PUT_RIGHT, LINEAR = "einthoven", "einthoven, labels put right", "linear"
"""Names of guesses."""


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


def look_at(
    batch: StudyBatch,
    mask: StreamMask,
    cells: Cells,
    config: MaskedAutoencoderConfig,
    *,
    stream: str,
    covariance: np.ndarray | None,
) -> HiddenPatches:
    """Return the hidden patches of a mask with every guess of them.

    The guesses: ``zero``; ``patch mean``, each patch's true mean; ``einthoven``, computed from the equations where they
    suffice and 0 elsewhere; ``einthoven, labels put right``, the same with exchanged labels exchanged back; and with a
    covariance ``linear``, the best linear guess from all visible leads at the same time. With patch-normalised targets
    a guess is normalised by itself, like the target; the linear one is then shrunk by its expected correlation.

    Args:
        batch: Studies, on the CPU.
        mask: A mask of the leads.
        cells: The same mask laid out by time.
        config: The model's, for normalisation, patch and target.
        stream: The stream of the leads.
        covariance: ``[leads, leads]`` second moments, see `fit_covariance`.
    """
    instances, settings = batch.streams[stream], config.streams[stream]
    how = config.target
    normalised = normalised_leads(batch, config, stream)
    patches = patchify(normalised.values, settings.patch)
    recorded = element_validity(instances, settings.patch, mask.target)
    target = make_targets(take_patches(patches, mask.target), recorded, how=how).values
    recorded = torch.ones_like(target, dtype=torch.bool) if recorded is None else recorded

    def taken(laid: np.ndarray) -> Tensor:
        return take_patches(by_instance(laid, instances).flatten(1).unflatten(1, patches.shape[1:]), mask.target)

    patterns, which = _patterns(cells)
    width = instances.grid[0] // cells.visible.shape[2]
    solvable, weights = einthoven_weights(instances.view_names, patterns)
    follows = taken(_spread(solvable, which, cells, width)) & recorded
    mv = _laid(normalised.values * _each(normalised.gain) + _each(normalised.shift), batch, stream, width)
    guesses = {"zero": torch.zeros_like(target), "patch mean": _patch_mean(target, recorded)}
    for name, solution in (
        (EINTHOVEN, _applied(weights, which, mv, cells)),
        (PUT_RIGHT, _repaired(batch, stream, mv, cells, width)),
    ):
        values = (by_instance(solution, instances).flatten(1) - normalised.shift[:, None]) / normalised.gain[:, None]
        found = take_patches(values.float().unflatten(1, patches.shape[1:]), mask.target)
        guesses[name] = _as_target(found, follows, how)
    if covariance is not None:
        values = _laid(_centred(normalised, instances.valid, config, stream), batch, stream, width)
        weights, explained = linear_weights(covariance, patterns)
        guess = _as_target(taken(_applied(weights, which, values, cells)).float(), recorded, how)
        correlation = taken(_spread(np.sqrt(explained), which, cells, width)).float()
        guesses[LINEAR] = guess * correlation if how == "patch-normalised" else guess
    return HiddenPatches(target=target, recorded=recorded, follows=follows, guesses=guesses)


def fit_covariance(batch: StudyBatch, config: MaskedAutoencoderConfig, *, stream: str) -> np.ndarray:
    """Return ``[leads, leads]`` second moments of the leads at the same time, in the space of the model's input.

    For patch-normalised targets each patch is centred and weighs the same: all leads of one time are divided by their
    common size, which leaves every linear relation between them as it is.

    Args:
        batch: Training studies.
        config: The model's.
        stream: The stream of the leads.
    """
    instances, patch = batch.streams[stream], config.streams[stream].patch[0]
    normalised = normalised_leads(batch, config, stream)
    values = _laid(_centred(normalised, instances.valid, config, stream), batch, stream, patch)  # [S, L, P, E]
    valid = torch.ones(len(instances), instances.grid[0]) if instances.valid is None else instances.valid.float()
    recorded = by_study(valid, instances, batch.num_studies).reshape(values.shape) > 0
    if config.target == "patch-normalised":
        size = np.sqrt(
            (values**2).sum(axis=(1, 3), keepdims=True) / np.maximum(recorded.sum(axis=(1, 3), keepdims=True), 1)
        )
        values = values / np.maximum(size, 1e-6)
    leads_last = (0, 2, 3, 1)
    num_leads = values.shape[1]
    return covariance_of(
        values.transpose(leads_last).reshape(-1, num_leads), recorded.transpose(leads_last).reshape(-1, num_leads)
    )


def normalised_leads(batch: StudyBatch, config: MaskedAutoencoderConfig, stream: str) -> Normalised:
    """Normalise the leads as the model does."""
    settings = config.streams[stream]
    return normalise(
        batch.streams[stream],
        how=settings.normalise,
        fixed_scale=settings.fixed_scale,
        std_floor=settings.std_floor,
        num_studies=batch.num_studies,
    )


def labels_of(batch: StudyBatch, stream: str) -> list[tuple[dict[str, str], tuple[str, ...], tuple[str, ...]]]:
    """Return for each study what `lamae.ecg.same_time.labels_put_right` says of its leads."""
    instances = batch.streams[stream]
    mv = instances.values[:, 0].double() * instances.scale[:, None]
    found = []
    for study in range(batch.num_studies):
        rows = (instances.study_of == study).nonzero().squeeze(1)
        recorded = slice(None) if instances.valid is None else instances.valid[rows].all(dim=0)
        names = [instances.view_names[view] for view in instances.view_of[rows].tolist()]
        found.append(labels_put_right(dict(zip(names, mv[rows][:, recorded].numpy(), strict=True))))
    return found


def _repaired(batch: StudyBatch, stream: str, mv: np.ndarray, cells: Cells, width: int) -> np.ndarray:
    """Einthoven's solution with each study's exchanged labels exchanged back."""
    names = batch.streams[stream].view_names
    labels = [tuple(true.get(name, name) for name in names) for true, _, _ in labels_of(batch, stream)]
    solution = np.zeros_like(mv)
    for distinct in sorted(set(labels)):
        rows = np.array([own == distinct for own in labels])
        some = Cells(visible=cells.visible[rows], hidden=cells.hidden[rows])
        patterns, which = _patterns(some)
        solution[rows] = _applied(einthoven_weights(distinct, patterns)[1], which, mv[rows], some)
    return solution


def _patterns(cells: Cells) -> tuple[np.ndarray, np.ndarray]:
    return distinct_patterns(cells.visible.transpose(0, 2, 1).reshape(-1, cells.visible.shape[1]))


def _spread(table: np.ndarray, which: np.ndarray, cells: Cells, width: int) -> np.ndarray:
    """From ``[patterns, leads]`` to ``[studies, leads, cells, width]``."""
    S, L, C = cells.visible.shape
    laid = table[which].reshape(S, C, L).transpose(0, 2, 1)
    return np.broadcast_to(laid[..., None], (S, L, C, width))


def _applied(weights: np.ndarray, which: np.ndarray, values: np.ndarray, cells: Cells) -> np.ndarray:
    """Apply each cell's weights to its visible leads: ``[studies, leads, cells, width]``."""
    S, L, C, W = values.shape
    shown = np.where(cells.visible[..., None], values, 0.0)
    columns = shown.transpose(0, 2, 1, 3).reshape(S * C, L, W)
    return (weights[which] @ columns).reshape(S, C, L, W).transpose(0, 2, 1, 3)


def _laid(values: Tensor, batch: StudyBatch, stream: str, width: int) -> np.ndarray:
    rows = values.double().flatten(1)
    return by_study(rows.unflatten(1, (-1, width)), batch.streams[stream], batch.num_studies)


def _centred(normalised: Normalised, valid: Tensor | None, config: MaskedAutoencoderConfig, stream: str) -> Tensor:
    """Normalised leads; for patch-normalised targets with the mean of each patch taken out."""
    if config.target == "raw":
        return normalised.values
    patch = config.streams[stream].patch
    patches = patchify(normalised.values, patch)
    if valid is None:
        return (patches - patches.mean(dim=2, keepdim=True)).flatten(1)
    known = patchify(valid.unsqueeze(1), patch)
    mean = patches.sum(dim=2, keepdim=True) / known.sum(dim=2, keepdim=True).clamp_min(1)
    return torch.where(known, patches - mean, 0.0).flatten(1)


def _as_target(guess: Tensor, where: Tensor, how: str) -> Tensor:
    """A guess normalised by itself as the target is; 0 where there is none."""
    guess = torch.where(where, guess, 0.0)
    return guess if how == "raw" else make_targets(guess, where, how="patch-normalised").values


def _patch_mean(target: Tensor, recorded: Tensor) -> Tensor:
    count = recorded.sum(dim=2, keepdim=True).clamp_min(1)
    return (torch.where(recorded, target, 0.0).sum(dim=2, keepdim=True) / count).expand_as(target)


def _each(numbers: Tensor) -> Tensor:
    return numbers.view(-1, 1, 1)
