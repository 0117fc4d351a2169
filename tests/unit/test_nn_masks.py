import numpy as np
import pytest
import torch

from lamae.errors import ConfigError
from lamae.nn.masks import MaskConfig, MaskFamily, draw_masks, patches_with_data
from lamae.nn.noise import rank_within
from lamae.nn.plan import studies_with_target

PATCH = {"ecg": (7,)}  # 11 patches of 77 samples
LIMB = ("I", "II", "III", "aVR", "aVL", "aVF")


def draw(config, batch, seed=3, patch=None):
    return draw_masks(config, batch, patch or PATCH, torch.Generator().manual_seed(seed))


def by_name(batch, plan, index=0):
    """For each (position, lead): the patches that the encoder sees, and those of them that latent attention sees."""
    instances, mask, latent = batch.streams["ecg"], plan.streams["ecg"][index], plan.latent[index]
    encoded = range(len(instances)) if mask.encoded is None else mask.encoded.tolist()
    found = {}
    for row, context in enumerate(mask.context.tolist()):
        position = int(batch.positions[instances.study_of[row]])
        name = instances.view_names[instances.view_of[row]]
        kept = [True] * len(context)
        if latent.scatter_index is not None:
            kept = (latent.scatter_index["ecg"][row] < latent.scatter_index["ecg"].max()).tolist()
        visible = sorted(context) if row in encoded else "hidden"
        found[position, name] = visible, sorted(p for p, keep in zip(context, kept, strict=True) if keep)
    return found


@pytest.mark.parametrize("strategy", ["random", "tube", "block", "view"])
def test_counts_are_constant_and_every_patch_is_context_or_target(ecg_batch, strategy):
    config = MaskConfig(strategy=strategy, ratio=0.7, hidden_views=2 if strategy == "view" else 0, num_masks=2)
    plan = draw(config, ecg_batch())
    assert plan.num_masks == 2
    for mask in plan.streams["ecg"]:
        assert mask.context.shape == (15, 3)  # round(11 * 0.3)
        both = torch.cat([mask.context, mask.target], dim=1).sort(dim=1).values
        assert both.tolist() == [list(range(11))] * 15
        assert mask.context_valid is None
        assert mask.slot_valid is None
    assert not torch.equal(plan.streams["ecg"][0].context, plan.streams["ecg"][1].context)


@pytest.mark.parametrize(("ratio", "visible"), [(0.999, 1), (0.001, 10), (0.5, 6), (0.75, 3), (0.9, 1)])
def test_at_least_one_patch_is_visible_and_one_hidden(ratio, visible):
    assert MaskConfig(ratio=ratio).num_visible(11) == visible


def test_a_ratio_that_divides_is_met_exactly():
    assert MaskConfig(ratio=0.75).num_visible(40) == 10
    assert MaskConfig(ratio=0.9).num_visible(10) == 1


def test_random_masks_differ_between_leads_and_studies(ecg_batch):
    masks = draw(MaskConfig(ratio=0.5), ecg_batch()).streams["ecg"][0].context
    assert len({tuple(sorted(row)) for row in masks.tolist()}) > 10


def test_random_masks_hide_each_patch_equally_often(ecg_batch):
    batch = ecg_batch([LIMB] * 499, names=LIMB)
    context = draw(MaskConfig(ratio=0.7), batch).streams["ecg"][0].context
    share = torch.bincount(context.flatten(), minlength=11) / len(context)
    assert (share - 3 / 11).abs().max() < 0.04


def test_tube_hides_the_same_times_in_all_leads_of_a_study(ecg_batch):
    found = by_name(ecg_batch(), draw(MaskConfig(strategy="tube"), ecg_batch()))
    by_study = [{tuple(found[position, lead][0]) for lead in LIMB[:5]} for position in range(3)]
    assert [len(masks) for masks in by_study] == [1, 1, 1]
    assert len(set.union(*by_study)) > 1


def test_block_hides_one_stretch_anywhere(ecg_batch):
    batch = ecg_batch([LIMB] * 53)
    target = draw(MaskConfig(strategy="block", ratio=0.6), batch).streams["ecg"][0].target.sort(dim=1).values
    assert bool((target.diff(dim=1) == 1).all())
    assert set(target[:, 0].tolist()) == {0, 1, 2, 3, 4}


def test_view_hides_whole_leads_and_always_leaves_one(ecg_batch):
    batch = ecg_batch([LIMB, LIMB[:2], LIMB[3:4]])
    found = by_name(batch, draw(MaskConfig(strategy="view", hidden_views=3), batch))
    hidden = [sum(found[key][0] == "hidden" for key in found if key[0] == position) for position in range(3)]
    assert hidden == [3, 1, 0]


@pytest.mark.parametrize("strategy", ["random", "tube", "block", "view"])
def test_masks_do_not_depend_on_how_the_global_batch_is_cut_or_ordered(ecg_batch, strategy):
    config = MaskConfig(strategy=strategy, latent_ratio=0.4, hidden_views=2 if strategy == "view" else 0)
    whole = ecg_batch([LIMB] * 5)
    expected = by_name(whole, draw(config, whole))
    backwards = tuple(reversed(LIMB))
    for positions in ([3], [4, 0, 2]):
        part = ecg_batch([backwards] * len(positions), positions=positions, global_size=5, names=LIMB[3:] + LIMB[:3])
        found = by_name(part, draw(config, part))
        assert found == {key: expected[key] for key in found}
    assert by_name(whole, draw(config, whole, seed=5)) != expected


def test_the_generator_moves_on_and_by_the_same_amount(ecg_batch):
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    first = draw_masks(MaskConfig(), ecg_batch(), PATCH, generators[0])
    draw_masks(MaskConfig(num_masks=3, latent_ratio=0.3), ecg_batch([LIMB] * 2), PATCH, generators[1])
    second = draw_masks(MaskConfig(), ecg_batch(), PATCH, generators[0])
    assert not torch.equal(first.streams["ecg"][0].context, second.streams["ecg"][0].context)
    torch.randint(2**62, (1,), generator=generators[1])
    assert torch.equal(generators[0].get_state(), generators[1].get_state())


def seen_and_asked(mask, batch):
    """For each instance: its recorded patches that the encoder sees, and those that are to be predicted."""
    both = torch.cat([mask.context, mask.target], dim=1)
    assert both.sort(dim=1).values.tolist() == [list(range(both.shape[1]))] * len(both)
    has_data = patches_with_data(batch.streams["ecg"], (7,))
    if mask.slot_valid is None:
        assert bool(has_data.all())
    else:
        assert torch.equal(mask.slot_valid, has_data.gather(1, both))
    return [
        [sorted(p for p in row if has_data[number, p]) for number, row in enumerate(part.tolist())]
        for part in (mask.context, mask.target)
    ]


def recorded_until(*num_patches, total=11):
    """Which samples of leads are recorded that have so many patches from the start on."""
    return torch.arange(7 * total) < 7 * torch.tensor(num_patches)[:, None]


@pytest.mark.parametrize("strategy", ["random", "tube", "block", "view"])
@pytest.mark.parametrize("ratio", [0.2, 0.5, 0.75, 0.9])
def test_a_fraction_of_what_was_recorded_is_visible_however_short_it_is(ecg_batch, strategy, ratio):
    numbers = (40, 28, 10, 3, 2, 1)  # 10 s, 7 s and 2.5 s of patches of 0.25 s, and what is too short for the ratio
    batch = ecg_batch([LIMB[:2]] * 6, num_samples=280, valid=recorded_until(*np.repeat(numbers, 2).tolist(), total=40))
    family = MaskFamily(strategy=strategy, ratio=ratio, hidden_views=1 if strategy == "view" else 0)
    mask = draw(MaskConfig(families=(family,)), batch).streams["ecg"][0]
    seen, asked = seen_and_asked(mask, batch)
    for row, number in enumerate(np.repeat(numbers, 2).tolist()):
        expected = 1 if number == 1 else min(max(round((1 - ratio) * number), 1), number - 1)
        assert (len(seen[row]), len(asked[row])) == (expected, number - expected)


def test_counts_by_hand_of_recordings_of_10_7_and_2_5_seconds_in_one_batch(ecg_batch):
    batch = ecg_batch([LIMB[:1]] * 3, num_samples=280, valid=recorded_until(40, 28, 10, total=40))
    plan = draw(MaskConfig(ratio=0.75), batch)
    seen, asked = seen_and_asked(plan.streams["ecg"][0], batch)
    assert [len(row) for row in seen] == [10, 7, 2]
    assert [len(row) for row in asked] == [30, 21, 8]
    assert plan.num_with_target == 3


def test_a_patch_that_is_recorded_in_part_counts(ecg_batch):
    valid = torch.ones(15, 77, dtype=torch.bool)
    valid[2, :63] = False  # the first nine patches of one lead
    valid[4, 7:9] = False  # a part of a patch is not the whole
    batch = ecg_batch(valid=valid)
    mask = draw(MaskConfig(ratio=0.7), batch).streams["ecg"][0]
    seen, asked = seen_and_asked(mask, batch)
    assert [len(row) for row in seen] == [3, 3, 1] + [3] * 12
    assert sorted(seen[2] + asked[2]) == [9, 10]
    assert mask.context_valid.sum(dim=1).tolist() == [3, 3, 1] + [3] * 12


@pytest.mark.parametrize("strategy", ["random", "block", "view"])
def test_whole_recordings_have_the_masks_that_they_have_without_short_ones(ecg_batch, strategy):
    config = MaskConfig(strategy=strategy, hidden_views=2 if strategy == "view" else 0, latent_ratio=0.5)
    whole, mixed = ecg_batch([LIMB] * 3), ecg_batch([LIMB] * 3, valid=recorded_until(*[11] * 6, *[4] * 6, *[11] * 6))
    expected, found = by_name(whole, draw(config, whole)), by_name(mixed, draw(config, mixed))
    for position in (0, 2):
        assert all(found[position, lead] == expected[position, lead] for lead in LIMB)


@pytest.mark.parametrize("strategy", ["random", "tube", "block", "view"])
@pytest.mark.parametrize("noise", ["by-name", "by-recording"])
def test_masks_of_short_recordings_do_not_depend_on_their_companions(ecg_batch, strategy, noise):
    config = MaskConfig(strategy=strategy, noise=noise, hidden_views=2 if strategy == "view" else 0)
    lengths = [[11, 4, 9, 2, 5, 7], [3] * 6, [8, 8, 2, 11, 3, 6]]
    batch = ecg_batch([LIMB] * 3, valid=recorded_until(*lengths[0], *lengths[1], *lengths[2]))
    seen, asked = seen_and_asked(draw(config, batch).streams["ecg"][0], batch)
    for position in range(3):
        alone = ecg_batch([LIMB], positions=[position], global_size=3, valid=recorded_until(*lengths[position]))
        rows = slice(6 * position, 6 * position + 6)
        assert seen_and_asked(draw(config, alone).streams["ecg"][0], alone) == [seen[rows], asked[rows]]


@pytest.mark.parametrize("strategy", ["random", "tube", "block"])
def test_noise_by_recording_does_not_depend_on_how_far_a_recording_is_padded(ecg_batch, strategy):
    config = MaskConfig(strategy=strategy, noise="by-recording")
    near, far = (ecg_batch([LIMB], num_samples=7 * n, valid=recorded_until(*[5] * 6, total=n)) for n in (6, 17))
    assert seen_and_asked(draw(config, near).streams["ecg"][0], near) == seen_and_asked(
        draw(config, far).streams["ecg"][0], far
    )


def test_blocks_of_short_recordings_lie_in_what_was_recorded(ecg_batch):
    """Leads of which the patches 3 to 8 are recorded, but for a gap at 5."""
    valid = torch.zeros(300, 77, dtype=torch.bool)
    valid[:, 21:63] = True
    valid[:, 35:42] = False
    batch = ecg_batch([LIMB] * 50, valid=valid)
    _, asked = seen_and_asked(draw(MaskConfig(strategy="block", ratio=0.6), batch).streams["ecg"][0], batch)
    assert {tuple(row) for row in asked} == {(3, 4, 6), (4, 6, 7), (6, 7, 8)}
    two = MaskFamily(strategy="block", ratio=0.6, num_blocks=2, block_ratio=0.3)
    batch = ecg_batch([LIMB] * 50, valid=recorded_until(*[5] * 300))
    _, asked = seen_and_asked(draw(MaskConfig(families=(two,)), batch).streams["ecg"][0], batch)
    assert {len(row) for row in asked} == {3}
    assert {place for row in asked for place in row} == {0, 1, 2, 3, 4}


def test_a_block_of_given_size_lies_in_what_was_recorded_at_the_end(ecg_batch):
    """Of the patches 6 to 10 three are hidden, as many as the block has."""
    batch = ecg_batch([LIMB] * 50, valid=~recorded_until(*[6] * 300))
    family = MaskFamily(strategy="block", ratio=0.6, block_ratio=0.6)
    _, asked = seen_and_asked(draw(MaskConfig(families=(family,)), batch).streams["ecg"][0], batch)
    assert {tuple(row) for row in asked} == {(6, 7, 8), (7, 8, 9), (8, 9, 10)}


def test_tube_keeps_the_same_times_where_one_lead_lacks_data(ecg_batch):
    valid = torch.ones(15, 77, dtype=torch.bool)
    valid[:, 70:] = False  # the last patch of all leads
    valid[2, :35] = False  # five patches of one lead
    batch = ecg_batch(valid=valid)
    seen, _ = seen_and_asked(draw(MaskConfig(strategy="tube", ratio=0.5), batch).streams["ecg"][0], batch)
    assert len(seen[0]) == 5  # half of ten
    assert seen[0] == seen[1] == seen[3] == seen[4]
    assert seen[2] == [place for place in seen[0] if place >= 5]


def test_studies_without_anything_to_predict_are_not_counted(ecg_batch):
    batch = ecg_batch([LIMB[:2]] * 4, valid=recorded_until(11, 11, 1, 1, 0, 5, 1, 0))
    plan = draw(MaskConfig(num_masks=2), batch)
    assert plan.num_with_target == 2 * 2
    found = studies_with_target(batch, {"ecg": plan.streams["ecg"][1]})
    assert found.tolist() == [True, False, True, False]
    assert draw(MaskConfig(), ecg_batch()).num_with_target == 3


def test_an_instance_without_any_data_is_not_encoded(ecg_batch):
    valid = torch.ones(15, 77, dtype=torch.bool)
    valid[7] = False
    mask = draw(MaskConfig(), ecg_batch(valid=valid)).streams["ecg"][0]
    assert mask.encoded.tolist() == [row for row in range(15) if row != 7]
    assert mask.context_valid is None


def test_latent_masks_keep_a_constant_share_of_each_study(ecg_batch):
    batch = ecg_batch([LIMB, LIMB[:2], LIMB[:5]])
    plan = draw(MaskConfig(ratio=0.7, latent_ratio=0.5), batch)
    latent = plan.latent[0]
    assert latent.gather_valid.sum(dim=1).tolist() == [9, 3, 8]  # half of 18, 6 and 15 (round half to even)
    put = latent.scatter_index["ecg"]
    assert int((put < latent.gather_index.numel()).sum()) == 20


def test_latent_masks_keep_a_constant_share_of_short_studies_too(ecg_batch):
    """Of 11, 8 and 4 recorded patches 3, 2 and 1 are visible in each of six leads."""
    batch = ecg_batch([LIMB] * 3, valid=recorded_until(*[11] * 6, *[8] * 6, *[4] * 6))
    plan = draw(MaskConfig(ratio=0.7, latent_ratio=0.5), batch)
    assert plan.latent[0].gather_valid.sum(dim=1).tolist() == [9, 6, 3]


def test_what_is_taken_is_put_back_in_its_place(ecg_batch):
    batch = ecg_batch([LIMB, LIMB[:2], LIMB[:5]])
    plan = draw(MaskConfig(strategy="view", hidden_views=1, latent_ratio=0.3), batch)
    mask, latent = plan.streams["ecg"][0], plan.latent[0]
    tokens = torch.arange(mask.encoded.numel() * mask.context.shape[1])
    laid = torch.cat([tokens[latent.gather_index.flatten()], torch.tensor([-1])])
    back = laid[latent.scatter_index["ecg"]]
    seen = back[mask.encoded].flatten()
    assert torch.equal(seen[seen >= 0], tokens[seen >= 0])
    assert int((seen >= 0).sum()) == int(latent.gather_valid.sum())
    hidden = [row for row in range(13) if row not in mask.encoded.tolist()]
    assert bool((back[hidden] == -1).all())


def test_equal_studies_without_gaps_need_no_gathering(ecg_batch):
    latent = draw(MaskConfig(), ecg_batch()).latent[0]
    assert latent.gather_index is None
    assert latent.scatter_index is None
    assert draw(MaskConfig(), ecg_batch([LIMB, LIMB[:5]])).latent[0].gather_index is not None


def test_several_instances_of_one_view_have_masks_of_their_own(ecg_batch):
    batch = ecg_batch([LIMB[:2] * 3])
    masks = draw(MaskConfig(ratio=0.5), batch).streams["ecg"][0].context
    assert len({tuple(row) for row in masks.tolist()}) == 6


def test_ranks_within_groups_by_hand():
    groups, noise = torch.tensor([0, 0, 2, 2, 2]), torch.tensor([0.3, 0.1, 0.5, 0.9, 0.2])
    assert rank_within(groups, noise).tolist() == [1, 0, 1, 2, 0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ratio": 0.0}, "ratio must lie in"),
        ({"ratio": 1.0}, "ratio must lie in"),
        ({"latent_ratio": 1.0}, "latent_ratio in"),
        ({"latent_ratio": -0.1}, "latent_ratio in"),
        ({"num_masks": 0}, "num_masks must be at least 1"),
        ({"hidden_views": -1}, "hidden_views at least 0"),
        ({"hidden_views": 2}, "go together"),
        ({"strategy": "view"}, "go together"),
    ],
)
def test_bad_settings_are_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        MaskConfig(**changes)


def test_masks_that_do_not_fit_the_stream_are_refused(ecg_batch):
    with pytest.raises(ConfigError, match="not divisible"):
        draw(MaskConfig(), ecg_batch(), patch={"ecg": (5,)})
    with pytest.raises(ConfigError, match="at least 2 patches"):
        draw(MaskConfig(), ecg_batch(), patch={"ecg": (77,)})
    times = MaskConfig(families=(MaskFamily(strategy="block", full_time=True),))
    with pytest.raises(ConfigError, match=r"full_time is for patches on three axes \(time first\), found 1"):
        draw(times, ecg_batch())
