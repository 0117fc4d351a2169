"""`lamae probe` and `lamae finetune`: judge frozen features, or learn all weights; the controls are the same verbs."""

import argparse

from lamae.cli.arguments import READOUTS, Verbs, dotted, positive_int
from lamae.cli.evaluation_arguments import (
    HAND_MADE,
    MODEL_HELP,
    OWN_BATCH,
    add_evaluation,
    add_random_control,
    add_token_readout,
    computing,
)
from lamae.cli.label_arguments import add_label_draw, add_transfer, encoder_options, eval_settings, judged
from lamae.progress import TaskProgress


def add_verbs(verbs: Verbs) -> None:
    """Add ``probe`` and ``finetune`` to the parser."""
    probe = verbs.add_parser("probe", help="judge a frozen encoder")
    _add_shared(probe, model_help=MODEL_HELP)
    add_token_readout(probe)
    probe.add_argument(
        "--protocol",
        choices=["linear", "attention-pool", "mlp", "knn"],
        default="linear",
        help="what is learned from the labels: a line, a query over all tokens, a perceptron, or only the number of "
        "neighbours (default: linear)",
    )
    add_random_control(probe)
    probe.set_defaults(run=run_probe)
    finetune = verbs.add_parser(
        "finetune",
        help="learn weights from labels",
        description="Settings of the training are given by name: --epochs 50 --lr 1e-4.",
    )
    _add_shared(finetune, model_help="folder of a run", batch_size="32")
    finetune.add_argument(
        "--control", choices=["none", "scratch"], default="none", help="begin with random weights: supervised only"
    )
    finetune.add_argument("--readout", choices=READOUTS, help="default: what the recipe names")
    finetune.add_argument("--train", choices=["all", "head"], help="all weights, or the head alone (default: all)")
    finetune.add_argument(
        "--head", choices=["linear", "attentive", "mlp"], help="what stands on the encoder (default: linear)"
    )
    finetune.add_argument(
        "--added-latent", type=positive_int, metavar="N", help="put N layers of latent attention on a run without any"
    )
    finetune.set_defaults(run=run_finetune, takes_settings=True, resumes=True)


def run_probe(arguments: argparse.Namespace) -> None:
    """Probe, write the result and print it."""
    from lamae.evals import handmade, probe

    with TaskProgress() as progress:
        if str(arguments.model) == HAND_MADE:
            _check_hand_made(arguments)
            named = {} if arguments.system is None else {"system": arguments.system}
            settings, other = eval_settings(arguments), arguments.test_data
            named |= {"overwrite": arguments.overwrite}
            found = handmade(*judged(arguments), settings=settings, test_pack=other, progress=progress, **named)
        else:
            found = probe(
                arguments.model,
                *judged(arguments),
                protocol=arguments.protocol,
                weights="random" if arguments.control == "random-init" else "pretrained",
                progress=progress,
                **encoder_options(arguments),
                **computing(arguments),
            )
    print(found)


def run_finetune(arguments: argparse.Namespace) -> None:
    """Fine-tune, write the result and print it."""
    from lamae.config import apply_overrides
    from lamae.evals import FinetuneConfig, finetune

    chosen = {name: getattr(arguments, name) for name in ("train", "head", "added_latent")}
    given = {name: value for name, value in chosen.items() if value is not None} | computing(arguments)
    with TaskProgress() as progress:
        print(
            finetune(
                arguments.model,
                *judged(arguments),
                init="scratch" if arguments.control == "scratch" else "pretrained",
                config=apply_overrides(FinetuneConfig(), dotted(arguments.settings) | given),
                progress=progress,
                **encoder_options(arguments),
            )
        )


def _check_hand_made(arguments: argparse.Namespace) -> None:
    from lamae.errors import ConfigError

    computing(arguments)
    if arguments.protocol != "linear" or arguments.readout is not None or arguments.control != "none":
        raise ConfigError(
            f"{HAND_MADE} features have no encoder and are judged by a linear probe: leave --protocol, --readout and "
            "--control out"
        )


def _add_shared(parser: argparse.ArgumentParser, *, model_help: str, batch_size: str = OWN_BATCH) -> None:
    add_evaluation(parser, model_help=model_help, batch_size=batch_size)
    add_label_draw(parser)
    add_transfer(parser)
