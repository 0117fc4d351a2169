"""The difference of two results on the same studies, with an interval over patients."""

from pathlib import Path
from typing import Any

import numpy as np

from lamae.errors import DataError
from lamae.evals.results import Evaluation, read_result
from lamae.metrics import Interval, paired_patient_bootstrap


def paired_difference(a: str | Path | Evaluation, b: str | Path | Evaluation, *, metric: str | None = None) -> Interval:
    """Return the macro metric of a minus that of b, on the same draws of patients.

    Args:
        a: A RESULT folder, or an evaluation.
        b: Another one of the same studies and labels; draws, seed, level and policy are those of ``a``.
        metric: ``"macro_auroc"`` (None for classes) or ``"macro_auprc"``; ``"macro_r2"`` (None for values) or
            ``"macro_mae"``.

    Raises:
        DataError: The two were tested on other studies, labels or targets; the message says which.
    """
    ours, theirs = (one if isinstance(one, Evaluation) else read_result(one) for one in (a, b))
    labels = ours.label_names
    order = _same_studies(ours, theirs)
    columns = _same_labels(ours, theirs)
    targets = theirs.targets[order][:, columns]
    if not np.array_equal(ours.targets, targets, equal_nan=True):
        differing = [name for i, name in enumerate(labels) if not _equal(ours.targets[:, i], targets[:, i])]
        raise DataError(f"the two results have other targets for {', '.join(differing)}", reason="targets-differ")
    is_regression = ours.info["labels"]["kind"] == "regression"
    metric = metric or ("macro_r2" if is_regression else "macro_auroc")
    settings: dict[str, Any] = {key: ours.info["bootstrap"][key] for key in ("draws", "seed", "level")}
    outcome = paired_patient_bootstrap(
        ours.targets,
        ours.scores,
        theirs.scores[order][:, columns],
        ours.patient_hash,
        kind="regression" if is_regression else "ranking",
        absent=ours.info["absent_policy"],
        **settings,
    )
    return outcome.macro[metric.removeprefix("macro_")]


def _same_studies(ours: Evaluation, theirs: Evaluation) -> np.ndarray:
    """Return where each of our studies stands among theirs."""
    only_ours = np.setdiff1d(ours.study_hash, theirs.study_hash)
    only_theirs = np.setdiff1d(theirs.study_hash, ours.study_hash)
    if len(only_ours) or len(only_theirs):
        raise DataError(
            f"the two results were tested on different studies: {len(only_ours)} are only in {ours.info['system']!r}, "
            f"{len(only_theirs)} only in {theirs.info['system']!r}; evaluate both on the same pack, split and labels",
            reason="studies-differ",
        )
    order = np.argsort(theirs.study_hash)
    return order[np.searchsorted(theirs.study_hash[order], ours.study_hash)]


def _same_labels(ours: Evaluation, theirs: Evaluation) -> list[int]:
    differing = set(ours.label_names) ^ set(theirs.label_names)
    if differing:
        raise DataError(
            f"the two results have different labels: {', '.join(sorted(differing))} in one only (label sets "
            f"{ours.info['labels']['set']!r} and {theirs.info['labels']['set']!r})",
            reason="labels-differ",
        )
    return [theirs.label_names.index(name) for name in ours.label_names]


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    return np.array_equal(one, other, equal_nan=True)
