"""Two results on the very same studies: the one put in the order of the other, and their difference."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lamae.errors import DataError
from lamae.metrics import BootstrapResult, Interval, paired_patient_bootstrap
from lamae.results.evaluation import Evaluation
from lamae.results.folder import read_result


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
    metric = metric or ("macro_r2" if ours.is_regression else "macro_auroc")
    return paired_bootstrap(ours, theirs).macro[metric.removeprefix("macro_")]


def paired_bootstrap(ours: Evaluation, theirs: Evaluation) -> BootstrapResult:
    """Return every metric of ours minus theirs, macro and by label in our order, on the same draws of patients.

    Draws, seed, level and the policy for absent labels are those of ``ours``.

    Raises:
        DataError: The two were tested on other studies, labels or targets; the message says which.
    """
    theirs = aligned(theirs, to=ours)
    held = ours.info.get("bootstrap", {})
    settings: dict[str, Any] = {key: held[key] for key in ("draws", "seed", "level") if key in held}
    return paired_patient_bootstrap(
        ours.targets,
        ours.scores,
        theirs.scores,
        ours.patient_hash,
        kind="regression" if ours.is_regression else "ranking",
        absent=ours.info.get("absent_policy", "skip"),
        **settings,
    )


def aligned(theirs: Evaluation, *, to: Evaluation) -> Evaluation:
    """Return an evaluation with its studies and labels in the order of another one.

    The scores and targets are put in that order; ``info`` is not, but for the names of the labels.

    Raises:
        DataError: The two were tested on other studies, labels or targets; the message says which.
    """
    order, columns = _same_studies(to, theirs), _same_labels(to, theirs)
    targets = theirs.targets[order][:, columns]
    if not _equal(to.targets, targets):
        differing = [name for i, name in enumerate(to.label_names) if not _equal(to.targets[:, i], targets[:, i])]
        raise DataError(f"the two results have other targets for {', '.join(differing)}", reason="targets-differ")
    labels = {**theirs.info["labels"], "names": list(to.label_names)}
    return replace(
        theirs,
        info={**theirs.info, "labels": labels},
        study_hash=theirs.study_hash[order],
        patient_hash=theirs.patient_hash[order],
        fold=theirs.fold[order],
        targets=targets,
        scores=theirs.scores[order][:, columns],
    )


def restricted(evaluation: Evaluation, labels: Sequence[str]) -> Evaluation:
    """Return an evaluation with some of its labels only, in the order given.

    Raises:
        DataError: It has no such label.
    """
    names = evaluation.label_names
    if absent := [name for name in labels if name not in names]:
        raise DataError(f"{evaluation.system!r} has no label {absent[0]!r}", reason="labels-differ")
    columns = [names.index(name) for name in labels]
    info = {**evaluation.info, "labels": {**evaluation.info["labels"], "names": list(labels)}}
    return replace(evaluation, info=info, targets=evaluation.targets[:, columns], scores=evaluation.scores[:, columns])


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
    """Return True for equal targets, as far as results of older versions hold them."""
    return np.array_equal(one.astype(np.float32), other.astype(np.float32), equal_nan=True)
