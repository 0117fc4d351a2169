"""The guard against testing on patients that the encoder was pretrained on."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lamae.errors import CheckpointError, DataError
from lamae.evals.identity import Weights, run_folder
from lamae.evals.settings import EvalSettings
from lamae.evals.tasks.task import Task
from lamae.splits import salt_fingerprint

PATIENTS_FILE = "patients.parquet"


def check_pretraining(
    run: str | Path, task: Task, settings: EvalSettings, *, weights: Weights
) -> dict[str, Any] | None:
    """Compare the tested patients and records of a task with those of a run's pretraining data.

    Pretraining on the training and validation patients of the same pack is fine.

    Returns:
        The counts of tested patients and records that were pretrained on, for the result; None for random weights,
        which saw nobody.

    Raises:
        CheckpointError: There is no such run, or its list of patients is damaged.
        DataError: There are any, or nobody can tell (the run does not say whom it was trained on, or says it with
            hashes of another salt), and ``settings.allow_leak`` is false.
    """
    if weights == "random":
        return None
    folder = run_folder(run)
    file = None if folder is None else folder / PATIENTS_FILE
    if file is None or not file.is_file():
        if not Path(run).exists() and not settings.allow_leak:
            raise CheckpointError(f"{run}: no such folder; give the folder of a run that `lamae pretrain` wrote")
        return _unknown(
            f"{run}: no {PATIENTS_FILE}, so nobody can tell whether the tested patients were pretrained on: give the "
            "run's own folder",
            settings,
        )
    try:
        trained = pq.read_table(file, columns=["patient_hash", "record_hash", "salt_hash"])
    except pa.ArrowException as error:
        raise CheckpointError(f"{file}: not a readable Parquet file; run the same `pretrain` again") from error
    if set(trained["salt_hash"].to_pylist()) - {salt_fingerprint(task.tested_pack.info.salt)}:
        return _unknown(
            f"{run}: pretrained on packs of another salt than the tested one, so nobody can tell whether the tested "
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
        raise DataError(
            f"{shared_patients} of {len(patients)} tested patients and {shared_records} of {len(records)} tested "
            "records were in the pretraining data, so the test would flatter: pretrain without them, test others, or "
            "set allow_leak to test all the same (the result will say so)",
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
