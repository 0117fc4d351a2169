"""SNOMED CT codes of the PhysioNet/CinC Challenges.

Source: the Challenge's ``dx_mapping_scored.csv`` and scoring rules of 2021: 30 scored diagnoses, four pairs of which
count as one, so 26.
"""

import csv
from functools import cache
from importlib.resources import files


def scored_labels(code: str) -> tuple[str, ...]:
    """Return the abbreviation of a scored diagnosis (``"AF"``), none for the codes that were not scored."""
    diagnosis = scored_diagnoses().get(code)
    if diagnosis is None:
        return ()
    return (scored_diagnoses()[diagnosis["counted_as"]]["abbreviation"],)


def title_of(label: str) -> str | None:
    """Return the title of a scored diagnosis by its code or its abbreviation."""
    return _titles().get(label)


@cache
def _titles() -> dict[str, str]:
    found: dict[str, str] = {}
    for code, row in scored_diagnoses().items():
        found[code] = row["diagnosis"]
        if row["counted_as"] == code:
            found[row["abbreviation"]] = row["diagnosis"]
    return found


@cache
def scored_diagnoses() -> dict[str, dict[str, str]]:
    """Return the 30 scored diagnoses by code: ``counted_as``, ``abbreviation``, ``diagnosis``."""
    text = files("lamae.labels").joinpath("challenge_2021_scored.csv").read_text(encoding="utf-8")
    return {row["snomed"]: row for row in csv.DictReader(text.splitlines())}
