"""Checks that results may stand in one table."""

from collections.abc import Callable, Mapping
from typing import Any

from lamae.compare.entry import Entry, listed, systems_of
from lamae.compare.groups import Group
from lamae.errors import DataError
from lamae.results import Evaluation, aligned, grouped, leak_words, restricted

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
    by_leak = grouped(pretrained, lambda entry: leak_words(entry.info))
    clean, leaks = by_leak.pop("", []), list(by_leak)
    if leaks and clean:
        leaking = by_leak[leaks[0]][0]
        raise DataError(
            f"{leaking.folder} ({leaking.system}) {leaks[0]}, and {clean[0].folder} ({clean[0].system}) "
            "was not: the first is flattered; train both without the tested patients",
            reason="leak-differs",
        )
    if len(leaks) > 1:
        words = "; ".join(f"{entries[-1].system} {leak}" for leak, entries in by_leak.items())
        raise DataError(
            f"the encoders of one table saw different numbers of tested patients ({words}): pretrain them on the same "
            "patients",
            reason="leak-differs",
        )
    if not leaks:
        return []
    others = ", ".join(systems_of(entry for entry in group.entries if entry not in pretrained))
    untested = f" No difference to what was not ({others}) is tested: no stars." if others else ""
    return [f"Every pretrained encoder here {leaks[0]}: the figures flatter, all alike.{untested}"]


def _training_warnings(group: Group) -> list[str]:
    def size(entry: Entry) -> str:
        part = entry.info["split"].get(name) or {}
        return f"{part.get('studies')} studies of {part.get('patients')} patients"

    found = []
    for name in ("train", "validation"):
        by_draw = [grouped(own, size) for own in grouped(group.entries, lambda entry: entry.label_draw).values()]
        if differing := next((sizes for sizes in by_draw if len(sizes) > 1), None):
            found.append(f"The {name} sets of the labels differ ({listed(differing)}).")
    return found


def _threshold_warnings(group: Group) -> list[str]:
    policies = grouped(group.entries, lambda entry: (entry.info.get("thresholds") or {}).get("policy"))
    known = {policy: entries for policy, entries in policies.items() if policy}
    return [f"The thresholds of F1 were chosen in different ways ({listed(known)})."] if len(known) > 1 else []
