"""Settings of a preparation, so that only the same command goes on with a half-made pack."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from lamae._version import __version__
from lamae.cohorts import Cohort
from lamae.config import difference, to_dict
from lamae.errors import ConfigError
from lamae.files import locked, read_json, remove_half_written, write_json
from lamae.pack.layout import FORMAT_VERSION, SETTINGS_FILE, VIEWS_FOLDER
from lamae.prepare.shard_note import PARTS_FOLDER
from lamae.splits import user_salt

_LOCK_FILE = ".lock"
_ROWS_AT_A_TIME = 65536


def describe(cohort: Cohort, table: pa.Table, config: Any, *, shard_size: int, salt: str) -> dict[str, Any]:
    """Return everything that decides what the pack holds, in plain JSON types."""
    settings = {
        "format_version": FORMAT_VERSION,
        "cohort": {"name": cohort.name, "version": cohort.version, "simulated": cohort.simulated},
        "options": cohort.options,
        "preprocessing": to_dict(config),
        "shard_size": shard_size,
        "salt": salt,
        "num_studies": table.num_rows,
        "studies_hash": _hash(table),
    }
    return json.loads(json.dumps(settings))


def _hash(table: pa.Table) -> str:
    """Hash every column, so that other labels, codes or splits are not taken for the pack that is there."""
    digest = hashlib.sha256()
    for first in range(0, table.num_rows, _ROWS_AT_A_TIME):
        rows = table.slice(first, _ROWS_AT_A_TIME)
        for name in table.column_names:
            digest.update(f"{name} {rows.column(name).to_pylist()}\n".encode())
    return digest.hexdigest()


def begun_salt(pack: Path) -> str:
    """Return the salt that a pack was begun with, or the user's for a new one.

    Raises:
        ConfigError: As `check_same` for damaged settings, or the user's salt can be neither read nor made.
    """
    begun = _read_settings(pack / SETTINGS_FILE) if (pack / SETTINGS_FILE).exists() else {}
    return str(begun["salt"]) if "salt" in begun else user_salt()


def _read_settings(file: Path) -> dict[str, Any]:
    try:
        return read_json(file)
    except ValueError as error:
        raise ConfigError(f"{file}: not readable as JSON ({error}); choose another folder, or remove it") from error


def check_same(pack: Path, settings: dict[str, Any]) -> None:
    """Make sure that a pack was begun with these settings.

    Raises:
        ConfigError: The folder holds something else, or a pack begun with other settings; the message lists them.
    """
    file = pack / SETTINGS_FILE
    if not file.exists():
        raise ConfigError(f"{pack}: is not empty and holds no pack begun by `prepare`; choose another folder")
    begun = _read_settings(file)
    begun.pop("lamae_version", None)
    if begun.get("salt") != settings["salt"]:  # a message may be logged: it names no salt
        begun, settings = begun | {"salt": "another one"}, settings | {"salt": "yours"}
    if differences := difference(begun, settings):
        table = "; studies_hash is that of the cohort's table: files, codes, labels, splits"
        raise ConfigError(
            f"{pack}: this pack was begun with other settings ({'; '.join(differences)}"
            f"{table if 'studies_hash' in str(differences) else ''}). Run the first command again "
            "to go on with it, or choose another folder"
        )


@contextmanager
def begun_or_resumed(pack: Path, settings: dict[str, Any]) -> Iterator[None]:
    """Hold the folder of a new pack, or of one that was begun with the same settings, for this process alone.

    Raises:
        ConfigError: As ``check_same``, or the path is a file, or another process is preparing this pack.
        OSError: Writing failed.
    """
    if pack.exists() and not pack.is_dir():
        raise ConfigError(f"{pack}: expected a folder for the pack, found a file: give another path")
    file = pack / SETTINGS_FILE
    ours = (_LOCK_FILE, SETTINGS_FILE)
    if not file.exists() and pack.exists() and any(not entry.name.startswith(ours) for entry in pack.iterdir()):
        check_same(pack, settings)
    pack.mkdir(parents=True, exist_ok=True)
    with locked(pack / _LOCK_FILE, f"{pack}: another process is preparing this pack; wait for it"):
        if not file.exists():
            write_json(file, {"lamae_version": __version__} | settings)
        check_same(pack, settings)
        for folder in (pack, pack / PARTS_FOLDER, pack / VIEWS_FOLDER):
            folder.mkdir(exist_ok=True)
            remove_half_written(folder)
        yield
