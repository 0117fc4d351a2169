"""The labels of studies, from codes, columns or a file alike."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

Statements = Literal["any", "in-set", "not-needed"]
"""Studies that take part: those with any code, those with a code of the label set, or all."""


def taking_part(statements: Statements, has_code: np.ndarray, in_set: np.ndarray) -> np.ndarray:
    """Return ``[studies]`` bool, true for those that take part, from those with any code and with one of the set."""
    if statements == "any":
        return has_code
    return in_set if statements == "in-set" else np.ones(len(has_code), dtype=bool)


@dataclass(frozen=True, kw_only=True)
class LabelTable:
    """Labels of ``studies`` studies.

    Attributes:
        names: Names of the labels.
        values: ``[studies, labels]`` float32: 1, 0, or the value of a regression; NaN where unknown.
        keep: ``[studies]`` bool: the studies that take part; the labels of the others are unknown, not negative.
        kind: ``"multilabel"``, ``"binary"`` (one label) or ``"regression"``.
        description: Description of the labels in words.
        notes: Record of how they were made: counts, dropped labels, unknown codes.
        titles: Titles of labels by name, where a table has them.
        paths: Path of each label in the hierarchy by name, from the top down to the label itself.
    """

    names: tuple[str, ...]
    values: np.ndarray
    keep: np.ndarray
    kind: Literal["multilabel", "regression", "binary"]
    description: str
    notes: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    titles: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    paths: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        expected = (len(self.keep), len(self.names))
        if self.values.shape != expected or self.values.dtype != np.float32:
            raise ValueError(
                f"values must be float32 of shape {expected}, found {self.values.dtype} {self.values.shape}"
            )
