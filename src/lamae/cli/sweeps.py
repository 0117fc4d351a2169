"""`lamae efficiency` and `lamae robustness`: one system judged many times, with ever more labels or worse signals."""

import argparse

from lamae.cli.arguments import READOUTS, Verbs, count, dotted, number_list, positive_int
from lamae.cli.evaluation_arguments import (
    HAND_MADE,
    MODEL_HELP,
    add_evaluation,
    add_random_control,
    add_token_readout,
    computing,
)
from lamae.cli.label_arguments import add_transfer, encoder_options, judged
from lamae.errors import ConfigError
from lamae.progress import TaskProgress

_INITIALISATIONS = {"none": "pretrained", "random-init": "random", "scratch": "scratch"}


def add_verbs(verbs: Verbs) -> None:
    """Add ``efficiency`` and ``robustness`` to the parser."""
    _add_efficiency(verbs)
    _add_robustness(verbs)


def run_efficiency(arguments: argparse.Namespace) -> None:
    """Judge a system with each amount of labels, write the results and print the table."""
    from lamae.config import apply_overrides
    from lamae.evals import FinetuneConfig
    from lamae.evals.sweeps.label_efficiency import label_efficiency

    hand_made = str(arguments.model) == HAND_MADE
    protocol = arguments.protocol or (HAND_MADE if hand_made else "linear")
    if arguments.settings and protocol != "fine-tune":
        raise ConfigError(f"{' '.join(arguments.settings)}: settings of the training need --protocol fine-tune")
    how, tuned = computing(arguments), None
    if protocol == "fine-tune":
        tuned, how = apply_overrides(FinetuneConfig(), dotted(arguments.settings) | how), {}
    with TaskProgress() as progress:
        found = label_efficiency(
            None if hand_made else arguments.model,
            *judged(arguments),
            fractions=arguments.label_fractions,
            counts=arguments.label_counts,
            draws=arguments.label_draws,
            protocol=protocol,
            initialisation=_INITIALISATIONS[arguments.control],  # pyright: ignore[reportArgumentType]
            config=tuned,
            **encoder_options(arguments),
            **how,
            progress=progress,
        )
    print(found)


def run_robustness(arguments: argparse.Namespace) -> None:
    """Judge a system under conditions, write the results and print the table."""
    from lamae.evals.sweeps.robustness import robustness

    with TaskProgress() as progress:
        found = robustness(
            None if str(arguments.model) == HAND_MADE else arguments.model,
            *judged(arguments),
            conditions=arguments.conditions,
            train_too=arguments.train_too,
            protocol=arguments.protocol,
            weights="random" if arguments.control == "random-init" else "pretrained",
            noise_seed=arguments.noise_seed,
            **encoder_options(arguments),
            **computing(arguments),
            progress=progress,
        )
    print(found)


def fraction_list(text: str) -> tuple[float, ...]:
    """Return ``"0.05,1"`` as ``(0.05, 1.0)``."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected fractions such as 0.05,0.25,1, found {text!r}") from None


def _add_efficiency(verbs: Verbs) -> None:
    parser = verbs.add_parser(
        "efficiency",
        help="judge a system with ever more labels, several draws of each amount",
        description="Writes a result for each amount and draw, and a table; the same command goes on where it was. "
        "Settings of fine-tuning are given by name: --epochs 50 --lr 1e-4.",
    )
    add_evaluation(parser, model_help=MODEL_HELP, out="FOLDER")
    add_transfer(parser)
    add_token_readout(parser)
    parser.add_argument(
        "--label-fractions",
        type=fraction_list,
        metavar="FRACTIONS",
        help="of the training patients (default: 0.05,0.25,1)",
    )
    parser.add_argument(
        "--label-counts", type=number_list, metavar="NUMBERS", help="of training studies, such as 100,1000"
    )
    parser.add_argument(
        "--label-draws", type=positive_int, default=3, metavar="N", help="draws of each amount (default: 3)"
    )
    parser.add_argument(
        "--protocol",
        choices=["linear", "attention-pool", "mlp", "knn", "fine-tune"],
        help="how labels are learned (default: linear)",
    )
    parser.add_argument(
        "--control", choices=list(_INITIALISATIONS), default="none", help="random weights: frozen, or learned from them"
    )
    parser.set_defaults(run=run_efficiency, takes_settings=True, resumes=True)


def _add_robustness(verbs: Verbs) -> None:
    parser = verbs.add_parser(
        "robustness",
        help="judge a frozen system on fewer leads, other orders of leads, and with noise",
        description="Writes a result for each condition and one as recorded, and a table with paired differences.",
    )
    add_evaluation(parser, model_help=MODEL_HELP, out="FOLDER")
    add_transfer(parser)
    parser.add_argument("--readout", choices=READOUTS, help="default: what the recipe names")
    parser.add_argument(
        "--conditions",
        nargs="+",
        default=["all"],
        metavar="CONDITION",
        help="leads:2, leads:I,II,V2, order:shuffled, noise:muscle@10dB, ...; leads, order, noise, or all (default)",
    )
    parser.add_argument("--train-too", action="store_true", help="also learn a probe of its own under each condition")
    parser.add_argument(
        "--protocol",
        choices=["linear", "mlp", "knn"],
        default="linear",
        help="how labels are learned (default: linear)",
    )
    add_random_control(parser)
    parser.add_argument(
        "--noise-seed", type=count, default=0, metavar="SEED", help="seed of noise and shuffled orders (default: 0)"
    )
    parser.set_defaults(run=run_robustness, resumes=True)
