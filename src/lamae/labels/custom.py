"""Custom label sets: a YAML file that maps labels to codes."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from lamae.config import read_yaml
from lamae.errors import ConfigError, DataError
from lamae.labels.label_table import LabelTable, Statements, taking_part
from lamae.labels.multi_hot import clean_code, code_lists, multi_hot, positives

CustomSet = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Codes by column by label."""

_BY_BEGINNING = ("codes_icd10cm", "codes_icd9cm")
_COLUMNS = (*_BY_BEGINNING, "codes_scp", "codes_snomed")


def read_custom_set(path: Path) -> CustomSet:
    """Read a label set such as ``{af: {codes_icd10cm: [I48]}}``.

    Raises:
        ConfigError: The file is absent, is no YAML, or has another structure.
    """
    content = read_yaml(path)
    return {str(name): _codes_by_column(path, str(name), columns) for name, columns in content.items()}


def custom_labels(
    studies: pa.Table,
    custom: CustomSet,
    *,
    where: str,
    wanted: Sequence[str] | None = None,
    statements: Statements | None = None,
) -> LabelTable:
    """Return the labels of a custom set.

    ICD codes match by prefix (``I48`` matches ``I480``), other codes as a whole. A label of several columns
    is made from those that the table has.

    Args:
        studies: Table of studies.
        custom: The set.
        where: Name of the table for messages.
        wanted: Make these labels only, and leave out those for which no column is there.
        statements: Studies that take part: those with any code in one of the columns that the set names (the
            default), those with a code of the set, or all.

    Raises:
        DataError: For a label, or with ``wanted`` for all of them, the studies have none of its columns.
    """
    there = {name: {c: codes for c, codes in by.items() if c in studies.column_names} for name, by in custom.items()}
    lost = [name for name in custom if not there[name]]
    if lost and (wanted is None or len(lost) == len(custom)):
        columns = " or ".join(map(repr, custom[lost[0]]))
        raise DataError(
            f"{where}: the label set needs the column {columns} for {lost[0]!r}, which this pack does not have",
            reason="missing-column",
        )
    custom = {name: there[name] for name in custom if there[name] and (wanted is None or name in set(wanted))}
    names = tuple(custom)
    values = np.zeros((len(studies), len(names)), dtype=np.float32)
    keep = np.zeros(len(studies), dtype=bool)
    for column in dict.fromkeys(column for columns in custom.values() for column in columns):
        codes = code_lists(studies[column])
        of_column = {name: columns[column] for name, columns in custom.items() if column in columns}
        values = np.maximum(
            values, multi_hot(positives(codes, partial(_labels_of_code, column=column, wanted=of_column)), names)
        )
        keep |= codes.has_any
    return LabelTable(
        names=names,
        values=values,
        keep=taking_part(statements or "any", keep, np.any(values > 0, axis=1)),
        kind="multilabel",
        description=f"labels {', '.join(names)} by codes",
    )


def _labels_of_code(code: str, *, column: str, wanted: Mapping[str, tuple[str, ...]]) -> list[str]:
    if column in _BY_BEGINNING:
        return [name for name, codes in wanted.items() if code.startswith(codes)]
    return [name for name, codes in wanted.items() if code in codes]


def _codes_by_column(path: Path, name: str, columns: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(columns, Mapping) or not columns:
        raise ConfigError(f"{path}: label {name!r}: expected a mapping such as codes_icd10cm: [I48], found {columns!r}")
    for column, codes in columns.items():
        if column not in _COLUMNS:
            raise ConfigError(f"{path}: label {name!r}: unknown column {column!r}; expected {', '.join(_COLUMNS)}")
        if not isinstance(codes, list) or not codes:
            raise ConfigError(f"{path}: label {name!r}: {column}: expected a list of codes, found {codes!r}")
    return {column: tuple(clean_code(str(code)) for code in codes) for column, codes in columns.items()}
