"""The control that knows cardiology: the same probe on intervals, axes and amplitudes measured by hand."""

from pathlib import Path

import numpy as np

from lamae.evals.linear_probe import predict_linearly
from lamae.evals.results import Evaluation, judge, write_result
from lamae.evals.settings import EvalSettings, Progress, silent
from lamae.evals.task import Part, make_task
from lamae.pack import Pack
from lamae.signals.measure import FEATURES, measure

PROTOCOL = "linear probe on hand-made features: medians for missing ones, indicators, otherwise as on frozen features"
_TAIL = 0.005


def handmade(
    pack: str | Path | Pack,
    labels: str,
    out: str | Path | None = None,
    *,
    settings: EvalSettings | None = None,
    test_pack: str | Path | Pack | None = None,
    system: str = "Hand-made features",
    progress: Progress = silent,
) -> Evaluation:
    """Probe hand-made features for a label set, and write a RESULT folder.

    Args:
        pack: The labelled pack.
        labels: A label set, see `lamae.labels.make_labels`.
        out: RESULT folder; None writes nothing.
        settings: How the task is made and judged.
        test_pack: Test on the studies of this pack in place of the first one's own, see `lamae.evals.task.make_task`.
        system: Name to show.
        progress: Called as the work goes on.

    Raises:
        DataError: The task cannot be made.
        ConfigError: There is no such label set.
    """
    settings = settings or EvalSettings()
    task = make_task(pack, labels, settings, test_pack=test_pack)
    features = np.empty((len(task.rows), len(FEATURES)), dtype=np.float32)
    studies = ((piece, row) for piece, rows in task.pieces for row in rows.tolist())
    for position, (piece, row) in enumerate(studies):
        features[position] = list(measure(piece.study(row)).values())
        if position % 64 == 63 or position == len(task.rows) - 1:
            progress("measuring", position + 1, len(task.rows))
    scores, selection, in_validation = predict_linearly(features, task, settings, design=impute, progress=progress)
    evaluation = judge(
        task,
        scores,
        settings,
        kind="handmade",
        system=system,
        protocol=PROTOCOL,
        selection=selection,
        validation_scores=in_validation,
    )
    if out is not None:
        write_result(out, evaluation)
    return evaluation


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
