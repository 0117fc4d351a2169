"""Selections of a pack, and the arrays that reading them gives."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Slices of recordings that make up the instances of a batch.

    Attributes:
        studies: ``[studies]`` int64, rows of the studies in the pack.
        recording: ``[instances]`` int64, row among all recordings of the pack.
        study_of: ``[instances]`` int64, position in ``studies``, non-decreasing.
        recording_of: ``[instances]`` int64, number of the recording within its study.
        start: ``[instances]`` int64, first sample or frame; None: from the beginning.
        stride: ``[instances]`` int64, every n-th frame is taken; None: every one.
        length: Samples or frames of each instance, counted after the stride; None: whole recordings.
        single_frames: Each instance is one frame and has no time axis.
        whole: These are all recordings of the studies, in order and from beginning to end, which is read faster.
    """

    studies: np.ndarray
    recording: np.ndarray
    study_of: np.ndarray
    recording_of: np.ndarray
    start: np.ndarray | None = None
    stride: np.ndarray | None = None
    length: int | None = None
    single_frames: bool = False
    whole: bool = False

    def keep(self, instances: np.ndarray) -> Self:
        """Return the selection of some of the instances (``[instances]`` bool)."""
        arrays = {k: v[instances] for k, v in vars(self).items() if isinstance(v, np.ndarray) and k != "studies"}
        return replace(self, **arrays, whole=False)


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """The instances of several studies in one array.

    Attributes:
        values: ``[instances, samples]`` int16 with ``MISSING_CODE`` where nothing was recorded and after the end of
            shorter recordings, or uint8 ``[instances, height, width]`` or ``[instances, frames, height, width]``.
        scale: ``[instances]`` float32, physical units for one integer step.
        study_of: ``[instances]`` int64, position of each instance's study within the asked rows, non-decreasing.
        recording_of: ``[instances]`` int64, number of the recording within its study.
        view_of: ``[instances]`` int64, index into ``pack.info.view_names``.
        time_s: ``[instances]`` float32, start of each instance within its recording; NaN where its rate is not known.
        has_missing: Whether any value may be ``MISSING_CODE``.
        recorded: ``[instances, frames]`` bool, which frames of clips are no padding; None: all.
    """

    values: np.ndarray
    scale: np.ndarray
    study_of: np.ndarray
    recording_of: np.ndarray
    view_of: np.ndarray
    time_s: np.ndarray
    has_missing: bool = False
    recorded: np.ndarray | None = None

    def keep(self, instances: np.ndarray) -> Self:
        """Return some of the instances (``[instances]`` bool)."""
        return replace(self, **{k: v[instances] for k, v in vars(self).items() if isinstance(v, np.ndarray)})
