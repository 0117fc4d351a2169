"""Memory of WFDB records: kept from one to the next, and never seen in a study."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from lamae.ecg.leads import LEADS
from lamae.ecg.readers import read_wfdb
from lamae.ecg.readers.wfdb import LARGEST_SCRATCH_BYTES

FAULTS = """
import resource, sys, lamae
for _ in range(20): lamae.read(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100): lamae.read(sys.argv[1])
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def write_record(folder: Path, name: str, num_samples: int, *, num_signals: int = 12) -> tuple[Path, np.ndarray]:
    """Write a record in format 16 and return its header and its values in mV."""
    samples = np.random.default_rng(num_samples).integers(-999, 999, (num_samples, num_signals)).astype("<i2")
    (folder / f"{name}.dat").write_bytes(samples.tobytes())
    lines = [f"{name} {num_signals} 500 {num_samples}"]
    lines += [f"{name}.dat 16 500(0)/mV 16 0 0 0 0 {lead}" for lead in LEADS[:num_signals]]
    (folder / f"{name}.hea").write_text("\n".join(lines))
    return folder / f"{name}.hea", (samples.T / 500).astype(np.float32)


def values(header: Path) -> np.ndarray:
    return np.stack([view.values for view in read_wfdb(header).views.values()])


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults as Linux does")
def test_reading_and_dropping_records_clears_no_memory_again_and_again(tmp_path: Path):
    header, _ = write_record(tmp_path, "rec", 5000)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, str(header)], capture_output=True, text=True, check=True, env=plain
    )
    assert int(done.stdout) < 100 * 5, "a record of 240 kB has 59 pages: they are cleared for each record"


def test_records_share_no_memory_and_a_shorter_one_sees_nothing_of_the_one_before(tmp_path: Path):
    records = [write_record(tmp_path, f"r{number}", number) for number in (911, 7, 503)]
    studies = [read_wfdb(header) for header, _ in records]
    for study, (_, expected) in zip(studies, records, strict=True):
        np.testing.assert_array_equal(np.stack([view.values for view in study.views.values()]), expected)


def test_a_record_larger_than_what_is_kept(tmp_path: Path):
    num_samples = LARGEST_SCRATCH_BYTES // 4 + 11
    header, expected = write_record(tmp_path, "large", num_samples, num_signals=2)
    np.testing.assert_array_equal(values(header), expected)


def test_threads_do_not_disturb_each_other(tmp_path: Path):
    records = [write_record(tmp_path, f"r{number}", 3001 + number) for number in range(4)]
    wrong: list[int] = []

    def read_again(number: int) -> None:
        header, expected = records[number]
        wrong.extend(number for _ in range(40) if not np.array_equal(values(header), expected))

    threads = [threading.Thread(target=read_again, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
