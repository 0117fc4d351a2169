"""Arguments of the label set and of the labelled subset, the same for every verb."""

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

from lamae.cli.arguments import count, positive_int


def add_label_set(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a label set to a verb."""
    group = parser.add_argument_group("label set")
    group.add_argument("--min-count", type=positive_int, help="least number of positive training studies of a label")
    group.add_argument("--max-labels", type=positive_int, metavar="N", help="keep the N most frequent labels only")
    group.add_argument(
        "--statements",
        choices=["any", "in-set", "not-needed"],
        help="which studies take part: with any code, with a code of the set, or all (default: the label set's own)",
    )
    group.add_argument(
        "--icd9", choices=["drop", "map"], help="leave ICD-9-CM codes out, or translate them (default: drop)"
    )
    group.add_argument("--icd9-map", type=Path, metavar="FILE", help="map to translate by: icd_9,icd_10,flags in CSV")
    group.add_argument(
        "--vocabulary",
        choices=["train", "all"],
        help="which studies decide what labels there are (default: train; all is a leak that benchmarks have)",
    )


def add_label_draw(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the labelled subset to a verb."""
    group = parser.add_argument_group("label draw")
    group.add_argument("--label-fraction", type=float, help="fraction of the training patients whose labels are used")
    group.add_argument("--label-count", type=positive_int, metavar="N", help="N training studies, chosen by patient")
    group.add_argument("--label-draw", type=count, metavar="SEED", help="seed of the draw of these patients")


def add_transfer(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a transfer to another pack to a verb."""
    group = parser.add_argument_group("transfer")
    group.add_argument("--test-data", type=Path, metavar="PACK", help="test on the studies of another pack")
    group.add_argument(
        "--test-part", choices=["all", "test"], help="of that pack: all studies, or its test split (default: all)"
    )


def eval_settings(arguments: argparse.Namespace) -> Any:
    """Return the settings of an evaluation that the arguments name; the others have their defaults."""
    from lamae.evals import EvalSettings

    given = {field.name: getattr(arguments, field.name, None) for field in fields(EvalSettings)}
    return EvalSettings(**{name: value for name, value in given.items() if value is not None})


def judged(arguments: argparse.Namespace) -> tuple[Path, str, Path]:
    """Return the pack, the label set and the folder to write, in the order in which every evaluation takes them."""
    return arguments.data, arguments.labels, arguments.out


def encoder_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options that every evaluation of an encoder has."""
    return {
        "readout": arguments.readout,
        "settings": eval_settings(arguments),
        "test_pack": arguments.test_data,
        "system": arguments.system,
        "overwrite": arguments.overwrite,
    }
