from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from lamae.batch import Instances, StudyBatch


def instances(**changes) -> Instances:
    fields = {
        "values": torch.zeros(5, 1, 13, dtype=torch.int16),
        "scale": torch.full((5,), 0.001),
        "valid": torch.ones(5, 13, dtype=torch.bool),
        "study_of": torch.tensor([0, 0, 1, 1, 2]),
        "recording_of": torch.tensor([0, 1, 0, 2, 6]),
        "view_of": torch.tensor([0, 1, 0, 2, 6]),
        "time_of": torch.zeros(5),
        "view_names": tuple("abcdefg"),
    }
    return Instances(**(fields | changes))


def batch(**changes) -> StudyBatch:
    fields = {
        "streams": {"ecg": instances()},
        "num_studies": 3,
        "positions": torch.tensor([4, 0, 10]),
        "global_size": 11,
        "index": torch.tensor([17, 19, 23]),
        "targets": torch.zeros(3, 2),
    }
    return StudyBatch(**(fields | changes))


def test_a_good_batch_keeps_what_it_was_given():
    good = batch()
    assert len(good.streams["ecg"]) == 5
    assert good.streams["ecg"].grid == (13,)
    assert batch(targets=None).targets is None
    assert instances(valid=None).valid is None


@pytest.mark.parametrize("dtype", [torch.int16, torch.uint8, torch.float32])
@pytest.mark.parametrize("grid", [(13,), (3, 7), (2, 3, 5)])
def test_values_of_each_kind_are_taken(dtype, grid):
    values = torch.zeros(5, 1, *grid, dtype=dtype)
    assert instances(values=values, valid=torch.ones(5, *grid, dtype=torch.bool)).grid == grid


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"values": torch.zeros(5, 13, dtype=torch.int16)}, "values must be"),
        ({"values": torch.zeros(5, 1, 13, dtype=torch.int64)}, "int64"),
        ({"scale": torch.zeros(5)}, "scale must be finite and above 0"),
        ({"scale": torch.full((5,), float("nan"))}, "scale must be finite"),
        ({"scale": torch.full((5,), float("inf"))}, "scale must be finite"),
        ({"scale": torch.ones(7)}, "scale must have shape"),
        ({"scale": torch.ones(5, dtype=torch.float64)}, "dtype torch.float32, found"),
        ({"valid": torch.ones(5, 11, dtype=torch.bool)}, "valid must have shape"),
        ({"valid": torch.ones(5, 13)}, "dtype torch.bool, found"),
        ({"study_of": torch.tensor([0, 1, 0, 1, 2])}, "non-decreasing"),
        ({"study_of": torch.tensor([-1, 0, 0, 1, 2])}, "non-decreasing from 0"),
        ({"study_of": torch.tensor([0, 0, 1, 1, 2], dtype=torch.int32)}, "study_of must have"),
        ({"view_of": torch.tensor([0, 1, 0, 2, 7])}, "view_of must lie in 0 .. 6"),
        ({"view_of": torch.tensor([0, 1, -1, 2, 6])}, "view_of must lie"),
        ({"time_of": torch.zeros(3)}, "time_of must have"),
        ({"view_names": ()}, "distinct names"),
        ({"view_names": ("a", "a", "b", "c", "d", "e", "f")}, "distinct names"),
    ],
)
def test_bad_instances_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        instances(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_studies": 0, "positions": torch.zeros(0, dtype=torch.int64)}, "a batch needs a study"),
        ({"streams": {}}, "a batch needs a study and a stream"),
        ({"positions": torch.tensor([4, 4, 10])}, "positions must be distinct"),
        ({"positions": torch.tensor([4, 0, 11])}, "positions must be distinct and lie in 0 .. 10"),
        ({"positions": torch.tensor([-1, 0, 10])}, "positions must be distinct"),
        ({"positions": torch.tensor([4, 0])}, "positions must have shape"),
        ({"index": torch.tensor([17, 19])}, "index must have shape"),
        ({"targets": torch.zeros(5, 2)}, "one row a study"),
        ({"streams": {"ecg": instances(study_of=torch.tensor([0, 0, 0, 2, 2]))}}, "needs an instance"),
        ({"streams": {"ecg": instances(study_of=torch.tensor([0, 0, 1, 2, 3]))}}, "needs an instance"),
    ],
)
def test_bad_batches_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        batch(**changes)


def test_a_study_may_be_in_one_stream_only():
    ecg = instances(study_of=torch.tensor([0, 0, 0, 2, 2]))
    echo = instances(study_of=torch.tensor([1, 1, 1, 1, 1]))
    assert batch(streams={"ecg": ecg, "echo": echo}).num_studies == 3


def test_a_batch_is_frozen_and_checked_again_when_replaced():
    with pytest.raises(FrozenInstanceError):
        batch().num_studies = 5
    with pytest.raises(ValueError, match="positions must be distinct"):
        replace(batch(), global_size=7)


def test_a_batch_moves_whole():
    moved = batch().to("meta")
    assert {t.device.type for t in (moved.positions, moved.index, moved.targets)} == {"meta"}
    stream = moved.streams["ecg"]
    assert {t.device.type for t in (stream.values, stream.valid, stream.scale, stream.study_of)} == {"meta"}
