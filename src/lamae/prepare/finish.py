"""From the notes of all shards to the tables of the pack."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from lamae.cohorts import Cohort
from lamae.config import to_dict
from lamae.files import remove_half_written
from lamae.modality import find_modality
from lamae.pack import PackInfo
from lamae.pack.layout import REJECTED_SCHEMA, VIEWS_FOLDER
from lamae.pack.writer import QUALITY_SCHEMA, common_rate, finish_pack, join_quality
from lamae.prepare.shard_note import KEPT_SCHEMA, PARTS_FOLDER, read_note, studies_by_shard
from lamae.prepare.torn_patients import TornPatients, with_splits
from lamae.splits import stand_in_key

_FROM_FILES = ("acquired_at", "age_years", "sex")


def finish(
    cohort: Cohort,
    table: pa.Table,
    pack: Path,
    config: Any,
    *,
    shard_size: int,
    salt: str,
    torn_patients: TornPatients = "refuse",
) -> PackInfo:
    """Write the tables and ``pack.json`` of a pack whose shards are all there, and remove the notes.

    Raises:
        DataError: A patient is in two splits.
        OSError: Writing failed; the same command goes on here.
    """
    notes = [
        read_note(pack, number, num_studies=num_studies)
        for number, num_studies in enumerate(studies_by_shard(table.num_rows, shard_size))
    ]
    kept = pa.concat_tables([KEPT_SCHEMA.empty_table(), *(note.kept for note in notes)])
    rejected = pa.concat_tables([REJECTED_SCHEMA.empty_table(), *(note.rejected for note in notes)])
    rates_hz = {rate_hz for note in notes for rate_hz in note.rates_hz}
    described = to_dict(config)
    studies = table.take(kept.column("row"))
    studies = _fill_from_files(studies, kept, cohort.name)
    studies = studies.drop_columns([name for name in ("path", "record") if name in table.column_names])
    studies = with_splits(studies, pack, torn_patients=torn_patients)
    info = PackInfo(
        cohort=cohort.name,
        cohort_version=cohort.version,
        simulated=cohort.simulated,
        modality=cohort.modality,
        preprocessing=described,
        rate_hz=common_rate(rates_hz) if rates_hz else described.get("rate_hz"),
        view_names=find_modality(cohort.modality).view_names(config),
        salt=salt,
    )
    shards = [shard for note in notes for shard in note.shards]
    info = finish_pack(pack, info, shards, join_quality(studies, kept.select(QUALITY_SCHEMA.names)), rejected)
    remove_leftovers(pack, info)
    return info


def remove_leftovers(pack: Path, info: PackInfo) -> None:
    """Remove from a finished pack the notes, which hold patient ids, and what interrupted tasks left of shards."""
    shutil.rmtree(pack / PARTS_FOLDER, ignore_errors=True)
    remove_half_written(pack)
    for file in set((pack / VIEWS_FOLDER).glob("*")) - {pack / shard.file for shard in info.shards}:
        file.unlink(missing_ok=True)


def _fill_from_files(studies: pa.Table, kept: pa.Table, source: str) -> pa.Table:
    """Take from the files what the cohort's table does not tell: time, age, sex, codes, and who the patient is."""
    for name in _FROM_FILES:
        told = kept.column(name)
        if name in studies.column_names:
            told = _first_known(studies.column(name), told)
        if told.null_count < len(told):
            studies = _set(studies, name, told)
    codes = [dict(entries) for entries in kept.column("codes").to_pylist()]
    for system in sorted({system for entry in codes for system in entry}):
        if (name := f"codes_{system}") not in studies.column_names:
            listed = pa.array([entry.get(system, []) for entry in codes], pa.list_(pa.string()))
            studies = _set(studies, name, listed)
    return _set(studies, "patient_key", _patient_keys(studies, kept.column("patient_id").to_pylist(), source))


def _first_known(told: pa.ChunkedArray, found: pa.ChunkedArray) -> pa.ChunkedArray:
    if not told.null_count:
        return told
    values = [a if a is not None else b for a, b in zip(told.to_pylist(), found.to_pylist(), strict=True)]
    return pa.chunked_array([pa.array(values, told.type)])


def _patient_keys(studies: pa.Table, from_files: Sequence[str | None], cohort: str) -> pa.Array:
    """Return the keys, with patients that only the files know in place of the stand-ins ``source:study:id``."""
    study_ids = studies.column("study_id").to_pylist()
    known = studies.column("patient_key").to_pylist() if "patient_key" in studies.column_names else []
    keys = []
    for study_id, key, found in zip(study_ids, known or [None] * len(study_ids), from_files, strict=True):
        source = key.partition(":")[0] if key else cohort
        stand_in = stand_in_key(source, study_id)
        keys.append(key if key and not (found and key == stand_in) else f"{source}:{found}" if found else stand_in)
    return pa.array(keys, pa.string())


def _set(table: pa.Table, name: str, column: pa.Array | pa.ChunkedArray) -> pa.Table:
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, column)
    return table.append_column(name, column)
