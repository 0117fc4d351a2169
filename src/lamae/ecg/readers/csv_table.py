"""Reader of CSV files with one column per lead, with or without a header line."""

from collections.abc import Sequence

import numpy as np

from lamae.ecg.readers.array_description import list_of
from lamae.ecg.readers.limits import MAX_TEXT_BYTES, check_channels
from lamae.errors import DataError, FormatError

_DELIMITERS = ",;\t"
_SURELY_NUMBERED = 4
"""Number of columns from which on 0, 1, 2, … is taken for a header even before whole numbers."""


def load_csv(path: str, leads: Sequence[str] | None) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Read the columns of a CSV file.

    Args:
        path: UTF-8 file with fields separated by commas, semicolons, tabs or blanks; an empty field is NaN.
        leads: Columns to read, if the first line names them; ``None`` for all.

    Returns:
        ``[samples, columns]`` float64, and the column names (``None`` without a header line).

    Raises:
        DataError: A column is missing (``missing-column``), or the number of leads differs from the number of columns
            of a file without header (``wrong-shape``).
        DataError: There are more columns than channels of any recording (``too-many-channels``), or the first line may
            be numbers of columns as well as a sample (``ambiguous-header``).
        FormatError: Lines differ in length, or a field is not a number (``malformed-file``).
    """
    first, second = _first_lines(path)
    commonest = max(_DELIMITERS, key=first.count)
    delimiter = commonest if commonest in first else " "
    check_channels(first.count(delimiter) + 1)
    names = _fields(first, delimiter)
    has_names = not all(_is_number(name) for name in names if name)
    is_header = has_names or _is_numbered(names, _fields(second, delimiter))
    columns = _columns(path, delimiter, len(names), is_header)
    if not has_names:
        if leads is not None and len(leads) != len(names):
            raise DataError(f"{len(leads)} leads are given for {len(names)} columns", reason="wrong-shape")
        return np.stack(columns, axis=1), None
    if leads is None:
        return np.stack(columns, axis=1), tuple(names)
    return np.stack([columns[_position(names, lead)] for lead in leads], axis=1), tuple(leads)


def _first_lines(path: str) -> tuple[str, str]:
    with open(path, encoding="utf-8-sig") as file:
        try:
            first, second = (file.readline(MAX_TEXT_BYTES).strip("\r\n") for _ in range(2))
            return first, second
        except UnicodeDecodeError as error:
            raise FormatError(f"the CSV file is no UTF-8 text: {error}", reason="malformed-file") from error


def _fields(line: str, delimiter: str) -> list[str]:
    return [field.strip().strip('"').strip() for field in line.split(delimiter)]


def _is_numbered(first: Sequence[str], second: Sequence[str]) -> bool:
    """Return True if the first line numbers the columns from 0, as pandas writes an array without names: no sample.

    Raises:
        DataError: There are few columns and the next line holds whole numbers too, so that it may be a sample
            (``ambiguous-header``).
    """
    if list(first) != [str(position) for position in range(len(first))]:
        return False
    if len(first) < _SURELY_NUMBERED and all(field.removeprefix("-").isdecimal() for field in second):
        raise DataError(
            f"the first line ({','.join(first)}) may number the columns, as pandas does, or be a sample: name the "
            "columns in it if it is a header, or put such a line before it",
            reason="ambiguous-header",
        )
    return len(second) == len(first)


def _columns(path: str, delimiter: str, num_columns: int, has_header: bool) -> list[np.ndarray]:
    import pyarrow as pa
    from pyarrow import csv

    names = [str(position) for position in range(num_columns)]
    try:
        table = csv.read_csv(
            path,
            read_options=csv.ReadOptions(column_names=names, skip_rows=int(has_header), use_threads=False),
            parse_options=csv.ParseOptions(delimiter=delimiter),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.float64()), null_values=["", "NaN", "nan", "NA", "null"]
            ),
        )
    except pa.ArrowInvalid as error:
        raise FormatError(f"the CSV file is malformed: {error}", reason="malformed-file") from error
    return [column.to_numpy(zero_copy_only=False) for column in table.columns]


def _position(names: Sequence[str], lead: str) -> int:
    found = [position for position, name in enumerate(names) if name.casefold() == lead.strip().casefold()]
    if len(found) != 1:
        raise DataError(
            f"the CSV file has {len(found)} columns {lead!r}: expected one; its columns are {list_of(names)}",
            reason="missing-column",
        )
    return found[0]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
