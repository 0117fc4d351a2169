import numpy as np
import pyarrow as pa
import pytest
import torch

from lamae.data import PackDataset, global_batch, micro_batches
from lamae.data.dataset import _joined, check_agreement
from lamae.data.view_dropout import kept_views
from lamae.ecg.leads import LEADS
from lamae.errors import ConfigError, DataError
from lamae.pack import write_pack
from lamae.pack.selection import Gathered
from lamae.studies import MISSING_CODE, PreparedRecording, PreparedStudy

SAMPLES = 13


def study(number, names, *, samples=SAMPLES, missing=False):
    values = np.full((len(names), samples), number, dtype=np.int16)
    values += np.array([100 * LEADS.index(name) for name in names], dtype=np.int16)[:, None]
    if missing:
        values[0, -2:] = MISSING_CODE
    scale = np.full(len(names), 0.001, dtype=np.float32)
    return PreparedStudy.of_waveforms(
        view_names=tuple(names), values=values, scale=scale, rate_hz=100.0, has_missing=missing
    )


def make_pack(path, studies, splits=None, *, view_names=LEADS, **preprocessing):
    columns = {"study_id": [f"s{number}" for number in range(len(studies))]}
    if splits is not None:
        columns["split"] = pa.array(splits, pa.string())
    preprocessing = {"rate_hz": 100.0, "duration_s": 0.13} | preprocessing
    return write_pack(path, studies, pa.table(columns), preprocessing=preprocessing, view_names=view_names)


@pytest.fixture
def packs(tmp_path):
    first = [study(number, ("II", "I", "V1")) for number in range(5)]
    second = [study(10, ("I",)), study(11, ("V1", "V2")), study(12, ("V2",), missing=True)]
    return (
        make_pack(tmp_path / "a", first, ["train", "validation", "train", None, "test"]),
        make_pack(tmp_path / "b", second, ["train"] * 3, view_names=LEADS[::-1]),
    )


def seen(batch):
    """Row -> {view name: value} of a batch, and the position of each row."""
    instances = batch.streams["ecg"]
    found = {int(row): {} for row in batch.index}
    for k, (study_of, view_of) in enumerate(zip(instances.study_of.tolist(), instances.view_of.tolist(), strict=True)):
        found[int(batch.index[study_of])][instances.view_names[view_of]] = int(instances.values[k, 0, 0])
    return found, dict(zip(batch.index.tolist(), batch.positions.tolist(), strict=True))


def test_by_hand_two_packs_with_different_vocabularies(packs):
    dataset = PackDataset(packs, view_names=LEADS)
    batch = dataset.batch(np.array([6, 1, 5]))
    found, positions = seen(batch)
    assert found == {1: {"II": 101, "I": 1, "V1": 601}, 5: {"I": 10}, 6: {"V1": 611, "V2": 711}}
    assert positions == {6: 0, 1: 1, 5: 2}
    assert batch.streams["ecg"].values.shape == (6, 1, SAMPLES)
    assert batch.streams["ecg"].values.dtype == torch.int16
    assert batch.streams["ecg"].valid is None
    assert batch.global_size == 3


def test_order_is_kept_within_one_pack(packs):
    assert PackDataset(packs[:1], view_names=LEADS).batch(np.array([4, 0, 3])).index.tolist() == [4, 0, 3]


def test_missing_samples_are_known_as_such(packs):
    instances = PackDataset(packs, view_names=LEADS).batch(np.array([7, 0])).streams["ecg"]
    assert instances.valid is not None
    assert instances.valid.shape == (4, SAMPLES)
    assert instances.valid[3].tolist() == [True] * 11 + [False] * 2
    assert bool(instances.valid[:3].all())


def test_rows_by_split(packs):
    assert PackDataset(packs, view_names=LEADS, split="train").rows.tolist() == [0, 2, 5, 6, 7]
    assert PackDataset(packs, view_names=LEADS, split=("test", "validation")).rows.tolist() == [1, 4]
    assert PackDataset(packs, view_names=LEADS, split="train", rows=np.array([7, 1, 2])).rows.tolist() == [7, 2]


def test_locate_gives_pack_and_row(packs):
    dataset = PackDataset(packs, view_names=LEADS, split="train")
    assert dataset.locate(1) == (packs[0], 2)
    assert dataset.locate(3) == (packs[1], 1)


def test_a_subset_of_leads(packs):
    dataset = PackDataset(packs, view_names=("V1", "I"), views=("V1",))
    assert dataset.rows.tolist() == [0, 1, 2, 3, 4, 6]
    assert dataset.num_without_views == 2
    found, _ = seen(dataset.batch(np.array([5, 0])))
    assert found == {0: {"V1": 600}, 5: {"V1": 611}}


def test_shares_cut_the_same_global_batch(packs):
    dataset = PackDataset(packs, view_names=LEADS)
    rows = global_batch(len(dataset), 7, seed=3, step=2)
    whole, where = seen(dataset.batch(rows))
    for piece in micro_batches(rows, world_size=1, accumulation=3):
        found, positions = seen(dataset.batch(piece.indices, positions=piece.positions, global_size=piece.global_size))
        assert all(whole[row] == views and where[row] == positions[row] for row, views in found.items())


def test_hidden_views_depend_on_the_step_only(packs):
    dataset = PackDataset(packs[:1], view_names=LEADS, min_views=1, seed=5)
    rows = np.arange(5)
    whole = [seen(dataset.batch(rows, step=step))[0] for step in range(40)]
    assert {len(views) for found in whole for views in found.values()} == {1, 2, 3}
    cut = seen(dataset.batch(rows[3:], positions=rows[3:], global_size=5, step=7))[0]
    assert cut == {row: whole[7][row] for row in (3, 4)}


def test_packs_that_were_prepared_differently_are_refused(tmp_path, packs):
    other = make_pack(tmp_path / "c", [study(0, ("I",))], bandpass_hz=[1.0, 30.0])
    with pytest.raises(ConfigError, match=r"prepared differently.*bandpass_hz: None and \[1.0, 30.0\]"):
        PackDataset([packs[0], other], view_names=LEADS)


def test_packs_of_different_rates_are_refused_and_an_unknown_rate_fits_any(tmp_path):
    def pack(name, *rates):
        recordings = [
            PreparedRecording(name="I", key=str(n), values=np.ones(7, np.int16), scale=1.0, rate_hz=rate)
            for n, rate in enumerate(rates)
        ]
        table = pa.table({"study_id": [name]})
        return write_pack(tmp_path / name, [PreparedStudy(recordings=tuple(recordings))], table, preprocessing={})

    slow, fast, mixed = pack("slow", 50.0), pack("fast", 100.0), pack("mixed", 50.0, 100.0)
    assert (slow.info.rate_hz, fast.info.rate_hz, mixed.info.rate_hz) == (50.0, 100.0, None)
    with pytest.raises(ConfigError, match=r"prepared differently, so cannot be joined: rate_hz: 50.0 and 100.0"):
        check_agreement([slow, fast])
    check_agreement([slow, mixed, slow])


def test_views_that_the_model_does_not_know_are_refused(packs):
    with pytest.raises(ConfigError, match=r"the model does not know the views I, III, aVR.*it knows II, V1"):
        PackDataset(packs, view_names=("II", "V1"))
    with pytest.raises(ConfigError, match="does not know the views V7"):
        PackDataset(packs, view_names=LEADS, views=("V7",))


def test_a_split_without_rows_says_what_there_is(packs):
    with pytest.raises(ConfigError, match=r"split 'dev'; splits of the packs: train \(5\), validation \(1\)"):
        PackDataset(packs, view_names=LEADS, split="dev")


def test_packs_without_splits(tmp_path):
    pack = make_pack(tmp_path / "d", [study(0, ("I",))])
    assert len(PackDataset([pack], view_names=LEADS)) == 1
    with pytest.raises(ConfigError, match="splits of the packs: none at all"):
        PackDataset([pack], view_names=LEADS, split="train")


def test_no_pack_is_refused():
    with pytest.raises(ConfigError, match="no pack was given"):
        PackDataset([], view_names=LEADS)


def test_packs_of_different_lengths_cannot_share_a_batch(tmp_path, packs):
    longer = make_pack(tmp_path / "e", [study(0, ("I",), samples=17)])
    dataset = PackDataset([packs[0], longer], view_names=LEADS)
    with pytest.raises(DataError, match=r"studies of one batch have \[13, 17\] samples"):
        dataset.batch(np.array([0, 5]))


def test_clips_of_two_packs_are_joined_with_what_is_padding_by_hand():
    def gathered(num, recorded):
        return Gathered(
            values=np.full((num, 3, 2, 2), num, np.uint8),
            scale=np.full(num, 0.5, np.float32),
            study_of=np.arange(num),
            recording_of=np.zeros(num, np.int64),
            view_of=np.full(num, num),
            time_s=np.zeros(num, np.float32),
            recorded=recorded,
        )

    short = np.array([[True, True, False]])
    joined = _joined([gathered(2, None), gathered(1, short)], [0, 2])
    assert joined.study_of.tolist() == [0, 1, 2]
    assert joined.view_of.tolist() == [2, 2, 1]
    assert joined.recorded is not None
    assert joined.recorded.tolist() == [[True] * 3, [True] * 3, [True, True, False]]
    assert _joined([gathered(2, None), gathered(1, None)], [0, 2]).recorded is None


def test_dropping_views_can_keep_more_recordings_than_there_are_names():
    position_of, view_of = np.repeat(np.arange(3), [10, 2, 1]), np.array([0, 1] * 5 + [0, 1, 0])
    counts = [
        np.bincount(
            position_of[kept_views(position_of, view_of, num_views=2, min_views=1, global_size=3, seed=(1, step))]
        )
        for step in range(200)
    ]
    assert {int(found[0]) for found in counts} == set(range(1, 11))
    assert {int(found[1]) for found in counts} == {1, 2}


def test_recordings_of_one_name_are_dropped_independently_of_each_other():
    position_of, view_of = np.zeros(3, np.int64), np.zeros(3, np.int64)
    options = {"num_views": 1, "min_views": 1, "global_size": 1}
    found = {tuple(kept_views(position_of, view_of, seed=(1, step), **options).tolist()) for step in range(100)}
    assert len(found) == 7  # each choice of at least one of three


def test_what_a_study_keeps_does_not_depend_on_how_many_recordings_its_neighbours_have():
    position_of, view_of = np.repeat([0, 1], [4, 9]), np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0])
    for step in range(100):
        options = {"num_views": 2, "min_views": 1, "global_size": 2, "seed": (1, step)}
        beside = kept_views(position_of, view_of, **options)
        alone = kept_views(position_of[:4], view_of[:4], **options)
        assert alone.tolist() == beside[:4].tolist()


@pytest.mark.parametrize("min_views", [1, 2, 3, 4, 12])
def test_how_many_recordings_stay_is_drawn_among_those_that_a_study_has(min_views):
    """Studies of 12, 8, 3 and 1 leads under a model of twelve: each number as often as the others."""
    present = [12, 8, 3, 1]
    position_of, view_of = np.repeat(np.arange(4), present), np.concatenate([np.arange(n) for n in present])
    counts = np.array(
        [
            np.bincount(
                position_of[
                    kept_views(position_of, view_of, num_views=12, min_views=min_views, global_size=4, seed=(7, step))
                ],
                minlength=4,
            )
            for step in range(3000)
        ]
    )
    for study, number in enumerate(present):
        possible = range(min(min_views, number), number + 1)
        found = np.bincount(counts[:, study], minlength=number + 1)
        assert set(np.flatnonzero(found)) == set(possible)
        expected = 3000 / len(possible)
        assert np.abs(found[possible.start :] - expected).max() < 5 * np.sqrt(expected)


def test_whole_studies_keep_what_they_always_kept():
    """Noise for each name, then a number for each study: what runs on whole ECGs depend on to the bit."""
    position_of, view_of = np.repeat(np.arange(7), 12), np.tile(np.arange(12), 7)
    kept = kept_views(position_of, view_of, num_views=12, min_views=2, global_size=7, seed=(11, 3))
    rng = np.random.default_rng((11, 3))
    noise, numbers = rng.random((7, 12)), rng.integers(2, 12, size=7, endpoint=True)
    assert np.bincount(position_of[kept]).tolist() == numbers.tolist()
    for study in range(7):
        assert set(np.flatnonzero(kept[position_of == study])) == set(noise[study].argsort()[: numbers[study]])
