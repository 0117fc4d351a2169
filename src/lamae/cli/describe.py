"""`lamae verify PACK` and `lamae describe PACK|RUN|RECIPE`."""

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamae.cli.arguments import Verbs
from lamae.cli.card_lines import card_lines
from lamae.errors import DataError

if TYPE_CHECKING:
    from lamae.train import PretrainConfig

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
    """Print the faults of the pack; the exit status is 1 if there are any."""
    from lamae.pack import verify

    problems = verify(arguments.pack)
    print("\n".join(problems) if problems else f"{arguments.pack}: every file is as it was written")
    return DAMAGED if problems else 0


def run_describe(arguments: argparse.Namespace) -> None:
    """Print a description of a pack, run, result or recipe, told apart by their files."""
    folder = Path(arguments.what)
    if (folder / "pack.json").is_file():
        print(describe_pack(folder))
    elif (folder / "run.json").is_file():
        print(describe_run(folder))
    elif (folder / "result.json").is_file():
        print(describe_result(folder))
    elif (folder / "meta.json").is_file():
        print(describe_checkpoint(folder))
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
        "leads": info.num_recordings,
        "patients": len(set(studies.column("patient_key").to_pylist())),
        "splits": {str(name): count for name, count in sorted(splits.items(), key=str)},
        "columns": ", ".join(studies.column_names),
        "refused": dict(info.rejected_by_reason) or 0,
        "flagged leads": dict(summary.view_flags) or 0,
        "flagged studies": dict(summary.study_flags) or 0,
        "preprocessing": dict(info.preprocessing),
        "content hash": info.content_hash,
    }
    return _as_lines(content)


def describe_run(folder: Path) -> str:
    """Return the matched-control lines of a run, then the rest of its ``run.json``."""
    from lamae.config import from_dict
    from lamae.run_files import read_run_config, read_run_info
    from lamae.train import PretrainConfig

    info = read_run_info(folder)
    card = info.pop("card", None)
    if card is None:  # written before runs had cards; what it was set to is known all the same
        config = from_dict(PretrainConfig, read_run_config(folder), source=str(folder / "config.yaml"))
        card = planned_card(config)
        card |= {"studies": info["training"].get("studies"), "seconds": info.get("seconds")}
    return f"{card_lines(card)}\n\n{_as_lines(info)}"


def describe_result(folder: Path) -> str:
    """Return the metrics of a result, and the matched-control lines of the run that was judged."""
    from lamae.results import read_result

    result = read_result(folder)
    card = (result.info.get("run") or {}).get("card")
    parts = [str(result), *([card_lines(card)] if card else [])]
    if (folder / "checkpoint").is_dir():
        parts.append(f"encoder that is kept here\n{describe_checkpoint(folder)}")
    return "\n\n".join(parts)


def describe_checkpoint(folder: Path) -> str:
    """Return the name of the encoder of a checkpoint, its steps, and every training of its weights."""
    from lamae.checkpoint import find_checkpoint, read_meta
    from lamae.evals.identity import describe_encoder, system_name

    said = describe_encoder(read_meta(find_checkpoint(folder)), weights="pretrained", seed=0)
    content = {"system": system_name(said), "step": said["step"], "trained on": said["trained_on"] or "nobody knows"}
    return _as_lines(content)


def describe_recipe(name: str) -> str:
    """Return the description of a recipe, its matched-control lines, and its settings."""
    import yaml

    from lamae import recipes
    from lamae.config import to_dict

    config = recipes.get(name)
    settings = yaml.safe_dump(to_dict(config), sort_keys=False)
    return f"{name}\n{recipes.describe(name)}\n\n{card_lines(planned_card(config))}\n\nsettings\n{settings}"


def planned_card(config: "PretrainConfig") -> dict[str, Any]:
    """Return the card that a run of this configuration would have, of its only stream."""
    from lamae.train.run_card import planned_card

    (modality,) = config.model.streams
    return planned_card(config, modality=modality)


def _as_lines(content: object, indent: int = 0) -> str:
    if not isinstance(content, dict):
        return f"{'  ' * indent}{content}"
    lines = []
    for key, value in content.items():
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            value = {str(number): item for number, item in enumerate(value, start=1)}
        if isinstance(value, dict) and value:
            lines += [f"{'  ' * indent}{key}", _as_lines(value, indent + 1)]
        else:
            shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else value
            lines.append(f"{'  ' * indent}{key}: {shown}")
    return "\n".join(lines)
