"""Conditions on studies: what their texts mean, and that a pack under a condition is what such a pack would hold."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from lamae.data import PackDataset
from lamae.ecg.leads import LEADS
from lamae.errors import ConfigError, DataError
from lamae.evals.probes.features import extract
from lamae.evals.sweeps.conditioned_pack import ConditionedPack
from lamae.evals.sweeps.conditions import LEAD_SUBSETS, STANDARD, parse_condition, parse_conditions
from lamae.pack import Pack, write_pack
from lamae.studies import MISSING_CODE

from .conftest import PREPROCESSING, toy_studies, write_run, write_toy

UNFILTERED = {**PREPROCESSING, "bandpass_hz": None}
ROWS = np.array([2, 3, 5, 7, 11, 13])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("leads:3", "leads:I,II,V2"),
        ("leads:1", "leads:I"),
        ("leads:ii,avr", "leads:II,aVR"),
        ("order:reversed", "order:reversed"),
        ("order:V6,i", "order:V6,I"),
        ("noise:muscle@10dB", "noise:muscle@10dB"),
        ("noise:mains-50@-6.5", "noise:mains-50@-6.5dB"),
    ],
)
def test_texts_have_one_name(text: str, name: str):
    assert parse_condition(text).name == name
    assert parse_condition(name) == parse_condition(text)


def read(pack, rows):
    return pack.read(pack.whole(rows))


def test_groups_stand_for_their_conditions():
    everything = parse_conditions(["all"])
    assert len(everything) == sum(map(len, STANDARD.values()))
    assert [one.name for one in parse_conditions(["order", "leads:1"])] == [
        "order:reversed",
        "order:shuffled",
        "leads:I",
    ]
    assert {len(leads) for leads in LEAD_SUBSETS.values()} == set(LEAD_SUBSETS)
    assert [len(one.leads) for one in everything if one.leads] == [8, 6, 3, 2, 1, 1]


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ([], ConfigError, "no condition was given: expected leads:2"),
        (["lead:2"], ConfigError, "unknown condition 'lead:2': expected leads:2 or"),
        (["noise:muscle"], ConfigError, "unknown condition 'noise:muscle'"),
        (["noise:hum@3dB"], ConfigError, "unknown noise 'hum'"),
        (["leads:4"], ConfigError, "'leads:4': subsets are known for 12, 8, 6, 3, 2, 1 leads; name the leads"),
        (["leads:I,V7x"], DataError, "unknown ECG lead 'V7x'"),
        (["leads:I,i"], ConfigError, "'leads:I,i' names a lead twice"),
        (["leads:1", "leads:I"], ConfigError, "conditions given twice: leads:I"),
    ],
)
def test_what_is_no_condition_is_refused(texts: list[str], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        parse_conditions(texts)


def under(pack: Pack, text: str, rows: np.ndarray = ROWS) -> ConditionedPack:
    return ConditionedPack(pack, rows, parse_condition(text))


@pytest.mark.parametrize("leads", [("I", "II", "V2"), ("V5",), LEADS])
@pytest.mark.parametrize("readout", ["cls", "mean", "view-concat"])
def test_a_subset_is_what_a_pack_of_only_these_leads_gives(
    toy_run: Path, toy_pack: Pack, tmp_path: Path, leads: tuple[str, ...], readout
):
    studies, table = toy_studies()
    rows = [LEADS.index(name) for name in leads]
    fewer = [study.keep(rows) for study in studies]
    only = write_pack(
        tmp_path / "pack", fewer, table, cohort="toy", cohort_version="1", preprocessing=PREPROCESSING, view_names=LEADS
    )
    expected = extract(toy_run, only, readout=readout).values[ROWS]
    found = extract(toy_run, under(toy_pack, f"leads:{','.join(leads)}"), readout=readout).values
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_all_leads_are_the_pack_itself(toy_pack: Pack):
    whole, ours = read(toy_pack, ROWS), read(under(toy_pack, "leads:12"), np.arange(len(ROWS)))
    for name in ("values", "scale", "study_of", "view_of", "has_missing"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(whole, name))


@pytest.mark.parametrize("latent_depth", [0, 1])
@pytest.mark.parametrize("order", ["reversed", "shuffled", "V6,I,aVL"])
def test_another_order_of_leads_changes_nothing(toy_pack: Pack, tmp_path: Path, order: str, latent_depth: int):
    run = write_run(tmp_path / "run", [], latent_depth=latent_depth)
    conditioned = under(toy_pack, f"order:{order}")
    names = [conditioned.study(index).view_names for index in range(3)]
    assert all(sorted(one) == sorted(LEADS) and one != LEADS for one in names)
    assert (len(set(names)) > 1) == (order == "shuffled")
    for readout in ("mean", "view-concat"):
        found = extract(run, conditioned, readout=readout).values
        np.testing.assert_allclose(found, extract(run, toy_pack, readout=readout).values[ROWS], atol=1e-5)


def test_noise_is_the_same_each_time_and_in_any_company(tmp_path: Path):
    pack = write_toy(tmp_path / "pack", preprocessing=UNFILTERED)
    text = "noise:muscle@0dB"
    whole = read(under(pack, text), np.arange(6))
    again = read(under(pack, text, ROWS[[4, 1]]), np.array([1, 0, 1]))
    assert not np.array_equal(whole.values, read(pack, ROWS).values)
    for ours, theirs in enumerate([1, 4, 1]):
        np.testing.assert_array_equal(again.values[again.study_of == ours], whole.values[whole.study_of == theirs])
    other = read(ConditionedPack(pack, ROWS, parse_condition(text, seed=1)), np.arange(6))
    assert not np.array_equal(other.values, whole.values)


def test_leads_that_take_a_coarser_step_are_counted(tmp_path: Path):
    studies, table = toy_studies()
    full = studies[3].values.astype(np.float64)
    full *= 32_000 / np.abs(full).max(axis=1, keepdims=True)
    studies[3] = studies[3].with_waveforms(np.round(full).astype(np.int16), studies[3].scale)
    pack = write_pack(tmp_path / "pack", studies, table, cohort="toy", cohort_version="1", preprocessing=UNFILTERED)
    noisy = under(pack, "noise:muscle@-10dB")
    coarser = int((read(noisy, np.arange(6)).scale > read(pack, ROWS).scale).sum())
    assert 0 < coarser <= 12
    assert noisy.tally()["leads_rescaled"] == coarser
    read(noisy, np.arange(6))
    assert noisy.tally()["leads_rescaled"] == 2 * coarser


def test_what_the_noise_did_is_counted(tmp_path: Path):
    studies, table = toy_studies()
    silent = studies[2].values.copy()
    silent[4] = 0
    silent[5, 50:] = MISSING_CODE
    studies[2] = studies[2].with_waveforms(silent, studies[2].scale)
    pack = write_pack(tmp_path / "pack", studies, table, cohort="toy", cohort_version="1", preprocessing=UNFILTERED)
    noisy = under(pack, "noise:wander@7dB")
    gathered = read(noisy, np.arange(6))
    assert gathered.has_missing
    np.testing.assert_array_equal(gathered.values == MISSING_CODE, read(pack, ROWS).values == MISSING_CODE)
    tally = noisy.tally()
    assert (tally["leads_without_signal"], tally["leads_rescaled"]) == (1, 0)
    assert tally["arrived_snr_db"] > 6.5
    assert under(pack, "order:reversed").tally() == {}


def test_studies_without_any_of_the_leads_are_refused_and_without_some_are_counted(tmp_path: Path):
    studies, table = toy_studies()
    for row in (2, 7):
        studies[row] = studies[row].keep(range(1, len(LEADS)))
    pack = write_pack(tmp_path / "pack", studies, table, cohort="toy", cohort_version="1", preprocessing=PREPROCESSING)
    with pytest.raises(DataError, match=r"leads:I: 2 of 6 studies of .* have none of these leads"):
        under(pack, "leads:I")
    assert under(pack, "leads:2").tally() == {"studies_without_some_of_the_leads": 2}
    assert under(pack, "leads:2").studies["views"].to_pylist()[0] == ["II"]


def test_leads_that_the_pack_does_not_know_are_refused(toy_pack: Pack):
    with pytest.raises(ConfigError, match=r"leads:V7: .* has no lead V7, only I, II"):
        under(toy_pack, "leads:V7")


def test_noise_on_a_pack_whose_preprocessing_is_no_ecgs_is_refused(tmp_path: Path):
    pack = write_toy(tmp_path / "pack", preprocessing={"size": 3})
    with pytest.raises(ConfigError, match="size"):
        under(pack, "noise:muscle@0dB")


def test_a_conditioned_pack_is_read_as_a_pack(toy_pack: Pack):
    conditioned = under(toy_pack, "leads:2")
    assert len(conditioned) == 6
    assert conditioned.info.content_hash not in (
        toy_pack.info.content_hash,
        under(toy_pack, "leads:1").info.content_hash,
    )
    assert conditioned.study_id(1) == toy_pack.study_id(3)
    assert conditioned.study(1).view_names == ("I", "II")
    assert len(PackDataset([pickle.loads(pickle.dumps(conditioned))], view_names=LEADS)) == 6
    with pytest.raises(IndexError, match="no study 6; 6 were chosen"):
        conditioned.study(6)
