"""The memory that a process of our own keeps for its next arrays, where the C library is glibc."""

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_KEPT_BYTES, _MAPPED_BYTES = 64 * 2**20, 16 * 2**20


def keep_freed_memory() -> None:
    """Let glibc keep up to 64 MiB of freed memory for the arrays to come, instead of giving it back at once.

    By default an array of a few hundred kB goes back to the system when it is freed, and the next one of the same size
    is cleared page by page: reading, preprocessing and batches of studies take up to three times as long. Arrays above
    16 MiB still go back at once. For processes that are ours, such as the command line's; nothing happens at import,
    with another C library, or where ``MALLOC_TRIM_THRESHOLD_`` or ``MALLOC_MMAP_THRESHOLD_`` are in the environment.
    """
    if os.environ.keys() & {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"}:
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
    mallopt(_MMAP_THRESHOLD, _MAPPED_BYTES)
