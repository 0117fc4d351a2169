import errno
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lamae.errors import DataError, FormatError
from lamae.files import sha256, write_atomically, write_json
from lamae.pack import Pack, verify, write_pack
from lamae.pack.layout import FileInfo, ShardInfo, content_hash
from lamae.studies import PreparedStudy


def make_study(seed: int, **changes) -> PreparedStudy:
    values = np.random.default_rng(seed).integers(-999, 999, (2, 31)).astype(np.int16)
    content = {
        "view_names": ("I", "V5"),
        "values": values,
        "scale": np.array([0.001, 0.002], dtype=np.float32),
        "rate_hz": 100.0,
        "has_missing": False,
    }
    return PreparedStudy.of_waveforms(**content | changes)


def read(pack: Pack, indices: np.ndarray) -> None:
    pack.read(pack.whole(indices, verify=True), verify=True)


def make_table(count: int) -> pa.Table:
    return pa.table({"study_id": [f"s{i}" for i in range(count)]})


@pytest.fixture
def path(tmp_path):
    return write_pack(tmp_path / "pack", [make_study(i) for i in range(7)], make_table(7), shard_size=3).path


def change_info(path, **changes):
    file = path / "pack.json"
    write_json(file, json.loads(file.read_text()) | changes)


def flip_byte(file, position: int):
    content = bytearray(file.read_bytes())
    content[position] ^= 0xFF
    file.write_bytes(content)


def test_an_untouched_pack_has_no_problems(path):
    assert verify(path) == []


def test_an_unknown_version_names_what_was_found_and_what_is_supported(path):
    change_info(path, format_version=17)
    with pytest.raises(FormatError, match="pack format version 17, but this version of lamae reads 3"):
        Pack.open(path)
    with pytest.raises(FormatError, match="version 17"):
        verify(path)


def test_a_flipped_byte_is_found_and_its_file_named(path):
    file = path / "views" / "00001.arrow"
    flip_byte(file, file.stat().st_size // 2)
    assert verify(path) == ["views/00001.arrow: the content is not what was written (its hash differs)"]


def test_a_flipped_byte_is_found_at_the_first_read_of_its_shard(path):
    file = path / "views" / "00001.arrow"
    flip_byte(file, file.stat().st_size // 2)
    pack = Pack.open(path)
    read(pack, np.array([0, 6]))
    with pytest.raises(DataError, match=r"00001\.arrow: the content is not what was written") as caught:
        read(pack, np.array([0, 4]))
    assert caught.value.reason == "damaged-shard"


def test_a_shard_is_hashed_only_before_its_first_read(path):
    pack = Pack.open(path)
    read(pack, np.array([4]))
    file = path / "views" / "00001.arrow"
    replaced = file.read_bytes()
    file.unlink()
    file.write_bytes(replaced[:-1] + b"?")
    read(pack, np.array([5]))


def test_a_truncated_shard_is_refused_at_opening(path):
    file = path / "views" / "00002.arrow"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(DataError, match=r"00002\.arrow: expected \d+ bytes, found \d+"):
        Pack.open(path)
    assert "views/00002.arrow: expected" in verify(path)[0]


def test_a_missing_shard_is_refused_at_opening(path):
    (path / "views" / "00000.arrow").unlink()
    with pytest.raises(DataError, match=r"00000\.arrow: missing from the pack"):
        Pack.open(path)
    assert verify(path) == ["views/00000.arrow: missing"]


def test_garbage_of_the_right_size_is_refused_when_it_is_read(path):
    file = path / "views" / "00000.arrow"
    file.write_bytes(b"\x00" * file.stat().st_size)
    with pytest.raises(FormatError, match="not a readable Arrow file"):
        Pack.open(path).study(0)


def test_a_shard_with_other_columns(path):
    file = path / "views" / "00000.arrow"
    with pa.ipc.new_file(str(file), pa.schema([("x", pa.int8())])) as writer:
        writer.write_batch(pa.record_batch({"x": pa.array([1], pa.int8())}))
    info = json.loads((path / "pack.json").read_text())
    info["shards"][0] |= {"bytes": file.stat().st_size, "sha256": sha256(file)}
    change_info(path, shards=info["shards"])
    with pytest.raises(FormatError, match=r"expected 6 rows of the columns study, study_id, .* found 1 rows of x"):
        Pack.open(path).study(0)


def test_a_table_with_fewer_rows_than_the_shards(path):
    file = path / "studies.parquet"
    pq.write_table(pq.read_table(file).slice(1), file)
    info = json.loads((path / "pack.json").read_text())
    info["tables"][0]["bytes"] = file.stat().st_size
    change_info(path, tables=info["tables"])
    with pytest.raises(FormatError, match=r"counts 7 studies, its shards 7, studies\.parquet 6"):
        Pack.open(path)


def test_a_table_in_another_order_than_the_shards(path):
    file = path / "studies.parquet"
    table = pq.read_table(file)
    pq.write_table(table.take(list(range(6, -1, -1))), file, compression="zstd")
    info = json.loads((path / "pack.json").read_text())
    info["tables"][0] |= {"bytes": file.stat().st_size, "sha256": sha256(file)}
    files = [FileInfo(**table) for table in info["tables"]] + [ShardInfo(**shard) for shard in info["shards"]]
    change_info(path, tables=info["tables"], content_hash=content_hash(files))
    assert verify(path) == ["studies.parquet: its study ids are not those of the shards in their order"]


def test_other_hashes_in_the_info_are_noticed(path):
    change_info(path, content_hash="0" * 64)
    assert verify(path) == ["pack.json: the hash of the whole content does not follow from the hashes of the files"]


def test_a_folder_that_is_no_pack(tmp_path):
    with pytest.raises(FormatError, match=r"no pack\.json in it"):
        Pack.open(tmp_path)
    with pytest.raises(FormatError, match="no such folder"):
        Pack.open(tmp_path / "absent")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "not readable as JSON"),
        ("[]", "this is no pack"),
        ('{"format": "other"}', "this is no pack"),
        ('{"format": "lamae-pack", "format_version": 3}', "its hash differs"),
    ],
)
def test_a_damaged_info(path, text, expected):
    (path / "pack.json").write_text(text)
    with pytest.raises(FormatError, match=expected):
        Pack.open(path)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"view_names": ("I", "Q9")}, "study s0: the pack's view names do not hold Q9"),
        ({"values": np.zeros((2, 31), np.int32)}, "int16 values with float32 scales, found int32"),
        ({"scale": np.ones(2)}, "found int16 and float64"),
        ({"scale": np.ones(3, np.float32)}, r"2 views need values \[2, samples\] and scale \[2\]"),
        ({"values": np.zeros((3, 31), np.int16)}, r"2 views need values \[2, samples\]"),
        ({"values": np.zeros((2, 0), np.int16)}, "at least one view and one sample"),
    ],
)
def test_a_study_that_a_pack_cannot_hold(tmp_path, changes, expected):
    with pytest.raises(DataError, match=expected):
        write_pack(tmp_path / "pack", [make_study(0, **changes)], make_table(1))


def test_a_pack_of_format_1_is_refused_with_the_command_that_makes_it_anew(path):
    change_info(path, format_version=1, cohort="ptb-xl")
    with pytest.raises(
        FormatError, match=r"version 1, .* reads 3: make it anew .*cohort: ptb-xl.*: lamae prepare COHORT ROOT NEW_PACK"
    ):
        Pack.open(path)


def test_too_many_view_names(tmp_path):
    names = ("I", "V5", *map(str, range(255)))
    with pytest.raises(DataError, match="1 to 256 views, found 257"):
        write_pack(tmp_path / "pack", [make_study(0)], make_table(1), view_names=names)


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("lamae.files.os.fsync", full)
    with pytest.raises(OSError, match="the disk is full; nothing half-written is kept") as caught:
        write_atomically(tmp_path / "file", b"content")
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_other_faults_of_writing_leave_nothing_behind_either(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("lamae.files.os.replace", fail)
    with pytest.raises(OSError, match="Input/output error"):
        write_atomically(tmp_path / "file", b"content")
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_is_no_parquet(path):
    file = path / "studies.parquet"
    content = file.read_bytes()
    file.write_bytes(bytes(len(content)))
    with pytest.raises(FormatError, match=r"studies\.parquet: damaged, .*; `lamae verify` lists"):
        Pack.open(path)
    assert verify(path) == ["studies.parquet: the content is not what was written (its hash differs)"]
    file.write_bytes(bytes(byte ^ 0xFF for byte in content[:-400]) + content[-400:])
    with pytest.raises(FormatError, match="damaged, not the Parquet file that was written"):
        _ = Pack.open(path).studies
