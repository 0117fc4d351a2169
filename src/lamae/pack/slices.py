"""Copying slices of recordings out of opened shards."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lamae.errors import DataError
from lamae.pack.index import RecordingIndex
from lamae.pack.jpeg import decode_frame
from lamae.pack.layout import ENCODINGS
from lamae.pack.selection import Selection
from lamae.pack.shards import Shard
from lamae.studies import MISSING_CODE


def read_samples(shards: Sequence[Any], index: RecordingIndex, selection: Selection) -> tuple[np.ndarray, bool]:
    """Return ``[instances, samples]`` int16, and whether shorter recordings were filled up with ``MISSING_CODE``.

    Args:
        shards: The shards of the pack, a `Shard` each where it is open; those of the selection are.
        index: Where recordings lie.
        selection: What to copy.
    """
    row, studies = selection.recording, selection.studies
    if selection.whole and len(row):
        begin, end, length = index.begin[studies], index.end[studies], index.length[index.first[studies]]
        longest = int(length[0])
        if bool(((begin >= 0) & (length == longest)).all()):
            shard_of = index.first_rows.searchsorted(studies, side="right") - 1
            places = zip(shard_of.tolist(), begin.tolist(), end.tolist(), strict=True)
            return np.concatenate([shards[shard].samples[a:b] for shard, a, b in places]).reshape(-1, longest), False
    length = index.length[row]
    longest = int(length.max(initial=0)) if selection.length is None else selection.length
    values, padded = np.full((len(row), longest), MISSING_CODE, dtype=np.int16), False
    places = _slices(index.shard_of(row), index.offset[row] // 2, length, selection)
    for number, (shard, first, start, stride, available) in enumerate(places):
        found = shards[shard].samples[first + start : first + available : stride][:longest]
        values[number, : len(found)] = found
        padded |= len(found) < longest
    return values, padded


def read_frames(
    shards: Sequence[Any], index: RecordingIndex, selection: Selection
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return uint8 frames, and which of them are no padding (None: all); only the frames asked for are decoded.

    Args:
        shards: The shards of the pack, a `Shard` each where it is open; those of the selection are.
        index: Where recordings lie.
        selection: What to copy.

    Returns:
        ``[instances, height, width]`` for single frames, else ``[instances, frames, height, width]`` and
        ``[instances, frames]``.

    Raises:
        DataError: Frames differ in size, or a stored frame is damaged.
    """
    shard_of = index.shard_of(selection.recording)
    place = selection.recording - index.first_recordings[shard_of]
    sizes = {
        (int(shards[s].height[p]), int(shards[s].width[p]))
        for s, p in set(zip(shard_of.tolist(), place.tolist(), strict=True))
    }
    if len(sizes) > 1:
        raise DataError(
            f"recordings of one batch have frames of {', '.join(f'{h} x {w}' for h, w in sorted(sizes))} pixels: "
            "prepare them with one size",
            reason="wrong-shape",
        )
    ((height, width),) = sizes
    length = index.length[selection.recording]
    longest = int(length.max()) if selection.length is None else selection.length
    values = np.zeros((len(place), longest, height, width), np.uint8)
    recorded = np.zeros((len(place), longest), bool)
    for row, (number, recording, start, stride, available) in enumerate(_slices(shard_of, place, length, selection)):
        frames = np.arange(start, available, stride)[:longest]
        _copy_frames(shards[number], recording, frames, out=values[row])
        recorded[row, : len(frames)] = True
    if selection.single_frames:
        if not recorded.all():
            raise DataError("a frame after the end of its recording was asked for", reason="wrong-shape")
        return values[:, 0], None
    return values, None if recorded.all() else recorded


def stored_values(shard: Shard, recording: int) -> np.ndarray:
    """Return one recording whole, as a view of the memory map where it is not a JPEG a frame.

    Raises:
        DataError: A stored frame is damaged.
    """
    length, first = int(shard.length[recording]), int(shard.offset[recording])
    if ENCODINGS[shard.encoding[recording]] == "int16":
        return shard.samples[first // 2 : first // 2 + length]
    shape = (length, int(shard.height[recording]), int(shard.width[recording]))
    if ENCODINGS[shard.encoding[recording]] == "uint8":
        return shard.content[first : first + math.prod(shape)].reshape(shape)
    frames = np.empty(shape, np.uint8)
    _copy_frames(shard, recording, np.arange(length), out=frames)
    return frames


def _copy_frames(shard: Shard, recording: int, frames: np.ndarray, *, out: np.ndarray) -> None:
    """Copy frames of one recording into the first places of ``out`` ``[frames, height, width]``."""
    if ENCODINGS[shard.encoding[recording]] == "uint8":
        out[: len(frames)] = stored_values(shard, recording)[frames]
        return
    ends = shard.frame_ends[shard.first_frame[recording] :]
    for place, frame in enumerate(frames.tolist()):
        begin = int(ends[frame - 1]) if frame else int(shard.offset[recording])
        out[place] = decode_frame(shard.content[begin : int(ends[frame])].tobytes(), shape=out.shape[1:])


def _slices(
    shard_of: np.ndarray, place: np.ndarray, length: np.ndarray, selection: Selection
) -> Iterator[tuple[int, ...]]:
    """Return for each instance its shard, its place there, where it starts, its stride, and the recording's length."""
    start = np.zeros(len(place), np.int64) if selection.start is None else selection.start
    stride = np.ones(len(place), np.int64) if selection.stride is None else selection.stride
    return zip(shard_of.tolist(), place.tolist(), start.tolist(), stride.tolist(), length.tolist(), strict=True)
