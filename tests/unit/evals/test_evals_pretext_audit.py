"""The audit of the pretext task against arithmetic by hand, brute force on drawn masks, and a model's objective."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from lamae.ecg.leads import LEADS
from lamae.ecg.same_time import EIGHT_LEADS, LIMB_ROWS
from lamae.errors import ConfigError
from lamae.evals.audits.einthoven import EINTHOVEN, LINEAR, PUT_RIGHT, by_study, expected_solvable, visible_cells
from lamae.evals.audits.pretext import AuditData, audit, standard_masks
from lamae.evals.audits.table import as_text, mask_in_words, write_audit
from lamae.models import MaskedAutoencoder, MaskedAutoencoderConfig, StreamConfig
from lamae.models.accounting import example_batch
from lamae.nn.masks import MaskConfig, draw_masks
from lamae.nn.transformer import TransformerConfig
from lamae.objectives import masked_reconstruction
from lamae.pack import Pack, write_pack
from lamae.studies import MISSING_CODE, PreparedStudy

NUM_SAMPLES, PATCH = 77, 7


def model_config(**changes) -> MaskedAutoencoderConfig:
    settings = {
        "streams": {"ecg": StreamConfig(patch=(PATCH,), grid=(NUM_SAMPLES,), view_names=LEADS)},
        "encoder": TransformerConfig(dim=22, depth=1, num_heads=2),
        "latent": TransformerConfig(dim=22, depth=1, num_heads=2),
        "decoder": TransformerConfig(dim=15, depth=1, num_heads=3),
        "mask": MaskConfig(ratio=0.6),
    }
    return MaskedAutoencoderConfig(**(settings | changes))


def heart(rng: np.random.Generator) -> np.ndarray:
    """``[leads, samples]`` in mV: limb leads that fulfil their equations, chest leads of three sources and noise."""
    sources = rng.normal(size=(3, NUM_SAMPLES)) * rng.uniform(0.3, 1.0, size=(3, 1))
    one, two = sources[:2]
    limb = np.stack([one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2])
    mixing = np.random.default_rng(13).normal(size=(6, 3))
    return np.concatenate([limb, mixing @ sources + 0.1 * rng.normal(size=(6, NUM_SAMPLES))])


def write_hearts(path: Path, *, exchanged: int = 0, gaps: bool = False, splits=("train", "validation")) -> Pack:
    """Write 34 studies, half of either split; the first ``exchanged`` of each have aVL and aVF exchanged."""
    rng = np.random.default_rng(5)
    studies = []
    for number in range(34):
        leads, names = heart(rng), LEADS
        if number // 2 < exchanged:
            leads[[4, 5]] = leads[[5, 4]]
        values = np.round(leads * 1000).astype(np.int16)
        if gaps and number % 3 == 0:
            values[: 1 + number % 5, -31:] = MISSING_CODE
            keep = sorted(rng.permutation(12)[: 6 + number % 5].tolist())
            values, names = values[keep], tuple(LEADS[lead] for lead in keep)
        scale = np.full(len(values), 0.001, np.float32)
        missing = bool((values == MISSING_CODE).any())
        studies.append(
            PreparedStudy.of_waveforms(view_names=names, values=values, scale=scale, rate_hz=11.0, has_missing=missing)
        )
    table = pa.table({"study_id": [f"s{n}" for n in range(34)], "split": [splits[n % 2] for n in range(34)]})
    return write_pack(path, studies, table, cohort="hearts", cohort_version="1", preprocessing={}, simulated=True)


@pytest.fixture(scope="module")
def hearts(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return write_hearts(tmp_path_factory.mktemp("hearts") / "pack")


def row_of(found: dict, strategy: str, leads: int = 12) -> dict:
    (row,) = [r for r in found["rows"] if r["mask"]["strategy"] == strategy and len(r["leads"]) == leads]
    return row


def hidden_cells(batch, plan, index: int) -> np.ndarray:
    """Return ``[studies, leads, patches]`` bool, true for the patches that are asked for."""
    instances, target = batch.streams["ecg"], plan.streams["ecg"][index].target
    hidden = torch.zeros(len(instances), instances.grid[0] // PATCH, dtype=torch.bool).scatter(1, target, True)
    return by_study(hidden, instances, batch.num_studies)


# ---------------------------------------------------------------- by arithmetic


def test_random_masks_by_hand():
    """Ratio 3/4: each of the 5 other limb leads is visible with 1/4. Fewer than two: .75^5 + 5 * .25 * .75^4."""
    shares = expected_solvable(MaskConfig(strategy="random", ratio=0.75), LEADS, 40)
    for name in LEADS:
        wanted = 1 - 0.75**5 - 5 * 0.25 * 0.75**4 if name in LIMB_ROWS else 0.0
        assert shares[name] == pytest.approx(wanted, abs=1e-12)
    assert np.mean(list(shares.values())) == pytest.approx(0.1836, abs=5e-5)


def test_the_real_counts_are_taken_not_the_ratio():
    """Of 11 patches round(11 * .4) = 4 are visible."""
    shares = expected_solvable(MaskConfig(ratio=0.6), LEADS, 11)
    assert shares["aVF"] == pytest.approx(1 - (7 / 11) ** 5 - 5 * (4 / 11) * (7 / 11) ** 4)


def test_three_limb_leads_by_hand():
    """I, II, III: the two others must both be visible; with only two limb leads nothing follows."""
    shares = expected_solvable(MaskConfig(ratio=0.75), ("I", "II", "III", "V1"), 40)
    assert shares == pytest.approx({"I": 1 / 16, "II": 1 / 16, "III": 1 / 16, "V1": 0})
    assert not any(expected_solvable(MaskConfig(ratio=0.75), EIGHT_LEADS, 40).values())


def test_tubes_hide_the_same_times():
    assert not any(expected_solvable(MaskConfig(strategy="tube"), LEADS, 40).values())


def test_blocks_by_hand():
    """Two patches a lead, one hidden: the first or the second alike, so at a hidden place others are seen with 1/2."""
    shares = expected_solvable(MaskConfig(strategy="block", ratio=0.5), ("I", "II", "III"), 2)
    assert shares["I"] == pytest.approx(0.25)
    # Three patches, two hidden: starts 0 or 1, so places are hidden with 1/2, 1 and 1/2. At the first and last place
    # (weight 1/4 each) both others are seen with 1/4, in the middle never: 1/4 * 1/4 * 2.
    shares = expected_solvable(MaskConfig(strategy="block", ratio=2 / 3), ("I", "II", "III"), 3)
    assert shares["I"] == pytest.approx(0.125)


def test_whole_leads_by_hand():
    """I, II, III with one of them hidden whole and half of the patches of the others.

    I hidden (1/3): II and III are there, both seen with 1/4. Not hidden (2/3): one of the others is, so never.
    """
    shares = expected_solvable(MaskConfig(strategy="view", ratio=0.5, hidden_views=1), ("I", "II", "III"), 8)
    assert shares["I"] == pytest.approx(1 / 12)
    alone = expected_solvable(MaskConfig(strategy="view", ratio=0.5, hidden_views=7), ("I", "II", "III"), 8)
    assert not any(alone.values())


def test_the_latent_mask_by_hand():
    """I, II, III, two patches, one seen of each: 3 tokens, of which round(3 * 2/3) = 2 stay.

    At a hidden place of I both others are seen with 1/4; of the 3 pairs of tokens that may stay, one is theirs.
    """
    shares = expected_solvable(MaskConfig(ratio=0.5, latent_ratio=1 / 3), ("I", "II", "III"), 2)
    assert shares["I"] == pytest.approx(1 / 12)


# ---------------------------------------------------------------- drawn masks

MASKS = [
    MaskConfig(strategy="random", ratio=0.6),
    MaskConfig(strategy="random", ratio=0.75, latent_ratio=0.3, num_masks=2),
    MaskConfig(strategy="tube", ratio=0.6),
    MaskConfig(strategy="block", ratio=0.6),
    MaskConfig(strategy="view", ratio=0.4, hidden_views=5),
    MaskConfig(strategy="view", ratio=0.4, hidden_views=3, latent_ratio=0.25),
]


@pytest.mark.parametrize("mask", MASKS, ids=lambda mask: mask_in_words(vars(mask)))
def test_brute_force_by_rank_on_drawn_masks_agrees_with_arithmetic(mask):
    config = model_config()
    batch = example_batch(config, num_studies=157)
    plan = draw_masks(mask, batch, config.patch_shapes, torch.Generator().manual_seed(3))
    rows = np.zeros((12, 8))
    for lead, name in enumerate(LEADS):
        rows[lead] = [*LIMB_ROWS.get(name, (0, 0)), *np.eye(6)[lead - 6] * (lead >= 6)]
    shares = []
    for index in range(plan.num_masks):
        visible, hidden = visible_cells(batch, plan, index, patch=PATCH), hidden_cells(batch, plan, index)
        seen = np.where(visible[..., None], rows[None, :, None], 0).transpose(0, 2, 1, 3)  # [S, C, leads, 8]
        rank = np.linalg.matrix_rank(seen)
        for lead in range(12):
            own = np.broadcast_to(rows[lead], (*seen.shape[:2], 1, 8))
            follows = np.linalg.matrix_rank(np.concatenate([seen, own], axis=2)) == rank
            shares.append((follows & hidden[:, lead]).sum(axis=1) / hidden[:, lead].sum(axis=1))
    by_study = np.mean(shares, axis=0)
    expected = np.mean(list(expected_solvable(mask, LEADS, NUM_SAMPLES // PATCH).values()))
    error = by_study.std() / len(by_study) ** 0.5
    assert by_study.mean() == pytest.approx(expected, abs=max(3 * error, 1e-12))
    found = audit(config, masks=[mask], lead_sets=[], num_studies=157, seed=3)["rows"][-1]
    assert found["expected"] == pytest.approx(expected)
    assert found["drawn"] == pytest.approx(expected, abs=max(3 * found["drawn_standard_error"], 1e-12))


def test_cells_with_a_latent_mask_show_what_latent_attention_sees():
    config = model_config()
    batch = example_batch(config, num_studies=3)
    mask = MaskConfig(ratio=0.6, latent_ratio=0.5)
    plan = draw_masks(mask, batch, config.patch_shapes, torch.Generator().manual_seed(1))
    visible, hidden = visible_cells(batch, plan, 0, patch=PATCH), hidden_cells(batch, plan, 0)
    assert visible.sum(axis=(1, 2)).tolist() == [24, 24, 24]  # half of 12 leads x 4 visible patches
    assert hidden.sum(axis=2).tolist() == [[7] * 12] * 3
    assert not (visible & hidden).any()


# ---------------------------------------------------------------- on data


def test_the_column_of_labels_put_right_is_there_only_where_labels_were_exchanged(hearts):
    found = audit(model_config(), AuditData(pack=hearts))
    assert found["data"]["labels_exchanged"] == 0
    assert "| labels put right |" not in as_text(found)
    assert "| labels put right |" in as_text(found | {"data": found["data"] | {"labels_exchanged": 1}})
    assert "explained by Einthoven" not in as_text(audit(model_config()))


@pytest.mark.parametrize("target", ["patch-normalised", "raw"])
@pytest.mark.parametrize("normalise", ["study", "view", "fixed"])
def test_einthoven_explains_what_follows_and_nothing_else(hearts, target, normalise):
    stream = StreamConfig(patch=(PATCH,), grid=(NUM_SAMPLES,), view_names=LEADS, normalise=normalise)
    found = audit(model_config(target=target, streams={"ecg": stream}), AuditData(pack=hearts))
    row = row_of(found, "random")
    assert row["explained_where_it_follows"] > 0.9999  # 0.001 mV of rounding on leads of some 0.5 mV
    if target == "patch-normalised":  # each hidden patch weighs the same
        assert row["explained"][EINTHOVEN] == pytest.approx(row["drawn"], abs=0.01)
    assert row["explained"][PUT_RIGHT] == row["explained"][EINTHOVEN]
    assert row["explained"][LINEAR] > row["explained"][EINTHOVEN] + 0.1  # the chest leads follow from few sources
    assert row["unexplained_leads"] == {}
    assert row_of(found, "tube")["explained"] == {EINTHOVEN: 0.0, PUT_RIGHT: 0.0, LINEAR: 0.0}
    eight = row_of(found, "random", leads=8)
    assert eight["explained"][EINTHOVEN] == 0.0
    assert eight["drawn"] == 0.0
    assert 0.1 < eight["explained"][LINEAR] < 1
    assert found["data"]["broken_leads"] == {}


def test_exchanged_labels_are_named_and_put_right(tmp_path):
    pack = write_hearts(tmp_path / "pack", exchanged=17)
    found = audit(model_config(), AuditData(pack=pack))
    row = row_of(found, "random")
    assert found["data"]["broken_leads"] == {"aVF": 17, "aVL": 17}
    assert found["data"]["flags"] == {"avf-avl-swapped": 17}
    assert row["explained"][EINTHOVEN] < 0.7 * row["drawn"]
    assert row["explained"][PUT_RIGHT] == pytest.approx(row["drawn"], abs=0.01)
    assert row["unexplained_leads"] == {}
    told = as_text(found)
    assert "aVF in 17, aVL in 17 (avf-avl-swapped in 17)" in told
    assert "labels put right" in told


def test_a_lead_that_is_none_is_left_unexplained_and_named(tmp_path):
    pack = write_hearts(tmp_path / "pack")
    studies = []
    for row in range(len(pack)):
        study = pack.study(row)
        values = study.values.copy()
        values[2] = values[7]
        studies.append(study.with_waveforms(values, study.scale))
    broken = write_pack(
        tmp_path / "broken",
        studies,
        pack.studies.select(["study_id", "split"]),
        cohort="x",
        cohort_version="1",
        preprocessing={},
    )
    found = audit(model_config(), AuditData(pack=broken))
    assert found["data"]["broken_leads"] == {"III": 17}
    assert "III" in row_of(found, "random")["unexplained_leads"]
    assert "Left unexplained" in as_text(found)


def test_gaps_and_absent_leads_are_neither_asked_for_nor_used(tmp_path):
    pack = write_hearts(tmp_path / "pack", gaps=True)
    found = audit(model_config(), AuditData(pack=pack), masks=[])
    (row,) = [row for row in found["rows"] if row["own"]]
    assert 0 < row["drawn"] < row["expected"]  # fewer leads to follow from
    assert row["drawn_elements"] > 0
    assert row["explained_where_it_follows"] > 0.999
    assert row["hidden_patches"] < 12 * 7


@pytest.mark.parametrize("gaps", [False, True])
def test_the_models_loss_is_its_objective_cut_in_groups(tmp_path, gaps):
    pack = write_hearts(tmp_path / "pack", gaps=gaps)
    config = model_config()
    model = MaskedAutoencoder(config, generator=torch.Generator().manual_seed(2)).eval()
    found = audit(config, AuditData(pack=pack), model=model, masks=[config.mask], lead_sets=[], seed=19, batch_size=99)
    losses = {group["group"]: group for group in found["model"]}
    from lamae.data import PackDataset

    dataset = PackDataset([pack], view_names=LEADS, split="validation")
    batch = dataset.batch(np.arange(17))
    plan = draw_masks(config.mask, batch, config.patch_shapes, torch.Generator().manual_seed(19))
    with torch.no_grad():
        objective = masked_reconstruction(model(batch, plan), global_size=17).item()
    assert losses["all"]["loss"]["model"] == pytest.approx(objective, rel=1e-5)
    assert sum(losses[group]["patches"] for group in losses if group != "all") == pytest.approx(1)
    follows = losses["follows"]["loss"]
    # 7 samples, unbiased variance: the patch's own mean leaves 6 / 7.
    assert follows["patch mean"] == pytest.approx(6 / 7, rel=1e-2 if gaps else 1e-3)
    assert follows["zero"] == pytest.approx(follows["patch mean"], rel=1e-6)
    assert follows[EINTHOVEN] < 1e-3
    assert losses["other leads"]["loss"][EINTHOVEN] == losses["other leads"]["loss"]["zero"]
    assert "limb leads, follow from others" in as_text(found)


def test_without_validation_studies_the_training_studies_are_judged_and_it_is_said(tmp_path):
    pack = write_hearts(tmp_path / "pack", splits=("train", "train"))
    told = as_text(audit(model_config(), AuditData(pack=pack), masks=[]))
    assert "fitted and judged on the same studies" in told
    assert "simulated data" in told


# ---------------------------------------------------------------- tables, files, errors


def test_rows_are_every_strategy_with_twelve_and_eight_leads():
    found = audit(model_config(), num_studies=3)
    strategies = [(row["mask"]["strategy"], row["mask"]["hidden_views"], len(row["leads"])) for row in found["rows"]]
    one_set = [("random", 0), ("tube", 0), ("block", 0), ("view", 1), ("view", 3), ("view", 6), ("view", 9)]
    assert strategies == [(*row, leads) for leads in (12, 8) for row in one_set]
    assert [row["own"] for row in found["rows"]] == [True] + [False] * 13
    assert len(standard_masks(MaskConfig(strategy="view", hidden_views=2, num_masks=3))) == 7
    assert "Without --data nothing is measured" in as_text(found)


def test_a_model_whose_leads_never_meet_is_told_so():
    config = model_config(latent=TransformerConfig(dim=22, depth=0, num_heads=2))
    assert "it can use nothing of this" in as_text(audit(config, num_studies=3, masks=[], lead_sets=[]))


def test_audits_are_written_as_json_and_markdown(tmp_path):
    import json

    found = audit(model_config(), num_studies=3, masks=[], lead_sets=[["I", "II", "III"]])
    write_audit(found, tmp_path / "deep" / "a.json")
    assert json.loads((tmp_path / "deep" / "a.json").read_text()) == json.loads(json.dumps(found))
    write_audit(found, tmp_path / "a.md")
    assert (tmp_path / "a.md").read_text() == as_text(found)
    with pytest.raises(ConfigError, match=r"a.csv: an audit is written as .json or .md"):
        write_audit(found, tmp_path / "a.csv")


@pytest.mark.parametrize("leads", [["I", "X"], [], ["I", "I"]])
def test_unknown_or_repeated_leads_are_refused(leads):
    with pytest.raises(ConfigError, match="a set of leads must name some of I, II, III"):
        audit(model_config(), lead_sets=[leads])


def test_data_of_another_length_are_refused(hearts):
    stream = StreamConfig(patch=(PATCH,), grid=(2 * NUM_SAMPLES,), view_names=LEADS)
    with pytest.raises(ConfigError, match="77 samples a lead, but the model takes 154"):
        audit(model_config(streams={"ecg": stream}), AuditData(pack=hearts))


def test_streams_other_than_leads_are_refused():
    with pytest.raises(ConfigError, match="has no stream 'echo'"):
        audit(model_config(), stream="echo")
    stream = StreamConfig(patch=(7, 7), grid=(77, 77), view_names=("A4C",))
    with pytest.raises(ConfigError, match=r"instances of one axis such as leads, found \(77, 77\)"):
        audit(model_config(streams={"ecg": stream}), num_studies=1, lead_sets=[])


def test_a_lead_twice_in_a_study_is_refused(ecg_batch):
    batch = ecg_batch()
    instances = batch.streams["ecg"]
    twice = replace(batch, streams={"ecg": replace(instances, view_of=torch.zeros_like(instances.view_of))})
    plan = draw_masks(MaskConfig(), twice, {"ecg": (7,)}, torch.Generator().manual_seed(1))
    with pytest.raises(ConfigError, match="the same view twice"):
        visible_cells(twice, plan, 0, patch=7)
