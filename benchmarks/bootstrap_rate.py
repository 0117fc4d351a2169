"""Patient bootstrap with 1,000 draws, 228 labels, 50,000 ECGs: AUROC, average precision, F1, Brier score.

Run with ``python benchmarks/bootstrap_rate.py [draws]``. One process of one thread, wall clock, peak memory of the
whole process. The bar is for two cores, 10 minutes and 4 GiB, with 1,000 draws; the process uses one of the two.
Patients have 1 + Poisson(3) ECGs, the labels' prevalences run from 0.05 to 20 %, scores have ties, and one target in 50
is unknown.
"""

import resource
import sys
import time

from harness import MET, MISSED, describe_environment, use_one_thread

use_one_thread()

import numpy as np  # noqa: E402

from lamae.metrics import patient_bootstrap  # noqa: E402

DRAWS, NUM_LABELS, NUM_ROWS = 1000, 228, 50_000
SECONDS_BAR, GIB_BAR = 600.0, 4.0


def make_predictions(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(NUM_ROWS), 1 + rng.poisson(3, size=NUM_ROWS))[:NUM_ROWS]
    prevalence = np.geomspace(0.0005, 0.2, NUM_LABELS)
    targets = np.empty((NUM_ROWS, NUM_LABELS), np.float32)
    scores = np.empty((NUM_ROWS, NUM_LABELS), np.float32)
    for label in range(NUM_LABELS):
        positive = rng.random(NUM_ROWS) < prevalence[label]
        own = rng.normal(size=NUM_ROWS)[patients]
        logits = rng.normal(size=NUM_ROWS) + own + 1.5 * positive - 1
        targets[:, label] = np.where(rng.random(NUM_ROWS) < 0.02, np.nan, positive)
        scores[:, label] = np.round(1 / (1 + np.exp(-logits)), 5)
    return targets, scores, patients


def main() -> int:
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else DRAWS
    targets, scores, patients = make_predictions()
    num_patients = len(np.unique(patients))
    print(f"bootstrap_rate: {draws} draws of {num_patients:,} patients, {NUM_LABELS} labels x {NUM_ROWS:,} ECGs")
    print(" ", describe_environment(["numpy", "scipy"]), flush=True)
    before = time.perf_counter(), time.process_time()
    result = patient_bootstrap(targets, scores, patients, kind="probabilities", thresholds=0.4, draws=draws)
    seconds, cpu_seconds = time.perf_counter() - before[0], time.process_time() - before[1]
    gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    for name, interval in result.macro.items():
        print(f"  macro {name:6} {interval.value:.4f} [{interval.low:.4f}, {interval.high:.4f}]")
    share = 1 if draws == DRAWS else DRAWS / draws
    print(f"  {seconds:.0f} s ({cpu_seconds:.0f} s of one core); peak memory {gib:.2f} GiB")
    if share != 1:
        print(f"  that would be about {share * seconds:.0f} s for {DRAWS} draws")
    met = share * seconds <= SECONDS_BAR and gib <= GIB_BAR
    print(f"  {'met' if met else 'MISSED'}: at most {SECONDS_BAR:.0f} s and {GIB_BAR:g} GiB")
    return MET if met else MISSED


if __name__ == "__main__":
    sys.exit(main())
