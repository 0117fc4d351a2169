"""How far two results lie apart on the very same studies: paired difference with a patient-cluster bootstrap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lamae.errors import DataError
from lamae.metrics import Interval, paired_patient_bootstrap
from lamae.report.folders import Result

TARGET, SCORE = "target_", "score_"


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """The difference of a result to another one, first minus second, of the macro metric of their kind.

    Attributes:
        metric: ``"auroc"``, or ``"r2"`` for a regression.
        difference: The difference with its interval.
        num_studies: Number of studies in both.
        num_patients: Number of patients that were resampled.
    """

    metric: str
    difference: Interval
    num_studies: int
    num_patients: int


def task_of(result: Result) -> tuple[str, ...]:
    """Return what two results must share to stand in one table: cohort, its version, pack, label set, kind of label."""
    data, labels = result.info["data"], result.info["labels"]
    keys = (data["cohort"], data["cohort_version"], data.get("pack_hash"), labels["set"], labels.get("kind"))
    return tuple(str(key) for key in keys)


def is_random_control(result: Result) -> bool:
    """Whether a result belongs to the frozen encoder with random weights: the floor that pretraining must beat."""
    weights = str((result.info.get("run") or {}).get("weights"))
    return result.info["kind"] == "probe" and weights.startswith("random")


def paired_difference(result: Result, control: Result) -> Pairing:
    """Return the macro AUROC (or R squared) of a result minus that of the control, on the same draws of patients.

    Raises:
        DataError: The predictions of one are absent, or they are not about the same studies and labels.
    """
    ours, theirs = _predictions(result), _predictions(control)
    theirs = _in_order_of(ours, theirs)
    labels = [name.removeprefix(TARGET) for name in ours.column_names if name.startswith(TARGET)]
    targets = _columns(ours, TARGET, labels)
    if not np.array_equal(targets, _columns(theirs, TARGET, labels), equal_nan=True):
        raise DataError("the targets of the two results differ", reason="targets-differ")
    is_regression = result.info["labels"].get("kind") == "regression"
    outcome = paired_patient_bootstrap(
        targets,
        _columns(ours, SCORE, labels),
        _columns(theirs, SCORE, labels),
        ours["patient_hash"].to_numpy(),
        kind="regression" if is_regression else "ranking",
        absent=result.info.get("absent_policy", "skip"),
        **_draws(result.info.get("bootstrap", {})),
    )
    metric = "r2" if is_regression else "auroc"
    return Pairing(
        metric=metric,
        difference=outcome.macro[metric],
        num_studies=len(targets),
        num_patients=outcome.num_patients,
    )


def _draws(bootstrap: Mapping[str, Any]) -> dict[str, Any]:
    return {key: bootstrap[key] for key in ("draws", "seed", "level") if key in bootstrap}


def _predictions(result: Result) -> pa.Table:
    if result.predictions is None:
        raise DataError("the predictions are not there", reason="missing-file")
    table = pq.read_table(result.predictions)
    if absent := [name for name in ("study_hash", "patient_hash") if name not in table.column_names]:
        raise DataError(f"the predictions have no column {', '.join(absent)}", reason="missing-column")
    return table


def _in_order_of(ours: pa.Table, theirs: pa.Table) -> pa.Table:
    """Return the rows of the second table in the order of the studies of the first."""
    if sorted(ours.column_names) != sorted(theirs.column_names):
        raise DataError("the two results predict different labels", reason="labels-differ")
    wanted, found = ours["study_hash"].to_numpy(), theirs["study_hash"].to_numpy()
    order = np.argsort(found)
    if len(wanted) != len(found) or not np.array_equal(np.sort(wanted), found[order]):
        raise DataError("the two results were tested on different studies", reason="studies-differ")
    return theirs.take(order[np.argsort(np.argsort(wanted))])


def _columns(table: pa.Table, prefix: str, labels: Sequence[str]) -> np.ndarray:
    """Return ``[studies, labels]`` float64."""
    return np.stack([table[prefix + label].to_numpy().astype(np.float64) for label in labels], axis=1)
