"""The PhysioNet/CinC Challenge 2011: is a 12-lead ECG, taken with a mobile phone, good enough?

Source: Silva, Moody and Celi, Improving the quality of ECGs collected using mobile phones (PhysioNet,
doi 10.13026/90zs-jn05). Its gain of 200 units a mV, which the headers state, was inferred from the amplitudes.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from lamae.cohorts.ecg_folder import EcgFolder
from lamae.cohorts.tables import studies_table
from lamae.errors import DataError
from lamae.splits import stand_in_key

_QUALITY = {"RECORDS-acceptable": 1.0, "RECORDS-unacceptable": 0.0}


@dataclass(frozen=True, kw_only=True)
class Challenge2011(EcgFolder):
    """The folder of one set (``set-a``, with ``RECORDS``), or the folder above it.

    ``label_acceptable`` is 1 or 0, and unknown for the few records on neither list. There are no patient ids, so
    the split is drawn by recording.

    Attributes:
        split_seed: Seed of the split.
        partial: Leave out recordings that are not there (they are counted); otherwise they are refused as missing.
    """

    split_seed: int = 0
    partial: bool = True

    name: str = field(default="challenge-2011", init=False)

    @property
    def version(self) -> str:
        """Version of the data set."""
        return "1.0.0"

    def table(self) -> pa.Table:
        """Return one row a recording.

        Raises:
            DataError: There is no list of records, or none of them is there.
        """
        study_ids, paths, acceptable = [], [], []
        for folder in self._sets():
            records = read_records(folder / "RECORDS")
            quality = quality_of_records(folder)
            below = folder.relative_to(self.root)
            study_ids += records
            paths += [(below / record).as_posix() for record in records]
            acceptable += [quality.get(record, np.nan) for record in records]
        columns = {
            "study_id": study_ids,
            "patient_key": [stand_in_key(self.name, study) for study in study_ids],
            "path": paths,
            "label_acceptable": acceptable,
        }
        table = studies_table(columns, where=self.root, split_seed=self.split_seed)
        return self.only_present(table, [f"{path}.hea" for path in paths]) if self.partial else table

    def _sets(self) -> list[Path]:
        candidates = [self.root, *sorted(path for path in self.root.iterdir() if path.is_dir())]
        sets = [path for path in candidates if (path / "RECORDS").is_file()]
        if not sets:
            raise DataError(
                f"{self.root}: expected the list RECORDS in it or in a folder in it (set-a), found none",
                reason="missing-file",
            )
        return sets[:1] if sets[0] == self.root else sets


def quality_of_records(folder: Path) -> dict[str, float]:
    """Return 1 for the acceptable and 0 for the unacceptable records, as far as the two lists are there."""
    return {
        record: value
        for name, value in _QUALITY.items()
        if (folder / name).is_file()
        for record in read_records(folder / name)
    }


def read_records(file: Path) -> list[str]:
    """Read a list of records, one name a line."""
    return [line.strip() for line in file.read_text(encoding="ascii").splitlines() if line.strip()]
