"""An audit as text that reads well on a terminal and as Markdown, and as files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lamae.errors import ConfigError
from lamae.evals.audits.einthoven import EINTHOVEN, LINEAR, PUT_RIGHT
from lamae.files import write_atomically

_GROUP_TITLES = {
    "all": "all hidden patches",
    "follows": "limb leads, follow from others",
    "limb, does not follow": "limb leads, do not follow",
    "other leads": "other leads",
}
_GUESS_TITLES = {
    "model": "model",
    "patch mean": "patch mean",
    EINTHOVEN: "Einthoven",
    PUT_RIGHT: "Einthoven, labels put right",
    LINEAR: "best linear",
}


def as_text(content: Mapping[str, Any]) -> str:
    """Return the tables of an audit and what must be known to read them."""
    parts = [_masks_table(content), _notes(content)]
    if content["model"]:
        parts += ["Loss on the hidden patches, by whether they follow from other leads:", _loss_table(content["model"])]
    return "\n\n".join(parts) + "\n"


def write_audit(content: Mapping[str, Any], path: Path) -> None:
    """Write an audit as JSON or as Markdown, by the ending of the file.

    Raises:
        ConfigError: The ending is neither.
        OSError: Writing failed; nothing half-written is left.
    """
    check_ending(path)
    text = json.dumps(content, indent=1, ensure_ascii=False) if path.suffix == ".json" else as_text(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode())


def check_ending(path: Path) -> None:
    """Check that a file's ending says how to write it.

    Raises:
        ConfigError: It does not.
    """
    if path.suffix not in (".json", ".md"):
        raise ConfigError(f"{path}: an audit is written as .json or .md; give a file with one of these endings")


def mask_in_words(mask: Mapping[str, Any]) -> str:
    """Return ``"random 0.75"``, ``"view 0.75, 6 whole leads"``, with the latent ratio where there is one."""
    words = f"{mask['strategy']} {mask['ratio']:g}"
    if mask["hidden_views"]:
        words += f", {mask['hidden_views']} whole lead{'s' if mask['hidden_views'] > 1 else ''}"
    return words + (f", latent {mask['latent_ratio']:g}" if mask["latent_ratio"] else "")


def _masks_table(content: Mapping[str, Any]) -> str:
    on_data = content["data"] is not None
    exchanged = on_data and content["data"]["labels_exchanged"] > 0
    head = ["mask", "leads", "hidden patches", "follow, expected", "follow, drawn"]
    if on_data:
        head += ["explained by Einthoven", *(["labels put right"] if exchanged else []), "best linear, same time"]
    rows = []
    for row in content["rows"]:
        cells = [
            mask_in_words(row["mask"]) + (" (own)" if row["own"] else ""),
            str(len(row["leads"])),
            f"{row['hidden_patches']:.0f}",
            _percent(row["expected"]),
            f"{_percent(row['drawn'])} ± {100 * row['drawn_standard_error']:.1f}",
        ]
        if on_data:
            explained = row["explained"]
            cells.append(_percent(explained[EINTHOVEN]))
            cells += [_percent(explained[PUT_RIGHT])] if exchanged else []
            cells.append(_percent(explained[LINEAR]))
        rows.append(cells)
    return _table(head, rows)


def _notes(content: Mapping[str, Any]) -> str:
    lines = [
        "follow: share of the hidden patches that are an exact linear combination of leads visible at the same time "
        "(Einthoven, Goldberger): by arithmetic, and in drawn masks with the standard error over studies."
    ]
    if not content["leads_meet"]:
        lines.append("This model has no latent attention, so no lead sees another: it can use nothing of this.")
    data = content["data"]
    if data is None:
        return "\n".join([*lines, "Without --data nothing is measured on ECGs."])
    lines.append(
        f"explained: share of the variance of the target ({content['target']}) on {data['studies']} studies of "
        f"{data['cohort']}{' (simulated data)' if data['simulated'] else ''}, split {', '.join(data['splits'])}; "
        f"best linear: from all leads visible at the same time, fitted on {', '.join(data['fitted_on'])}."
    )
    if data["splits"] == data["fitted_on"]:
        lines.append("No study is in the validation splits: fitted and judged on the same studies.")
    if data["patients_trained_on"]:
        told = f"{data['patients_trained_on']} of the {data['patients']} judged patients were trained on"
        lines.append(f"{told}: the model's loss flatters.")
    if content["normalise"] == "view":
        lines.append("normalise is 'view': the model is not told the leads' sizes, so it can reach less than this.")
    if data["broken_leads"]:
        named = ", ".join(f"{name} in {count}" for name, count in data["broken_leads"].items())
        flags = ", ".join(f"{name} in {count}" for name, count in data["flags"].items())
        lines.append(f"Leads that break their equation, of {data['studies']} studies: {named} ({flags}).")
    if worst := next((row["unexplained_leads"] for row in content["rows"] if row["unexplained_leads"]), None):
        named = ", ".join(f"{name} {_percent(fraction)}" for name, fraction in worst.items())
        lines.append(f"Left unexplained where a lead should follow (exchanged labels put right): {named}.")
    return "\n".join(lines)


def _loss_table(groups: Sequence[Mapping[str, Any]]) -> str:
    guesses = [guess for guess in _GUESS_TITLES if guess in groups[0]["loss"]]
    same = all(group["loss"][EINTHOVEN] == group["loss"][PUT_RIGHT] for group in groups)
    guesses = [guess for guess in guesses if not (same and guess == PUT_RIGHT)]
    rows = [
        [_GROUP_TITLES[group["group"]], _percent(group["patches"])]
        + ["-" if (loss := group["loss"][guess]) is None else f"{loss:.3f}" for guess in guesses]
        for group in groups
    ]
    return _table(["hidden patches", "share", *(_GUESS_TITLES[guess] for guess in guesses)], rows)


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.1f} %"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose columns are aligned, so that it reads as plain text too."""
    widths = [max(len(line[column]) for line in (head, *rows)) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *others = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        right = [cell.strip().rjust(len(cell)) for cell in others]
        return f"| {' | '.join([first, *right])} |"

    rule = f"|{'-' * (widths[0] + 2)}|" + "".join(f"{'-' * (width + 1)}:|" for width in widths[1:])
    return "\n".join([line(head), rule, *map(line, rows)])
