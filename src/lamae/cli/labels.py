"""`lamae labels PACK SET`: the labels of a set before anything is learned from them. Aggregate counts only."""

import argparse
from pathlib import Path
from typing import Any

from lamae.cli.arguments import Verbs, number_list, positive_int
from lamae.cli.label_arguments import add_label_set


def add_verbs(verbs: Verbs) -> None:
    """Add ``labels`` to the parser."""
    parser = verbs.add_parser(
        "labels",
        help="count the labels of a set in a pack",
        description="Print the labels of a set by their hierarchy, with positive studies and patients in each split; "
        "what is left out; unknown and retired codes. SET is one of docs/labels.md.",
    )
    parser.add_argument("data", type=Path, metavar="PACK")
    parser.add_argument("labels", metavar="SET", help="label set: superclass, icd10-chapter-ix, ...")
    parser.add_argument("--want", type=positive_int, metavar="N", help="say which minimum count gives N labels")
    parser.add_argument("--out", type=Path, metavar="FILE.csv", help="write the labels as a table, too")
    parser.add_argument("--folds", type=number_list, help="count by these folds, such as 1-9, in place of splits")
    add_label_set(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print the label set, and write its table if asked."""
    from lamae.files import write_atomically
    from lamae.labels.overview import overview
    from lamae.pack import Pack

    pack = Pack.open(arguments.data)
    groups = _groups(pack, arguments.folds)
    table = _labels(pack, arguments, groups)
    found = overview(table, arguments.labels, groups=groups, patients=pack.patient_keys(), want=arguments.want)
    print(found)
    if arguments.out is not None:
        write_atomically(arguments.out, found.as_csv().encode())


def _groups(pack: Any, folds: tuple[int, ...] | None) -> dict[str, Any]:
    """Return the rows of each split or fold.

    Raises:
        DataError: The pack has none.
    """
    import numpy as np

    from lamae.errors import DataError
    from lamae.splits import SPLITS

    column = "split" if folds is None else "fold"
    if column not in pack.studies.column_names:
        raise DataError(f"{pack.path}: the studies have no {column}; prepare them with one", reason=f"no-{column}")
    values = np.array(pack.studies.column(column).to_pylist(), dtype=object)
    if folds is None:
        return {name: np.flatnonzero(values == name) for name in SPLITS}
    groups = {f"fold {number}": np.flatnonzero(values == number) for number in folds}
    if empty := [name for name, rows in groups.items() if not len(rows)]:
        raise DataError(f"{pack.path}: no study is in {', '.join(empty)}", reason="no-fold")
    return groups


def _labels(pack: Any, arguments: argparse.Namespace, groups: dict[str, Any]) -> Any:
    """Return the labels; those of folds from all folds, since each of them is trained on in turn."""
    import numpy as np

    from lamae.labels import make_labels

    return make_labels(
        pack.info,
        pack.studies,
        arguments.labels,
        train_rows=np.concatenate(list(groups.values())) if arguments.folds else groups["train"],
        min_count=arguments.min_count,
        max_labels=arguments.max_labels,
        statements=arguments.statements,
        icd9=arguments.icd9 or "drop",
        icd9_map=arguments.icd9_map,
        vocabulary=arguments.vocabulary or "train",
    )
