"""Embeddings of packs and files as a Parquet file, one vector a study."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count, groupby, islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lamae._version import __version__
from lamae.boundary import escaped, short_text
from lamae.checkpoint import CheckpointMeta, find_checkpoint, read_meta
from lamae.embedder import Embedder, load
from lamae.errors import ConfigError, DataError
from lamae.evals.probes.encoder import check_preprocessing
from lamae.evals.settings import Progress, silent
from lamae.files import TEMPORARY_MARK, naming_full_disk, write_atomically
from lamae.models import Readout
from lamae.pack import Pack
from lamae.reading import FILE_TIMEOUT_S, Source, read_files
from lamae.splits import PROJECT_SALT
from lamae.studies import PreparedStudy

FORMAT, FORMAT_VERSION = "lamae-embeddings", 1
REJECTED_SCHEMA = pa.schema([("source", pa.string()), ("reason", pa.string()), ("message", pa.string())])

_Row = tuple[str, str]
"""Identifier of a study, and its source."""


@dataclass(frozen=True, kw_only=True)
class EmbedSummary:
    """The outcome of embedding.

    Attributes:
        out: The Parquet file: ``study_id``, ``source``, ``embedding``; its metadata say model and read-out.
        num_studies: Number of embedded studies.
        width: Length of a vector.
        rejected_by_reason: Number of refused files by reason.
        rejected: Table of the refused files with reasons and messages; None when there are none.
    """

    out: Path
    num_studies: int
    width: int
    rejected_by_reason: dict[str, int]
    rejected: Path | None

    def __str__(self) -> str:
        lines = [f"{self.out}: {self.num_studies} studies, {self.width} features each"]
        lines += [f"  refused: {count} x {reason}" for reason, count in self.rejected_by_reason.items()]
        return "\n".join(lines if self.rejected is None else [*lines, f"  see {self.rejected}"])


def embed(
    run: str | Path,
    inputs: Sequence[str | Path],
    out: str | Path,
    *,
    readout: Readout | None = None,
    batch_size: int = 64,
    hash_ids: bool = False,
    device: str = "cpu",
    file_timeout_s: float | None = FILE_TIMEOUT_S,
    progress: Progress = silent,
) -> EmbedSummary:
    """Embed packs and files with the preprocessing of the model, and write one Parquet file.

    A file that cannot be read or prepared is listed in ``<out>.rejected.parquet`` and the others go on.

    Args:
        run: Folder of a run, of a checkpoint, or of a fine-tuned result.
        inputs: Packs, and files (or WFDB records) of any format that `lamae.read` reads.
        out: Parquet file to write.
        readout: As `lamae.models.read_out` names them; None takes the run's own.
        batch_size: Studies at once.
        hash_ids: Write salted hashes in place of study ids, and no sources. The table of refused files keeps paths.
        device: Where to compute.
        file_timeout_s: Seconds that reading and preparing one file may take, see `lamae.reading.read_files`; None sets
            no limit.
        progress: Called as inputs are done.

    Raises:
        CheckpointError: There is no whole checkpoint.
        ConfigError: A pack was prepared differently, the model has no such read-out, or ``out`` is a folder.
        DataError: No input could be embedded, or a pack is damaged.
        OSError: Writing failed; nothing half-written is left behind.
    """
    if Path(out).is_dir():
        raise ConfigError(f"{out}: is a folder; give the name of the Parquet file to write")
    embedder, meta, out = load(run, device=device), read_meta(find_checkpoint(run)), Path(out)
    rejected: list[dict[str, str]] = []
    temporary = out.with_name(f"{out.name}{TEMPORARY_MARK}{os.getpid()}")
    out.parent.mkdir(parents=True, exist_ok=True)
    num_studies, width, writer = 0, 0, None
    try:
        with naming_full_disk(out):
            studies = _studies(embedder, meta, inputs, rejected, file_timeout_s, progress)
            while batch := list(islice(studies, batch_size)):
                rows = [row for row, _ in batch]
                vectors = embedder.embed([study for _, study in batch], readout=readout, batch_size=batch_size)
                table = _table(rows, vectors, hash_ids=hash_ids)
                if writer is None:
                    schema = table.schema.with_metadata({"lamae": json.dumps(_said(embedder, readout))})
                    writer = pq.ParquetWriter(temporary, schema, compression="zstd")
                writer.write_table(table.replace_schema_metadata(writer.schema.metadata))
                num_studies, width = num_studies + len(vectors), vectors.shape[1]
            if writer is not None:
                writer.close()
                os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)
    reasons = dict(Counter(row["reason"] for row in rejected).most_common())
    listed = _write_rejected(out, rejected)
    if num_studies == 0:
        counted = ", ".join(f"{count} x {reason}" for reason, count in reasons.items()) or "no input was given"
        raise DataError(f"no study could be embedded: {counted}; see {listed or out.parent}", reason="nothing-embedded")
    return EmbedSummary(out=out, num_studies=num_studies, width=width, rejected_by_reason=reasons, rejected=listed)


def _studies(
    embedder: Embedder,
    meta: CheckpointMeta,
    inputs: Sequence[str | Path],
    rejected: list[dict[str, str]],
    file_timeout_s: float | None,
    progress: Progress,
) -> Iterator[tuple[_Row, PreparedStudy]]:
    """Yield the studies of packs and files in order, and list the files that cannot be used."""
    modality, done = embedder.modality, count(1)
    source = Source(read=modality.read, preprocess=modality.preprocess, config=embedder.preprocessing)
    for is_pack, items in groupby(map(Path, inputs), key=os.path.isdir):
        names = [str(item) for item in items]
        for name in names if is_pack else ():
            pack = Pack.open(name)
            check_preprocessing(meta, pack)
            yield from (((pack.study_id(row), name), pack.study(row)) for row in range(len(pack)))
            progress("embedding", next(done), len(inputs))
        files = () if is_pack else names
        with closing(read_files(source, zip(files, strict=True), file_timeout_s=file_timeout_s)) as studies:
            for name, study in zip(files, studies, strict=True):
                try:
                    prepared = embedder.prepare(study.held())
                except DataError as error:
                    message = short_text(str(error))
                    rejected.append({"source": escaped(name), "reason": error.reason, "message": message})
                else:
                    yield (study.end.study_id, name), prepared
                progress("embedding", next(done), len(inputs))


def _table(rows: list[_Row], vectors: np.ndarray, *, hash_ids: bool) -> pa.Table:
    ids, sources = zip(*rows, strict=True)
    if hash_ids:
        ids = [hashlib.sha256(f"{PROJECT_SALT}\n{one}".encode()).hexdigest()[:16] for one in ids]
        sources = [None] * len(ids)
    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1), pa.float32())
    return pa.table(
        {
            "study_id": pa.array(ids, pa.string()),
            "source": pa.array(sources, pa.string()),
            "embedding": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
        }
    )


def _said(embedder: Embedder, readout: Readout | None) -> dict[str, object]:
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "lamae": __version__,
        "weights": embedder.weights,
        "readout": readout or embedder.readout,
        "view_names": list(embedder.view_names),
    }


def _write_rejected(out: Path, rejected: list[dict[str, str]]) -> Path | None:
    file = out.with_name(f"{out.name.removesuffix('.parquet')}.rejected.parquet")
    if not rejected:
        file.unlink(missing_ok=True)
        return None
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rejected, REJECTED_SCHEMA), sink)
    write_atomically(file, sink.getvalue())
    return file
