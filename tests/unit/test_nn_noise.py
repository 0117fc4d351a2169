"""Noise of masks: uniform, independent of the cut and the order, and never of the size of the global batch."""

import tracemalloc
from dataclasses import replace

import pytest
import torch
from clip_fakes import clip_batch

from lamae.nn import noise as module
from lamae.nn.noise import first_of, hashed_uniform, make_noise

KINDS = ["by-name", "by-recording"]


def source(batch, kind="by-recording", seed="7/0/echo"):
    return make_noise(kind, seed=seed, batch=batch, instances=batch.streams["echo"])


def keyed(batch, noise):
    """Noise by position, number of the recording and place within it."""
    echo, found = batch.streams["echo"], {}
    for row, (study, recording) in enumerate(zip(echo.study_of.tolist(), echo.recording_of.tolist(), strict=True)):
        place = sum(key[:2] == (int(batch.positions[study]), recording) for key in found)
        found[int(batch.positions[study]), recording, place] = noise[row].tolist()
    return found


def test_a_stream_in_pieces_is_the_whole_stream(monkeypatch):
    """What ECG masks have always been drawn from: a table over global batch, names and patches."""
    batch = clip_batch([[0, 1], [2]], positions=[5, 2], global_size=11, instances_each=1)
    expected = []
    for at_once in (2**16, 50, 1):
        monkeypatch.setattr(module, "DRAWN_AT_ONCE", at_once)
        expected.append(source(batch, "by-name").by_instance("patch", 13))
    seed = module.random.Random("7/0/echo/patch/0").getrandbits(62)
    table = torch.rand((11, 3, 13), generator=torch.Generator().manual_seed(seed))
    by_hand = table[[5, 5, 2], [0, 1, 2]]
    assert all(torch.equal(found, by_hand) for found in expected)


def test_hashed_noise_is_uniform_and_columns_and_rows_are_independent():
    noise = hashed_uniform("seed", [torch.arange(997) // 7, torch.arange(997) % 7], 211)
    assert noise.min() >= 0
    assert noise.max() < 1
    counts = torch.histc(noise, bins=64, min=0, max=1)
    expected = noise.numel() / 64
    assert ((counts - expected) ** 2 / expected).sum() < 63 + 5 * (2 * 63) ** 0.5  # chi-square of 63 degrees
    for one, other in ((noise[:-1], noise[1:]), (noise[:, :-1], noise[:, 1:]), (noise[:-7], noise[7:])):
        assert abs(float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])) < 0.01
    assert len(noise.flatten().unique()) > 0.98 * noise.numel()


def test_hashed_noise_depends_on_seed_and_each_key():
    keys = [torch.tensor([3, 3, 5, 0]), torch.tensor([0, 1, 0, 3])]
    noise = hashed_uniform("seed", keys, 5)
    assert len({tuple(row) for row in noise.tolist()}) == 4
    assert not torch.equal(noise, hashed_uniform("other", keys, 5))
    assert torch.equal(noise[1:2], hashed_uniform("seed", [key[1:2] for key in keys], 5))
    assert torch.equal(noise[:, :3], hashed_uniform("seed", keys, 3))


@pytest.mark.parametrize("purpose", ["patch", "latent", "view"])
def test_noise_by_recording_does_not_depend_on_how_the_global_batch_is_cut_or_ordered(purpose):
    whole = clip_batch([[0, 1, 3], [2, 5], [0, 4], [1]])
    expected = keyed(whole, source(whole).by_instance(purpose, 11))
    for recordings, positions in (([[2, 5]], [1]), ([[1], [4, 0], [3, 0, 1]], [3, 2, 0])):
        part = clip_batch(recordings, positions=positions, global_size=4)
        found = keyed(part, source(part).by_instance(purpose, 11))
        assert found == {key: expected[key] for key in found}


def test_instances_are_told_apart_by_their_time_where_it_is_known():
    batch = clip_batch([[0, 1]])
    echo = batch.streams["echo"]
    order = torch.tensor([3, 1, 0, 2])
    fields = ("values", "scale", "study_of", "recording_of", "view_of", "time_of")
    mixed = replace(batch, streams={"echo": replace(echo, **{name: getattr(echo, name)[order] for name in fields})})
    assert torch.equal(source(mixed).by_instance("patch", 7), source(batch).by_instance("patch", 7)[order])


def test_two_recordings_of_one_name_have_noise_of_their_own():
    batch = clip_batch([[0, 3]])  # both A4C, two instances each
    noise = source(batch)
    assert len({tuple(row) for row in noise.by_instance("patch", 7).tolist()}) == 4
    by_recording = noise.by_recording("patch", 7)
    assert torch.equal(by_recording[0], by_recording[1])
    assert not torch.equal(by_recording[0], by_recording[2])
    assert len({tuple(row) for row in noise.by_study("patch", 7).tolist()}) == 1


def test_purposes_and_scopes_are_independent():
    noise = source(clip_batch([[0]], instances_each=1))
    rows = [
        noise.by_study("a", 5), noise.by_recording("a", 5), noise.by_instance("a", 5), noise.by_instance("b", 5)
    ]  # fmt: skip
    assert len({tuple(row.flatten().tolist()) for row in rows}) == 4


def test_nothing_of_the_size_of_the_global_batch_is_made():
    batch = clip_batch([[0, 1], [5]], positions=[10**12, 3], global_size=10**12 + 1)
    tracemalloc.start()
    noise = source(batch)
    for draw in (noise.by_study, noise.by_recording, noise.by_instance):
        assert draw("patch", 1568).shape == (6, 1568)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_by_name_holds_a_piece_at_a_time(monkeypatch, kind):
    drawn, real = [], torch.rand

    def counted(shape, **options):
        drawn.append(module.math.prod(shape))
        return real(shape, **options)

    monkeypatch.setattr(module.torch, "rand", counted)
    source(clip_batch([[0]], positions=[255], global_size=256), kind).by_instance("patch", 1568)
    assert all(number <= 2**16 for number in drawn)


def test_first_of_by_hand():
    assert first_of(torch.tensor([1, 1, 0, 2, 0])).tolist() == [2, 0, 3]
