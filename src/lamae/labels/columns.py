"""Label sets that are columns of the table of studies: labels, measurements, covariates."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa

from lamae.errors import DataError, did_you_mean
from lamae.labels.label_table import LabelTable

_PREFIXES = ("label_", "measure_")
_Kind: TypeAlias = Literal["binary", "regression"]
_OTHERS = ("age_years", "sex")


def column_labels(studies: pa.Table, wanted: str, *, where: str, names: Sequence[str] | None = None) -> LabelTable:
    """Return columns of the table as labels.

    Columns of ones and zeros are labels to classify, others are values to regress on; ``sex`` becomes ``female``.

    Args:
        studies: Table of studies.
        wanted: Names with commas between them, with or without ``label_`` in front; ``*`` stands for anything.
        where: Name of the table for messages.
        names: Take the columns of these labels, as far as they are there, in place of what ``wanted`` matches.

    Raises:
        DataError: There is no such column, it holds no number, or classes and values are mixed.
    """
    if names is None:
        columns = [column for name in wanted.split(",") for column in _matching(studies, name.strip(), where)]
        columns = list(dict.fromkeys(columns))
    else:
        columns = _columns_of_names(studies, names, where)
    values = np.stack([_numbers(studies, column) for column in columns], axis=1)
    kinds: dict[str, _Kind] = {column: _kind(values[:, index]) for index, column in enumerate(columns)}
    if len(set(kinds.values())) > 1:
        listed = ", ".join(f"{column} ({kind})" for column, kind in kinds.items())
        raise DataError(f"{where}: classes and values cannot be learned together: {listed}", reason="mixed-labels")
    kind = kinds[columns[0]]
    return LabelTable(
        names=tuple(map(_name_of, columns)),
        values=values,
        keep=np.any(~np.isnan(values), axis=1),
        kind="multilabel" if kind == "binary" and len(columns) > 1 else kind,
        description=f"columns {', '.join(columns)}",
    )


def label_columns_of(studies: pa.Table) -> list[str]:
    """Return the columns that can be labels."""
    return [name for name in studies.column_names if name.startswith(_PREFIXES) or name in _OTHERS]


def _name_of(column: str) -> str:
    return "female" if column == "sex" else column.removeprefix("label_")


def _columns_of_names(studies: pa.Table, names: Sequence[str], where: str) -> list[str]:
    by_name = {_name_of(column): column for column in label_columns_of(studies)}
    columns = [by_name[name] for name in names if name in by_name]
    if not columns:
        raise DataError(
            f"{where}: none of the labels {', '.join(names)} is a column of it; there are "
            f"{', '.join(by_name) or 'none'}",
            reason="unknown-label",
        )
    return columns


def _matching(studies: pa.Table, name: str, where: str) -> list[str]:
    available = label_columns_of(studies)
    found = [column for column in available if fnmatchcase(column, name)]
    found = found or [column for column in available if fnmatchcase(column, f"label_{name}")]
    if not found:
        known = [*available, *(one.removeprefix("label_") for one in available)]
        hint = did_you_mean(name, known, " Did you mean {!r}?")
        raise DataError(
            f"{where}: no column of labels {name!r}; there are {', '.join(available) or 'none'}.{hint}",
            reason="unknown-label",
        )
    return found


def _numbers(studies: pa.Table, column: str) -> np.ndarray:
    if column == "sex":
        known = {"female": 1.0, "male": 0.0}
        return np.array([known.get(sex, np.nan) for sex in studies["sex"].to_pylist()], dtype=np.float32)
    kind = studies.schema.field(column).type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        raise DataError(f"column {column!r} must hold numbers, found {kind}", reason="label-not-a-number")
    return studies[column].cast(pa.float32()).to_numpy().astype(np.float32)


def _kind(values: np.ndarray) -> _Kind:
    known = values[~np.isnan(values)]
    return "binary" if np.isin(known, (0, 1)).all() else "regression"
