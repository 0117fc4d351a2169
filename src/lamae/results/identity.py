"""Identity of a result, from the content of ``result.json``, and results grouped by what they have in common."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

Item = TypeVar("Item")
Key = TypeVar("Key")


def task_of(info: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the task that two results of one table have in common: cohort, version, pack, label set and its kind."""
    data, labels = info["data"], info["labels"]
    keys = (data["cohort"], data["cohort_version"], data.get("pack_hash"), labels["set"], labels.get("kind"))
    return tuple(str(key) for key in keys)


def leak_words(info: Mapping[str, Any]) -> str:
    """Return how many of the tested patients the weights were trained on, in words; empty if none."""
    leak = info.get("leak") or {}
    if leak.get("checked") is False:
        return "was trained on patients that nobody knows"
    patients, records = leak.get("patients_pretrained_on", 0), leak.get("records_pretrained_on", 0)
    return f"was trained on {patients:,} tested patients and {records:,} tested records" if patients or records else ""


def caveats(info: Mapping[str, Any]) -> list[str]:
    """Return what must stand beside the figures of a result wherever they are shown, in words about its system."""
    run, leak = info.get("run") or {}, leak_words(info)
    found = [f"{leak}: the figures flatter"] if leak else []
    if run.get("finished") is False:
        found.append(f"had pretrained for {run['step']:,} of {run['card']['steps']:,} steps only")
    return found


def is_random_control(info: Mapping[str, Any]) -> bool:
    """Return True for the frozen encoder with random weights: the floor that pretraining must beat."""
    return info["kind"] == "probe" and str((info.get("run") or {}).get("weights")).startswith("random")


def is_pretrained(info: Mapping[str, Any]) -> bool:
    """Return True if a result rests on pretrained weights."""
    return (info.get("run") or {}).get("weights") == "pretrained"


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Return the items by their key, keys and items in the order given."""
    found: dict[Key, list[Item]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found
