"""Notes of a result about its task: label set, data, split, transfer. Aggregate counts and hashes only."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lamae.evals.settings import EvalSettings
from lamae.evals.tasks.task import Part, Task
from lamae.pack import Pack

_AS_THEY_ARE = ("description", "min_count", "max_labels", "vocabulary", "statements")
_ICD9 = ("num_icd9_dropped", "num_icd9_translated")


def label_notes(task: Task) -> dict[str, Any]:
    """Return the entry ``labels`` of a result: names, titles, places in the hierarchy, how they were chosen.

    Unknown and retired codes are counted; `lamae labels` lists them.
    """
    notes = task.notes
    names = set(task.label_names)
    found: dict[str, Any] = {"set": task.label_set, "names": list(task.label_names), "kind": task.kind}
    found |= {key: notes[key] for key in (*_AS_THEY_ARE, *_ICD9) if key in notes}
    for key in ("titles", "paths"):
        chosen = {name: value for name, value in notes.get(key, {}).items() if name in names}
        found[key] = {name: value if isinstance(value, str) else list(value) for name, value in chosen.items()}
    if "dropped_labels" in notes:
        found["num_dropped"] = len(notes["dropped_labels"])
        found["tied_labels"] = list(notes["tied_labels"])
    for key in ("unknown_codes", "retired_codes", "icd9_without_target"):
        if key in notes:
            found[key] = _counted(notes[key])
    return found


def data_notes(task: Task) -> dict[str, Any]:
    """Return the entry ``data``: the pack that was tested on; simulated if any of the packs is."""
    return _of_pack(task.tested_pack) | {"simulated": any(pack.info.simulated for pack in task.packs)}


def transfer_notes(task: Task, settings: EvalSettings) -> dict[str, Any] | None:
    """Return the entry ``transfer``: which pack was learned from and which tested on; None for a single pack."""
    if not task.is_transfer:
        return None
    return {"train": _of_pack(task.pack), "test": _of_pack(task.tested_pack), "test_part": settings.test_part}


def split_notes(task: Task, settings: EvalSettings) -> dict[str, Any]:
    """Count studies and patients; of a cross-validation the mean training set, and all tested studies."""

    def count(name: str) -> dict[str, int]:
        chosen = [getattr(part, name) for part in task.parts]
        patients = [len(np.unique(task.patient_hash[positions])) for positions in chosen]
        combine = sum if name == "test" else _mean
        return {"studies": combine([len(positions) for positions in chosen]), "patients": combine(patients)}

    return {
        **{name: count(name) for name in Part.__dataclass_fields__},
        "cross_validated_folds": task.num_folds,
        "folds": None if settings.folds is None else list(settings.folds),
        "label_fraction": settings.label_fraction,
        "label_count": settings.label_count,
        "label_draw": settings.label_draw,
        "test_uses": 1,
    }


def _counted(codes: Mapping[str, Any]) -> dict[str, int]:
    counts = [value["count"] if isinstance(value, Mapping) else value for value in codes.values()]
    return {"codes": len(counts), "occurrences": sum(counts)}


def _of_pack(pack: Pack) -> dict[str, Any]:
    info = pack.info
    return {
        "cohort": info.cohort,
        "cohort_version": info.cohort_version,
        "simulated": info.simulated,
        "pack_hash": info.content_hash,
        "rate_hz": info.rate_hz,
    }


def _mean(values: list[int]) -> int:
    return round(sum(values) / len(values))
