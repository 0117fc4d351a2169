"""`lamae VERB ...`: find the verb, run it, turn users' errors into one message and an exit status."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from lamae._version import __version__
from lamae.allocator import keep_freed_memory
from lamae.cli import adapt, audit, compare, demo, describe, embed, labels, prepare, pretrain, report, simulate, sweeps
from lamae.errors import CheckpointError, ConfigError, DataError, MissingExtraError

VERBS = (demo, simulate, prepare, describe, labels, audit, pretrain, adapt, sweeps, compare, embed, report)
USER_ERROR, INTERRUPTED, CLOSED_PIPE = 2, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status: 0 done, 2 an error of the input, 130 interrupted.

    With ``LAMAE_DEBUG`` set in the environment an error keeps its traceback.
    """
    parser = build_parser()
    arguments, settings = parser.parse_known_args(argv)
    if settings and not getattr(arguments, "takes_settings", False):
        parser.error(f"unrecognized arguments: {' '.join(settings)}")
    arguments.settings = settings
    _show_own_messages()
    keep_freed_memory()
    try:
        return arguments.run(arguments) or 0
    except KeyboardInterrupt:
        next_time = "goes on from here" if getattr(arguments, "resumes", False) else "begins anew"
        print(f"lamae: interrupted; the same command {next_time}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    except (DataError, ConfigError, CheckpointError, MissingExtraError, OSError) as error:
        if os.environ.get("LAMAE_DEBUG"):
            raise
        print(f"lamae: error: {error}", file=sys.stderr)
        return USER_ERROR


def _show_own_messages() -> None:
    """Show the log messages of `lamae` alone, not those of other libraries."""
    logger = logging.getLogger("lamae")
    logger.setLevel(logging.INFO)
    logger.handlers = [logging.StreamHandler(sys.stderr)]
    logger.propagate = False


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with every verb."""
    parser = argparse.ArgumentParser(
        prog="lamae", description="Foundation models for structured cardiac examinations.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"lamae {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for module in VERBS:
        module.add_verbs(verbs)
    return parser
