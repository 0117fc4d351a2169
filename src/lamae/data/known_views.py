"""Studies for a model that knows fewer views than they have: the views that it knows, and nothing else.

Training is strict: a pack with a view that the model does not know is refused, so that nothing is left out unasked.
A finished model is given any study: a model of eight leads reads a twelve-lead ECG by its own eight.
"""

from collections.abc import Sequence

import numpy as np

from lamae.batch import ClipConfig
from lamae.data.dataset import PackDataset
from lamae.errors import DataError
from lamae.pack import Pack
from lamae.studies import PreparedStudy


def for_known_views(
    pack: Pack, *, view_names: Sequence[str], rows: np.ndarray | None = None, clip: ClipConfig | None = None
) -> PackDataset:
    """Return rows of a pack with the views that a model knows, each row there.

    Args:
        pack: The pack.
        view_names: View names that the model knows.
        rows: ``[studies]`` rows of the pack, in this order; None for all.
        clip: How instances are cut from videos, from the middle of each; None takes recordings whole.

    Raises:
        DataError: Studies have none of these views; their number is named.
    """
    known = [name for name in pack.info.view_names if name in view_names]
    if len(known) == len(pack.info.view_names):
        return PackDataset([pack], view_names=view_names, rows=rows, clip=clip)
    num_asked = len(pack) if rows is None else len(rows)
    num_without = num_asked if not known else _num_without(pack, known, rows)
    if num_without:
        raise DataError(
            f"{pack.path}: {num_without} of {num_asked} studies have none of the leads that the model knows "
            f"({', '.join(view_names)}): leave them out of the pack, or use a model of the leads that they have",
            reason="no-known-leads",
        )
    return PackDataset([pack], view_names=view_names, rows=rows, views=known, clip=clip)


def only_known_views(study: PreparedStudy, view_names: Sequence[str]) -> PreparedStudy:
    """Return a study with the views that a model knows.

    Raises:
        DataError: It has none of them.
    """
    keep = [place for place, name in enumerate(study.view_names) if name in view_names]
    if len(keep) == len(study.view_names):
        return study
    if not keep:
        raise DataError(
            f"none of the study's leads ({', '.join(study.view_names)}) is one that the model knows "
            f"({', '.join(view_names)})",
            reason="no-known-leads",
        )
    return study.keep(keep)


def _num_without(pack: Pack, known: Sequence[str], rows: np.ndarray | None) -> int:
    views = pack.studies.column("views")
    asked = views if rows is None else views.take(np.asarray(rows, dtype=np.int64))
    return sum(set(known).isdisjoint(names or ()) for names in asked.to_pylist())
