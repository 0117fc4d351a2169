"""Random dropping of whole recordings in training, so that a model meets studies with few views."""

from collections.abc import Sequence

import numpy as np


def kept_views(
    position_of: np.ndarray,
    view_of: np.ndarray,
    *,
    num_views: int,
    min_views: int,
    global_size: int,
    seed: Sequence[int],
) -> np.ndarray:
    """Choose the recordings that stay: for each study a random number of those it has, at least ``min_views``.

    Noise is drawn for the whole global batch and all view names (and once more for each further recording of a name),
    so that the choice depends on the seed alone, not on how the batch was cut among processes or in which order the
    views come.

    Args:
        position_of: ``[recordings]`` position of each recording's study in the global batch; studies stand together.
        view_of: ``[recordings]`` index of each recording's view.
        num_views: Number of view names.
        min_views: Minimum number of recordings that each study keeps (all of them, where it has no more).
        global_size: Number of studies in the global batch.
        seed: Seed of the run and number of the step.

    Returns:
        ``[recordings]`` bool.
    """
    rng = np.random.default_rng(seed)
    noise = rng.random((global_size, num_views))
    kept = rng.integers(min_views, max(num_views, min_views), size=global_size, endpoint=True)
    fraction = rng.random(global_size)  # before the noise of repeats, of which a micro-batch draws as many as it has
    repeat = rank_within(position_of * num_views + view_of, np.arange(len(view_of)))
    own = noise[position_of, view_of]
    for number in range(1, int(repeat.max(initial=0)) + 1):
        noise = rng.random((global_size, num_views))
        own = np.where(repeat == number, noise[position_of, view_of], own)
    present = np.bincount(position_of, minlength=global_size)
    lowest = np.minimum(min_views, present)
    among_own = lowest + (fraction * (present - lowest + 1)).astype(np.int64)
    kept = np.where(present == num_views, kept, among_own)  # two draws: those of whole studies came first
    return rank_within(position_of, own) < kept[position_of]


def rank_within(groups: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Return the rank of each item within its group by ascending ``by``; ties keep their order."""
    order = np.lexsort((by, groups))
    grouped = groups[order]
    is_first = np.append(True, grouped[1:] != grouped[:-1])[: len(order)]
    places = np.arange(len(order))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = places - np.maximum.accumulate(np.where(is_first, places, 0))
    return rank
