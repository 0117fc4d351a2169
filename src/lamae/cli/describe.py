"""`lamae verify PACK` and `lamae describe PACK|RUN|RECIPE`."""

import argparse
from collections import Counter
from pathlib import Path

from lamae.cli.arguments import Verbs
from lamae.errors import DataError

DAMAGED = 1


def add_verbs(verbs: Verbs) -> None:
    """Add ``verify`` and ``describe`` to the parser."""
    verify = verbs.add_parser("verify", help="hash every file of a pack and compare")
    verify.add_argument("pack", type=Path, metavar="PACK")
    verify.set_defaults(run=run_verify)
    describe = verbs.add_parser("describe", help="say what is in a pack, a run, a result or a recipe")
    describe.add_argument("what", metavar="PACK|RUN|RESULT|RECIPE", help="a folder, or the name of a recipe")
    describe.set_defaults(run=run_describe)


def run_verify(arguments: argparse.Namespace) -> int:
    """Print what is wrong with the pack; the exit status is 1 if anything is."""
    from lamae.pack import verify

    problems = verify(arguments.pack)
    print("\n".join(problems) if problems else f"{arguments.pack}: every file is as it was written")
    return DAMAGED if problems else 0


def run_describe(arguments: argparse.Namespace) -> None:
    """Print what the thing is, found out from the files in it."""
    folder = Path(arguments.what)
    if (folder / "pack.json").is_file():
        print(describe_pack(folder))
    elif (folder / "run.json").is_file():
        from lamae.report.folders import read_run_info

        print(_as_lines(read_run_info(folder)))
    elif (folder / "result.json").is_file():
        from lamae.results import read_result

        print(read_result(folder))
    elif (folder / "prepare.json").is_file():
        raise DataError(
            f"{folder}: this pack is not finished; run the same `prepare` again and it goes on where it was"
        )
    elif folder.exists():
        raise DataError(f"{folder}: neither a pack (pack.json), nor a run (run.json), nor a result (result.json)")
    else:
        print(describe_recipe(arguments.what))


def describe_pack(folder: Path) -> str:
    """Return counts, splits, rates, flags and refusals of a pack."""
    from lamae.pack import Pack
    from lamae.prepare.summary import summarise

    pack = Pack.open(folder)
    info, studies = pack.info, pack.studies
    summary = summarise(pack, seconds=0.0, num_resumed=0, already_finished=True)
    splits = Counter(studies.column("split").to_pylist() if "split" in studies.column_names else [])
    content = {
        "cohort": f"{info.cohort} {info.cohort_version}" + (" (simulated data)" if info.simulated else ""),
        "studies": info.num_studies,
        "leads": info.num_views,
        "patients": len(set(studies.column("patient_key").to_pylist())),
        "splits": {str(name): count for name, count in sorted(splits.items(), key=str)},
        "columns": ", ".join(studies.column_names),
        "refused": dict(info.rejected_by_reason) or 0,
        "flagged leads": dict(summary.lead_flags) or 0,
        "flagged studies": dict(summary.study_flags) or 0,
        "preprocessing": dict(info.preprocessing),
        "content hash": info.content_hash,
    }
    return _as_lines(content)


def describe_recipe(name: str) -> str:
    """Return what a recipe says of itself, its settings, parameters, tokens and floating-point operations."""
    import yaml

    from lamae import recipes
    from lamae.config import to_dict
    from lamae.models import MaskedAutoencoder
    from lamae.models.accounting import count_parameters, example_batch, flops_per_step

    config = recipes.get(name)
    flops = flops_per_step(config.model, example_batch(config.model))
    content = {
        "parameters": count_parameters(MaskedAutoencoder(config.model)),
        "floating-point operations a study and step": flops,
        "steps": config.optim.steps,
        "studies a step": config.optim.batch_size,
    }
    settings = yaml.safe_dump(to_dict(config), sort_keys=False)
    return f"{name}\n{recipes.describe(name)}\n\n{_as_lines(content)}\n\nsettings\n{settings}"


def _as_lines(content: object, indent: int = 0) -> str:
    if not isinstance(content, dict):
        return f"{'  ' * indent}{content}"
    lines = []
    for key, value in content.items():
        if isinstance(value, dict) and value:
            lines += [f"{'  ' * indent}{key}", _as_lines(value, indent + 1)]
        else:
            shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else value
            lines.append(f"{'  ' * indent}{key}: {shown}")
    return "\n".join(lines)
