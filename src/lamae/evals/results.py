"""From predictions to a result: the metrics with their intervals, and everything they depend on."""

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from lamae.evals.settings import EvalSettings
from lamae.evals.tasks.notes import data_notes, label_notes, split_notes, transfer_notes
from lamae.evals.tasks.task import Task
from lamae.evals.thresholds import choose_thresholds
from lamae.metrics import BootstrapResult, expected_calibration_error, patient_bootstrap, recalibrate, reliability_bins
from lamae.nn.precision import versions
from lamae.results import Evaluation
from lamae.results.folder import FORMAT, FORMAT_VERSION

FEW_PATIENTS = 10
"""A label that fewer tested patients have is marked: its own figures say next to nothing."""


def judge(
    task: Task,
    scores: np.ndarray,
    settings: EvalSettings,
    *,
    kind: str,
    system: str,
    protocol: str,
    selection: Mapping[str, Any],
    validation_scores: Sequence[np.ndarray] | None = None,
    readout: str | None = None,
    run: Mapping[str, Any] | None = None,
    leak: Mapping[str, Any] | None = None,
    condition: Mapping[str, Any] | None = None,
    details: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Judge predictions for the tested studies of a task.

    Args:
        task: The task that was predicted.
        scores: ``[tested studies, labels]`` in the order of ``task.tested``.
        settings: Intervals and policies.
        kind: ``"probe"``, ``"finetune"`` or ``"handmade"``.
        system: Name to show.
        protocol: The way the scores were made, in a few words.
        selection: The choices made on the validation studies.
        validation_scores: For each division ``[validation studies, labels]`` in the order of ``part.validation``, NaN
            where there is none: the thresholds of F1 are chosen there. None leaves them at 0.5.
        readout: Read-out of the features.
        run: Recipe and hashes of the run; None without one.
        leak: Findings of the guard against pretraining on test patients.
        condition: What was changed in the tested studies; None for studies as recorded.
        details: Further entries for ``result.json``.

    Raises:
        DataError: A score is not finite, a class's score is no probability, or a label is absent and the policy says
            ``"error"``.
    """
    tested = task.tested
    targets = task.targets[tested]
    thresholds = None if task.is_regression else choose_thresholds(task, settings, validation_scores)
    outcome = patient_bootstrap(
        targets,
        scores,
        task.patient_hash[tested],
        kind="regression" if task.is_regression else "probabilities",
        thresholds=0.5 if thresholds is None else thresholds.by_study,
        draws=settings.draws,
        seed=settings.seed,
        level=settings.level,
        absent=settings.absent,
    )
    metrics: dict[str, Any] = {f"macro_{name}": asdict(found) for name, found in outcome.macro.items()}
    rows = _per_label(task, targets, outcome)
    if not task.is_regression:
        metrics["macro_ece"] = _add_calibration(rows, targets, scores)
    info = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "kind": kind,
        "system": system,
        "protocol": protocol,
        "readout": readout,
        "labels": label_notes(task),
        "data": data_notes(task),
        "split": split_notes(task, settings),
        "transfer": transfer_notes(task, settings),
        "condition": None if condition is None else dict(condition),
        "absent_policy": settings.absent,
        "skipped_labels": [*map(dict, task.skipped), *_absent(task, outcome)],
        "metrics": metrics,
        "per_label": rows,
        "thresholds": None if thresholds is None else thresholds.describe(task.label_names),
        "bootstrap": {
            "unit": "patient",
            "draws": settings.draws,
            "seed": settings.seed,
            "level": settings.level,
            "patients": outcome.num_patients,
        },
        "selection": dict(selection),
        "run": None if run is None else dict(run),
        "leak": None if leak is None else dict(leak),
        "seed": settings.seed,
        "environment": versions() | {"machine": platform.machine()},
        "quality": {
            "rejected": task.tested_pack.info.num_rejected,
            "by_reason": dict(task.tested_pack.info.rejected_by_reason),
        },
        **dict(details or {}),
    }
    return Evaluation(
        info=_without_nan(info),
        study_hash=task.study_hash[tested],
        patient_hash=task.patient_hash[tested],
        fold=task.fold[tested],
        targets=targets,
        scores=scores.astype(np.float64),
    )


def _absent(task: Task, outcome: BootstrapResult) -> list[dict[str, str]]:
    """List the labels that were learned but cannot be judged; with the policy ``"0.5"`` they count all the same."""
    what = "no variation" if task.is_regression else "no positives or no negatives"
    then = "counted at chance level" if outcome.absent == "0.5" and not task.is_regression else "left out of the mean"
    reason = f"{what} among the test studies: {then}"
    return [{"label": task.label_names[label], "reason": reason} for label in outcome.absent_labels]


def _per_label(task: Task, targets: np.ndarray, outcome: BootstrapResult) -> list[dict[str, Any]]:
    rows = []
    for label, name in enumerate(task.label_names):
        known = ~np.isnan(targets[:, label])
        row: dict[str, Any] = {"label": name, "studies": int(known.sum())}
        if not task.is_regression:
            positive = targets[:, label] == 1
            patients = len(np.unique(task.patient_hash[task.tested][positive]))
            row |= {"positives": int(positive.sum()), "positive_patients": patients, "few": patients < FEW_PATIENTS}
        row |= {metric: asdict(found[label]) for metric, found in outcome.per_label.items()}
        row["draws_absent"] = int(outcome.num_draws_absent[label])
        rows.append(row)
    return rows


def _add_calibration(rows: list[dict[str, Any]], targets: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Add calibration to the labels' rows and return the mean calibration error.

    It has no interval: resampling adds to the error what chance alone adds to it, so percentiles would lie too high.
    """
    found, errors = recalibrate(targets, scores), expected_calibration_error(targets, scores)
    for label, (row, bins) in enumerate(zip(rows, reliability_bins(targets, scores), strict=True)):
        row["calibration"] = {
            "slope": float(found.slope[label]),
            "intercept": float(found.intercept[label]),
            "in_the_large": float(found.in_the_large[label]),
            "ece": float(errors[label]),
            "bins": {
                "studies": [round(one) for one in bins.weight],
                "probability": bins.probability.tolist(),
                "frequency": bins.frequency.tolist(),
            },
        }
    defined = errors[~np.isnan(errors)].tolist()
    mean = sum(defined) / len(defined) if defined else float("nan")
    return {"value": mean, "low": float("nan"), "high": float("nan")}


def _without_nan(content: Any) -> Any:
    """Return the content with null in place of NaN, which JSON does not have."""
    if isinstance(content, Mapping):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
