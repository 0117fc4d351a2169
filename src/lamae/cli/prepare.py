"""`lamae prepare COHORT ROOT PACK`: files as the hospital holds them to a pack."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lamae.cli.arguments import Verbs, add_file_timeout, count, key_values, positive_int

if TYPE_CHECKING:
    from lamae.prepare import PrepareSummary


def add_verbs(verbs: Verbs) -> None:
    """Add ``prepare`` to the parser."""
    parser = verbs.add_parser("prepare", help="read a cohort's files into a pack")
    parser.add_argument("cohort", help="mimic-iv-ecg, ptb-xl, challenge-2021, challenge-2011, code-15 or folder")
    parser.add_argument("root", type=Path, help="folder that holds the data set as downloaded")
    parser.add_argument("pack", type=Path, help="folder to write; the same command goes on with a half-made one")
    parser.add_argument(
        "--hosp", type=Path, help="MIMIC-IV hosp folder, to take codes from admissions and diagnoses_icd"
    )
    parser.add_argument(
        "--labels", type=Path, help="table of labels (Ext-ICD for mimic-iv-ecg; CSV or Parquet for folder)"
    )
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the cohort; may be repeated"
    )
    parser.add_argument("--rate-hz", type=float, help="samples a second in the pack (default: 100)")
    parser.add_argument("--duration-s", type=float, help="length in the pack (default: 10)")
    parser.add_argument(
        "--signal", action="append", default=[], metavar="NAME=VALUE",
        help="another setting of the preprocessing (docs/signals.md), such as bandpass_hz=null; may be repeated",
    )  # fmt: skip
    parser.add_argument("--workers", type=count, default=2, help="local processes; 0 runs in this one (default: 2)")
    parser.add_argument("--scheduler", help="address of a dask scheduler, such as tcp://host:8786")
    parser.add_argument("--shard-size", type=positive_int, default=256, help="studies a shard (default: 256)")
    add_file_timeout(parser)
    parser.add_argument(
        "--salt",
        help="salt of the hashes of patients, a long random one (default: the environment variable LAMAE_SALT, or one "
        "that is made for you once and kept in ~/.config/lamae/salt)",
    )  # fmt: skip
    parser.add_argument(
        "--torn-patients", choices=["refuse", "redraw"], default="refuse",
        help="where files show that studies of several given splits are one patient's: refuse and list them, or draw "
        "one split for each such patient (default: refuse)",
    )  # fmt: skip
    parser.set_defaults(run=run, resumes=True)


def run(arguments: argparse.Namespace) -> None:
    """Prepare the pack and print what went in, what was refused and why."""
    from lamae.cohorts import open_cohort
    from lamae.config import apply_overrides
    from lamae.modality import find_modality
    from lamae.prepare import prepare

    overrides = key_values(arguments.signal)
    overrides |= {
        name: str(getattr(arguments, name))
        for name in ("rate_hz", "duration_s")
        if getattr(arguments, name) is not None
    }
    cohort = open_cohort(
        arguments.cohort,
        arguments.root,
        hosp=arguments.hosp,
        labels=arguments.labels,
        **key_values(arguments.option),
    )
    summary = prepare(
        cohort,
        arguments.pack,
        preprocessing=apply_overrides(find_modality(cohort.modality).preprocessing(), overrides),
        workers=arguments.workers,
        scheduler=arguments.scheduler,
        shard_size=arguments.shard_size,
        salt=arguments.salt,
        file_timeout_s=arguments.file_timeout or None,
        torn_patients=arguments.torn_patients,
    )
    print(told(summary))


def told(summary: "PrepareSummary") -> str:
    """Return what came of a preparation, refusals by reason and flags included, as lines."""
    warnings = [f"  WARNING: {warning}" for warning in summary.warnings]
    if summary.already_finished:
        first = f"{summary.path}: already prepared with these settings, {summary.num_studies:,} studies"
        return "\n".join([first, *warnings])
    lines = [
        f"{summary.path}: {summary.num_studies:,} studies, {summary.num_recordings:,} leads, "
        f"{summary.seconds:.0f} s ({summary.studies_per_s:.0f} studies/s)"
    ]
    if summary.num_resumed:
        lines.append(f"  {summary.num_resumed:,} studies were finished before")
    if summary.num_rejected:
        lines.append(f"  {summary.num_rejected:,} refused, listed in {summary.path / 'rejected.parquet'}:")
        lines += [f"    {count:,} {reason}" for reason, count in summary.rejected_by_reason.items()]
    groups = (("flagged leads", summary.view_flags), ("flagged studies", summary.study_flags), ("notes", summary.notes))
    for name, counts in groups:
        if found := ", ".join(f"{key} {count:,}" for key, count in counts.items() if count):
            lines.append(f"  {name}: {found}")
    return "\n".join(lines + warnings)
