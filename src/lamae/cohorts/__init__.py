"""Cohorts: one reader for the layout of each data set, from a folder on disk to a table of studies."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lamae.cohorts.challenge_2011 import Challenge2011
from lamae.cohorts.challenge_2021 import Challenge2021
from lamae.cohorts.code_15 import Code15
from lamae.cohorts.cohort import Cohort
from lamae.cohorts.folder import Folder
from lamae.cohorts.mimic_iv_ecg import MimicIvEcg
from lamae.cohorts.ptb_xl import PtbXl
from lamae.cohorts.tables import drawn_with_seed, notes
from lamae.config import from_dict
from lamae.errors import ConfigError, DataError, did_you_mean

__all__ = ["COHORTS", "Cohort", "drawn_with_seed", "names", "notes", "open_cohort"]

COHORTS: dict[str, Callable[..., Cohort]] = {
    "mimic-iv-ecg": MimicIvEcg,
    "ptb-xl": PtbXl,
    "challenge-2021": Challenge2021,
    "challenge-2011": Challenge2011,
    "code-15": Code15,
    "folder": Folder,
}
"""The known data sets: a dataclass each, whose fields are ``root`` and the options."""


def names() -> tuple[str, ...]:
    """Return the names of the known cohorts."""
    return tuple(COHORTS)


def open_cohort(
    name: str, root: str | Path, *, hosp: str | Path | None = None, labels: str | Path | None = None, **options: Any
) -> Cohort:
    """Open a data set in its own layout.

    Args:
        name: One of ``names()``.
        root: Folder that holds the data set as it was downloaded.
        hosp: MIMIC-IV's ``hosp`` folder, from which ``mimic-iv-ecg`` can take diagnoses.
        labels: A table of labels: Ext-ICD's for ``mimic-iv-ecg``, your own for ``folder``.
        options: Options of this cohort, see its class; text is converted to the option's type.

    Raises:
        ConfigError: The name, or an option, is unknown (the message names the nearest right one).
        DataError: There is no such folder or file.
    """
    if name not in COHORTS:
        raise ConfigError(f"unknown cohort {name!r}: {did_you_mean(name, COHORTS)}Known are {', '.join(COHORTS)}")
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; give the one that holds the data set", reason="missing-file")
    tables = {key: str(path) for key, path in (("hosp", hosp), ("labels", labels)) if path is not None}
    for key, path in tables.items():
        if not Path(path).exists():
            message = f"{path}: there is no such file or folder; expected what --{key} is to name"
            raise DataError(message, reason="missing-file")
    settings = {"root": str(root.absolute())} | tables | options
    return from_dict(COHORTS[name], settings, source=f"cohort {name}")  # pyright: ignore[reportArgumentType]
