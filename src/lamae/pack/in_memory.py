"""The same arrays from studies in memory as from a pack that holds them."""

from collections.abc import Sequence

import numpy as np

from lamae.pack.jpeg import decode_frame, encode_frame
from lamae.pack.selection import Gathered, Selection
from lamae.studies import MISSING_CODE, PreparedStudy


def whole_studies(studies: Sequence[PreparedStudy]) -> tuple[Selection, np.ndarray]:
    """Return the selection of all recordings of some studies, whole, and ``[recordings]`` samples or frames of each."""
    held = [tuple(study.recordings) for study in studies]
    counts = [len(recordings) for recordings in held]
    number = np.concatenate([np.zeros(0, np.int64), *(np.arange(count) for count in counts)])
    study_of = np.repeat(np.arange(len(counts)), counts)
    whole = Selection(
        studies=np.arange(len(counts)), recording=np.arange(len(number)), study_of=study_of, recording_of=number
    )
    return whole, np.array([len(one.values) for recordings in held for one in recordings], dtype=np.int64)


def gather_studies(
    studies: Sequence[PreparedStudy], view_names: Sequence[str], selection: Selection | None = None
) -> Gathered:
    """Put recordings of some studies into one array.

    Shorter waveforms are followed by ``MISSING_CODE``, and shorter clips by frames that ``recorded`` tells apart.

    Args:
        studies: The studies.
        view_names: Names that ``view_of`` points into; each view of the studies is among them.
        selection: Slices of their recordings, cut from `whole_studies`; None for all of them, whole.

    Raises:
        ValueError: Frames differ in size, or samples and frames are mixed.
    """
    chosen = selection or whole_studies(studies)[0]
    held = [recording for study in studies for recording in study.recordings]
    recordings = [held[row] for row in chosen.recording.tolist()]
    num = len(recordings)
    start = np.zeros(num, np.int64) if chosen.start is None else chosen.start
    stride = np.ones(num, np.int64) if chosen.stride is None else chosen.stride
    slices = [
        _as_stored(recording.values[first::step][: chosen.length], recording.jpeg_quality)
        for recording, first, step in zip(recordings, start.tolist(), stride.tolist(), strict=True)
    ]
    shapes = {found.shape[1:] for found in slices} or {()}
    if len(shapes) > 1:
        raise ValueError(f"recordings of one batch need frames of one size, found {sorted(shapes)}")
    (frame,) = shapes
    lengths = np.array([len(found) for found in slices], dtype=np.int64)
    longest = chosen.length or int(lengths.max(initial=0))
    values = np.full((num, longest, *frame), 0 if frame else MISSING_CODE, dtype=np.uint8 if frame else np.int16)
    for row, found in enumerate(slices):
        values[row, : len(found)] = found
    recorded = np.arange(longest) < lengths[:, None]
    rates = np.array([np.nan if one.rate_hz is None else one.rate_hz for one in recordings])
    index = {name: number for number, name in enumerate(view_names)}
    return Gathered(
        values=values[:, 0] if chosen.single_frames else values,
        scale=np.array([recording.scale for recording in recordings], dtype=np.float32),
        study_of=chosen.study_of,
        recording_of=chosen.recording_of,
        view_of=np.array([index[recording.name] for recording in recordings], dtype=np.int64),
        time_s=np.zeros(num, np.float32) if chosen.start is None else (start / rates).astype(np.float32),
        has_missing=not frame and (any(one.has_missing for one in recordings) or not recorded.all()),
        recorded=recorded if frame and not chosen.single_frames and not recorded.all() else None,
    )


def _as_stored(values: np.ndarray, jpeg_quality: int | None) -> np.ndarray:
    """Return values as a pack gives them back: frames of a JPEG lose what it does not keep."""
    if jpeg_quality is None:
        return values
    frames = (decode_frame(encode_frame(frame, quality=jpeg_quality), shape=frame.shape) for frame in values)
    return np.stack(list(frames))
