"""Families of masks: blocks in one to three dimensions, tubes of several scopes, whole recordings."""

from dataclasses import replace

import pytest
import torch
from clip_fakes import clip_batch

from lamae.config import from_dict, to_dict
from lamae.errors import ConfigError
from lamae.nn.masks import MaskConfig, MaskFamily, draw_masks

PATCH = (2, 2, 2)  # 3 x 5 x 7 patches of clips of 6 x 10 x 14
V_JEPA = (
    MaskFamily(strategy="block", num_blocks=8, block_ratio=0.15, full_time=True, ratio=0.73),
    MaskFamily(strategy="block", num_blocks=2, block_ratio=0.7, full_time=True, ratio=0.9),
)


@pytest.mark.parametrize(
    "bad",
    [
        {"ratio": 1.0},
        {"ratio": 0.0},
        {"ratio": 0.0, "block_ratio": 0.5, "strategy": "block"},
        {"ratio": 1.0, "block_ratio": 0.5, "strategy": "block"},
        {"block_ratio": 1.0, "strategy": "block"},
        {"block_ratio": 0.0, "strategy": "block"},
        {"block_aspect": (0.0, 1.0), "strategy": "block"},
        {"block_aspect": (2.0, 1.0), "strategy": "block"},
    ],
)
def test_ratios_and_aspects_at_the_edge_are_refused(bad):
    with pytest.raises(ConfigError, match=r"must lie in \(0, 1\) and block_aspect be two rising numbers"):
        MaskFamily(**bad)


@pytest.mark.parametrize("bad", [{"ratio": 1.0}, {"ratio": 0.0}, {"latent_ratio": 1.0}, {"latent_ratio": -0.1}])
def test_ratios_of_flat_settings_at_the_edge_are_refused(bad):
    with pytest.raises(ConfigError, match=r"ratio must lie in \(0, 1\) and latent_ratio in \[0, 1\)"):
        MaskConfig(**bad)


def test_one_aspect_is_a_range():
    assert MaskFamily(strategy="block", block_aspect=(1.0, 1.0)).block_aspect == (1.0, 1.0)


def draw(config, batch, seed=3, patch=PATCH):
    return draw_masks(config, batch, {"echo": patch}, torch.Generator().manual_seed(seed))


def one(family, batch, patch=PATCH, noise="by-recording"):
    return draw(MaskConfig(families=(family,), noise=noise), batch, patch=patch).streams["echo"][0]


def hidden_grid(mask, counts=(3, 5, 7)):
    hidden = torch.zeros(len(mask.target), mask.context.shape[1] + mask.target.shape[1], dtype=torch.bool)
    return hidden.scatter(1, mask.target, torch.ones_like(mask.target, dtype=torch.bool)).view(-1, *counts)


def test_each_family_gives_masks_with_counts_of_their_own():
    batch = clip_batch([[0, 1, 3], [2]])
    plan = draw(MaskConfig(families=(*V_JEPA, MaskFamily(ratio=0.5, num_masks=2)), noise="by-recording"), batch)
    assert plan.num_masks == 4
    assert [mask.context.shape[1] for mask in plan.streams["echo"]] == [27, 9, 52, 52]
    for mask in plan.streams["echo"]:
        both = torch.cat([mask.context, mask.target], dim=1).sort(dim=1).values
        assert both.tolist() == [list(range(105))] * 8
    assert not torch.equal(plan.streams["echo"][2].context, plan.streams["echo"][3].context)


def test_one_family_is_what_the_flat_settings_are():
    batch = clip_batch([[0, 1], [2]])
    flat = draw(MaskConfig(ratio=0.6, num_masks=2, latent_ratio=0.3), batch)
    listed = draw(MaskConfig(families=(MaskFamily(ratio=0.6, num_masks=2),), latent_ratio=0.3), batch)
    for ours, theirs in zip(flat.streams["echo"], listed.streams["echo"], strict=True):
        assert torch.equal(ours.context, theirs.context)
    assert torch.equal(flat.latent[1].gather_index, listed.latent[1].gather_index)


@pytest.mark.parametrize(("num_axes", "ratio", "extents"), [(1, 3 / 7, [3]), (2, 9 / 35, [3, 3])])
def test_a_block_is_contiguous_along_every_axis(num_axes, ratio, extents):
    """As many patches are hidden as the block has, so that nothing is random but its place."""
    batch = clip_batch([[0, 1, 2, 3, 4]] * 11, grid=(6, 10, 14)[-num_axes:], instances_each=1)
    family = MaskFamily(strategy="block", ratio=ratio, block_ratio=ratio, block_aspect=(1.0, 1.0))
    hidden = hidden_grid(one(family, batch, PATCH[-num_axes:]), (3, 5, 7)[-num_axes:])
    starts = set()
    for grid in hidden:
        places = grid.nonzero()
        starts.add(tuple(places[0].tolist()))
        assert (places.max(dim=0).values - places.min(dim=0).values + 1).tolist() == extents
        assert len(places) == torch.tensor(extents).prod()
    assert len(starts) > 3


def test_blocks_of_full_time_hide_the_same_places_at_all_times():
    """Nine places of a block are covered at all three times; with exactly as many hidden, nothing is random."""
    family = MaskFamily(strategy="block", ratio=27 / 105, block_ratio=9 / 35, block_aspect=(1.0, 1.0), full_time=True)
    hidden = hidden_grid(one(family, clip_batch([[0, 1, 2]] * 5)))
    assert bool((hidden == hidden[:, :1]).all())
    assert hidden.sum(dim=(1, 2, 3)).tolist() == [27] * 30
    rows, columns = hidden[:, 0].any(dim=2).sum(dim=1), hidden[:, 0].any(dim=1).sum(dim=1)
    assert rows.tolist() == columns.tolist() == [3] * 30
    corners = {tuple(grid[0].nonzero()[0].tolist()) for grid in hidden}
    assert len(corners) > 5


@pytest.mark.parametrize("family", V_JEPA)
def test_blocks_of_full_time_are_evened_out_at_all_times_alike(family):
    hidden = hidden_grid(one(family, clip_batch([[0, 1, 2]] * 5)))
    assert bool((hidden == hidden[:, :1]).all())


def test_a_block_of_a_volume_takes_its_fraction_of_each_axis():
    family = MaskFamily(strategy="block", ratio=0.13, block_ratio=1 / 8, block_aspect=(1.0, 1.0))
    batch = clip_batch([[0, 1, 2]] * 5, grid=(8, 8, 8))
    hidden = hidden_grid(one(family, batch), (4, 4, 4))
    for grid in hidden:
        assert [int(grid.any(dim=tuple({0, 1, 2} - {axis})).sum()) for axis in range(3)] == [2, 2, 2]


def test_what_blocks_cover_too_much_or_too_little_is_evened_out_at_random_and_not_in_order_of_time():
    batch = clip_batch([[0, 1, 2, 3]] * 31, instances_each=1)
    for ratio in (0.2, 0.95):  # 4 blocks of 0.3 cover more than the first and less than the second
        family = MaskFamily(strategy="block", num_blocks=4, block_ratio=0.3, full_time=True, ratio=ratio)
        by_time = hidden_grid(one(family, batch)).float().mean(dim=(0, 2, 3))
        assert (by_time - ratio).abs().max() < 0.03


def test_aspects_lie_in_their_range():
    family = MaskFamily(strategy="block", ratio=0.2, block_ratio=0.2, block_aspect=(3.0, 3.0))
    batch = clip_batch([[0, 1, 2]] * 7, grid=(32, 32), instances_each=1)
    hidden = hidden_grid(one(family, batch, (2, 2)), (16, 16))
    sums = torch.stack([hidden.sum(dim=2).max(dim=1).values, hidden.sum(dim=1).max(dim=1).values])
    assert (sums[1] > 1.7 * sums[0]).float().mean() > 0.9  # 12 or 13 high, 4 wide, but for a few random patches


@pytest.mark.parametrize(("scope", "distinct"), [("study", [1, 1]), ("recording", [3, 2]), ("instance", [6, 4])])
@pytest.mark.parametrize("noise", ["by-name", "by-recording"])
def test_the_scope_of_a_tube(scope, distinct, noise):
    mask = one(MaskFamily(strategy="tube", scope=scope), clip_batch([[0, 1, 3], [0, 2]]), noise=noise)
    rows = [tuple(sorted(row)) for row in mask.context.tolist()]
    assert [len(set(rows[:6])), len(set(rows[6:]))] == distinct
    if scope == "recording":
        assert all(rows[k] == rows[k + 1] for k in range(0, 10, 2))


def test_a_tube_along_time_hides_the_same_places_at_all_times():
    mask = one(MaskFamily(strategy="tube", scope="instance", full_time=True, ratio=0.9), clip_batch([[0, 1], [2]]))
    hidden = hidden_grid(mask)
    assert bool((hidden == hidden[:, :1]).all())
    assert mask.context.shape[1] == 3 * 3  # a tenth of 35 places, rounded down, at three times


@pytest.mark.parametrize("noise", ["by-name", "by-recording"])
def test_whole_recordings_are_hidden_and_one_always_stays(noise):
    batch = clip_batch([[0, 3, 1], [2], [5, 4, 0, 3]], instances_each=3)
    mask = one(MaskFamily(strategy="view", hidden_views=2), batch, noise=noise)
    encoded = torch.zeros(24, dtype=torch.bool)
    encoded[mask.encoded] = True
    by_recording = encoded.view(8, 3)
    assert bool((by_recording.any(dim=1) == by_recording.all(dim=1)).all())
    assert [int(part.all(dim=1).sum()) for part in by_recording.split([3, 1, 4])] == [1, 1, 2]


@pytest.mark.parametrize("family", [*V_JEPA, MaskFamily(strategy="view", hidden_views=1), MaskFamily(strategy="tube")])
def test_masks_of_clips_do_not_depend_on_the_cut(family):
    config = MaskConfig(families=(family,), noise="by-recording", latent_ratio=0.4)
    whole, part = clip_batch([[0, 1], [2, 5], [3]]), clip_batch([[3], [0, 1]], positions=[2, 0], global_size=3)
    expected, found = draw(config, whole), draw(config, part)
    rows = torch.tensor([8, 9, 0, 1, 2, 3])
    assert torch.equal(found.streams["echo"][0].context, expected.streams["echo"][0].context[rows])


def test_there_and_back_through_plain_types():
    config = MaskConfig(families=V_JEPA, noise="by-recording")
    assert from_dict(MaskConfig, to_dict(config), source="here") == config


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: MaskFamily(block_ratio=0.3), "block_ratio and block_aspect are for the mask strategy 'block'"),
        (lambda: MaskFamily(num_blocks=2), "block_ratio and block_aspect are for the mask strategy 'block'"),
        (lambda: MaskFamily(block_aspect=(1.0, 1.0)), "block_aspect are for the mask strategy 'block', found 'random'"),
        (lambda: MaskFamily(ratio=1.0), "ratio and block_ratio must lie in"),
        (lambda: MaskFamily(num_masks=0), "num_masks must be at least 1"),
        (lambda: MaskFamily(hidden_views=-1), "hidden_views at least 0"),
        (lambda: MaskFamily(strategy="view"), "go together"),
        (lambda: MaskFamily(strategy="block", num_blocks=0), "num_blocks at least 1"),
        (lambda: MaskFamily(strategy="block", block_ratio=1.0), "block_ratio must lie in"),
        (lambda: MaskFamily(strategy="block", block_aspect=(2.0, 1.0)), "block_aspect be two rising numbers"),
        (lambda: MaskFamily(scope="recording"), "scope 'recording' is for the mask strategy 'tube'"),
        (lambda: MaskFamily(full_time=True), "full_time is for the mask strategies 'tube' and 'block'"),
        (lambda: MaskConfig(families=V_JEPA, ratio=0.5), "mask.families takes the place of mask.strategy"),
        (lambda: MaskConfig(families=V_JEPA, num_masks=2), "mask.families takes the place of mask.strategy"),
    ],
)
def test_settings_that_nothing_reads_are_refused(make, words):
    with pytest.raises(ConfigError, match=words):
        make()


def short_clips(num_times=(3, 2, 1), recordings=((0, 1, 2), (0, 1, 2))):
    """Clips of three patches in time, of which so many are recorded of the recordings of each study."""
    batch = clip_batch(recordings, instances_each=1)
    frames = 2 * torch.tensor(num_times * len(recordings))[:, None]
    valid = (torch.arange(6) < frames)[:, :, None, None].expand(-1, 6, 10, 14)
    return replace(batch, streams={"echo": replace(batch.streams["echo"], valid=valid)})


def seen_of(mask, counts=(3, 5, 7)):
    """Return the grid of visible recorded patches, and of those to predict."""
    num_visible, both = mask.context.shape[1], torch.cat([mask.context, mask.target], dim=1)
    assert both.sort(dim=1).values.tolist() == [list(range(105))] * len(both)
    blank = torch.zeros(both.shape, dtype=torch.bool)
    seen, asked = mask.slot_valid.clone(), mask.slot_valid.clone()
    seen[:, num_visible:], asked[:, :num_visible] = False, False
    return [blank.scatter(1, both, part).view(-1, *counts) for part in (seen, asked)]


@pytest.mark.parametrize("strategy", ["random", "tube", "block", "view"])
def test_of_short_clips_the_same_fraction_is_visible(strategy):
    family = MaskFamily(
        strategy=strategy,
        ratio=0.8,
        hidden_views=1 if strategy == "view" else 0,
        scope="instance" if strategy == "tube" else "study",
    )
    seen, asked = seen_of(one(family, short_clips()))
    assert seen.flatten(1).sum(dim=1).tolist() == [21, 14, 7] * 2
    assert asked.flatten(1).sum(dim=1).tolist() == [84, 56, 28] * 2


@pytest.mark.parametrize("family", [*V_JEPA, MaskFamily(strategy="tube", ratio=0.8, full_time=True)])
def test_tubes_and_blocks_of_short_clips_stay_full_in_time(family):
    seen, asked = seen_of(one(family, short_clips()))
    at_once = family.num_visible(3, 5, 7) // 3
    for row, times in enumerate([3, 2, 1] * 2):
        assert seen[row].sum(dim=(1, 2)).tolist() == [at_once] * times + [0] * (3 - times)
        assert asked[row].sum(dim=(1, 2)).tolist() == [35 - at_once] * times + [0] * (3 - times)
        assert bool((seen[row, :times] == seen[row, 0]).all())


def test_a_block_lies_in_what_was_recorded_of_a_short_clip():
    """As many patches are hidden as the block has, so that nothing is random but its place."""
    family = MaskFamily(strategy="block", ratio=12 / 35, block_ratio=12 / 35, full_time=True, block_aspect=(0.75, 0.75))
    batch = clip_batch([[0, 1, 2]] * 11, instances_each=1)
    valid = torch.zeros(33, 6, 10, 14, dtype=torch.bool)
    valid[:, 2:4, :, :] = True  # the second of three times
    batch = replace(batch, streams={"echo": replace(batch.streams["echo"], valid=valid)})
    _, asked = seen_of(one(family, batch))
    assert asked.sum(dim=(2, 3)).tolist() == [[0, 12, 0]] * 33
    for grid in asked[:, 1]:
        places = grid.nonzero()
        assert (places.max(dim=0).values - places.min(dim=0).values + 1).tolist() == [3, 4]
