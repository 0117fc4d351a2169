"""What must hold before two results may stand in one table."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lamae.compare.entry import Entry
from lamae.compare.groups import Group
from lamae.errors import DataError
from lamae.results import Evaluation, aligned, restricted

_SAME_SETTINGS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "policy for absent labels": lambda info: info.get("absent_policy", "skip"),
    "number of cross-validated folds": lambda info: info["split"].get("cross_validated_folds"),
    "cross-validated folds": lambda info: info["split"].get("folds"),
    "studies that decide what labels there are": lambda info: info["labels"].get("vocabulary") or "train",
}


def check_group(group: Group) -> list[str]:
    """Refuse a table whose results were judged differently.

    Returns:
        Warnings: what is allowed but must be said.

    Raises:
        DataError: Policies or folds differ, or only some of the encoders saw tested patients in pretraining.
    """
    first = group.first
    for entry in group.entries[1:]:
        for name, setting in _SAME_SETTINGS.items():
            ours, theirs = setting(first.info), setting(entry.info)
            if ours != theirs:
                raise DataError(
                    f"{first.folder} and {entry.folder} differ in the {name}: {ours!r} and {theirs!r}; evaluate both "
                    "alike",
                    reason="settings-differ",
                )
    return [*_check_leaks(group), *_training_warnings(group), *_threshold_warnings(group)]


def evaluations_alike(group: Group) -> tuple[tuple[str, ...], dict[Entry, Evaluation]]:
    """Return the labels that all results of a table have, and each result with its studies and labels in one order.

    Few labelled patients cannot teach rare labels, and which these are depends on the draw: the labels of one table are
    those of all its draws. Results of one draw must have the same labels.

    Raises:
        DataError: Two results were tested on other studies, labels or targets, or have no label in common.
    """
    by_draw: dict[int, Entry] = {}
    for entry in group.entries:
        other = by_draw.setdefault(entry.label_draw, entry)
        if differing := set(entry.evaluation.label_names) ^ set(other.evaluation.label_names):
            raise DataError(
                f"{other.folder} and {entry.folder} have different labels: {', '.join(sorted(differing))} in one only; "
                "evaluate both with the same label set, least count and training patients",
                reason="labels-differ",
            )
    names = group.first.evaluation.label_names
    common = tuple(name for name in names if all(name in e.evaluation.label_names for e in by_draw.values()))
    if not common:
        raise DataError(f"{group.name}: the draws of labels have no label in common", reason="labels-differ")
    first = restricted(group.first.evaluation, common)
    return common, {entry: aligned(restricted(entry.evaluation, common), to=first) for entry in group.entries}


def _check_leaks(group: Group) -> list[str]:
    pretrained = [entry for entry in group.entries if entry.initialisation == "pretrained"]
    leaking = [entry for entry in pretrained if _leak(entry)]
    clean = [entry for entry in pretrained if not _leak(entry)]
    if leaking and clean:
        raise DataError(
            f"{leaking[0].folder} ({leaking[0].system}) {_leak(leaking[0])}, and {clean[0].folder} ({clean[0].system}) "
            "was not: the first is flattered; pretrain both without the tested patients",
            reason="leak-differs",
        )
    if not leaking:
        return []
    if len({_leak(entry) for entry in leaking}) > 1:
        entries = {_leak(entry): entry.system for entry in leaking}
        words = "; ".join(f"{system} {leak}" for leak, system in entries.items())
        raise DataError(
            f"the encoders of one table saw different numbers of tested patients ({words}): pretrain them on the same "
            "patients",
            reason="leak-differs",
        )
    return [f"Every pretrained encoder here {_leak(leaking[0])}: the figures flatter, all alike."]


def _leak(entry: Entry) -> str:
    """Say what of the tested patients an encoder saw in pretraining; empty if nothing."""
    leak = entry.info.get("leak") or {}
    if leak.get("checked") is False:
        return "was pretrained on patients that nobody knows"
    patients, records = leak.get("patients_pretrained_on", 0), leak.get("records_pretrained_on", 0)
    return (
        f"was pretrained on {patients:,} tested patients and {records:,} tested records" if patients or records else ""
    )


def _training_warnings(group: Group) -> list[str]:
    found = []
    for name in ("train", "validation"):
        by_draw: dict[int, dict[str, list[str]]] = {}
        for entry in group.entries:
            part = entry.info["split"].get(name) or {}
            words = f"{part.get('studies')} studies of {part.get('patients')} patients"
            by_draw.setdefault(entry.label_draw, {}).setdefault(words, []).append(entry.system)
        differing = next((sizes for sizes in by_draw.values() if len(sizes) > 1), None)
        if differing:
            words = "; ".join(f"{size}: {', '.join(dict.fromkeys(systems))}" for size, systems in differing.items())
            found.append(f"The {name} sets of the labels differ ({words}).")
    return found


def _threshold_warnings(group: Group) -> list[str]:
    policies: dict[str, list[str]] = {}
    for entry in group.entries:
        if policy := (entry.info.get("thresholds") or {}).get("policy"):
            policies.setdefault(str(policy), []).append(entry.system)
    words = "; ".join(f"{policy}: {', '.join(dict.fromkeys(systems))}" for policy, systems in policies.items())
    return [f"The thresholds of F1 were chosen in different ways ({words})."] if len(policies) > 1 else []


def simulated_words(entries: Sequence[Entry]) -> str:
    """Return the sentence that a caption begins with where the tested studies are simulated, else nothing."""
    return "SIMULATED DATA: no patient was tested. " if any(entry.simulated for entry in entries) else ""
