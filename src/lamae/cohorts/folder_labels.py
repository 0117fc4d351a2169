"""The table of labels that goes with a folder of recordings."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from lamae.cohorts.tables import check_columns, csv_columns, unchanged_table, unreadable_table
from lamae.errors import DataError
from lamae.splits import SPLITS

_SPLIT_NAMES = dict(zip(SPLITS, SPLITS, strict=True)) | {
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "dev": "validation",
    "testing": "test",
}
_SEXES = {"f": "female", "female": "female", "m": "male", "male": "male"}
_KNOWN_COLUMNS = ("age_years", "sex", "acquired_at", "fold")
_KNOWN_PREFIXES = ("label_", "measure_", "codes_")
_NUM_EXAMPLES = 5


@dataclass(frozen=True)
class LabelColumns:
    """Names of the columns of a table; see ``Folder``."""

    study: str = "study_id"
    patient: str = "patient_id"
    split: str = "split"
    labels: tuple[str, ...] | None = None


def label_columns(
    study_ids: Sequence[str], file: Path, naming: LabelColumns, *, unknown_studies: Literal["error", "ignore"]
) -> tuple[dict[str, Any], dict[str, int]]:
    """Read a table of labels and lay its rows beside the recordings.

    Args:
        study_ids: Ids of the recordings that were found.
        file: CSV or Parquet.
        naming: Names of its columns.
        unknown_studies: What to do about rows without a recording.

    Returns:
        Columns in the order of ``study_ids`` (``patient_id`` and ``split`` where there, labels, covariates); and the
        numbers of rows without a recording, of recordings without a row, of columns left out, and, if any,
        of words for sex that mean neither female nor male.

    Raises:
        DataError: A column is missing, a study is repeated or unknown, or a split has an unknown name.
    """
    with unchanged_table(file):
        source = _read_table(file, naming)
    rows = _rows_of_studies(study_ids, source[naming.study].to_pylist(), file)
    num_unknown = len(source) - len({row for row in rows if row is not None})
    if num_unknown and unknown_studies == "error":
        raise _unknown_studies(source[naming.study].to_pylist(), rows, file)
    matched = source.take(pa.array(rows, pa.int64()))
    chosen = _chosen_columns(matched, naming, file)
    columns: dict[str, Any] = {new: matched[old] for old, new in chosen.items()}
    if naming.patient in matched.column_names:
        columns["patient_id"] = matched[naming.patient]
    if naming.split in matched.column_names:
        columns["split"] = _splits(matched[naming.split], file)
    counted: dict[str, int] = {}
    if "sex" in columns:
        columns["sex"], num_other_words = _sexes(columns["sex"])
        counted = {"num_unknown_sex": num_other_words} if num_other_words else {}
    used = {*chosen, naming.study, naming.patient, naming.split}
    return columns, counted | {
        "num_unknown_studies": num_unknown,
        "num_without_labels": rows.count(None),
        "num_ignored_columns": len(set(source.column_names) - used),
    }


def _read_table(file: Path, naming: LabelColumns) -> pa.Table:
    ids = dict.fromkeys((naming.study, naming.patient, naming.split), pa.string())
    texts = ids | {"acquired_at": pa.string()}  # as written: Arrow would move times with a zone to another one
    try:
        if file.suffix.lower() in (".parquet", ".pq"):
            table = pq.read_table(file)
        else:
            csv_columns(file)
            convert = pa_csv.ConvertOptions(column_types=texts, strings_can_be_null=True)
            parse = pa_csv.ParseOptions(newlines_in_values=True)
            table = pa_csv.read_csv(file, convert_options=convert, parse_options=parse)
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise unreadable_table(file, error) from error
    check_columns(file, table.column_names, [naming.study, *(naming.labels or ())])
    for name in ids.keys() & {*table.column_names}:
        table = table.set_column(table.column_names.index(name), name, table[name].cast(pa.string()))
    return table


def _rows_of_studies(study_ids: Sequence[str], ids_in_table: list[str], file: Path) -> list[int | None]:
    """Find the table's row of each recording, by its whole id or by its bare name where that is unique."""
    row_of = {study: row for row, study in enumerate(ids_in_table)}
    if len(row_of) < len(ids_in_table):
        repeated = [study for study, count in Counter(ids_in_table).items() if count > 1]
        raise DataError(
            f"{file}: {len(repeated)} study ids occur more than once ({_examples(repeated)}); expected one row a study",
            reason="duplicated-study-id",
        )
    names = [PurePosixPath(study).name for study in study_ids]
    count_of = Counter(names)
    return [
        row_of.get(study, row_of.get(name) if count_of[name] == 1 else None)
        for study, name in zip(study_ids, names, strict=True)
    ]


def _unknown_studies(ids_in_table: list[str], rows: list[int | None], file: Path) -> DataError:
    known = set(rows)
    unknown = [study for row, study in enumerate(ids_in_table) if row not in known]
    return DataError(
        f"{file}: labels for {len(unknown)} unknown studies ({_examples(unknown)}): no recording below the folder has "
        "such an id. Correct the ids, or set unknown_studies=ignore where the download is partial",
        reason="unknown-studies",
    )


def _chosen_columns(table: pa.Table, naming: LabelColumns, file: Path) -> dict[str, str]:
    """Return the name in a pack of each column that is taken."""
    chosen: dict[str, str] = {}
    for name in table.column_names:
        kind = table.schema.field(name).type
        if name in (naming.study, naming.patient, naming.split):
            continue
        if name in _KNOWN_COLUMNS or name.startswith(_KNOWN_PREFIXES):
            chosen[name] = name
        elif naming.labels is None and _is_number(kind):
            chosen[name] = f"label_{name}"
        elif naming.labels is not None and name in naming.labels:
            if not _is_number(kind):
                raise DataError(
                    f"{file}: the label {name!r} must hold numbers, found {kind}", reason="label-not-a-number"
                )
            chosen[name] = f"label_{name}"
    return chosen


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)


def _splits(column: pa.ChunkedArray, file: Path) -> list[str | None]:
    given = column.to_pylist()
    unknown = sorted({split for split in given if split is not None and split.strip().lower() not in _SPLIT_NAMES})
    if unknown:
        raise DataError(
            f"{file}: unknown split {_examples(unknown)}: expected {', '.join(SPLITS)}", reason="unknown-split"
        )
    return [None if split is None else _SPLIT_NAMES[split.strip().lower()] for split in given]


def _sexes(column: pa.ChunkedArray) -> tuple[list[str | None], int]:
    """Return ``female`` and ``male`` however they are written, null for the rest, and the number of other words."""
    given = [None if word is None else str(word).strip().lower() for word in column.to_pylist()]
    sexes = [None if word is None else _SEXES.get(word) for word in given]
    return sexes, sum(bool(word) and sex is None for word, sex in zip(given, sexes, strict=True))


def _examples(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_NUM_EXAMPLES])
    return shown + (", ..." if len(names) > _NUM_EXAMPLES else "")
