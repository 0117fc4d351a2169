"""What a result is about, by what ``result.json`` says."""

from collections.abc import Mapping
from typing import Any


def task_of(info: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what two results must share to stand in one table: cohort, its version, pack, label set, kind of label."""
    data, labels = info["data"], info["labels"]
    keys = (data["cohort"], data["cohort_version"], data.get("pack_hash"), labels["set"], labels.get("kind"))
    return tuple(str(key) for key in keys)


def is_random_control(info: Mapping[str, Any]) -> bool:
    """Whether a result belongs to the frozen encoder with random weights: the floor that pretraining must beat."""
    return info["kind"] == "probe" and str((info.get("run") or {}).get("weights")).startswith("random")


def is_pretrained(info: Mapping[str, Any]) -> bool:
    """Whether a result rests on pretrained weights."""
    return (info.get("run") or {}).get("weights") == "pretrained"
