"""ICD-9-CM codes of older admissions, translated to ICD-10-CM by a map that the user gives."""

import csv
import gzip
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from lamae.errors import DataError
from lamae.labels.multi_hot import CodeLists, clean_code

_COMBINATION, _SCENARIO, _CHOICE_LIST = 2, 3, 4
"""Positions in a map's flags: approximate, no map, combination, scenario, choice list (CMS, GEM documentation)."""


def read_icd9_map(path: Path) -> dict[str, tuple[str, ...]]:
    """Read a general equivalence map (``icd_9,icd_10,flags`` in CSV, perhaps gzipped).

    Of the targets that a code can have, the first is taken; where several are needed together (the combination flag),
    the first of each choice list of the first scenario. Codes without a target have an empty tuple.

    Raises:
        DataError: The file is absent or has other columns.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a map from ICD-9-CM to ICD-10-CM", reason="missing-file")
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        if not {"icd_9", "icd_10"} <= set(reader.fieldnames or ()):
            raise DataError(
                f"{path}: expected columns 'icd_9' and 'icd_10', found {', '.join(reader.fieldnames or ())}",
                reason="missing-column",
            )
        rows = [(clean_code(row["icd_9"]), row["icd_10"].strip(), row.get("flags") or "00000") for row in reader]
    return _first_targets(rows)


def _first_targets(rows: list[tuple[str, str, str]]) -> dict[str, tuple[str, ...]]:
    targets: dict[str, dict[str, str]] = {}
    scenario: dict[str, str] = {}
    for old, new, flags in rows:
        chosen = targets.setdefault(old, {})
        if new.upper() == "NODX" or scenario.setdefault(old, flags[_SCENARIO]) != flags[_SCENARIO]:
            continue
        part = flags[_CHOICE_LIST] if flags[_COMBINATION] == "1" else "only"
        if part == "only" and chosen:
            continue
        chosen.setdefault(part, clean_code(new))
    return {old: tuple(dict.fromkeys(chosen.values())) for old, chosen in targets.items()}


def translate(codes: CodeLists, targets: Mapping[str, tuple[str, ...]]) -> tuple[pa.ListArray, dict[str, int]]:
    """Translate the ICD-9-CM codes of each study.

    Returns:
        Lists of ICD-10-CM codes, one a study; and the codes without a target with the number of times they occur.
    """
    new = [targets.get(code, ()) for code in codes.distinct]
    translated = [target for code in codes.code for target in new[code]]
    per_code = np.array([len(found) for found in new], dtype=np.int64)[codes.code]
    lengths = np.bincount(codes.study, weights=per_code, minlength=codes.num_studies).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(translated, pa.string()))
    lost = {codes.distinct[i]: int(count) for i, count in enumerate(codes.count) if not new[i]}
    return lists, lost
