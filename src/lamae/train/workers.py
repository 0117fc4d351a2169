"""The processes of a run: one, or several that `torchrun` started."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed

from lamae.nn.precision import choose_device


@dataclass(frozen=True, kw_only=True)
class Workers:
    """This process among all processes of the run.

    Attributes:
        rank: Number of this process, from 0.
        world_size: Number of processes.
        device: Where this process computes.
    """

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Return whether this process writes the files."""
        return self.rank == 0

    def sum(self, *values: float) -> list[float]:
        """Return the sums of values over all processes; each process must call this at the same place."""
        if self.world_size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(tensor)
        return tensor.tolist()

    def wait(self) -> None:
        """Wait for all processes."""
        if self.world_size > 1:
            distributed.barrier()


@contextmanager
def join_workers(device: str) -> Iterator[Workers]:
    """Join the other processes of the run, where `torchrun` says that there are any, and leave them at the end.

    Args:
        device: ``"auto"``, or a device such as ``"cpu"`` or ``"cuda"``.

    Raises:
        ConfigError: There is no such device here.
    """
    rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    chosen = choose_device(device, local_rank=int(os.environ.get("LOCAL_RANK", 0)))
    workers = Workers(rank=rank, world_size=world_size, device=chosen)
    if world_size == 1:
        yield workers
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield workers
    finally:
        distributed.destroy_process_group()
