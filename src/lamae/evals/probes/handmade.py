"""The control that knows cardiology: the same probe on hand-crafted features, measured intervals and amplitudes."""

from pathlib import Path

import numpy as np

from lamae.errors import DataError
from lamae.evals.probes.frozen_system import FrozenSystem
from lamae.evals.probes.linear_probe import predict_linearly
from lamae.evals.requests import claim, request_of
from lamae.evals.results import Evaluation
from lamae.evals.settings import EvalSettings, Progress, silent
from lamae.evals.tasks.task import Part, Task, make_task
from lamae.modality import find_modality
from lamae.pack import Pack

PROTOCOL = "linear probe on hand-made features: medians for missing ones, indicators, otherwise as on frozen features"
DETAILS = {"protocol_id": "hand-made"}
_TAIL = 0.005


def handmade(
    pack: str | Path | Pack,
    labels: str,
    out: str | Path | None = None,
    *,
    settings: EvalSettings | None = None,
    test_pack: str | Path | Pack | None = None,
    system: str = "Hand-made",
    measured: np.ndarray | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Evaluation:
    """Probe hand-crafted features for a label set, and write a RESULT folder.

    Args:
        pack: The labelled pack.
        labels: A label set, see `lamae.labels.make_labels`.
        out: RESULT folder; None writes nothing.
        settings: Settings of the task and of its judging.
        test_pack: Test on the studies of this pack in place of the first one's own, see `make_task`.
        system: Name to show.
        measured: ``[studies, features]`` that `measure_task` returned for the same task, whatever its label draw; None
            measures them.
        overwrite: Replace the result of another request in ``out``.
        progress: Called as the work goes on.

    Raises:
        DataError: The task cannot be made, or what was measured are other studies.
        ConfigError: There is no such label set, or ``out`` holds something else.
    """
    settings = settings or EvalSettings()
    task = make_task(pack, labels, settings, test_pack=test_pack)
    request = request_of(task, settings, DETAILS | {"system": system})
    claim(out, request, overwrite=overwrite)
    frozen = measured_system(task, settings, system=system, measured=measured, progress=progress)
    return frozen.evaluate(task, settings, request, out)


def measured_system(
    task: Task, settings: EvalSettings, *, system: str | None, measured: np.ndarray | None = None, progress: Progress
) -> FrozenSystem:
    """Return the hand-crafted features of a task as a frozen system; arguments and errors as of `handmade`."""
    features = measure_task(task, progress=progress) if measured is None else measured
    num_features = len(find_modality(task.pack.info.modality).features)
    if features.shape != (len(task.rows), num_features):
        raise DataError(
            f"measured features must be [{len(task.rows)} studies, {num_features} features] of the task, found "
            f"{list(features.shape)}",
            reason="wrong-shape",
        )
    return FrozenSystem(
        features=features,
        under=lambda pack: measure_rows(pack, np.arange(len(pack)), progress=progress),
        predict=lambda features, task: predict_linearly(features, task, settings, design=impute, progress=progress),
        judged_as={"kind": "handmade", "system": system or "Hand-made", "protocol": PROTOCOL, "details": DETAILS},
        identity={"protocol": "hand-made", "system": system},
    )


def measure_task(task: Task, *, progress: Progress = silent) -> np.ndarray:
    """Return ``[studies, features]`` float32 measurements, rows as in ``task.rows``, NaN where there is none."""
    return np.concatenate([measure_rows(pack, rows, progress=progress) for pack, rows in task.pieces])


def measure_rows(pack: Pack, rows: np.ndarray, *, progress: Progress = silent) -> np.ndarray:
    """Return ``[rows, features]`` float32 measurements of studies of a pack, NaN where there is none."""
    modality = find_modality(pack.info.modality)
    features = np.empty((len(rows), len(modality.features)), dtype=np.float32)
    for position, row in enumerate(rows.tolist()):
        features[position] = list(modality.measure(pack.study(row)).values())
        if position % 64 == 63 or position == len(rows) - 1:
            progress("measuring", position + 1, len(rows))
    return features


def impute(features: np.ndarray, part: Part) -> np.ndarray:
    """Return ``[studies, 2 * features]``: features without gaps and outliers, then 1 where one was missing.

    Gaps become the median of the training studies (0 where none of them has the feature), and values outside of their
    0.5 to 99.5 % are moved to these limits, since a beat that was bounded wrongly can give any number.
    """
    features = np.asarray(features, dtype=np.float64)
    missing = ~np.isfinite(features)
    train = np.where(missing, np.nan, features)[part.train]
    filled = np.zeros_like(features)
    for column in np.flatnonzero(~missing[part.train].all(axis=0)):
        low, middle, high = np.nanquantile(train[:, column], [_TAIL, 0.5, 1 - _TAIL])
        filled[:, column] = np.clip(np.where(missing[:, column], middle, features[:, column]), low, high)
    return np.hstack([filled, missing])
