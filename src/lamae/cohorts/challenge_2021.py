"""The PhysioNet/CinC Challenges 2020 and 2021: eight archives of 12-lead ECGs with SNOMED CT codes in the headers.

Source: Reyna et al., Will Two Do? Varying Dimensions in Electrocardiography: the PhysioNet/Computing in Cardiology
Challenge 2021 (PhysioNet, doi 10.13026/34va-7q14).
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from lamae.boundary import escaped
from lamae.cohorts.ecg_folder import EcgFolder
from lamae.cohorts.ptb_xl import age_years
from lamae.cohorts.tables import head_of, nan_to_null, studies_table, walk_files
from lamae.errors import DataError
from lamae.splits import stand_in_key

_COMMENT = re.compile(r"^#\s*(Age|Sex|Dx)\s*:[ \t]*(.*?)\s*$", re.MULTILINE | re.IGNORECASE)
_PTB_XL_RECORD = re.compile(r"HR(\d{5})")
_SEXES = {"male": "male", "m": "male", "female": "female", "f": "female"}


@dataclass(frozen=True, kw_only=True)
class Challenge2021(EcgFolder):
    """Any folder of the Challenge's records; they are found by their headers, wherever they lie below it.

    There are no patient ids, so each recording counts as a patient of its own and the split is drawn by recording.
    Records ``HRxxxxx`` are PTB-XL's: their ``record_key`` is that of PTB-XL, so that overlaps are seen.

    Attributes:
        split_seed: Seed of the split.
    """

    split_seed: int = 0

    name: str = field(default="challenge-2021", init=False)

    def table(self) -> pa.Table:
        """Return one row a header.

        Raises:
            DataError: There are no headers, two of the same name, or a folder that cannot be listed.
        """
        files, num_links = walk_files(self.root)
        paths = sorted(path.removesuffix(".hea") for path in files if path.endswith(".hea"))
        if not paths:
            raise DataError(f"{self.root}: no header (.hea) found below it", reason="no-files")
        comments = [read_comments(self.root / f"{path}.hea") for path in paths]
        paths = [escaped(path) for path in paths]
        study_ids = [path.rpartition("/")[2] for path in paths]
        ages = np.array([_number(comment.get("age", "")) for comment in comments], dtype=np.float32)
        columns = {
            "study_id": study_ids,
            "patient_key": [stand_in_key(self.name, study) for study in study_ids],
            "path": paths,
            "age_years": nan_to_null(age_years(ages)),
            "sex": [_SEXES.get(comment.get("sex", "").lower()) for comment in comments],
            "record_key": [record_key(study) for study in study_ids],
            "codes_snomed": [re.findall(r"\d+", comment.get("dx", "")) for comment in comments],
        }
        notes = {"num_linked_folders_not_followed": num_links} if num_links else None
        return studies_table(columns, where=self.root, notes=notes, split_seed=self.split_seed)


def read_comments(header: Path) -> dict[str, str]:
    """Read age, sex and diagnoses from a header's comments (``#Age: 74`` in 2020, ``# Age: 74`` in 2021)."""
    text = (head_of(header) or b"").decode("latin-1")
    return {name.lower(): value for name, value in _COMMENT.findall(text)}


def record_key(study_id: str) -> str:
    """Return the key by which the same recording is known in other data sets."""
    found = _PTB_XL_RECORD.fullmatch(study_id)
    return f"ptb-xl:{int(found.group(1))}" if found else f"challenge-2021:{study_id}"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan
