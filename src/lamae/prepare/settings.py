"""What a preparation was asked to do, so that only the same command goes on with a half-made pack."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from lamae._version import __version__
from lamae.cohorts import Cohort
from lamae.config import difference, to_dict
from lamae.errors import ConfigError
from lamae.pack.files import remove_half_written, write_atomically
from lamae.pack.layout import FORMAT_VERSION, SETTINGS_FILE, VIEWS_FOLDER
from lamae.prepare.shard_task import PARTS_FOLDER
from lamae.signals import EcgPreprocessing


def describe(
    cohort: Cohort, table: pa.Table, config: EcgPreprocessing, *, shard_size: int, salt: str
) -> dict[str, Any]:
    """Return everything that decides what the shards hold, in plain JSON types."""
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
    digest = hashlib.sha256()
    for batch in table.select(["study_id", "path"]).to_batches(max_chunksize=65536):
        for study_id, path in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            digest.update(f"{study_id}\t{path}\n".encode())
    return digest.hexdigest()


def begin_or_resume(pack: Path, settings: dict[str, Any]) -> None:
    """Make the folder of a new pack, or make sure that the one there was begun with the same settings.

    Raises:
        ConfigError: The folder holds something else, or a pack begun with other settings; the message lists them.
        OSError: Writing failed.
    """
    file = pack / SETTINGS_FILE
    if not file.exists():
        if pack.exists() and any(not entry.name.startswith(SETTINGS_FILE) for entry in pack.iterdir()):
            raise ConfigError(f"{pack}: is not empty and holds no pack begun by `prepare`; choose another folder")
        pack.mkdir(parents=True, exist_ok=True)
        content = json.dumps({"lamae_version": __version__} | settings, indent=1)
        write_atomically(file, content.encode())
    begun = json.loads(file.read_text(encoding="utf-8"))
    begun.pop("lamae_version", None)
    if differences := difference(begun, settings):
        raise ConfigError(
            f"{pack}: this pack was begun with other settings ({'; '.join(differences)}). Run the first command again "
            "to go on with it, or choose another folder"
        )
    for folder in (pack, pack / PARTS_FOLDER, pack / VIEWS_FOLDER):
        folder.mkdir(exist_ok=True)
        remove_half_written(folder)
