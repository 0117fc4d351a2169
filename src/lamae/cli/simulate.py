"""`lamae simulate ecg OUT`: a cohort of simulated studies as real files."""

import argparse
from pathlib import Path

from lamae.cli.arguments import Verbs, positive_int


def add_verbs(verbs: Verbs) -> None:
    """Add ``simulate`` to the parser."""
    parser = verbs.add_parser("simulate", help="write a simulated cohort as real files, with codes and the truth")
    parser.add_argument("modality", choices=["ecg"], help="what to simulate")
    parser.add_argument("out", type=Path, help="folder to write; the layout is that of MIMIC-IV-ECG 1.0")
    parser.add_argument("--studies", type=positive_int, default=2000, help="number of studies (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same bytes (default: %(default)s)")
    parser.add_argument("--workers", type=positive_int, default=2, help="processes (default: %(default)s)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Write the cohort and print its size."""
    from lamae.ecg.simulate import simulate_ecg_cohort

    summary = simulate_ecg_cohort(
        arguments.out, num_studies=arguments.studies, seed=arguments.seed, workers=arguments.workers
    )
    print(
        f"{summary.path}: {summary.num_studies:,} simulated studies of {summary.num_patients:,} patients, "
        f"simulator {summary.simulator_version}, seed {summary.seed}, {summary.seconds:.0f} s"
    )
