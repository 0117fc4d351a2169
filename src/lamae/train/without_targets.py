"""Search for studies in which there is nothing to predict, however their masks are drawn."""

import math
from dataclasses import replace

import numpy as np
import torch

from lamae.data import PackDataset, in_order
from lamae.models import StreamConfig
from lamae.nn.masks import MaskConfig, draw_masks, patches_with_data
from lamae.nn.plan import studies_with_target

_AT_ONCE = 256


def without_targets(dataset: PackDataset, stream: StreamConfig, mask: MaskConfig) -> np.ndarray:
    """Return which studies have nothing to predict: none of their recordings has two recorded patches.

    Values are read of those studies only whose lengths and flags do not tell.

    Args:
        dataset: The studies, with all of their recordings.
        stream: The stream of the model that they go to.
        mask: Masks of pretraining.

    Returns:
        ``[studies]`` bool.
    """
    found = np.zeros(len(dataset), dtype=bool)
    if len(stream.counts) == 2 or math.prod(stream.counts[1:]) > 1:
        return found  # each frame has two patches
    for left in in_order(len(dataset), _AT_ONCE):
        for sure in (_sure_by_length, _sure_by_first, _sure_by_masks):
            left = left[~sure(dataset, left, stream, mask)] if len(left) else left
        found[left] = True
    return found


def _sure_by_length(dataset: PackDataset, rows: np.ndarray, stream: StreamConfig, mask: MaskConfig) -> np.ndarray:
    """Return which studies have a recording that is free of gaps and spans two patches along its first axis."""
    span = stream.patch[0] * (1 if stream.clip is None else stream.clip.stride)
    choice, start = dataset.choose(rows), 0
    sure = np.zeros(len(dataset), dtype=bool)
    for number, selection in choice.parts:
        pack = dataset.packs[number]
        several = (pack.lengths_of(selection) >= 2 * span) & ~pack.gaps_of(selection)
        sure[choice.index[start + selection.study_of[several]]] = True
        start += len(selection.studies)
    return sure[rows]


def _sure_by_first(dataset: PackDataset, rows: np.ndarray, stream: StreamConfig, mask: MaskConfig) -> np.ndarray:
    """Return which studies have two recorded patches in their first recording, nearly all of them."""
    choice = dataset.choose(rows)
    firsts = [(number, whole.keep(np.diff(whole.study_of, prepend=-1) > 0)) for number, whole in choice.parts]
    batch = dataset.read(replace(choice, parts=tuple(firsts)))
    recorded = patches_with_data(batch.streams[dataset.modality], stream.patch)
    sure = np.ones(len(dataset), dtype=bool)
    if recorded is not None:
        sure[batch.index.numpy()] = (recorded.sum(dim=1) > 1).numpy()
    return sure[rows]


def _sure_by_masks(dataset: PackDataset, rows: np.ndarray, stream: StreamConfig, mask: MaskConfig) -> np.ndarray:
    """Return which studies have anything to predict under drawn masks: whether, not what, does not depend on noise."""
    batch = dataset.batch(rows)
    plan = draw_masks(mask, batch, {dataset.modality: stream.patch}, torch.Generator().manual_seed(0))
    masks = ({dataset.modality: one} for one in plan.streams[dataset.modality])
    sure = np.zeros(len(dataset), dtype=bool)
    sure[batch.index.numpy()] = torch.stack([studies_with_target(batch, one) for one in masks]).any(dim=0).numpy()
    return sure[rows]
