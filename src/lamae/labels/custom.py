"""Label sets of your own: a YAML file that says which codes stand for which label."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from lamae.config import read_yaml
from lamae.errors import ConfigError, DataError
from lamae.labels.label_table import LabelTable
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


def custom_labels(studies: pa.Table, custom: CustomSet, *, where: str) -> LabelTable:
    """Make the labels of a set of your own.

    ICD codes match by their beginning (``I48`` matches ``I480``), other codes as a whole. Studies take part that have
    any code in one of the columns that the set names.

    Raises:
        DataError: The studies lack one of the columns.
    """
    names = tuple(custom)
    values = np.zeros((len(studies), len(names)), dtype=np.float32)
    keep = np.zeros(len(studies), dtype=bool)
    for column in dict.fromkeys(column for columns in custom.values() for column in columns):
        if column not in studies.column_names:
            raise DataError(
                f"{where}: the label set needs the column {column!r}, which this pack does not have",
                reason="missing-column",
            )
        codes = code_lists(studies[column])
        wanted = {name: columns[column] for name, columns in custom.items() if column in columns}
        values = np.maximum(
            values, multi_hot(positives(codes, partial(_labels_of_code, column=column, wanted=wanted)), names)
        )
        keep |= codes.has_any
    return LabelTable(
        names=names, values=values, keep=keep, kind="multilabel", description=f"labels {', '.join(names)} by codes"
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
