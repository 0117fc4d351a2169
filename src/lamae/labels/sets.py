"""The labels of every study, made from the name of a label set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa

from lamae.errors import ConfigError, DataError, check_choice, did_you_mean
from lamae.labels.code_sets import CODE_SETS, CodeSet, code_set
from lamae.labels.columns import column_labels, label_columns_of
from lamae.labels.custom import custom_labels, read_custom_set
from lamae.labels.icd9 import read_icd9_map, translate
from lamae.labels.label_table import LabelTable, Statements, taking_part
from lamae.labels.multi_hot import CodeLists, code_lists, count_studies, multi_hot, positives
from lamae.labels.vocabulary import frequent


class PackLike(Protocol):
    """The part of a pack's description that is needed here."""

    @property
    def cohort(self) -> str:
        """Name of the cohort."""
        ...


def label_sets() -> tuple[str, ...]:
    """Return the names of the label sets; columns and YAML files are label sets as well."""
    return (*CODE_SETS, "signal-quality")


def make_labels(
    pack_info: PackLike | None,
    studies: pa.Table,
    label_set: str,
    *,
    train_rows: np.ndarray,
    min_count: int | None = None,
    max_labels: int | None = None,
    statements: Statements | None = None,
    icd9: Literal["drop", "map"] = "drop",
    icd9_map: str | Path | None = None,
    vocabulary: Literal["train", "all"] = "train",
    names: Sequence[str] | None = None,
) -> LabelTable:
    """Return the labels of a set for every study of a pack.

    Args:
        pack_info: The pack's description, for messages.
        studies: The pack's table of studies.
        label_set: One of ``label_sets()``, ``icd10-chapter-<Roman number>``, ``icd10-strodthoff:<letter>``,
            ``column:<name>`` or the bare name of a column, or the path of a YAML file.
        train_rows: Indices (or a mask) of the training studies, from which alone the vocabulary is chosen.
        min_count: Minimum number of positive training studies of a label (10 for ICD-10 and SNOMED sets; 1 for SCP
            sets, which are closed); not applied to columns and YAML files.
        max_labels: Keep the most frequent labels only.
        statements: Studies that take part: those with any code (ICD-10, SNOMED: a study without one was not linked,
            which does not mean healthy), with a code of the set (SCP, as in its benchmark), or all.
        icd9: Drop ICD-9-CM codes, or translate them by ``icd9_map``.
        icd9_map: A general equivalence map, ``icd_9,icd_10,flags``.
        vocabulary: Studies from which the vocabulary is chosen: the training studies, or all of the table, as in
            published benchmarks, which includes the test studies; the notes call that a leak.
        names: Make these labels, as far as the studies can tell them, in place of those that are frequent enough: the
            labels of another table's training studies. No study of this table then influences the vocabulary.

    Raises:
        ConfigError: There is no such label set.
        DataError: The studies lack the column that the set is made from, or no label is frequent enough.
    """
    check_choice("vocabulary", vocabulary, ("train", "all"))
    where = f"cohort {pack_info.cohort}" if pack_info is not None else "these studies"
    if label_set.endswith((".yaml", ".yml")):
        custom = read_custom_set(Path(label_set))
        return custom_labels(studies, custom, where=where, wanted=names, statements=statements)
    rule = code_set(label_set)
    if rule is None:
        wanted = label_set if names is not None else _columns_of_set(label_set, studies)
        return column_labels(studies, wanted, where=where, names=names)
    column, notes = _codes(studies, rule.column, icd9, icd9_map, where)
    codes = code_lists(column)
    found = positives(codes, rule.labels_of)
    least, limit = rule.min_count if min_count is None else min_count, max_labels or rule.max_labels
    notes |= {"statements": statements or rule.statements} | _unknown_codes(codes, rule)
    if names is None:
        counts = count_studies(found, train_rows if vocabulary == "train" else np.arange(len(studies)))
        kept, dropped, tied = frequent(counts, min_count=least, max_labels=limit, order=rule.order)
        names = sorted(kept, key=rule.order)
        notes |= {
            "vocabulary": "train" if vocabulary == "train" else "all (leak)",
            "min_count": least,
            "max_labels": limit,
            "tied_labels": tied,
            "dropped_labels": dropped,
            "counts": {name: counts[name] for name in names},
        }
    if not names:
        raise DataError(
            f"{where}: no label of {label_set!r} has {least} positive studies in the training split; ask for a lower "
            "min_count, or prepare more studies",
            reason="no-labels",
        )
    return LabelTable(
        names=tuple(names),
        values=multi_hot(found, names),
        keep=taking_part(statements or rule.statements, codes.has_any, found.has_any),
        kind="multilabel",
        description=rule.description,
        notes=notes,
        titles={name: title for name in names if (title := rule.title_of(name)) is not None},
        paths={} if rule.place_of is None else {name: rule.place_of(name) for name in names},
    )


def _codes(
    studies: pa.Table, name: str, icd9: str, icd9_map: str | Path | None, where: str
) -> tuple[pa.Array, dict[str, Any]]:
    """Return the column of codes, with translated ICD-9-CM codes added if asked."""
    if name not in studies.column_names:
        raise DataError(
            f"{where}: the label set needs the column {name!r}, which this pack does not have", reason="missing-column"
        )
    column = studies[name].combine_chunks()
    if name != "codes_icd10cm" or "codes_icd9cm" not in studies.column_names:
        return column, {"num_icd9_translated": 0} if icd9 == "map" else {}
    old = code_lists(studies["codes_icd9cm"])
    if icd9 == "drop":
        return column, {"num_icd9_dropped": len(old.code)}
    if icd9_map is None:
        raise ConfigError("icd9='map' needs icd9_map, a CSV file with the columns icd_9, icd_10 and flags")
    translated, lost = translate(old, read_icd9_map(Path(icd9_map)))
    pairs = zip(column.to_pylist(), translated.to_pylist(), strict=True)
    joined = pa.array([(ours or []) + theirs for ours, theirs in pairs], pa.list_(pa.string()))
    return joined, {"num_icd9_translated": len(old.code) - sum(lost.values()), "icd9_without_target": lost}


def _unknown_codes(codes: CodeLists, rule: CodeSet) -> dict[str, Any]:
    """Return the codes that no table lists, and those of which it lists only a prefix (retired ones), with counts.

    The label set's own rule says whether they count as labels; that is noted too.
    """
    if rule.known is None:
        return {}
    known = {code: rule.known(code) for code in codes.distinct}
    counts = dict(zip(codes.distinct, codes.count.tolist(), strict=True))
    return {
        "keeps_unknown_codes": rule.keeps_unknown,
        "unknown_codes": {code: counts[code] for code, found in known.items() if not found},
        "retired_codes": {
            code: {"counted_as": found, "count": counts[code]}
            for code, found in known.items()
            if found and found != code
        },
    }


def _columns_of_set(label_set: str, studies: pa.Table) -> str:
    """Return the columns that a label set names.

    Raises:
        ConfigError: It is no label set at all.
    """
    if label_set == "signal-quality":
        return "label_acceptable"
    if label_set.startswith("column:"):
        return label_set.removeprefix("column:")
    columns = label_columns_of(studies)
    short = [name.removeprefix("label_") for name in columns]
    if {name.strip() for name in label_set.split(",")} <= {*columns, *short}:
        return label_set
    hint = did_you_mean(label_set, [*label_sets(), *short])
    raise ConfigError(
        f"unknown label set {label_set!r}: {hint}Known are {', '.join(label_sets())}, a column "
        f"({', '.join(short) or 'none here'}), or a YAML file"
    )
