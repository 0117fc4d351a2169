"""Functions shared by all benchmarks: interleaved timing of variants, and the ratio of medians with its spread.

A benchmark times all of its variants in the same process, one call of each in every round, in an order shuffled anew
each round, so that whatever else the machine does falls on all of them alike. The default clock is the process's CPU
time (of all its threads), which a busy machine disturbs less than wall-clock time does::

    from harness import check_ratio, interleave, use_one_thread

    use_one_thread()  # before numpy or torch are imported
    timings = interleave({"ours": read_ours, "theirs": read_theirs}, rounds=21)
    sys.exit(check_ratio(timings, ours="ours", reference="theirs", at_least=25.0))

Run a benchmark as ``python benchmarks/NAME.py``. Exit codes: 0 the bar is met, 1 it is not, 3 the timings were too
unsteady to judge by.
"""

import gc
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

MET, MISSED, UNSTEADY = 0, 1, 3
"""Exit codes of a benchmark."""

_THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True)
class Timing:
    """Times of one variant in seconds, one per round.

    Attributes:
        name: Name of the variant.
        seconds: Time of each round, in the order of the rounds.
    """

    name: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median time of a round in seconds."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Ratio of the slowest to the fastest round; 1 is perfectly steady."""
        return max(self.seconds) / min(self.seconds)


def use_one_thread() -> None:
    """Limit the numerical libraries to one thread; call this before importing them."""
    for name in _THREAD_SETTINGS:
        os.environ[name] = "1"


def interleave(
    variants: dict[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.process_time,
    *,
    warmup: int = 1,
    seed: int = 0,
) -> dict[str, Timing]:
    """Time every variant once per round, in a new random order each round.

    Args:
        variants: Functions to time, by name. Each call should take at least about ten clock ticks.
        rounds: Number of times each variant is timed.
        clock: Returns seconds; ``time.process_time`` (CPU time) or ``time.perf_counter`` (wall clock).
        warmup: Untimed rounds before the first.
        seed: Seed of the shuffled order.

    Returns:
        The timings by name, in the order of ``variants``.
    """
    order = random.Random(seed)
    names = list(variants)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for round_index in range(-warmup, rounds):
        order.shuffle(names)
        for name in names:
            elapsed = _time_once(variants[name], clock)
            if round_index >= 0:
                seconds[name].append(elapsed)
    return {name: Timing(name, tuple(seconds[name])) for name in variants}


def _time_once(call: Callable[[], object], clock: Callable[[], float]) -> float:
    """Time one call, after collecting garbage of earlier calls and with the collector disabled."""
    gc.collect()
    gc.disable()
    try:
        start = clock()
        call()
        return clock() - start
    finally:
        gc.enable()


def report_ratio(timings: dict[str, Timing], *, ours: str, reference: str, per: int = 1, what: str = "call") -> float:
    """Print both timings and return our speed relative to the reference.

    Args:
        timings: Timings from ``interleave``.
        ours: Name of our variant.
        reference: Name of the reference variant.
        per: Number of items (records, steps) per call; times are printed per item.
        what: Word for one item.

    Returns:
        Median of the reference divided by the median of ours.
    """
    mine, theirs = timings[ours], timings[reference]
    for timing in (mine, theirs):
        low, median, high = (1e6 * value / per for value in (min(timing.seconds), timing.median, max(timing.seconds)))
        print(
            f"  {timing.name:<36} median {median:12.1f} us a {what}   [{low:.1f}, {high:.1f}]   "
            f"max/min {timing.spread:.2f}   {len(timing.seconds)} rounds"
        )
    by_round = sorted(b / a for a, b in zip(mine.seconds, theirs.seconds, strict=True))
    ratio = theirs.median / mine.median
    print(
        f"  ratio of medians  {reference} / {ours} = {ratio:.2f}x   by round: [{by_round[0]:.2f}, {by_round[-1]:.2f}], "
        f"middle {statistics.median(by_round):.2f}"
    )
    return ratio


def check_ratio(
    timings: dict[str, Timing],
    *,
    ours: str,
    reference: str,
    at_least: float,
    per: int = 1,
    what: str = "call",
    max_spread: float = 1.5,
) -> int:
    """Report the ratio and return the exit code of the benchmark.

    Args:
        timings: Timings from ``interleave``.
        ours: Name of our variant.
        reference: Name of the reference variant.
        at_least: The bar: minimum speed relative to the reference.
        per: Number of items per call.
        what: Word for one item.
        max_spread: Above this ratio of slowest to fastest round, on either side, nothing is judged.

    Returns:
        ``MET``, ``MISSED`` or ``UNSTEADY``.
    """
    ratio = report_ratio(timings, ours=ours, reference=reference, per=per, what=what)
    unsteady = [timing for timing in (timings[ours], timings[reference]) if timing.spread > max_spread]
    if unsteady:
        told = ", ".join(f"{timing.name} {timing.spread:.2f}" for timing in unsteady)
        print(f"  NOT JUDGED: max/min above {max_spread} ({told}); run it again on a quieter machine")
        return UNSTEADY
    met = ratio >= at_least
    print(f"  {'met' if met else 'MISSED'}: {ratio:.2f}x against a bar of {at_least:g}x")
    return MET if met else MISSED


def describe_environment(packages: Iterable[str]) -> str:
    """Return one line with the versions of Python, of the machine and of the packages."""
    told = [
        f"python {platform.python_version()}",
        f"{platform.system()} {platform.machine()}",
        f"{os.cpu_count()} CPUs",
    ]
    for package in packages:
        try:
            told.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            told.append(f"{package} absent")
    return ", ".join(told)
