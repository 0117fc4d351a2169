"""`lamae pretrain RECIPE --data PACK ... --out RUN`: a pretrained model in a folder."""

import argparse
from pathlib import Path

from lamae.cli.arguments import Verbs, dotted

STOPPED = 143
"""128 + 15, the exit status that schedulers expect of a process that SIGTERM ended."""


def add_verbs(verbs: Verbs) -> None:
    """Add ``pretrain`` to the parser."""
    parser = verbs.add_parser(
        "pretrain",
        help="pretrain a recipe on packs; the same command resumes",
        description="Every setting of the recipe can be changed by its dotted name: --optim.lr 1e-3. "
        "`lamae describe RECIPE` prints them all.",
    )
    parser.add_argument("recipe", help="name of a recipe, such as ecg-lamae-tiny")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="PACK", help="packs to train on")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder to write, or to resume")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="YAML file with settings; those of a run's config.yaml fit"
    )
    parser.set_defaults(run=run, takes_settings=True, resumes=True)


def run(arguments: argparse.Namespace) -> int:
    """Resolve the configuration, then train; the exit status is 143 when a signal ended it early."""
    from lamae import recipes
    from lamae.config import apply_overrides, from_mapping_over, read_yaml
    from lamae.train import pretrain

    config = recipes.get(arguments.recipe)
    if arguments.config is not None:
        config = from_mapping_over(config, read_yaml(arguments.config), source=str(arguments.config))
    config = apply_overrides(config, dotted(arguments.settings))
    summary = pretrain(config, arguments.data, arguments.out, recipe_name=arguments.recipe)
    print(summary)
    return 0 if summary.status == "finished" else STOPPED
