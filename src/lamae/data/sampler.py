"""The rows of each training step: a pure function of seed and step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from lamae.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class MicroBatch:
    """The part of a global batch that one process takes at once.

    Attributes:
        indices: ``[studies]`` int64, rows of the data set.
        positions: ``[studies]`` int64, where each of them stands in the global batch.
        global_size: Number of studies in the global batch.
    """

    indices: np.ndarray
    positions: np.ndarray
    global_size: int


def in_order(num_rows: int, batch_size: int) -> Iterator[np.ndarray]:
    """Yield all rows in their order, ``[batch_size]`` int64 at a time, and at the end what is left."""
    for start in range(0, num_rows, batch_size):
        yield np.arange(start, min(start + batch_size, num_rows))


def global_batch(num_rows: int, batch_size: int, *, seed: int, step: int) -> np.ndarray:
    """Return the rows of one training step, ``[batch_size]`` int64.

    The steps walk through one endless sequence, a fresh permutation of all rows for every epoch, drawn from
    ``(seed, epoch)``. So no row is left out at the end of an epoch, and starting at any step costs nothing.

    Args:
        num_rows: Rows of the data set.
        batch_size: Studies in a global batch (all processes, all micro-batches together).
        seed: Seed of the run.
        step: Number of the step, from 0.
    """
    start, stop = step * batch_size, (step + 1) * batch_size
    parts = []
    for epoch in range(start // num_rows, (stop - 1) // num_rows + 1):
        first = epoch * num_rows
        parts.append(_permutation(num_rows, seed, epoch)[max(start - first, 0) : stop - first])
    return np.concatenate(parts)


def micro_batches(
    indices: np.ndarray, *, rank: int = 0, world_size: int = 1, accumulation: int = 1
) -> Sequence[MicroBatch]:
    """Cut a global batch into the micro-batches of one process.

    Args:
        indices: ``[batch_size]`` rows of the global batch.
        rank: Number of this process, from 0.
        world_size: Number of processes.
        accumulation: Micro-batches a process takes one after another.

    Raises:
        ConfigError: There are fewer studies than micro-batches.
    """
    pieces = world_size * accumulation
    if len(indices) < pieces:
        raise ConfigError(
            f"a batch of {len(indices)} studies cannot be cut into {world_size} processes x {accumulation} "
            "micro-batches: raise optim.batch_size or lower optim.accumulation"
        )
    cuts = np.array_split(np.arange(len(indices)), pieces)[rank * accumulation : (rank + 1) * accumulation]
    return [MicroBatch(indices=indices[cut], positions=cut, global_size=len(indices)) for cut in cuts]


@lru_cache(maxsize=2)
def _permutation(num_rows: int, seed: int, epoch: int) -> np.ndarray:
    permutation = np.random.default_rng([seed, epoch]).permutation(num_rows)
    permutation.flags.writeable = False
    return permutation
