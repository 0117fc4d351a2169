"""Embeddings of packs and files: the same vectors either way, bad files listed, ids as asked."""

import errno
import fcntl
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lamae
from lamae.batch import StudyBatch
from lamae.config import to_dict
from lamae.ecg.leads import LEADS
from lamae.ecg.preprocess import EcgPreprocessing, preprocess
from lamae.errors import ConfigError, DataError, FormatError
from lamae.evals import embed, extract
from lamae.models import MaskedAutoencoder
from lamae.pack import Pack, write_pack
from lamae.splits import patient_hashes, user_salt

from .conftest import toy_studies, write_run, write_toy

PREPROCESSING = EcgPreprocessing(rate_hz=20.0, duration_s=5.0, bandpass_hz=None)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("embed") / "run", [], preprocessing=to_dict(PREPROCESSING))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three recordings as CSV files with lead names, at 100 Hz, in mV."""
    folder, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(5)
    paths = []
    for number in range(3):
        values = np.cumsum(rng.normal(scale=0.05, size=(500, 12)), axis=0)
        path = folder / f"record{number}.npz"
        np.savez(path, signal=values.astype(np.float32), leads=np.array(LEADS), rate_hz=100.0, units="mV")
        paths.append(path)
    return paths


def vectors(file: Path) -> np.ndarray:
    return np.stack(pq.read_table(file)["embedding"].to_numpy())


def test_files_and_a_pack_of_them_have_the_same_vectors(run: Path, files: list[Path], tmp_path: Path):
    studies = [preprocess(lamae.read(path), PREPROCESSING) for path in files]
    table = pa.table({"study_id": [lamae.read(path).study_id for path in files]})
    pack = write_pack(tmp_path / "pack", studies, table, preprocessing=PREPROCESSING)
    summary = embed(run, files, tmp_path / "files.parquet", batch_size=2)
    assert (summary.num_studies, summary.width, summary.rejected) == (3, 192, None)
    embed(run, [pack.path], tmp_path / "pack.parquet", batch_size=2)
    np.testing.assert_allclose(vectors(tmp_path / "files.parquet"), vectors(tmp_path / "pack.parquet"), atol=1e-4)
    np.testing.assert_allclose(vectors(tmp_path / "pack.parquet"), extract(run, pack).values, atol=1e-4)
    ours, theirs = pq.read_table(tmp_path / "files.parquet"), pq.read_table(tmp_path / "pack.parquet")
    assert ours["study_id"].to_pylist() == theirs["study_id"].to_pylist()
    assert ours["source"].to_pylist() == [str(path) for path in files]


def test_bad_files_are_listed_and_the_others_go_on(run: Path, files: list[Path], tmp_path: Path):
    garbage, empty = tmp_path / "garbage.npz", tmp_path / "empty.csv"
    garbage.write_bytes(b"\x00\xff" * 97)
    empty.touch()
    out = tmp_path / "out.parquet"
    summary = embed(run, [files[0], garbage, tmp_path / "absent.npz", files[1], empty], out)
    assert summary.num_studies == 2
    assert sum(summary.rejected_by_reason.values()) == 3
    assert "refused: " in str(summary)
    rejected = pq.read_table(tmp_path / "out.rejected.parquet")
    assert rejected["source"].to_pylist() == [str(garbage), str(tmp_path / "absent.npz"), str(empty)]
    assert all(rejected["message"].to_pylist())
    embed(run, files, out, overwrite=True)
    assert not (tmp_path / "out.rejected.parquet").exists()


def test_ids_are_hashed_when_asked_with_the_salt_of_the_user(run: Path, files: list[Path], tmp_path: Path):
    embed(run, files, tmp_path / "out.parquet", hash_ids=True, readout="mean")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["source"].null_count == 3
    assert table["study_id"].to_pylist() == patient_hashes([path.stem for path in files], user_salt()).tolist()
    assert b"record1" not in (tmp_path / "out.parquet").read_bytes()
    meta = json.loads(table.schema.metadata[b"lamae"])
    assert meta["format"] == "lamae-embeddings"
    assert meta["readout"] == "mean"


def test_ids_of_a_pack_are_hashed_with_the_salt_of_the_pack(tmp_path: Path):
    prepared = to_dict(PREPROCESSING)
    pack = write_toy(tmp_path / "pack", preprocessing=prepared, salt="of this pack")
    run = write_run(tmp_path / "run", [], preprocessing=prepared)
    table = pq.read_table(embed(run, [pack.path], tmp_path / "out.parquet", hash_ids=True).out)
    ids = [pack.study_id(row) for row in range(len(pack))]
    assert table["study_id"].to_pylist() == patient_hashes(ids, "of this pack").tolist()
    assert table["source"].null_count == len(pack)


def test_refused_files_are_hashed_when_asked(run: Path, files: list[Path], tmp_path: Path):
    absent = tmp_path / "patient-17.npz"
    summary = embed(run, [files[0], absent], tmp_path / "out.parquet", hash_ids=True)
    assert summary.rejected is not None
    (row,) = pq.read_table(summary.rejected).to_pylist()
    hashed = str(patient_hashes([str(absent)], user_salt())[0])
    assert row == {"source": hashed, "reason": "missing-file", "message": None}
    assert b"patient-17" not in summary.rejected.read_bytes()


def test_a_file_that_is_there_is_replaced_only_when_asked(run: Path, files: list[Path], tmp_path: Path):
    out = tmp_path / "out.parquet"
    out.write_text("of somebody else")
    with pytest.raises(ConfigError, match=r"another file is there already and would be lost.*--overwrite"):
        embed(run, files, out)
    assert out.read_text() == "of somebody else"
    embed(run, files, out, overwrite=True)
    assert pq.read_table(out).num_rows == 3


def test_what_a_killed_run_left_is_removed_and_a_running_one_kept(run: Path, files: list[Path], tmp_path: Path):
    out = tmp_path / "out.parquet"
    left, other = (tmp_path / f"{name}.writing-123" for name in ("out.parquet", "other.parquet"))
    running = tmp_path / "out.parquet.writing-124"
    for file in (left, other, running):
        file.write_bytes(b"half")
    with running.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        embed(run, files, out)
    assert sorted(tmp_path.iterdir()) == sorted([out, other, running])


def test_all_studies_of_a_batch_are_computed_at_once(run: Path, files: list[Path], tmp_path: Path, monkeypatch):
    sizes: list[int] = []
    features = MaskedAutoencoder.features

    def counted(self: MaskedAutoencoder, batch: StudyBatch, **how: Any) -> Any:
        sizes.append(batch.num_studies)
        return features(self, batch, **how)

    monkeypatch.setattr(MaskedAutoencoder, "features", counted)
    embed(run, files * 24, tmp_path / "out.parquet", batch_size=70)
    assert sizes == [70, 2]


def test_nothing_embedded_is_an_error_that_counts_the_reasons(run: Path, tmp_path: Path):
    with pytest.raises(DataError, match=r"no study could be embedded: 1 x .*; see .*out\.rejected\.parquet"):
        embed(run, [tmp_path / "absent.npz"], tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()
    with pytest.raises(DataError, match="no input was given"):
        embed(run, [], tmp_path / "out.parquet")


def test_packs_that_do_not_fit_are_refused_and_leave_nothing_behind(run: Path, tmp_path: Path):
    pack: Pack = write_toy(tmp_path / "pack")
    with pytest.raises(ConfigError, match="prepared differently from the data of the model"):
        embed(run, [pack.path], tmp_path / "out.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match="no pack"):
        embed(run, [tmp_path / "empty"], tmp_path / "out.parquet")
    assert not list(tmp_path.glob("out*"))


def test_a_pack_in_several_batches(tmp_path: Path):
    studies, _ = toy_studies()
    prepared = to_dict(PREPROCESSING)
    pack = write_toy(tmp_path / "pack", preprocessing=prepared)
    full = write_run(tmp_path / "run", [], preprocessing=prepared)
    summary = embed(full, [pack.path], tmp_path / "out.parquet", batch_size=17)
    assert summary.num_studies == len(studies) == len(pack)
    np.testing.assert_allclose(vectors(tmp_path / "out.parquet"), extract(full, pack).values, atol=1e-4)


def test_a_folder_in_the_place_of_the_file(run: Path, files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder; give the name of the Parquet file to write"):
        embed(run, files, tmp_path)


def test_a_full_disk_keeps_the_embeddings_before(
    run: Path, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(writer: pq.ParquetWriter, table: pa.Table) -> None:
        raise OSError(errno.ENOSPC, "Error writing bytes to file")

    out = embed(run, files[:1], tmp_path / "e.parquet").out
    before = out.read_bytes()
    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(OSError, match=r"the disk is full; nothing half-written is kept.*e\.parquet"):
        embed(run, files, out, overwrite=True)
    assert out.read_bytes() == before
    assert list(tmp_path.iterdir()) == [out]
