"""WFDB record to mV array: our reader against ``wfdb.rdrecord``, one thread's CPU time.

Both read the same synthetic records (12 leads x 5,000 samples, format 16) from the page cache and parse the header each
time. Each side is a process of its own, so that neither meets the other's heap, in two states: records are dropped
before the next is read, or the last 64 are kept, as a batch is, from one pass to the next. (Memory that was never used
before, or that the C library gave back, costs a page fault for each 4 kB of it, the same for any reader; this is not
measured.) The bar is 25x in both.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import warnings
from collections import deque
from contextlib import ExitStack
from pathlib import Path

from harness import MET, MISSED, UNSTEADY, Timing, check_ratio, describe_environment, use_one_thread

use_one_thread()

import numpy as np  # noqa: E402

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import wfdb

import lamae  # noqa: E402
from lamae.ecg.leads import LEADS  # noqa: E402

NUM_SAMPLES = 5000
RATE_HZ = 500
TOLERANCE_MV = 1e-6
OURS, REFERENCE = "lamae.read", "wfdb.rdrecord"
STATES = {"arrays dropped": 0, "the last 64 kept": 64}
"""Records that are held while the next ones are read."""


def write_records(folder: Path, num_records: int, seed: int = 0) -> list[str]:
    """Write records of smooth random walks within +-2 mV, at a gain of 1,000 steps a mV as PTB-XL has."""
    rng = np.random.default_rng(seed)
    names = [f"record{number:04d}" for number in range(num_records)]
    for name in names:
        walk = np.cumsum(rng.integers(-30, 31, (NUM_SAMPLES, len(LEADS))), axis=0)
        wfdb.wrsamp(
            name,
            fs=RATE_HZ,
            units=["mV"] * len(LEADS),
            sig_name=list(LEADS),
            d_signal=np.clip(walk, -2000, 2000),
            fmt=["16"] * len(LEADS),
            adc_gain=[1000.0] * len(LEADS),
            baseline=[0] * len(LEADS),
            write_dir=str(folder),
        )
    return [str(folder / name) for name in names]


def largest_difference_mv(records: list[str]) -> float:
    """Return the largest difference between the two readers over all samples."""
    largest = 0.0
    for record in records:
        theirs = wfdb.rdrecord(record)
        study = lamae.read(f"{record}.hea")
        ours = np.stack([study.views[name].values for name in theirs.sig_name], axis=1)
        largest = max(largest, float(np.abs(ours - theirs.p_signal).max()))
    return largest


def pass_over(side: str, paths: list[str], held: deque[object]) -> float:
    """Read each record once into what is held, and return the CPU time of a record in seconds."""
    read = lamae.read if side == OURS else wfdb.rdrecord
    start = time.process_time()
    for path in paths:
        held.append(read(path))
    return (time.process_time() - start) / len(paths)


def serve(side: str, state: str, folder: str) -> None:
    """Be the process of one side in one state: a pass for each line that comes in, its time back."""
    paths = sorted(str(path if side == OURS else path.with_suffix("")) for path in Path(folder).glob("*.hea"))
    held: deque[object] = deque(maxlen=STATES[state])
    for _ in sys.stdin:
        print(pass_over(side, paths, held), flush=True)


def interleave_processes(state: str, folder: str, rounds: int) -> dict[str, Timing]:
    """Time both sides, each in a new process of its own, a pass of each in turn; the first pass is not counted."""
    command = [sys.executable, __file__, "--serve"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    seconds: dict[str, list[float]] = {OURS: [], REFERENCE: []}
    with ExitStack() as stack:
        sides = {one: stack.enter_context(subprocess.Popen([*command, one, state, folder], **pipes)) for one in seconds}
        for number in range(rounds + 1):
            for side in sorted(sides, reverse=bool(number % 2)):
                process = sides[side]
                assert process.stdin
                assert process.stdout
                print(file=process.stdin, flush=True)
                answer = process.stdout.readline()
                if number:
                    seconds[side].append(float(answer))
        for process in sides.values():
            process.communicate()
    return {name: Timing(name, tuple(found)) for name, found in seconds.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--bar", type=float, default=25.0)
    parser.add_argument("--attempts", type=int, default=3, help="how often to try again when the timings are unsteady")
    parser.add_argument(
        "--serve", nargs=3, metavar=("SIDE", "STATE", "FOLDER"), help="be one of the measured processes"
    )
    chosen = parser.parse_args()
    if chosen.serve:
        serve(*chosen.serve)
        return MET
    with tempfile.TemporaryDirectory() as folder:
        records = write_records(Path(folder), chosen.records)
        print(f"WFDB record -> mV: {chosen.records} records of {len(LEADS)} x {NUM_SAMPLES}, format 16, float32 out")
        print(f"  {describe_environment(['lamae', 'wfdb', 'numpy', 'pandas'])}; 1 thread, CPU time, page cache warm")
        difference = largest_difference_mv(records)
        print(f"  largest difference {difference:.1e} mV (allowed {TOLERANCE_MV:.0e})")
        if difference > TOLERANCE_MV:
            print("  MISSED: the two readers differ")
            return MISSED
        codes = []
        for state in STATES:
            code = UNSTEADY
            for _ in range(chosen.attempts):
                print(f" {state}, each side in a process of its own")
                timings = interleave_processes(state, folder, chosen.rounds)
                code = check_ratio(timings, ours=OURS, reference=REFERENCE, at_least=chosen.bar, what="record")
                if code != UNSTEADY:
                    break
            codes.append(code)
        return MISSED if MISSED in codes else max(codes)


if __name__ == "__main__":
    sys.exit(main())
