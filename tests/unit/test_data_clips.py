"""Clips are cut as worked by hand: middle and drawn starts, strides, ends of short recordings."""

import numpy as np
import pytest

from lamae.batch import ClipConfig
from lamae.data.clips import cut_clips, fewer_recordings
from lamae.pack import Selection

LENGTH = np.array([19, 7, 3])
POSITIONS = np.array([0, 1])


def whole() -> Selection:
    """Three recordings of two studies."""
    return Selection(
        studies=np.array([4, 9]),
        recording=np.array([11, 12, 23]),
        study_of=np.array([0, 0, 1]),
        recording_of=np.array([0, 1, 0]),
        whole=True,
    )


def test_a_clip_of_the_middle_by_hand():
    """Three frames, every second: 5 frames are spanned, so 14, 2 and no frames are left over."""
    found = cut_clips(whole(), LENGTH, ClipConfig(frames=3, window=6), POSITIONS, None)
    assert found.start is not None
    assert found.stride is not None
    assert found.start.tolist() == [7, 1, 0]
    assert found.stride.tolist() == [2, 2, 2]
    assert (found.length, found.single_frames, found.whole) == (3, False, False)
    assert found.recording.tolist() == [11, 12, 23]


def test_frames_of_the_middle_by_hand():
    found = cut_clips(whole(), LENGTH, ClipConfig(frames=3, window=6, instances="frame"), POSITIONS, None)
    assert found.start is not None
    assert found.stride is not None
    assert found.start.tolist() == [7, 9, 11, 1, 3, 5, 0, 2]  # the last recording has no frame 4
    assert found.recording.tolist() == [11, 11, 11, 12, 12, 12, 23, 23]
    assert found.study_of.tolist() == [0, 0, 0, 0, 0, 0, 1, 1]
    assert found.recording_of.tolist() == [0, 0, 0, 1, 1, 1, 0, 0]
    assert found.stride.tolist() == [1] * 8
    assert (found.length, found.single_frames, found.whole) == (1, True, False)


def test_drawn_starts_reach_from_the_first_to_the_last_that_fits():
    config = ClipConfig(frames=3, window=6)
    starts = np.array([cut_clips(whole(), LENGTH, config, POSITIONS, (5, step)).start for step in range(211)])
    assert set(starts[:, 0]) == set(range(15))
    assert set(starts[:, 1]) == {0, 1, 2}
    assert set(starts[:, 2]) == {0}


@pytest.mark.parametrize("limit", [1, 2])
def test_at_most_so_many_recordings_of_a_study_stay(limit: int):
    kept = np.array([fewer_recordings(whole(), limit, POSITIONS, (5, step)) for step in range(31)])
    assert set(kept[:, :2].sum(axis=1)) == {limit}
    assert kept[:, 2].all()
    assert kept[:, 0].all() == (limit == 2)
