"""Random hiding of whole views in training, so that a model meets studies with few leads."""

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
    """Choose the instances that stay: for each study a random number of its views, at least ``min_views``.

    Noise is drawn for the whole global batch and all view names, so that the choice depends on the seed alone, not on
    how the batch was cut among processes or in which order the views come.

    Args:
        position_of: ``[instances]`` position of each instance's study in the global batch; studies stand together.
        view_of: ``[instances]`` index of each instance's view.
        num_views: Number of view names.
        min_views: Views that each study keeps at least (all of them, where it has no more).
        global_size: Studies in the global batch.
        seed: Seed of the run and number of the step.

    Returns:
        ``[instances]`` bool.
    """
    rng = np.random.default_rng(seed)
    noise = rng.random((global_size, num_views))
    kept = rng.integers(min_views, max(num_views, min_views), size=global_size, endpoint=True)
    order = np.lexsort((noise[position_of, view_of], position_of))
    grouped = position_of[order]
    is_first = np.append(True, grouped[1:] != grouped[:-1])
    rank_within_study = np.arange(len(order)) - np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))
    keep = np.empty(len(order), dtype=bool)
    keep[order] = rank_within_study < kept[grouped]
    return keep
