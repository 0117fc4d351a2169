"""Embeddings of packs and files as a Parquet file, one vector a study."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import chain, count, groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lamae._version import __version__
from lamae.boundary import escaped, short_text
from lamae.embedder import Embedder, load
from lamae.errors import ConfigError, DataError
from lamae.evals.probes.encoder import check_preprocessing
from lamae.evals.settings import Progress, silent
from lamae.files import parquet_content, refuse_existing, remove_abandoned, write_atomically, written_beside
from lamae.models import Readout
from lamae.nn.precision import Precision
from lamae.pack import Pack
from lamae.reading import FILE_TIMEOUT_S, Source, read_files
from lamae.splits import patient_hashes, user_salt
from lamae.studies import PreparedStudy

FORMAT, FORMAT_VERSION = "lamae-embeddings", 1
REJECTED_SCHEMA = pa.schema([("source", pa.string()), ("reason", pa.string()), ("message", pa.string())])

_Row = tuple[str, str | None]
"""Identifier of a study and its source; or the hash of the one, and no source."""


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
    batch_size: int | None = None,
    hash_ids: bool = False,
    device: str = "auto",
    precision: Precision | None = None,
    overwrite: bool = False,
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
        batch_size: Studies at once; None takes the run's own, at most 64.
        hash_ids: Write salted hashes in place of study ids, and no sources; for refused files their reason and the hash
            of their path. The salt is a pack's own, and the user's for files (`lamae.splits.user_salt`).
        device: Where to compute; ``"auto"`` takes a GPU when there is one.
        precision: ``"fp32"`` or ``"bf16"``; None takes the run's own. Vectors are float32 either way.
        overwrite: Replace the file that ``out`` is.
        file_timeout_s: Seconds that reading and preparing one file may take, see `lamae.reading.read_files`; None sets
            no limit.
        progress: Called as inputs are done.

    Raises:
        CheckpointError: There is no whole checkpoint.
        ConfigError: A pack was prepared differently, there is no such read-out, device or precision, or ``out`` is
            there already.
        DataError: No input could be embedded, or a pack is damaged.
        OSError: Writing failed; nothing half-written is left behind.
    """
    if Path(out).is_dir():
        raise ConfigError(f"{out}: is a folder; give the name of the Parquet file to write")
    out, rejected = Path(out), list[dict[str, Any]]()
    refuse_existing(out, overwrite=overwrite, what="another file")
    embedder, salt = load(run, device=device, precision=precision), user_salt() if hash_ids else None
    at_once = embedder.meta.batch_size(batch_size)
    out.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(out)
    studies = _studies(embedder, inputs, salt, rejected, file_timeout_s, progress)
    batches = iter(lambda: list(islice(studies, at_once)), [])
    num_studies, width = 0, 0
    if (first := next(batches, None)) is not None:
        with written_beside(out) as temporary, ExitStack() as stack:
            writer = None
            for batch in chain([first], batches):
                vectors = embedder.embed([study for _, study in batch], readout=readout, batch_size=at_once)
                table = _table([row for row, _ in batch], vectors)
                if writer is None:
                    schema = table.schema.with_metadata({"lamae": json.dumps(_said(embedder, readout))})
                    writer = stack.enter_context(pq.ParquetWriter(temporary, schema, compression="zstd"))
                writer.write_table(table.replace_schema_metadata(writer.schema.metadata))
                num_studies, width = num_studies + len(vectors), vectors.shape[1]
    reasons = dict(Counter(row["reason"] for row in rejected).most_common())
    listed = _write_rejected(out, rejected)
    if num_studies == 0:
        counted = ", ".join(f"{count} x {reason}" for reason, count in reasons.items()) or "no input was given"
        raise DataError(f"no study could be embedded: {counted}; see {listed or out.parent}", reason="nothing-embedded")
    return EmbedSummary(out=out, num_studies=num_studies, width=width, rejected_by_reason=reasons, rejected=listed)


def _studies(
    embedder: Embedder,
    inputs: Sequence[str | Path],
    salt: str | None,
    rejected: list[dict[str, Any]],
    file_timeout_s: float | None,
    progress: Progress,
) -> Iterator[tuple[_Row, PreparedStudy]]:
    """Yield the studies of packs and files in order, and list the files that cannot be used."""
    modality, done = embedder.modality, count(1)
    source = Source(read=modality.read, preprocess=modality.preprocess, config=embedder.preprocessing)
    for is_pack, items in groupby(map(Path, inputs), key=_is_pack):
        names = [str(item) for item in items]
        for name in names if is_pack else ():
            pack = Pack.open(name)
            check_preprocessing(embedder.meta, pack)
            own = None if salt is None else pack.info.salt
            yield from ((_row(pack.study_id(row), name, own), pack.study(row)) for row in range(len(pack)))
            progress("embedding", next(done), len(inputs))
        files = () if is_pack else names
        with closing(read_files(source, zip(files, strict=True), file_timeout_s=file_timeout_s)) as studies:
            for name, study in zip(files, studies, strict=True):
                try:
                    prepared = embedder.prepare(study.held())
                except DataError as error:
                    message = short_text(str(error)) if salt is None else None
                    source_name = escaped(name) if salt is None else _row(name, "", salt)[0]
                    rejected.append({"source": source_name, "reason": error.reason, "message": message})
                else:
                    yield _row(study.end.study_id, name, salt), prepared
                progress("embedding", next(done), len(inputs))


def _is_pack(path: Path) -> bool:  # but for a folder that is named like a file, which is a bad file
    return path.is_dir() and (not path.suffix or (path / "pack.json").exists() or (path / "prepare.json").exists())


def _row(study_id: str, source: str, salt: str | None) -> _Row:
    return (study_id, source) if salt is None else (str(patient_hashes([escaped(study_id)], salt)[0]), None)


def _table(rows: list[_Row], vectors: np.ndarray) -> pa.Table:
    ids, sources = zip(*rows, strict=True)
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
        "precision": embedder.precision,
        "device": embedder.device.type,
        "view_names": list(embedder.view_names),
    }


def _write_rejected(out: Path, rejected: list[dict[str, Any]]) -> Path | None:
    file = out.with_name(f"{out.name.removesuffix('.parquet')}.rejected.parquet")
    if not rejected:
        file.unlink(missing_ok=True)
        return None
    write_atomically(file, parquet_content(pa.Table.from_pylist(rejected, REJECTED_SCHEMA), compression="snappy"))
    return file
