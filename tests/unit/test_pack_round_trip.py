import json
import pickle
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lamae.ecg.leads import LEADS
from lamae.errors import DataError
from lamae.pack import Gathered, Pack, verify, write_pack
from lamae.pack import reader as reader_module
from lamae.studies import MISSING_CODE, PreparedStudy

SAMPLES = 53


def make_study(seed: int, *, num_views: int = 7, num_samples: int = SAMPLES, missing: bool = False) -> PreparedStudy:
    rng = np.random.default_rng(seed)
    values = rng.integers(-30_000, 30_000, (num_views, num_samples)).astype(np.int16)
    if missing:
        values[0, 3:11] = MISSING_CODE
    return PreparedStudy.of_waveforms(
        view_names=tuple(rng.permutation(LEADS)[:num_views].tolist()),
        values=values,
        scale=rng.uniform(0.001, 0.01, num_views).astype(np.float32),
        rate_hz=100.0,
        has_missing=missing,
        flags={"V1": ("flat", "noisy")} if seed == 2 else {},
        study_flags=("limb-identity-broken",) if seed == 3 else (),
    )


def make_table(count: int) -> pa.Table:
    return pa.table(
        {"study_id": [f"s{i}" for i in range(count)], "patient_key": [f"test:{i // 2}" for i in range(count)]}
    )


def read(pack: Pack, indices: np.ndarray) -> Gathered:
    return pack.read(pack.whole(indices))


@pytest.fixture
def studies() -> list[PreparedStudy]:
    return [make_study(seed, num_views=(12, 7, 5, 1)[seed % 4], missing=seed == 4) for seed in range(11)]


@pytest.fixture
def pack(tmp_path, studies) -> Pack:
    return write_pack(tmp_path / "pack", studies, make_table(11), shard_size=3, preprocessing={"rate_hz": 100.0})


def test_each_study_comes_back_exactly(pack, studies):
    assert len(pack) == 11
    for index, expected in enumerate(studies):
        found = pack.study(index)
        assert found.view_names == expected.view_names
        np.testing.assert_array_equal(found.values, expected.values)
        np.testing.assert_array_equal(found.scale, expected.scale)
        assert found.rate_hz == 100.0
        assert found.has_missing == expected.has_missing
        assert dict(found.flags) == dict(expected.flags)
        assert found.study_flags == expected.study_flags
        assert pack.study_id(index) == f"s{index}"


def test_gather_in_random_order_with_repeats_and_ragged_leads(pack, studies):
    indices = np.array([10, 0, 4, 4, 7, 1])
    gathered = read(pack, indices)
    assert gathered.values.dtype == np.int16
    assert gathered.has_missing
    assert (np.diff(gathered.study_of) >= 0).all()
    for position, index in enumerate(indices):
        rows = gathered.study_of == position
        expected = studies[index]
        np.testing.assert_array_equal(gathered.values[rows], expected.values)
        np.testing.assert_array_equal(gathered.scale[rows], expected.scale)
        assert tuple(pack.info.view_names[view] for view in gathered.view_of[rows]) == expected.view_names


def test_gather_says_when_nothing_is_missing(pack):
    assert not read(pack, np.array([0, 1])).has_missing


def test_gather_of_nothing(pack):
    gathered = read(pack, np.array([], dtype=np.int64))
    assert gathered.values.shape == (0, 0)
    assert not gathered.has_missing


def test_studies_of_differing_length_are_padded_with_the_missing_code(tmp_path):
    long, short = make_study(0, num_views=2, num_samples=17), make_study(1, num_views=3, num_samples=13)
    gathered = read(write_pack(tmp_path / "pack", [long, short], make_table(2)), np.array([1, 0]))
    np.testing.assert_array_equal(gathered.values[:3, :13], short.values)
    assert (gathered.values[:3, 13:] == MISSING_CODE).all()
    np.testing.assert_array_equal(gathered.values[3:], long.values)
    assert gathered.has_missing


def test_a_study_is_a_view_of_the_memory_map(pack):
    values = pack.study(0).recordings[0].values
    assert not values.flags.writeable
    assert not values.flags.owndata


def test_info_counts_and_says_what_it_was_made_from(pack, studies):
    content = json.loads((pack.path / "pack.json").read_text())
    assert (content["format"], content["format_version"]) == ("lamae-pack", 3)
    assert [shard["studies"] for shard in content["shards"]] == [3, 3, 3, 2]
    assert content["num_recordings"] == sum(len(study.view_names) for study in studies)
    assert content["preprocessing"] == {"rate_hz": 100.0}
    assert len(content["content_hash"]) == 64


def test_the_same_studies_have_the_same_content_hash(tmp_path, pack, studies):
    again = write_pack(tmp_path / "again", studies, make_table(11), shard_size=3)
    assert again.info.content_hash == pack.info.content_hash
    other = write_pack(tmp_path / "other", studies[::-1], make_table(11), shard_size=3)
    assert other.info.content_hash != pack.info.content_hash


def test_rejected_files_are_kept_and_counted(tmp_path):
    rejected = [{"study_id": "b", "path": "x/b.dat", "reason": "truncated-file", "message": "b is short"}]
    pack = write_pack(tmp_path / "pack", [make_study(0)], make_table(1), rejected=rejected)
    assert pack.info.num_rejected == 1
    assert pack.info.rejected_by_reason == {"truncated-file": 1}
    assert pq.read_table(pack.path / "rejected.parquet").to_pylist() == rejected


def test_a_pack_without_studies(tmp_path):
    pack = write_pack(tmp_path / "pack", [], make_table(0), preprocessing={"rate_hz": 100.0})
    assert len(pack) == 0
    assert pack.info.rate_hz == 100.0
    assert verify(pack.path) == []


def test_other_readers_of_arrow_can_open_it(pack, studies):
    with pa.memory_map(str(pack.path / "views" / "00001.arrow")) as source:
        table = pa.ipc.open_file(source).read_all()
    assert table.column("study_id").unique().to_pylist() == ["s3", "s4", "s5"]
    ours = table.filter(pc.equal(table["study_id"], "s4"))
    assert ours.column("samples").to_pylist() == studies[4].values.tolist()
    frame = table.drop_columns(["samples", "frames"]).to_pandas()
    assert [shape.tolist() for shape in frame["shape"]] == [[SAMPLES]] * len(frame)


def test_a_pack_travels_to_another_process_by_its_path(pack, studies):
    there = pickle.loads(pickle.dumps(pack))
    np.testing.assert_array_equal(there.study(5).values, studies[5].values)


@pytest.mark.parametrize("index", [-1, 11])
def test_a_row_that_is_not_there(pack, index):
    with pytest.raises(IndexError, match="holds rows 0 to 10"):
        pack.study(index)


def test_fewer_rows_than_studies(tmp_path):
    with pytest.raises(DataError, match="more studies than the 2 rows"):
        write_pack(tmp_path / "pack", [make_study(i) for i in range(3)], make_table(2))


def test_more_rows_than_studies(tmp_path):
    with pytest.raises(DataError, match="5 rows for 3 studies"):
        write_pack(tmp_path / "pack", [make_study(i) for i in range(3)], make_table(5))


def test_a_pack_is_never_overwritten(pack, studies):
    with pytest.raises(DataError, match="holds a pack already"):
        write_pack(pack.path, studies, make_table(11))


def test_gaps_found_by_another_thread_while_a_shard_is_opened_are_not_forgotten(pack, monkeypatch):
    """Stands for the thread that reads ahead: it opens the shard with gaps while another one is looked through."""
    opened = Pack.open(pack.path)
    real = reader_module.open_shard

    class Interrupted(np.ndarray):
        def any(self, *args, **options):
            opened.whole(np.array([4]))
            return super().any(*args, **options)

    def open_slowly(path, info, **options):
        shard = real(path, info, **options)
        first = info == pack.info.shards[0]
        return replace(shard, has_missing=shard.has_missing.view(Interrupted)) if first else shard

    monkeypatch.setattr(reader_module, "open_shard", open_slowly)
    opened.whole(np.array([0]))
    assert read(opened, np.array([4])).has_missing
