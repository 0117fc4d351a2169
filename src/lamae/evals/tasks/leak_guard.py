"""The guard against testing on patients that an encoder was trained on."""

from pathlib import Path
from typing import Any

import numpy as np

from lamae.checkpoint import find_checkpoint, read_meta, read_provenance
from lamae.errors import DataError
from lamae.evals.identity import Weights, describe_encoder, system_name
from lamae.evals.settings import EvalSettings
from lamae.evals.tasks.task import Task
from lamae.provenance import PATIENTS_FILE
from lamae.splits import salt_fingerprint


def check_pretraining(
    run: str | Path, task: Task, settings: EvalSettings, *, weights: Weights
) -> dict[str, Any] | None:
    """Compare the tested patients and records of a task with all those that a run's weights were trained on.

    Its checkpoint says who these are: those of pretraining, and of every fine-tuning since. Training on the training
    and validation patients of the same pack is fine.

    Returns:
        The counts of tested patients and records that were trained on, for the result; None for random weights, which
        saw nobody.

    Raises:
        CheckpointError: There is no such run, or its list of patients is damaged.
        DataError: There are any, or nobody can tell (the checkpoint does not say whom it was trained on, or says it
            with hashes of another salt), and ``settings.allow_leak`` is false.
    """
    if weights == "random":
        return None
    checkpoint = find_checkpoint(run)
    meta = read_meta(checkpoint)
    trained = read_provenance(checkpoint, meta).seen
    if trained is None:
        return _unknown(
            f"{run}: no {PATIENTS_FILE} in its checkpoint, so nobody can tell whether the tested patients were "
            "pretrained on: pretrain again with this version",
            settings,
        )
    if set(trained["salt_hash"].to_pylist()) - {salt_fingerprint(task.tested_pack.info.salt)}:
        return _unknown(
            f"{run}: trained on packs of another salt than the tested one, so nobody can tell whether the tested "
            "patients were pretrained on: prepare the packs with the same --salt",
            settings,
        )
    tested = task.tested
    patients = np.unique(task.patient_hash[tested])
    records = np.unique(task.record_hash[tested])
    records = records[records != ""]
    shared_patients = int(np.isin(patients, trained["patient_hash"].drop_null().to_pylist()).sum())
    shared_records = int(np.isin(records, trained["record_hash"].drop_null().to_pylist()).sum())
    if (shared_patients or shared_records) and not settings.allow_leak:
        fine_tuned = any(one["verb"] == "finetune" for one in meta.trained_on)
        name = system_name(describe_encoder(meta, weights=weights, seed=settings.seed))
        raise DataError(
            f"{run} ({name}): {shared_patients} of {len(patients)} tested patients and {shared_records} of "
            f"{len(records)} tested records were in the pretraining {'or fine-tuning ' if fine_tuned else ''}data, so "
            "the test would flatter: train without them, test others, or set allow_leak to test all the same (the "
            "result will say so)",
            reason="training-test-overlap",
        )
    return {
        "checked": True,
        "patients_pretrained_on": shared_patients,
        "records_pretrained_on": shared_records,
        "allowed": settings.allow_leak,
    }


def _unknown(why: str, settings: EvalSettings) -> dict[str, Any]:
    if settings.allow_leak:
        return {"checked": False, "allowed": True}
    raise DataError(
        f"{why}, or set allow_leak to test all the same (the result will say so)",
        reason="unknown-pretraining-patients",
    )
