# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported.)
"""Tables of cohorts: reading them fast, finding the files that are there, and the finished table of studies."""

import csv
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from lamae.ages_and_dates import OLDEST_AGE_YEARS, YEARS
from lamae.cohorts.times import TIME, times
from lamae.errors import DataError, did_you_mean
from lamae.files import unchanged
from lamae.splits import assign_splits, check_disjoint, stand_in_key

TEXT, NUMBER, WHOLE, TRUTH = pa.string(), pa.float32(), pa.int32(), pa.bool_()
CODES = pa.list_(pa.string())

_TYPES = {
    "study_id": TEXT,
    "patient_key": TEXT,
    "path": TEXT,
    "record": TEXT,
    "split": TEXT,
    "acquired_at": TIME,
    "fold": WHOLE,
    "age_years": NUMBER,
    "sex": TEXT,
    "record_key": TEXT,
    "source": TEXT,
    "codes_scp_likelihood": pa.list_(NUMBER),
}
"""The columns of a table of studies in their order; ``codes_*``, ``measure_*`` and ``label_*`` follow."""

_TYPE_BY_PREFIX = {"codes_": CODES, "measure_": NUMBER, "label_": NUMBER}
_NOTES = b"lamae_notes"
_SPLIT_SEED = b"lamae_split_seed"
_NULLS = ["", "NaN", "nan", "NA", "N/A", "null", "None"]


def read_csv(
    path: Path, required: Mapping[str, pa.DataType], optional: Mapping[str, pa.DataType] | None = None
) -> pa.Table:
    """Read some columns of a CSV file (``.csv`` or ``.csv.gz``); the others are not even converted.

    Args:
        path: The file; its first line names the columns.
        required: Types of the columns that must be there.
        optional: Types of columns that are read where they are there.

    Raises:
        DataError: The file is absent, lacks a column, changes meanwhile, or holds something that is not of the column's
            type.
    """
    with unchanged_table(path):
        return _read_columns(path, required, optional or {})


def _read_columns(path: Path, required: Mapping[str, pa.DataType], optional: Mapping[str, pa.DataType]) -> pa.Table:
    found = csv_columns(path)
    check_columns(path, found, required)
    types = dict(required) | {name: kind for name, kind in optional.items() if name in found}
    convert = pa_csv.ConvertOptions(
        include_columns=list(types),
        column_types={name: TEXT if kind == TIME else kind for name, kind in types.items()},
        strings_can_be_null=True,
        null_values=_NULLS,
    )
    try:
        table = pa_csv.read_csv(
            path, convert_options=convert, parse_options=pa_csv.ParseOptions(newlines_in_values=True)
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise unreadable_table(path, error) from error
    for position, (name, kind) in enumerate(types.items()):
        if kind == TIME:
            table = table.set_column(position, name, times(table[name], f"{path}: the column {name!r}"))
    return table


@contextmanager
def unchanged_table(path: Path) -> Iterator[None]:
    """Refuse a table that another program changes while the block reads it; an absent one is left to the block."""
    with unchanged(path) if path.is_file() else nullcontext():
        yield


def unreadable_table(path: Path, error: Exception) -> DataError:
    """Return the error for a table that Arrow refused, without the row that Arrow quotes: it may name a patient."""
    cause = re.sub(r"(Expected \d+ columns, got \d+).*", r"\1", str(error), flags=re.DOTALL)
    return DataError(f"{path}: cannot read this table: {cause}", reason="unreadable-table")


def csv_columns(path: Path) -> list[str]:
    """Return the names in the first line of a CSV file.

    Raises:
        DataError: There is no such file, it is empty, or it is no text.
    """
    if not path.is_file():
        found = "it is a folder" if path.is_dir() else "there is no such file"
        raise DataError(f"{path}: {found}, but this data set needs the table; correct the path", reason="missing-file")
    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            line = stream.read(1 << 16).split(b"\n", 1)[0].decode("utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path}: not readable as a CSV file: {error}", reason="unreadable-table") from error
    if not line.strip():
        raise DataError(f"{path}: the table is empty; expected a first line with column names", reason="empty-table")
    return next(csv.reader([line]))


def check_columns(path: Path, found: Sequence[str], needed: Iterable[str]) -> None:
    """Check that a table has the columns that are needed.

    Raises:
        DataError: A column is missing; the message names the nearest one that is there.
    """
    for name in needed:
        if name not in found:
            hint = did_you_mean(name, found, "; did you mean {!r}?")
            raise DataError(
                f"{path}: expected a column {name!r}, found {', '.join(found)}{hint}", reason="missing-column"
            )


def patient_keys(source: str, patient_ids: pa.ChunkedArray, study_ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return ``source:patient``, or ``source:study:study`` where the patient is not known."""
    known = pc.binary_join_element_wise(source, patient_ids.cast(TEXT), ":")
    return pc.coalesce(known, pc.binary_join_element_wise(stand_in_key(source, ""), study_ids, ""))


def parse_code_lists(column: pa.ChunkedArray | pa.Array) -> pa.ListArray:
    """Turn texts such as ``"['I480', 'E119']"`` (a Python list, as pandas writes it) into lists of codes.

    Empty lists stay empty, a missing text gives an empty list.
    """
    texts = pc.fill_null(_one_array(column), "")
    return non_empty_strings(pc.split_pattern(pc.replace_substring_regex(texts, r"[\[\]{}'\"\s]", ""), ","))


def non_empty_strings(lists: pa.ListArray) -> pa.ListArray:
    """Return lists of strings without their empty strings."""
    values = lists.flatten()
    filled = pc.not_equal(values, "").to_numpy(zero_copy_only=False).astype(bool)
    before = np.concatenate([[0], np.cumsum(filled)])
    ends = np.concatenate([[0], np.cumsum(pc.list_value_length(lists).to_numpy(zero_copy_only=False))])
    return pa.ListArray.from_arrays(pa.array(before[ends], pa.int32()), values.filter(pa.array(filled)))


def present_files(root: Path, paths: Iterable[str]) -> np.ndarray:
    """Tell which files (or folders) are there, by listing each folder once instead of asking for each file.

    Args:
        root: Folder to which the paths are relative.
        paths: Relative paths with forward slashes.

    Returns:
        ``[paths]`` bool.
    """
    listings: dict[str, frozenset[str]] = {}
    present = []
    for path in paths:
        folder, _, name = path.rpartition("/")
        if folder not in listings:
            listings[folder] = _names_in(root / folder)
        present.append(name in listings[folder])
    return np.array(present, dtype=bool)


def studies_table(
    columns: Mapping[str, Any],
    *,
    where: Path,
    notes: Mapping[str, int] | None = None,
    split_seed: int | None = None,
) -> pa.Table:
    """Return the finished table of a cohort, columns in their order and of their types.

    Args:
        columns: Arrays (or lists) by name.
        where: The cohort's folder, for messages.
        notes: What to tell at the end of the preparation, such as ``num_absent``; kept with the table. Ages and times
            that nobody and no recording has become null and are counted here.
        split_seed: Where the columns give no split, draw one by patient with this seed; the table says so, and the
            preparation may draw it again where files know the patients better.

    Raises:
        DataError: A study id occurs twice, a patient is in two splits, or a column holds something of another type.
    """
    given = columns.get("split")
    if given is not None and _typed("split", given, where).null_count < len(given):
        split_seed = None
    if split_seed is not None:
        columns = dict(columns) | {"split": assign_splits(columns["patient_key"], seed=split_seed)}
    ordered = [name for name in _TYPES if name in columns and name != "codes_scp_likelihood"]
    ordered += [name for name in columns if name not in ordered]
    table = pa.table({name: _typed(name, columns[name], where) for name in ordered})
    _check_unique(table["study_id"], where)
    table, implausible = _without_implausible(table)
    if "split" in table.column_names:
        check_disjoint(table, where=where)
    if split_seed is not None:
        table = table.replace_schema_metadata({_SPLIT_SEED: str(split_seed)})
    return with_notes(table, {**(notes or {}), **implausible})


def _without_implausible(table: pa.Table) -> tuple[pa.Table, dict[str, int]]:
    """Return the table with null for ages and times that nobody and no recording has, and how many those were."""
    counted: dict[str, int] = {}
    limits = {
        "age_years": (0, OLDEST_AGE_YEARS),
        "acquired_at": (datetime(YEARS.start, 1, 1), datetime(YEARS.stop, 1, 1)),
    }
    for name, (lowest, highest) in limits.items():
        if name not in table.column_names:
            continue
        column = table[name] if name == "acquired_at" else pc.if_else(pc.is_nan(table[name]), None, table[name])
        fits = pc.and_(pc.greater_equal(column, lowest), pc.less_equal(column, highest))
        if num := len(column) - column.null_count - (pc.sum(fits).as_py() or 0):
            counted[f"num_implausible_{'ages' if name == 'age_years' else 'dates'}"] = num
        column = pc.if_else(fits, column, None)
        table = table.set_column(table.column_names.index(name), name, column)
    return table, counted


def drawn_with_seed(table: pa.Table) -> int | None:
    """Return the seed with which the split of a cohort's table was drawn; None where the data set gives the split."""
    seed = (table.schema.metadata or {}).get(_SPLIT_SEED)
    return None if seed is None else int(seed)


def without_split_seed(table: pa.Table) -> pa.Table:
    """Return the table without the mark of a drawn split."""
    metadata = table.schema.metadata or {}
    return table.replace_schema_metadata({key: value for key, value in metadata.items() if key != _SPLIT_SEED} or None)


def keep_present(table: pa.Table, present: np.ndarray, *, where: Path) -> pa.Table:
    """Drop the studies whose files are absent, and count them in the notes.

    Raises:
        DataError: Not one file is there.
    """
    if len(table) and not present.any():
        raise DataError(
            f"{where}: none of the {len(table)} recordings that the data set lists is there: check that this is the "
            "folder that holds them",
            reason="no-files",
        )
    counted = notes(table) | {"num_absent": int((~present).sum())}
    return with_notes(table.filter(pa.array(present)), counted)


def with_notes(table: pa.Table, content: Mapping[str, int]) -> pa.Table:
    """Return the table with notes in its metadata."""
    return table.replace_schema_metadata((table.schema.metadata or {}) | {_NOTES: json.dumps(dict(content))})


def notes(table: pa.Table) -> dict[str, int]:
    """Return what a cohort counted while it made its table, such as ``{"num_absent": 566}``."""
    metadata = table.schema.metadata or {}
    return json.loads(metadata.get(_NOTES, b"{}"))


def walk_files(root: Path) -> tuple[list[str], int]:
    """Return the files below a folder, hidden ones left out, and the number of linked folders, which are not followed.

    Returns:
        Paths relative to the folder with forward slashes, in alphabetical order; number of links to folders.

    Raises:
        DataError: A folder cannot be listed.
    """
    found, num_links = [], 0
    for folder, folders, names in os.walk(root, onerror=_refuse_folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        num_links += sum(Path(folder, name).is_symlink() for name in folders)
        found += [Path(folder, name).relative_to(root).as_posix() for name in names if not name.startswith(".")]
    return sorted(found), num_links


def head_of(file: Path, num_bytes: int = 2**20) -> bytes | None:
    """Return the first bytes of a file, for the listing of a folder.

    Returns:
        None where it is no regular file (a pipe or a device could be read without end) or cannot be read: its reader
        will refuse it and say why.
    """
    try:
        if not file.is_file():
            return None
        with file.open("rb") as stream:
            return stream.read(num_bytes)
    except OSError:
        return None


def _refuse_folder(error: OSError) -> None:
    raise DataError(
        f"{error.filename}: this folder cannot be listed ({error.strerror}), so its recordings would be lost: make it "
        "readable, or move it away",
        reason="unreadable-folder",
    ) from error


def nan_to_null(values: np.ndarray) -> pa.Array:
    """Return numbers as an Arrow array whose NaN are nulls."""
    return pa.array(values, from_pandas=True)


def version_from_folder(root: Path) -> str:
    """Return the version at the end of a folder's name as archives unpack it (``…-1.0.3``), else ``"unknown"``."""
    found = re.search(r"(?:^|[-_])(\d+\.\d+(?:\.\d+)?)$", root.resolve().name)
    return found.group(1) if found else "unknown"


def _names_in(folder: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()


def _one_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _type_of(name: str) -> pa.DataType:
    if name in _TYPES:
        return _TYPES[name]
    for prefix, kind in _TYPE_BY_PREFIX.items():
        if name.startswith(prefix):
            return kind
    raise AssertionError(f"no type is known for the column {name!r}")


def _typed(name: str, values: Any, where: Path) -> Any:
    kind = _type_of(name)
    if kind == TIME:
        column = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, from_pandas=True)
        return times(column, f"{where}: the column {name!r}")
    if not isinstance(values, pa.Array | pa.ChunkedArray):
        return pa.array(values, kind, from_pandas=True)
    try:
        return values.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise DataError(
            f"{where}: the column {name!r} should hold {kind}, found {values.type} that cannot be turned into it; "
            "correct the table, or rename the column",
            reason="wrong-column-type",
        ) from None  # Arrow quotes the value, which may be private


def _check_unique(study_ids: pa.ChunkedArray, where: Path) -> None:
    if study_ids.null_count:
        raise DataError(
            f"{where}: {study_ids.null_count} of {len(study_ids)} studies have no id", reason="missing-study-id"
        )
    num_repeated = len(study_ids) - pc.count_distinct(study_ids).as_py()
    if num_repeated:
        counts = pc.value_counts(study_ids)
        examples = [entry["values"].as_py() for entry in counts if entry["counts"].as_py() > 1][:3]
        raise DataError(
            f"{where}: {num_repeated} study ids occur more than once (such as {', '.join(map(repr, examples))}); "
            "each study needs an id of its own",
            reason="duplicated-study-id",
        )
