"""`lamae probe` and `lamae finetune`: judge frozen features, or learn all weights; the controls are the same verbs."""

import argparse
from pathlib import Path

from lamae.cli.arguments import READOUTS, Verbs, dotted, number_list, positive_int
from lamae.cli.label_arguments import add_label_draw, add_label_set, eval_settings
from lamae.cli.progress import TextProgress

HAND_MADE = "hand-made"


def add_verbs(verbs: Verbs) -> None:
    """Add ``probe`` and ``finetune`` to the parser."""
    probe = verbs.add_parser("probe", help="judge a frozen encoder by linear classifiers")
    _add_shared(probe, model_help=f"folder of a run, or the word {HAND_MADE} for classical measurements")
    probe.add_argument(
        "--control", choices=["none", "random-init"], default="none", help="use the same encoder with random weights"
    )
    probe.set_defaults(run=run_probe)
    finetune = verbs.add_parser(
        "finetune",
        help="learn all weights from labels",
        description="Settings of the training are given by name: --epochs 50 --lr 1e-4.",
    )
    _add_shared(finetune, model_help="folder of a run")
    finetune.add_argument(
        "--control", choices=["none", "scratch"], default="none", help="begin with random weights: supervised only"
    )
    finetune.set_defaults(run=run_finetune, takes_settings=True)


def run_probe(arguments: argparse.Namespace) -> None:
    """Probe, write the result and print it."""
    from lamae.evals import handmade, probe

    settings = eval_settings(arguments)
    with TextProgress() as progress:
        if str(arguments.model) == HAND_MADE:
            found = handmade(
                arguments.data,
                arguments.labels,
                arguments.out,
                settings=settings,
                test_pack=arguments.test_data,
                progress=progress,
            )
        else:
            found = probe(
                arguments.model,
                arguments.data,
                arguments.labels,
                arguments.out,
                weights="random" if arguments.control == "random-init" else "pretrained",
                readout=arguments.readout,
                settings=settings,
                test_pack=arguments.test_data,
                progress=progress,
            )
    print(found)


def run_finetune(arguments: argparse.Namespace) -> None:
    """Fine-tune, write the result and print it."""
    from lamae.config import apply_overrides
    from lamae.evals import FinetuneConfig, finetune

    with TextProgress() as progress:
        print(
            finetune(
                arguments.model,
                arguments.data,
                arguments.labels,
                arguments.out,
                init="scratch" if arguments.control == "scratch" else "pretrained",
                readout=arguments.readout,
                config=apply_overrides(FinetuneConfig(), dotted(arguments.settings)),
                settings=eval_settings(arguments),
                test_pack=arguments.test_data,
                progress=progress,
            )
        )


def _add_shared(parser: argparse.ArgumentParser, *, model_help: str) -> None:
    parser.add_argument("model", type=Path, metavar="RUN", help=model_help)
    parser.add_argument("--data", type=Path, required=True, metavar="PACK", help="pack with labels")
    parser.add_argument(
        "--labels", required=True, metavar="SET", help="label set: superclass, icd10-chapter-ix, ... (docs/labels.md)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="RESULT", help="folder to write")
    parser.add_argument("--readout", choices=READOUTS, help="default: what the recipe names")
    parser.add_argument("--folds", type=number_list, help="cross-validate over these folds by patient, such as 1-9")
    parser.add_argument("--seed", type=int, help="seed of everything random but the label draw (default: 0)")
    parser.add_argument("--draws", type=positive_int, help="draws of patients for the intervals (default: 1000)")
    parser.add_argument(
        "--absent", choices=["skip", "0.5", "error"], help="labels without positives in the test set (default: skip)"
    )
    parser.add_argument(
        "--allow-leak",
        action="store_true",
        default=None,
        help="test on pretraining patients all the same; the result says so",
    )
    add_label_set(parser)
    add_label_draw(parser)
