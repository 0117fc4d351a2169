import pytest
import torch

from lamae.errors import ConfigError
from lamae.nn.masks import MaskConfig, MaskFamily, draw_masks, patches_with_data
from lamae.nn.noise import rank_within

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


def test_patches_without_data_come_last_and_are_flagged(ecg_batch):
    valid = torch.ones(15, 77, dtype=torch.bool)
    valid[2, :63] = False  # the first nine patches of one lead
    valid[4, 7:9] = False  # a part of a patch is not the whole
    mask = draw(MaskConfig(ratio=0.7), ecg_batch(valid=valid)).streams["ecg"][0]
    assert set(mask.context[2, :2].tolist()) == {9, 10}
    assert mask.context_valid[2].tolist() == [True, True, False]
    target_valid = mask.slot_valid[:, mask.context.shape[1] :]
    assert target_valid[2].sum() == 0
    others = [row for row in range(15) if row != 2]
    assert bool(mask.context_valid[others].all())
    assert bool(target_valid[others].all())


def test_tube_keeps_the_same_times_where_one_lead_lacks_data(ecg_batch):
    valid = torch.ones(15, 77, dtype=torch.bool)
    valid[:, 70:] = False  # the last patch of all leads
    valid[2, :35] = False  # five patches of one lead
    batch = ecg_batch(valid=valid)
    mask = draw(MaskConfig(strategy="tube", ratio=0.5), batch).streams["ecg"][0]
    assert len({tuple(row) for row in mask.context[:5].tolist()}) == 1
    assert not bool((mask.context == 10).any())
    has_data = patches_with_data(batch.streams["ecg"], (7,))
    assert torch.equal(mask.context_valid, has_data.gather(1, mask.context))


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
