"""Choice of recordings and frames of videos for a batch."""

from dataclasses import replace

import numpy as np
import torch

from lamae.batch import ClipConfig
from lamae.data.view_dropout import rank_within
from lamae.nn.noise import hashed_uniform
from lamae.pack import Selection


def fewer_recordings(found: Selection, limit: int, positions: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Return which recordings stay so that no study has more than ``limit``, ``[recordings]`` bool.

    Args:
        found: Recordings of a batch, whole.
        limit: Maximum number a study.
        positions: ``[studies]`` position of each study in the global batch.
        key: Seed of the run and number of the step.
    """
    return rank_within(found.study_of, _noise(found, positions, key, "recordings")) < limit


def cut_clips(
    whole: Selection,
    length: np.ndarray,
    config: ClipConfig,
    positions: np.ndarray,
    key: tuple[int, int] | None,
) -> Selection:
    """Cut one clip out of each recording of a selection.

    A recording that is shorter than the window gives the frames that it has.

    Args:
        whole: Recordings, whole.
        length: ``[recordings]`` frames of each.
        config: How clips are cut.
        positions: ``[studies]`` position of each study in the global batch.
        key: Seed of the run and number of the step, from which each clip's start is drawn; None takes the middle.
    """
    slack = np.maximum(length - ((config.frames - 1) * config.stride + 1), 0)
    if key is None:
        start = slack // 2
    else:
        start = (_noise(whole, positions, key, "start") * (slack + 1)).astype(np.int64)
    stride = np.full(len(start), config.stride)
    if config.instances == "clip":
        return replace(whole, start=start, stride=stride, length=config.frames, whole=False)
    frames = start[:, None] + config.stride * np.arange(config.frames)
    recording, frame = np.nonzero(frames < length[:, None])
    return replace(
        whole,
        recording=whole.recording[recording],
        study_of=whole.study_of[recording],
        recording_of=whole.recording_of[recording],
        start=frames[recording, frame],
        stride=np.ones(len(frame), np.int64),
        length=1,
        single_frames=True,
        whole=False,
    )


def _noise(chosen: Selection, positions: np.ndarray, key: tuple[int, int], purpose: str) -> np.ndarray:
    """Return ``[recordings]`` noise in [0, 1) that depends on seed, step, position and recording only."""
    keys = [torch.from_numpy(positions[chosen.study_of]), torch.from_numpy(chosen.recording_of)]
    return hashed_uniform(f"clips/{purpose}/{key[0]}/{key[1]}", keys, 1)[:, 0].double().numpy()
