"""Throughput of `prepare` on simulated studies with two workers, and growth of its memory with their number.

Run with ``python benchmarks/prepare_rate.py``. Wall-clock time after the workers have started, default preprocessing
(500 Hz to 100 Hz, band-pass). The memory is the peak of each process's own pages (the processes that read for the
workers included), for N and 4 N studies. Bar: at least 300 studies a second, and at 4 N no process above 1.25 times its
peak at N.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

from harness import MET, MISSED, describe_environment, use_one_thread

use_one_thread()

from lamae.cohorts import open_cohort  # noqa: E402
from lamae.ecg.simulate import simulate_ecg_cohort  # noqa: E402
from lamae.prepare import prepare  # noqa: E402
from lamae.prepare import run as prepare_run  # noqa: E402

RATE_BAR, GROWTH_BAR, WORKERS = 300.0, 1.25, 2


def peak_mib(process_id: int | str) -> float:
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def reading_processes() -> list[int]:
    """Return the process that reads for this worker."""
    return [int(word) for file in Path("/proc/self/task").glob("*/children") for word in file.read_text().split()]


def worker_peak_mib() -> float:
    return max(map(peak_mib, ("self", *reading_processes())))


def worker_cpu_seconds() -> float:
    ticks = 0
    for process in reading_processes():
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def import_everything() -> None:
    """Do the one-off work of a worker, which does not depend on the number of studies."""
    import lamae.prepare  # noqa: F401
    from lamae.reading import Source, read_files

    for study in read_files(Source(read=len, preprocess=len, config=None), [("",)]):
        study.skip()


def measure(cohort_root: Path, pack: Path, results) -> None:
    """Prepare in a separate process, so that the peak memory of one size does not affect the other."""
    found = {}
    original = prepare_run._distribute

    def timed(client, *arguments):
        client.wait_for_workers(WORKERS)
        client.run(import_everything)
        started, cpu_before = time.monotonic(), sum(client.run(worker_cpu_seconds).values())
        yield from original(client, *arguments)
        found["seconds"] = time.monotonic() - started
        found["cpu_seconds"] = sum(client.run(worker_cpu_seconds).values()) - cpu_before
        found["workers_mib"] = max(client.run(worker_peak_mib).values())

    prepare_run._distribute = timed
    summary = prepare(open_cohort("mimic-iv-ecg", cohort_root), pack, workers=WORKERS, progress=False)
    found |= {"studies": summary.num_studies + summary.num_rejected, "main_mib": peak_mib("self")}
    results.put(found | {"total_seconds": summary.seconds})


def measure_apart(cohort_root: Path, pack: Path) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=measure, args=(cohort_root, pack, results))
    process.start()
    found = results.get(timeout=600)
    process.join()
    print(
        f"  {found['studies']} studies: {found['studies'] / found['seconds']:.0f} studies/s after start-up "
        f"({found['seconds']:.1f} s of {found['total_seconds']:.1f} s), workers' CPU time "
        f"{1000 * found['cpu_seconds'] / found['studies']:.2f} ms a study; "
        f"peak memory {found['main_mib']:.0f} MiB main, {found['workers_mib']:.0f} MiB largest worker"
    )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1500, help="N; the second run has 4 N")
    num_studies = parser.parse_args().studies
    print(f"prepare_rate: simulated MIMIC-IV-ECG layout, 12 x 5000 at 500 Hz to 100 Hz, {WORKERS} workers")
    print(" ", describe_environment(["numpy", "scipy", "pyarrow", "distributed"]))
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for count in (num_studies, 4 * num_studies):
            root = Path(folder) / f"cohort-{count}"
            simulate_ecg_cohort(root, num_studies=count, seed=7, workers=WORKERS, progress=False)
            found.append(measure_apart(root, Path(folder) / f"pack-{count}"))
    small, large = found
    rate = large["studies"] / large["seconds"]
    growth = max(large[name] / small[name] for name in ("main_mib", "workers_mib"))
    met = rate >= RATE_BAR and growth <= GROWTH_BAR
    print(f"  memory at 4 N over memory at N: {growth:.2f}")
    print(
        f"  {'met' if met else 'MISSED'}: {rate:.0f} studies/s (bar {RATE_BAR:.0f}), "
        f"growth {growth:.2f} (bar {GROWTH_BAR})"
    )
    return MET if met else MISSED


if __name__ == "__main__":
    sys.exit(main())
