"""Lists of codes, the labels that they stand for, and the matrix of labels."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa


@dataclass(frozen=True)
class CodeLists:
    """Lists of codes, one a study, as pairs of study and code.

    Attributes:
        num_studies: Number of studies.
        study: ``[codes]`` index of the study that each code belongs to, in order.
        code: ``[codes]`` index into ``distinct``.
        distinct: The different codes.
    """

    num_studies: int
    study: np.ndarray
    code: np.ndarray
    distinct: tuple[str, ...]

    @property
    def count(self) -> np.ndarray:
        """``[distinct]`` number of times that each code occurs."""
        return np.bincount(self.code, minlength=len(self.distinct))

    @property
    def has_any(self) -> np.ndarray:
        """``[studies]`` bool, true where the list is not empty."""
        return np.bincount(self.study, minlength=self.num_studies) > 0


@dataclass(frozen=True)
class Positives:
    """Pairs of a study and one of its labels, each once.

    Attributes:
        num_studies: Number of studies.
        study: ``[pairs]`` index of the study.
        label: ``[pairs]`` index into ``names``.
        names: The labels.
    """

    num_studies: int
    study: np.ndarray
    label: np.ndarray
    names: tuple[str, ...]

    @property
    def has_any(self) -> np.ndarray:
        """``[studies]`` bool, true where the study has at least one of the labels."""
        return np.bincount(self.study, minlength=self.num_studies) > 0


def code_lists(column: pa.ChunkedArray | pa.Array) -> CodeLists:
    """Split a column of lists of codes into pairs; missing lists count as empty, missing codes are left out.

    Codes are stripped of white space and dots, and in capitals.
    """
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    lengths = np.array(column.value_lengths().fill_null(0), dtype=np.int64)
    encoded = column.flatten().dictionary_encode()
    cleaned = [clean_code(code) for code in encoded.dictionary.to_pylist()]
    distinct = tuple(dict.fromkeys(cleaned))
    place = {code: index for index, code in enumerate(distinct)}
    renumbered = np.array([place[code] for code in cleaned], dtype=np.int64)
    code = renumbered[np.array(encoded.indices.drop_null(), dtype=np.int64)]
    study = np.repeat(np.arange(len(column)), lengths)[np.array(encoded.indices.is_valid(), dtype=bool)]
    return CodeLists(len(column), study, code, distinct)


def clean_code(code: str) -> str:
    """Return a code without white space and dots, in capitals: ``" i48.0"`` -> ``"I480"``."""
    return code.strip().upper().replace(".", "")


def positives(codes: CodeLists, labels_of: Callable[[str], Iterable[str]]) -> Positives:
    """Return the labels of each study, those of all its codes.

    Args:
        codes: Codes of the studies.
        labels_of: Labels that one code stands for; called once for each distinct code.
    """
    lists = [tuple(labels_of(code)) for code in codes.distinct]
    names = tuple(dict.fromkeys(name for labels in lists for name in labels))
    place = {name: index for index, name in enumerate(names)}
    flat = np.array([place[name] for labels in lists for name in labels], dtype=np.int64)
    lengths = np.array([len(labels) for labels in lists], dtype=np.int64)
    starts = np.cumsum(lengths) - lengths

    repeats = lengths[codes.code]
    study = np.repeat(codes.study, repeats)
    within = np.arange(len(study)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    label = flat[np.repeat(starts[codes.code], repeats) + within]
    pairs = np.unique(study * max(len(names), 1) + label)
    return Positives(codes.num_studies, pairs // max(len(names), 1), pairs % max(len(names), 1), names)


def count_studies(found: Positives, rows: np.ndarray) -> dict[str, int]:
    """Return the number of positive studies of each label among some rows (indices or a mask)."""
    among = np.zeros(found.num_studies, dtype=bool)
    among[rows] = True
    counts = np.bincount(found.label[among[found.study]], minlength=len(found.names))
    return dict(zip(found.names, counts.tolist(), strict=True))


def multi_hot(found: Positives, names: Sequence[str]) -> np.ndarray:
    """Return ``[studies, labels]`` float32 ones and zeros for the chosen labels in their order."""
    column = {name: index for index, name in enumerate(names)}
    columns = np.array([column.get(name, -1) for name in found.names], dtype=np.int64)
    values = np.zeros((found.num_studies, len(names)), dtype=np.float32)
    if len(found.label):
        wanted = columns[found.label] >= 0
        values[found.study[wanted], columns[found.label[wanted]]] = 1
    return values
