"""`lamae embed RUN PACK|FILE ... --out FILE.parquet`: one vector a study."""

import argparse
from pathlib import Path

from lamae.cli.arguments import READOUTS, Verbs, add_file_timeout, add_overwrite
from lamae.cli.evaluation_arguments import add_computing, computing


def add_verbs(verbs: Verbs) -> None:
    """Add ``embed`` to the parser."""
    parser = verbs.add_parser("embed", help="write the embeddings of files or packs to Parquet")
    parser.add_argument("model", type=Path, metavar="RUN", help="folder of a pretrained run")
    parser.add_argument(
        "inputs", type=Path, nargs="+", metavar="PACK|FILE", help="packs, or files of any format that is read"
    )
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    parser.add_argument("--readout", choices=READOUTS, help="default: what the recipe names")
    parser.add_argument("--hash-ids", action="store_true", help="write salted hashes in place of ids and paths")
    add_file_timeout(parser)
    add_overwrite(parser)
    add_computing(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Embed the inputs and print how many went well, and the reasons of those that did not."""
    from lamae.evals import embed

    print(
        embed(
            arguments.model,
            arguments.inputs,
            arguments.out,
            readout=arguments.readout,
            hash_ids=arguments.hash_ids,
            overwrite=arguments.overwrite,
            file_timeout_s=arguments.file_timeout or None,
            **computing(arguments),
        )
    )
