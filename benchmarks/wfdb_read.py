"""WFDB record to mV array: our reader against ``wfdb.rdrecord``, one thread's CPU time.

Both read the same synthetic records (12 leads x 5,000 samples, format 16) from the page cache, parse the header each
time, and hand each record on before the next is read, as a preparation of a data set does. The bar is 25x.
"""

import argparse
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

from harness import UNSTEADY, check_ratio, describe_environment, interleave, use_one_thread

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


def pass_over(read: Callable[[str], object], paths: list[str]) -> Callable[[], None]:
    """Return a call that reads each record once and keeps none."""

    def call() -> None:
        for path in paths:
            read(path)

    return call


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--bar", type=float, default=25.0)
    parser.add_argument("--attempts", type=int, default=3, help="how often to try again when the timings are unsteady")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        records = write_records(Path(folder), chosen.records)
        print(f"WFDB record -> mV: {chosen.records} records of {len(LEADS)} x {NUM_SAMPLES}, format 16, float32 out")
        print(f"  {describe_environment(['lamae', 'wfdb', 'numpy', 'pandas'])}; 1 thread, CPU time, page cache warm")
        difference = largest_difference_mv(records)
        print(f"  largest difference {difference:.1e} mV (allowed {TOLERANCE_MV:.0e})")
        if difference > TOLERANCE_MV:
            print("  MISSED: the two readers differ")
            return 1
        headers = [f"{record}.hea" for record in records]
        variants = {"lamae.read": pass_over(lamae.read, headers), "wfdb.rdrecord": pass_over(wfdb.rdrecord, records)}
        code = UNSTEADY
        for _ in range(chosen.attempts):
            timings = interleave(variants, rounds=chosen.rounds)
            code = check_ratio(
                timings,
                ours="lamae.read",
                reference="wfdb.rdrecord",
                at_least=chosen.bar,
                per=chosen.records,
                what="record",
            )
            if code != UNSTEADY:
                break
        return code


if __name__ == "__main__":
    sys.exit(main())
