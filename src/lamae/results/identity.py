"""Identity of a result, from the content of ``result.json``."""

from collections.abc import Mapping
from typing import Any


def task_of(info: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the task that two results of one table have in common: cohort, version, pack, label set and its kind."""
    data, labels = info["data"], info["labels"]
    keys = (data["cohort"], data["cohort_version"], data.get("pack_hash"), labels["set"], labels.get("kind"))
    return tuple(str(key) for key in keys)


def is_random_control(info: Mapping[str, Any]) -> bool:
    """Return True for the frozen encoder with random weights: the floor that pretraining must beat."""
    return info["kind"] == "probe" and str((info.get("run") or {}).get("weights")).startswith("random")


def is_pretrained(info: Mapping[str, Any]) -> bool:
    """Return True if a result rests on pretrained weights."""
    return (info.get("run") or {}).get("weights") == "pretrained"
