"""Reading a pack of 12 x 5000 int16 in random batches of 32: against a numpy memory map, and normalised to float32.

Run with ``python benchmarks/pack_read.py``. One thread, CPU time, variants in turn. Bars: the raw batch at least 0.7x
as fast as gathering the same rows from one ``.npy`` memory map; at least 20,000 normalised records a second.
"""

import sys
import tempfile
from pathlib import Path

from harness import MET, MISSED, UNSTEADY, check_ratio, describe_environment, interleave, use_one_thread

use_one_thread()

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402

from lamae.ecg.leads import LEADS  # noqa: E402
from lamae.ecg.preprocess import normalise  # noqa: E402
from lamae.pack import Gathered, Pack, write_pack  # noqa: E402
from lamae.studies import PreparedStudy  # noqa: E402

NUM_STUDIES, NUM_LEADS, NUM_SAMPLES, BATCH = 2048, 12, 5000, 32
BATCHES_A_ROUND = 32
RECORDS_A_ROUND = BATCH * BATCHES_A_ROUND
RAW_BAR, NORMALISED_BAR = 0.7, 20_000


def write_both(folder: Path) -> tuple[np.ndarray, Pack]:
    rng = np.random.default_rng(0)
    base = rng.integers(-2000, 2000, (64, NUM_LEADS, NUM_SAMPLES)).astype(np.int16)
    everything = np.stack([np.roll(base[index % 64], index, axis=1) for index in range(NUM_STUDIES)])
    np.save(folder / "all.npy", everything)
    studies = (
        PreparedStudy.of_waveforms(
            view_names=LEADS,
            values=values,
            scale=np.full(NUM_LEADS, 0.001, np.float32),
            rate_hz=500.0,
            has_missing=False,
        )
        for values in everything
    )
    table = pa.table({"study_id": [str(index) for index in range(NUM_STUDIES)]})
    return np.load(folder / "all.npy", mmap_mode="r"), write_pack(folder / "pack", studies, table, view_names=LEADS)


def read(pack: Pack, indices: np.ndarray) -> Gathered:
    return pack.read(pack.whole(indices))


def main() -> int:
    print(
        f"pack_read: {NUM_STUDIES} studies of {NUM_LEADS} x {NUM_SAMPLES} int16, random batches of {BATCH}, one thread"
    )
    print(" ", describe_environment(["numpy", "pyarrow"]))
    with tempfile.TemporaryDirectory() as folder:
        memmap, pack = write_both(Path(folder))
        order = np.random.default_rng(1).permutation(NUM_STUDIES)[:RECORDS_A_ROUND].reshape(-1, BATCH)
        np.testing.assert_array_equal(read(pack, order[0]).values, memmap[order[0]].reshape(-1, NUM_SAMPLES))
        out = np.empty((BATCH * NUM_LEADS, NUM_SAMPLES), np.float32)

        def read_memmap() -> None:
            for indices in order:
                memmap[indices]

        def read_pack() -> None:
            for indices in order:
                read(pack, indices)

        def normalised_batch(indices: np.ndarray) -> np.ndarray:
            found = read(pack, indices)
            return normalise(found.values, found.scale, found.study_of, has_missing=found.has_missing, out=out)

        def read_normalised() -> None:
            for indices in order:
                normalised_batch(indices)

        timings = interleave(
            {"numpy memmap": read_memmap, "pack": read_pack, "pack, normalised": read_normalised}, rounds=15
        )
    code = check_ratio(
        timings, ours="pack", reference="numpy memmap", at_least=RAW_BAR, per=RECORDS_A_ROUND, what="record"
    )
    normalised = timings["pack, normalised"]
    rate = RECORDS_A_ROUND / normalised.median
    met = rate >= NORMALISED_BAR
    print(f"  normalised float32: {rate:,.0f} records/s   max/min {normalised.spread:.2f}")
    print(f"  {'met' if met else 'MISSED'}: a bar of {NORMALISED_BAR:,} records/s on one core")
    if not met:
        return MISSED
    return code if code in (MISSED, UNSTEADY) else MET


if __name__ == "__main__":
    sys.exit(main())
