"""Training on one pack and testing on another: labels that both can say, and patients that are apart."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lamae.errors import DataError
from lamae.evals.settings import EvalSettings
from lamae.labels import LabelTable, make_labels
from lamae.pack import Pack


def labels_of(
    pack: Pack,
    label_set: str,
    settings: EvalSettings,
    *,
    train_rows: np.ndarray,
    names: Sequence[str] | None = None,
) -> LabelTable:
    """Return `lamae.labels.make_labels` of a pack with the settings of an evaluation."""
    return make_labels(
        pack.info,
        pack.studies,
        label_set,
        train_rows=train_rows,
        min_count=settings.min_count,
        max_labels=settings.max_labels,
        statements=settings.statements,
        icd9=settings.icd9,
        icd9_map=settings.icd9_map,
        vocabulary=settings.vocabulary,
        names=names,
    )


def shared_labels(
    table: LabelTable, test_pack: Pack, label_set: str, settings: EvalSettings
) -> tuple[LabelTable, LabelTable]:
    """Make the labels of the training pack for another pack.

    Args:
        table: Labels of the pack that is learned from.
        test_pack: The pack that is tested on.
        label_set: Its label set.
        settings: Settings of the labels.

    Returns:
        The first pack's labels without those that the other cannot say (they stand in its notes, with the reason,
        under ``not_in_test_pack``), and the other pack's, in the same order.

    Raises:
        DataError: The other pack can say none of the labels, or holds values where the first one holds classes.
    """
    other = labels_of(test_pack, label_set, settings, train_rows=np.zeros(0, dtype=np.int64), names=table.names)
    if (other.kind == "regression") != (table.kind == "regression"):
        raise DataError(
            f"{test_pack.path}: {label_set!r} is {other.kind} here but {table.kind} in the pack that is learned from",
            reason="mixed-labels",
        )
    known = [index for index, name in enumerate(table.names) if name in set(other.names)]
    missing = [
        {"label": name, "reason": f"cohort {test_pack.info.cohort} of the test pack has nothing that tells it"}
        for name in table.names
        if name not in set(other.names)
    ]
    ours = replace(
        table,
        names=tuple(table.names[index] for index in known),
        values=table.values[:, known],
        notes={**table.notes, "not_in_test_pack": missing},
    )
    return ours, other
