"""Uniform noise for masks that does not depend on rank, on how a global batch was cut, or on the order of views."""

import hashlib
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lamae.batch import Instances, StudyBatch

NoiseKind = Literal["by-name", "by-recording"]

DRAWN_AT_ONCE = 2**16
"""Numbers of a stream that are in memory at a time, where one position does not need more."""

_GOLDEN, _MIX_1, _MIX_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """The stream and the mask that noise is drawn for.

    Attributes:
        seed: Seed of the stream and mask.
        positions: Position of each instance's study within the global batch.
        instances: The instances.
    """

    seed: str
    positions: Int64[Tensor, " instances"]
    instances: Instances


class NoiseByName(_Drawn):
    """Noise from one stream of random numbers a purpose, of which the rows of other positions are drawn and dropped."""

    def by_study(self, purpose: str, num: int) -> Float[Tensor, "instances num"]:
        """Return noise by position."""
        return self._rows(purpose, self.positions, torch.zeros_like(self.positions), (1, num))

    def by_recording(self, purpose: str, num: int) -> Float[Tensor, "instances num"]:
        """Return the noise of the first instance of each recording."""
        group_of, _ = self.instances.recordings()
        return self.by_instance(purpose, num)[first_of(group_of)][group_of]

    def by_instance(self, purpose: str, num: int) -> Float[Tensor, "instances num"]:
        """Return noise by position, name of the view and, where the name is repeated, by its turn."""
        names, study_of, view_of = self.instances.view_names, self.instances.study_of, self.instances.view_of
        slot_of_view = torch.tensor([sorted(names).index(name) for name in names])
        turn = rank_within(study_of * len(names) + view_of, torch.arange(len(study_of)))
        noise = torch.empty(len(study_of), num)
        for index in range(int(turn.max()) + 1):
            rows = (turn == index).nonzero().squeeze(1)
            slots = slot_of_view[view_of[rows]]
            noise[rows] = self._rows(f"{purpose}/{index}", self.positions[rows], slots, (len(names), num))
        return noise

    def _rows(
        self, purpose: str, positions: Tensor, slots: Tensor, shape: tuple[int, int]
    ) -> Float[Tensor, "rows num"]:
        """Return some rows of a table ``[global batch, slots, num]`` that is never there as a whole."""
        seed = random.Random(f"{self.seed}/{purpose}").getrandbits(62)
        generator = torch.Generator().manual_seed(seed)
        rows = torch.empty(len(positions), shape[1])
        for start, stop in _chunks(int(positions.max()) + 1, shape[0] * shape[1]):
            drawn = torch.rand((stop - start, *shape), generator=generator)
            wanted = ((positions >= start) & (positions < stop)).nonzero().squeeze(1)
            rows[wanted] = drawn[positions[wanted] - start, slots[wanted]]
        return rows


class NoiseByRecording(_Drawn):
    """Noise as a function of what it is for: a hash in place of a stream, so that only what is used is computed."""

    def by_study(self, purpose: str, num: int) -> Float[Tensor, "instances num"]:
        """Return noise by position."""
        return hashed_uniform(f"{self.seed}/study/{purpose}", [self.positions], num)

    def by_recording(self, purpose: str, num: int) -> Float[Tensor, "instances num"]:
        """Return noise by position and number of the recording."""
        return hashed_uniform(f"{self.seed}/recording/{purpose}", [self.positions, self.instances.recording_of], num)

    def by_instance(self, purpose: str, num: int) -> Float[Tensor, "instances num"]:
        """Return noise by position, number of the recording and place of the instance within it."""
        group_of, _ = self.instances.recordings()
        turn = rank_within(group_of, self.instances.time_of)
        keys = [self.positions, self.instances.recording_of, turn]
        return hashed_uniform(f"{self.seed}/instance/{purpose}", keys, num)


Noise: TypeAlias = NoiseByName | NoiseByRecording
"""Noise of one stream under one mask; different purposes are independent of each other."""


def make_noise(kind: NoiseKind, *, seed: str, batch: StudyBatch, instances: Instances) -> Noise:
    """Return the source of noise of a kind.

    Args:
        kind: ``"by-name"``: by position in the global batch, name of the view and, where a name is there several times,
            by which one it is. ``"by-recording"``: by position, number of the recording within its study, and number of
            the instance within its recording (in order of time).
        seed: Seed of this stream and mask.
        batch: The batch, on the CPU.
        instances: Instances of the stream.
    """
    source = NoiseByName if kind == "by-name" else NoiseByRecording
    return source(seed=seed, positions=batch.positions[instances.study_of], instances=instances)


def hashed_uniform(seed: str, keys: list[Int64[Tensor, " rows"]], num: int) -> Float[Tensor, "rows num"]:
    """Return numbers in [0, 1) that depend on the seed, the keys of their row and their column only.

    Each key is mixed into the state by the finaliser of SplitMix64 (Steele, Lea and Flood 2014), whose counter then
    runs over the columns; the 24 highest bits of the result are the number.
    """
    digest = hashlib.blake2b(seed.encode(), digest_size=8).digest()
    state = np.full(len(keys[0]), int.from_bytes(digest, "little"), np.uint64)
    for key in keys:
        state = _mixed(state + (key.numpy().astype(np.uint64) + np.uint64(1)) * _GOLDEN)
    counter = (np.arange(num, dtype=np.uint64) + np.uint64(1)) * _GOLDEN
    bits = _mixed(state[:, None] + counter) >> np.uint64(40)
    return torch.from_numpy(bits.astype(np.float32) * np.float32(2**-24))


def rank_within(groups: Int64[Tensor, " items"], order_by: Tensor) -> Int64[Tensor, " items"]:
    """Return the rank of each item within its group by ascending ``order_by`` (``[items]``); ties keep their order."""
    order = order_by.argsort(stable=True)
    order = order[groups[order].argsort(stable=True)]
    counts = torch.bincount(groups)
    start = counts.cumsum(0) - counts
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order)) - start[groups[order]]
    return rank


def first_of(groups: Int64[Tensor, " items"]) -> Int64[Tensor, " groups"]:
    """Return the first item of each group; the groups are numbered from 0 without a gap."""
    items = torch.arange(len(groups), device=groups.device)
    size = int(groups.max()) + 1 if len(groups) else 0
    return items.new_full((size,), len(groups)).scatter_reduce(0, groups, items, "amin")


def _mixed(state: np.ndarray) -> np.ndarray:
    state = (state ^ (state >> np.uint64(30))) * _MIX_1
    state = (state ^ (state >> np.uint64(27))) * _MIX_2
    return state ^ (state >> np.uint64(31))


def _chunks(num_rows: int, width: int) -> Iterator[tuple[int, int]]:
    at_once = max(1, DRAWN_AT_ONCE // max(width, 1))
    return ((k * at_once, min((k + 1) * at_once, num_rows)) for k in range(math.ceil(num_rows / at_once)))
