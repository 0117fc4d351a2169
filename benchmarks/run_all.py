"""Run all benchmarks one after another and summarise each in one line.

Run with ``python benchmarks/run_all.py``. Exit code: 0 all bars met, 1 some missed, 3 none missed but some timings were
too unsteady to judge by.
"""

import subprocess
import sys
from pathlib import Path

from harness import MET, MISSED, UNSTEADY

HERE = Path(__file__).parent
BENCHMARKS = ("wfdb_read", "pack_read", "cohort_tables", "vitmae_step", "prepare_rate", "bootstrap_rate")
WORDS = {MET: "met", MISSED: "MISSED", UNSTEADY: "not judged: the machine was too noisy"}


def main() -> int:
    """Run them and return the exit code."""
    outcomes = {}
    for name in BENCHMARKS:
        print(f"\n=== {name}", flush=True)
        outcomes[name] = subprocess.run([sys.executable, HERE / f"{name}.py"], check=False).returncode
    print()
    for name, code in outcomes.items():
        print(f"{name:16} {WORDS.get(code, f'FAILED with exit code {code}')}")
    if all(code == MET for code in outcomes.values()):
        return MET
    return UNSTEADY if set(outcomes.values()) <= {MET, UNSTEADY} else MISSED


if __name__ == "__main__":
    sys.exit(main())
