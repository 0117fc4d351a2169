"""The same arrays from studies in memory as from a pack that holds them."""

from collections.abc import Sequence

import numpy as np

from lamae.pack.selection import Gathered
from lamae.studies import MISSING_CODE, PreparedStudy


def gather_studies(studies: Sequence[PreparedStudy], view_names: Sequence[str]) -> Gathered:
    """Put all recordings of some studies, whole, into one array.

    Shorter waveforms are followed by ``MISSING_CODE``, and shorter clips by frames that ``recorded`` tells apart.

    Args:
        studies: The studies.
        view_names: Names that ``view_of`` points into; each view of the studies is among them.

    Raises:
        ValueError: Frames differ in size, or samples and frames are mixed.
    """
    index = {name: number for number, name in enumerate(view_names)}
    by_study = [tuple(study.recordings) for study in studies]
    recordings = [recording for held in by_study for recording in held]
    counts = [len(held) for held in by_study]
    lengths = np.array([len(recording.values) for recording in recordings], dtype=np.int64)
    shapes = {recording.values.shape[1:] for recording in recordings} or {()}
    if len(shapes) > 1:
        raise ValueError(f"recordings of one batch need frames of one size, found {sorted(shapes)}")
    (frame,) = shapes
    longest = int(lengths.max(initial=0))
    filler, kind = (0, np.uint8) if frame else (MISSING_CODE, np.int16)
    values = np.full((len(recordings), longest, *frame), filler, dtype=kind)
    for row, recording in enumerate(recordings):
        values[row, : lengths[row]] = recording.values
    recorded = np.arange(longest) < lengths[:, None]
    return Gathered(
        values=values,
        scale=np.array([recording.scale for recording in recordings], dtype=np.float32),
        study_of=np.repeat(np.arange(len(counts)), counts),
        recording_of=np.concatenate([np.zeros(0, np.int64), *(np.arange(count) for count in counts)]),
        view_of=np.array([index[recording.name] for recording in recordings], dtype=np.int64),
        time_s=np.zeros(len(recordings), np.float32),
        has_missing=not frame and (any(one.has_missing for one in recordings) or not recorded.all()),
        recorded=recorded if frame and not recorded.all() else None,
    )
