"""`lamae audit RECIPE|RUN [--data PACK]`: the part of a pretext task that is solved by copying between leads."""

import argparse
from dataclasses import replace
from pathlib import Path

from lamae.cli.arguments import Verbs, count, dotted, positive_int
from lamae.cli.evaluation_arguments import add_computing, computing
from lamae.progress import TaskProgress


def add_verbs(verbs: Verbs) -> None:
    """Add ``audit`` to the parser."""
    parser = verbs.add_parser(
        "audit",
        help="say how much of the reconstruction is solvable by Einthoven's law alone",
        description="For each mask strategy: the fraction of hidden patches that follow from leads visible at the same "
        "time; with a pack what that explains of the target, and for a run its loss on either kind of patches. "
        "Settings of a recipe can be changed by their dotted names: --model.mask.ratio 0.5.",
    )
    parser.add_argument("what", metavar="RECIPE|RUN", help="name of a recipe, or folder of a pretrained run")
    parser.add_argument("--data", type=Path, metavar="PACK", help="pack to measure on")
    parser.add_argument("--out", type=Path, metavar="FILE", help="file to write as well: .json or .md")
    parser.add_argument("--leads", action="append", metavar="I,II,V1", help="another set of leads; may be repeated")
    parser.add_argument("--studies", type=positive_int, default=256, help="maximum number of studies (default: 256)")
    parser.add_argument("--seed", type=count, default=0, help="seed of the masks (default: 0)")
    add_computing(parser, batch_size="32")
    parser.set_defaults(run=run, takes_settings=True)


def run(arguments: argparse.Namespace) -> None:
    """Print the tables, and write them where asked."""
    from lamae import recipes
    from lamae.checkpoint import find_checkpoint, load_model, read_provenance
    from lamae.config import apply_overrides, from_dict
    from lamae.ecg.leads import canonical_lead
    from lamae.errors import ConfigError
    from lamae.evals.audits.pretext import AuditData, audit
    from lamae.evals.audits.table import as_text, check_ending, write_audit
    from lamae.evals.probes.encoder import check_preprocessing
    from lamae.models import MaskedAutoencoderConfig
    from lamae.nn.precision import choose_device
    from lamae.pack import Pack
    from lamae.run_files import read_run_config
    from lamae.train import PretrainConfig

    if arguments.out is not None:
        check_ending(arguments.out)
    folder, model, meta, how = Path(arguments.what), None, None, computing(arguments)
    device, precision = how.pop("device", "auto"), how.pop("precision", None)
    if (folder / "run.json").is_file():
        if arguments.settings:
            raise ConfigError(f"{folder}: a run keeps its settings; audit its recipe to change {arguments.settings[0]}")
        config = from_dict(PretrainConfig, read_run_config(folder), source=str(folder / "config.yaml"))
        model, meta = load_model(folder, device=choose_device(device))
        how["precision"] = meta.precision(precision)
    elif device != "auto" or precision is not None:
        raise ConfigError(f"{folder}: no run, so no model computes: leave --device and --precision out")
    else:
        config = apply_overrides(recipes.get(arguments.what), dotted(arguments.settings))
    if not isinstance(config.model, MaskedAutoencoderConfig):
        raise ConfigError(f"the audit is of masked autoencoders, found a model of the kind {config.model.kind!r}")
    data = None
    if arguments.data is not None:
        data = AuditData(
            pack=Pack.open(arguments.data),
            train_splits=config.data.train_splits,
            judged_splits=config.data.validation_splits,
            num_studies=arguments.studies,
        )
        if meta is not None:
            check_preprocessing(meta, data.pack)
            data = replace(data, provenance=read_provenance(find_checkpoint(folder), meta))
    sets = [[canonical_lead(name) for name in names.split(",")] for names in arguments.leads or ()]
    with TaskProgress() as progress:
        found = audit(
            config.model,
            data,
            model=model,
            leads=config.data.views,
            lead_sets=sets or None,
            num_studies=arguments.studies,
            seed=arguments.seed,
            progress=progress,
            **how,
        )
    if arguments.out is not None:
        write_audit(found, arguments.out)
    print(as_text(found), end="")
