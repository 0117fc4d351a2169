"""Packs of recordings of any shape: clips of one view, of no known view, of several rates and encodings."""

import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lamae.errors import DataError
from lamae.pack import Pack, Selection, ShardWriter, gather_studies, verify, write_pack
from lamae.pack import shard_writer as shard_writer_module
from lamae.studies import MISSING_CODE, UNKNOWN_VIEW, PreparedRecording, PreparedStudy, View, Views

NAMES = ("A4C", "PLAX", UNKNOWN_VIEW)


def clip(seed: int, frames: int = 7, *, name: str = "A4C", key: str = "", **changes) -> PreparedRecording:
    values = np.random.default_rng(seed).integers(0, 256, (frames, 11, 13)).astype(np.uint8)
    return PreparedRecording(name=name, key=key or f"clip-{seed}", values=values, scale=1.0, rate_hz=30.0, **changes)


def echo(seed: int) -> PreparedStudy:
    """Two clips of one view, one of no known view and rate, and for every other study a fourth at another rate."""
    fourth = (clip(seed + 3, 23, name="PLAX"),) if seed % 20 else ()
    unknown = PreparedRecording(name=UNKNOWN_VIEW, key="x", values=clip(seed + 2, 5).values, scale=1.0, rate_hz=None)
    return PreparedStudy(recordings=(clip(seed), clip(seed + 1, 19), unknown, *fourth), study_flags=("short",))


def table(num: int) -> pa.Table:
    return pa.table({"study_id": [f"s{number}" for number in range(num)]})


@pytest.fixture
def studies() -> list[PreparedStudy]:
    return [echo(10 * number) for number in range(5)]


@pytest.fixture
def pack(tmp_path, studies) -> Pack:
    return write_pack(tmp_path / "pack", studies, table(5), modality="echo", view_names=NAMES, shard_size=2)


def test_each_recording_comes_back_with_its_identity(pack, studies):
    for row, study in enumerate(studies):
        found = pack.study(row)
        assert found.study_flags == ("short",)
        for ours, theirs in zip(found.recordings, study.recordings, strict=True):
            assert (ours.key, ours.name, ours.rate_hz, ours.scale) == (theirs.key, theirs.name, theirs.rate_hz, 1.0)
            np.testing.assert_array_equal(ours.values, theirs.values)
            assert not ours.values.flags.owndata
    assert pack.info.rate_hz is None
    assert pack.info.num_recordings == 3 * 5 + 2
    assert pq.read_table(pack.path / "studies.parquet")["views"].to_pylist()[1] == ["A4C", "A4C", "unknown", "PLAX"]
    assert verify(pack.path) == []


def test_a_selection_of_frames_reads_these_frames(pack, studies):
    whole = pack.whole(np.array([3, 1]))
    assert whole.study_of.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert whole.recording_of.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert pack.lengths_of(whole).tolist() == [7, 19, 5, 23] * 2
    assert [pack.info.view_names[view] for view in pack.views_of(whole)[:4]] == ["A4C", "A4C", "unknown", "PLAX"]
    np.testing.assert_array_equal(pack.rates_of(whole)[:4], [30, 30, np.nan, 30])
    some = Selection(
        studies=whole.studies,
        recording=whole.recording[[1, 3, 5]],
        study_of=whole.study_of[[1, 3, 5]],
        recording_of=whole.recording_of[[1, 3, 5]],
        start=np.array([2, 0, 4]),
        stride=np.array([3, 5, 1]),
        length=4,
    )
    found = pack.read(some)
    assert found.recorded is None
    for row, (study, recording, start, stride) in enumerate(((3, 1, 2, 3), (3, 3, 0, 5), (1, 1, 4, 1))):
        expected = tuple(studies[study].recordings)[recording].values[start::stride][:4]
        np.testing.assert_array_equal(found.values[row], expected)
    np.testing.assert_allclose(found.time_s, [2 / 30, 0, 4 / 30], rtol=1e-6)


def test_a_clip_that_is_too_short_is_padded_and_says_so(pack):
    whole = pack.whole(np.array([0]))
    found = pack.read(whole)
    assert found.values.shape == (3, 19, 11, 13)
    assert found.recorded is not None
    assert found.recorded.sum(axis=1).tolist() == [7, 19, 5]
    assert (found.values[0, 7:] == 0).all()
    assert np.isnan(pack.rates_of(whole)[2])


def test_jpeg_frames_are_decoded_one_by_one(tmp_path, monkeypatch):
    smooth = np.add.outer(np.arange(40), np.add.outer(np.arange(32), np.arange(48))).astype(np.uint8)
    stored = [PreparedRecording(name="A4C", key="a", values=smooth, scale=1.0, rate_hz=25.0, jpeg_quality=95)]
    pack = write_pack(tmp_path / "p", [PreparedStudy(recordings=stored)], table(1), modality="echo", view_names=NAMES)
    decoded = []
    real = shard_writer_module.encode_frame.__globals__["decode_frame"]
    monkeypatch.setattr("lamae.pack.slices.decode_frame", lambda *a, **k: decoded.append(1) or real(*a, **k))
    whole = pack.whole(np.array([0]))
    few = Selection(
        studies=whole.studies, recording=whole.recording, study_of=whole.study_of, recording_of=whole.recording_of,
        start=np.array([3]), stride=np.array([8]), length=4,
    )  # fmt: skip
    found = pack.read(few)
    assert len(decoded) == 4
    assert np.abs(found.values[0].astype(int) - smooth[[3, 11, 19, 27]]).mean() < 3
    np.testing.assert_array_equal(pack.study(0).recordings[0].values[11], found.values[0, 1])


def test_frames_of_two_sizes_cannot_be_one_batch(tmp_path):
    other = PreparedRecording(name="PLAX", key="b", values=np.zeros((3, 5, 6), np.uint8), scale=1.0, rate_hz=1.0)
    studies = [PreparedStudy(recordings=(clip(1), other))]
    pack = write_pack(tmp_path / "p", studies, table(1), modality="echo", view_names=NAMES)
    with pytest.raises(DataError, match="frames of 5 x 6, 11 x 13 pixels"):
        pack.read(pack.whole(np.array([0])))
    samples = PreparedRecording(name="PLAX", key="b", values=np.zeros(9, np.int16), scale=1.0, rate_hz=1.0)
    mixed = write_pack(
        tmp_path / "m", [PreparedStudy(recordings=(clip(1), samples))], table(1), modality="x", view_names=NAMES
    )
    with pytest.raises(DataError, match="samples and frames cannot be in one batch"):
        mixed.read(mixed.whole(np.array([0])))


def test_a_slice_of_samples(tmp_path):
    values = np.arange(2 * 31, dtype=np.int16).reshape(2, 31)
    study = PreparedStudy.of_waveforms(
        view_names=("A4C", "PLAX"), values=values, scale=np.ones(2, np.float32), rate_hz=10.0, has_missing=False
    )
    pack = write_pack(tmp_path / "p", [study], table(1), view_names=NAMES)
    whole = pack.whole(np.array([0]))
    part = Selection(
        studies=whole.studies, recording=whole.recording, study_of=whole.study_of, recording_of=whole.recording_of,
        start=np.array([4, 29]), length=5,
    )  # fmt: skip
    found = pack.read(part)
    assert found.values.tolist() == [[4, 5, 6, 7, 8], [60, 61, MISSING_CODE, MISSING_CODE, MISSING_CODE]]
    assert found.has_missing
    np.testing.assert_allclose(found.time_s, [0.4, 2.9], rtol=1e-6)


def test_files_are_cut_by_size_and_never_within_a_study(tmp_path, studies):
    with ShardWriter(tmp_path, 3, NAMES, shard_bytes=9_000) as writer:
        for number, study in enumerate(studies):
            writer.add(f"s{number}", study.recordings)
    assert [shard.file for shard in writer.shards][:2] == ["views/00003.arrow", "views/00003-1.arrow"]
    assert sum(shard.studies for shard in writer.shards) == 5
    assert all((tmp_path / shard.file).stat().st_size == shard.bytes for shard in writer.shards)
    assert writer.rates_hz == {30.0, None}


def half_way(study: PreparedStudy):
    yield from tuple(study.recordings)[:2]
    raise DataError("this clip cannot be read", reason="truncated-file")


@pytest.mark.parametrize("buffer_bytes", [10**9, 1000])
def test_a_study_that_fails_half_way_leaves_nothing(tmp_path, monkeypatch, studies, buffer_bytes):
    monkeypatch.setattr(shard_writer_module, "BUFFER_BYTES", buffer_bytes)
    (tmp_path / "views").mkdir()
    with ShardWriter(tmp_path, 0, NAMES) as writer, ShardWriter(tmp_path, 1, NAMES) as other:
        for number, study in enumerate(studies[:3]):
            writer.add(f"s{number}", study.recordings)
            other.add(f"s{number}", study.recordings)
            with pytest.raises(DataError, match="this clip cannot be read"):
                writer.add("bad", half_way(studies[3]))
    assert writer.shards[0].sha256 == other.shards[0].sha256
    assert writer.shards[0].recordings == other.shards[0].recordings == 10


def test_buffers_do_not_change_what_is_read(tmp_path, monkeypatch, pack, studies):
    monkeypatch.setattr(shard_writer_module, "BUFFER_BYTES", 1000)
    spilled = write_pack(tmp_path / "spilled", studies, table(5), modality="echo", view_names=NAMES, shard_size=2)
    for rows in ([0], [4, 0, 3], [2, 2]):
        ours, theirs = (one.read(one.whole(np.array(rows))) for one in (pack, spilled))
        np.testing.assert_array_equal(ours.values, theirs.values)


@pytest.mark.parametrize("num_clips", [8, 64])
def test_memory_does_not_grow_with_the_size_of_a_study(tmp_path, monkeypatch, num_clips):
    monkeypatch.setattr(shard_writer_module, "BUFFER_BYTES", 1 << 20)
    made = (
        PreparedRecording(name="A4C", key=str(n), values=np.full((32, 100, 100), n, np.uint8), scale=1.0, rate_hz=None)
        for n in range(num_clips)
    )
    (tmp_path / "views").mkdir()
    tracemalloc.start()
    with ShardWriter(tmp_path, 0, NAMES) as writer:
        writer.add("large", made)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert writer.shards[0].bytes > num_clips * 320_000
    assert peak < 8 << 20


@pytest.mark.parametrize(
    ("recording", "words"),
    [
        ({"name": "A5C"}, "view names do not hold A5C"),
        ({"values": np.zeros((3, 4), np.uint8)}, r"\[frames, height, width\] uint8, found uint8 of shape \(3, 4\)"),
        ({"values": np.zeros(4, np.float32)}, "found float32"),
        ({"values": np.zeros((0, 4, 4), np.uint8)}, "at least one view and one sample"),
        ({"scale": 0.0}, "scale must be finite and above 0, found 0.0"),
        ({"scale": 1e-60}, "scale must be finite and above 0, found 1e-60"),
        ({"scale": 1e60}, r"scale must be finite and above 0, found 1e\+60"),
        ({"rate_hz": 0.0}, "rate must be above 0 Hz or unknown, found 0.0"),
        ({"key": "clip-1"}, "two recordings have the key 'clip-1'"),
    ],
)
def test_what_a_pack_does_not_take(tmp_path, recording, words):
    (tmp_path / "views").mkdir()
    bad = PreparedRecording(
        **{"name": "A4C", "key": "k", "values": np.zeros((2, 3, 4), np.uint8), "scale": 1.0, "rate_hz": 1.0} | recording
    )
    with ShardWriter(tmp_path, 0, NAMES) as writer:
        with pytest.raises(DataError, match=words):
            writer.add("s", [clip(1), bad])
        with pytest.raises(DataError, match="at least one view"):
            writer.add("s", [])
    assert writer.shards == []
    assert list((tmp_path / "views").iterdir()) == []


def test_views_of_a_study_are_found_by_key_and_by_name():
    frames = np.zeros((2, 3, 4), np.uint8)
    views = Views(
        [
            View(name="A4C", key="clip 1", values=frames, rate_hz=30.0),
            View(name="A4C", key="clip 2", values=frames, rate_hz=50.0),
            View(name=None, key="clip 3", values=frames, rate_hz=None),
        ]
    )
    assert list(views) == ["clip 1", "clip 2", "clip 3"]
    assert [view.key for view in views.named("a4c")] == ["clip 1", "clip 2"]
    assert [view.key for view in views.named(None)] == ["clip 3"]
    assert views["CLIP 2"].duration_s == 0.04
    with pytest.raises(DataError, match="its rate is not known"):
        _ = views["clip 3"].duration_s
    with pytest.raises(DataError, match="needs a key of its own"):
        View(name=None, values=frames, rate_hz=None)


def test_what_jpeg_cannot_hold_is_refused_and_leaves_nothing(tmp_path):
    wide = PreparedRecording(
        name="A4C", key="w", values=np.zeros((1, 2, 70_000), np.uint8), scale=1.0, rate_hz=None, jpeg_quality=90
    )
    with ShardWriter(tmp_path, 0, NAMES) as writer:
        writer.add("good", [clip(1)])
        with pytest.raises(DataError, match="cannot be stored as JPEG"):
            writer.add("bad", [clip(2), wide])
    assert (writer.shards[0].studies, writer.shards[0].recordings) == (1, 1)
    assert [file.name for file in (tmp_path / "views").iterdir()] == ["00000.arrow"]


def test_a_file_that_cannot_be_finished_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lamae.pack.shard_writer.os.replace", fail)
    with pytest.raises(OSError, match="the disk is full"), ShardWriter(tmp_path, 0, NAMES) as writer:
        writer.add("good", [clip(1)])
    assert list((tmp_path / "views").iterdir()) == []


def test_studies_in_memory_lose_what_jpeg_does_not_keep(tmp_path):
    noisy = PreparedStudy(recordings=(clip(3, jpeg_quality=40),))
    pack = write_pack(tmp_path / "p", [noisy], table(1), modality="echo", view_names=NAMES)
    stored = pack.read(pack.whole(np.array([0])))
    np.testing.assert_array_equal(gather_studies([noisy], NAMES).values, stored.values)
    assert not np.array_equal(stored.values[0], noisy.recordings[0].values)


def test_a_frame_after_the_end_is_an_error(pack):
    whole = pack.whole(np.array([0]))
    late = Selection(
        studies=whole.studies, recording=whole.recording[:1], study_of=whole.study_of[:1],
        recording_of=whole.recording_of[:1], start=np.array([7]), stride=np.array([1]), length=1, single_frames=True,
    )  # fmt: skip
    with pytest.raises(DataError, match="after the end of its recording"):
        pack.read(late)
