"""Common parts of the cohorts of ECGs: a folder, its version, options, and one file a study."""

import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pyarrow as pa

from lamae.cohorts.tables import keep_present, present_files, version_from_folder
from lamae.errors import DataError
from lamae.studies import Study


@dataclass(frozen=True, kw_only=True)
class EcgFolder:
    """A data set of ECGs in a folder; further fields of a data set are its options.

    Attributes:
        root: The folder.
    """

    root: Path

    modality: str = field(default="ecg", init=False)

    @property
    def simulated(self) -> bool:
        """True where a simulator made the data."""
        return False

    @property
    def version(self) -> str:
        """Version of the data set, from the folder's name."""
        return version_from_folder(self.root)

    @property
    def options(self) -> dict[str, Any]:
        """Options as they were chosen, without paths."""
        chosen = [one.name for one in fields(self) if one.init and one.name not in ("root", "hosp", "labels")]
        return {name: getattr(self, name) for name in chosen}

    def read(self, path: str, record: str | None = None) -> Study:
        """Read one recording."""
        from lamae.ecg.readers import read

        return read(self.file_of(path))

    def file_of(self, path: str) -> Path:
        """Return the file of a path in the table.

        Raises:
            DataError: The file's name is not UTF-8, and the path is that name with escapes (``name-not-utf-8``).
        """
        file = self.root / path
        if "\\x" in path and not os.path.lexists(file):
            raise DataError(f"{file}: the name of this file is not UTF-8: rename it", reason="name-not-utf-8")
        return file

    def only_present(self, table: pa.Table, paths: list[str]) -> pa.Table:
        """Drop the studies whose files (or folders) are absent, see `lamae.cohorts.tables.keep_present`."""
        return keep_present(table, present_files(self.root, paths), where=self.root)
