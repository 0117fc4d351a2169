"""Robustness: one probe, the same studies changed; what each condition's result says and what is refused."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamae.ecg.leads import LEADS
from lamae.errors import ConfigError, DataError
from lamae.evals import EvalSettings, extract, handmade, paired_difference, probe, read_result
from lamae.evals.probes.linear_probe import predict_linearly
from lamae.evals.sweeps.conditioned_pack import ConditionedPack
from lamae.evals.sweeps.conditions import parse_condition
from lamae.evals.sweeps.robustness import robustness
from lamae.evals.tasks.task import make_task
from lamae.pack import Pack, write_pack

from .conftest import PREPROCESSING, toy_studies, write_run, write_toy

QUICK = EvalSettings(draws=31)
UNFILTERED = {**PREPROCESSING, "bandpass_hz": None}
FOLDS = EvalSettings(draws=31, folds=(1, 2, 3, 4, 5), allow_leak=True)


@pytest.fixture(scope="module")
def plain_pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """The toy pack with preprocessing that noise can go through."""
    return write_toy(tmp_path_factory.mktemp("plain") / "pack", preprocessing=UNFILTERED)


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("plain") / "run", [], preprocessing=UNFILTERED)


@pytest.mark.parametrize("settings", [QUICK, FOLDS])
def test_as_recorded_it_is_the_probe(toy_run: Path, toy_pack: Pack, tmp_path: Path, settings: EvalSettings):
    robustness(toy_run, toy_pack, "inverted,luck", tmp_path, conditions=["leads:2"], settings=settings)
    alone = probe(toy_run, toy_pack, "inverted,luck", settings=settings)
    found = read_result(tmp_path / "clean")
    np.testing.assert_allclose(found.scores, alone.scores, atol=1e-6)
    assert found.metric("macro_auroc").value == pytest.approx(alone.metric("macro_auroc").value, abs=1e-9)
    figures = ("metrics", "per_label", "thresholds", "request")  # rounding: more studies are predicted at once
    assert {key: value for key, value in found.info.items() if key not in figures} == {
        key: value for key, value in alone.info.items() if key not in figures
    }
    assert found.info["condition"] is None


@pytest.mark.parametrize("readout", ["mean", "cls"])
@pytest.mark.parametrize("settings", [QUICK, FOLDS])
def test_a_condition_is_that_probe_on_changed_test_studies(
    toy_run: Path, toy_pack: Pack, tmp_path: Path, readout, settings: EvalSettings
):
    robustness(toy_run, toy_pack, "inverted", tmp_path, conditions=["leads:3"], readout=readout, settings=settings)
    task = make_task(toy_pack, "inverted", settings)
    whole = extract(toy_run, toy_pack, readout=readout).values[task.rows]
    fewer = extract(toy_run, ConditionedPack(toy_pack, task.rows, parse_condition("leads:3")), readout=readout).values
    expected = np.full((len(task.rows), 1), np.nan)
    for part in task.parts:  # by hand: one division at a time, its test studies changed
        one = replace(task, parts=(part,), num_folds=None)
        features = whole.copy()
        features[part.test] = fewer[part.test]
        expected[np.sort(part.test)] = predict_linearly(features, one, settings)[0]
    found = read_result(tmp_path / "leads-I-II-V2")
    np.testing.assert_allclose(found.scores, expected[task.tested], atol=1e-5)
    assert found.info["condition"] == {
        "name": "leads:I,II,V2",
        "leads": ["I", "II", "V2"],
        "trained": "as recorded",
        "studies_without_some_of_the_leads": 0,
    }
    assert found.info["selection"] == read_result(tmp_path / "clean").info["selection"]
    assert found.info["thresholds"] == read_result(tmp_path / "clean").info["thresholds"]


def test_with_views_side_by_side_absent_leads_say_nothing(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    robustness(toy_run, toy_pack, "inverted", tmp_path, conditions=["leads:V1,V2"], settings=QUICK)
    task = make_task(toy_pack, "inverted", QUICK)
    (part,) = task.parts
    features = extract(toy_run, toy_pack, readout="view-concat").values[task.rows].copy()
    changed = extract(
        toy_run, ConditionedPack(toy_pack, task.rows, parse_condition("leads:V1,V2")), readout="view-concat"
    ).values
    gone = np.repeat([name not in ("V1", "V2") for name in LEADS], 16)
    features[part.test] = np.where(gone, features[part.train].mean(axis=0), changed[part.test])
    found = read_result(tmp_path / "leads-V1-V2")
    np.testing.assert_allclose(found.scores, predict_linearly(features, task, QUICK)[0], atol=1e-5)
    assert found.info["condition"]["absent_views"] == "mean of the training studies"
    clean = read_result(tmp_path / "clean")
    assert found.metric("macro_auroc").value > 0.9  # V1 and V2 show the label
    assert np.abs(found.scores - clean.scores).max() > 0.01


def test_leads_that_show_nothing_cost_the_label_and_the_table_says_so(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    summary = robustness(
        toy_run, toy_pack, "inverted", tmp_path, conditions=["leads:6", "leads:12"], readout="mean", settings=QUICK
    )
    recorded, limb, everything = summary.rows
    assert (recorded.condition, recorded.difference) == ("as recorded", None)
    assert limb.difference is not None
    assert limb.value.value < recorded.value.value - 0.1
    again = paired_difference(tmp_path / "leads-I-II-III-aVR-aVL-aVF", tmp_path / "clean")
    assert limb.difference == again
    assert everything.value == recorded.value
    with (tmp_path / "robustness.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["condition"] for row in rows] == [row.condition for row in summary.rows]
    assert float(rows[1]["difference_low"]) == pytest.approx(limb.difference.low)
    assert rows[0]["difference"] == ""
    assert (tmp_path / "robustness.md").read_text() in str(summary) + "\n"


@pytest.mark.parametrize("protocol", ["linear", "mlp", "knn"])
def test_the_order_of_leads_changes_no_score(toy_run: Path, toy_pack: Pack, tmp_path: Path, protocol):
    summary = robustness(
        toy_run, toy_pack, "inverted,luck", tmp_path, conditions=["order"], protocol=protocol, settings=QUICK
    )
    assert [row.condition for row in summary.rows[1:]] == ["order:reversed", "order:shuffled"]
    assert all(row.said["largest_change"] <= 1e-5 for row in summary.rows[1:])
    assert read_result(tmp_path / "clean").info["protocol_id"] == protocol


def test_noise_is_described_and_stronger_noise_costs_more(plain_run: Path, plain_pack: Pack, tmp_path: Path):
    conditions = ["noise:motion@30dB", "noise:motion@-30dB"]
    summary = robustness(plain_run, plain_pack, "inverted", tmp_path, conditions=conditions, settings=QUICK)
    weak, strong = summary.rows[1:]
    assert weak.value.value > strong.value.value + 0.1
    said = read_result(tmp_path / "noise-motion--30dB").info["condition"]
    assert (said["noise"], said["snr_db"], said["seed"]) == ("motion", -30.0, 0)
    assert said["arrived_snr_db"] > -30  # what lies above half the rate of this pack does not arrive
    assert "dB after the pack's filters (median)" in (tmp_path / "robustness.md").read_text()


def test_the_same_request_gives_the_same_and_another_noise_seed_does_not(
    plain_run: Path, plain_pack: Pack, tmp_path: Path
):
    def scores(name: str, **changed: Any) -> np.ndarray:
        asked = {"conditions": ["noise:motion@0dB"], "settings": QUICK} | changed
        robustness(plain_run, plain_pack, "inverted", tmp_path / name, **asked)
        return read_result(tmp_path / name / "noise-motion-0dB").scores

    np.testing.assert_array_equal(scores("a"), scores("b"))
    np.testing.assert_array_equal(scores("a"), scores("c", settings=replace(QUICK, seed=5)))
    assert (scores("a") != scores("d", noise_seed=1)).any()


def test_learned_alike_it_is_a_probe_on_a_pack_of_these_leads(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    leads = ("I", "V4")
    studies, table = toy_studies()
    rows = [LEADS.index(name) for name in leads]
    fewer = [study.keep(rows) for study in studies]
    only = write_pack(
        tmp_path / "pack", fewer, table, cohort="toy", cohort_version="1", preprocessing=PREPROCESSING, view_names=LEADS
    )
    for readout in ("mean", "view-concat"):
        out = tmp_path / readout
        summary = robustness(
            toy_run,
            toy_pack,
            "inverted",
            out,
            conditions=["leads:I,V4", "order:reversed"],
            train_too=True,
            readout=readout,
            settings=QUICK,
        )
        expected = probe(toy_run, only, "inverted", readout=readout, settings=QUICK)
        found = read_result(out / "leads-I-V4-trained-alike")
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
        names = ["as recorded", "leads:I,V4", "order:reversed", "leads:I,V4 (trained alike)"]
        assert [row.condition for row in summary.rows] == names
        assert found.info["condition"]["trained"] == "alike"


def test_finished_results_are_kept(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    def sweep(*conditions: str, **changed: Any) -> dict[str, int]:
        asked = {"conditions": conditions, "settings": QUICK, "train_too": True} | changed
        robustness(toy_run, toy_pack, "inverted", tmp_path, **asked)
        return {path.parent.name: path.stat().st_mtime_ns for path in tmp_path.glob("*/result.json")}

    first = sweep("leads:1", "order:reversed")
    assert len(first) == 4
    assert sweep("leads:1", "order:reversed") == first
    more = sweep("leads:1", "leads:II")
    assert {name: more[name] for name in first} == first
    assert len(more) == 6
    (tmp_path / "leads-I" / "result.json").write_text("{")
    again = sweep("leads:1", "leads:II")
    assert {name for name in more if again[name] != more[name]} == {"leads-I"}
    other = sweep("leads:1", "leads:II", readout="mean", overwrite=True)
    assert all(other[name] != again[name] for name in ("clean", "leads-I", "leads-II"))


def test_hand_made_features_under_conditions(plain_pack: Pack, tmp_path: Path):
    conditions = ["leads:8", "noise:muscle@0dB", "order:reversed"]
    summary = robustness(None, plain_pack, "inverted", tmp_path, conditions=conditions, settings=QUICK)
    assert summary.system == "Hand-made"
    alone = handmade(plain_pack, "inverted", settings=QUICK).scores
    # sums over other numbers of rows
    np.testing.assert_allclose(read_result(tmp_path / "clean").scores, alone, rtol=1e-12)
    assert summary.rows[3].said["largest_change"] < 1e-5


def test_the_tested_studies_of_another_pack(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    studies, table = toy_studies(seed=1)
    keys = [f"other:{number}" for number in range(table.num_rows)]
    for name in ("patient_key", "record_key"):
        table = table.set_column(table.column_names.index(name), name, [keys])
    other = write_pack(tmp_path / "pack", studies, table, cohort="other", preprocessing=PREPROCESSING)
    robustness(toy_run, toy_pack, "inverted", tmp_path / "out", conditions=["order"], test_pack=other, settings=QUICK)
    found = read_result(tmp_path / "out" / "order-reversed")
    assert len(found.scores) == len(other)
    assert found.info["condition"]["largest_change"] <= 1e-5
    assert found.info["transfer"]["test"]["cohort"] == "other"


def test_the_random_control_needs_no_guard(toy_pack: Pack, tmp_path: Path):
    run = write_run(tmp_path / "run", toy_pack.studies["patient_key"].to_pylist())
    with pytest.raises(DataError, match="were in the pretraining data"):
        robustness(run, toy_pack, "inverted", tmp_path / "out", conditions=["leads:2"], settings=QUICK)
    summary = robustness(
        run, toy_pack, "inverted", tmp_path / "out", conditions=["leads:2"], weights="random", settings=QUICK
    )
    assert summary.system == "Random"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"conditions": ["lead:1"]}, "unknown condition 'lead:1'"),
        ({"conditions": ["leads:V8"]}, "leads:V8: .* has no lead V8"),
        ({"conditions": ["noise:muscle@3dB"]}, "bandpass_hz: the edges must rise between 0 and half of rate_hz"),
        (
            {"protocol": "attention-pool"},
            "unknown protocol 'attention-pool' of frozen features: expected one of linear",
        ),
        ({"protocol": "hand-made"}, "unknown protocol 'hand-made' of frozen features"),
        ({"run": None, "readout": "mean"}, "hand-made features know no protocol, weights or read-out"),
    ],
)
def test_what_does_not_fit_is_refused(toy_run: Path, toy_pack: Pack, tmp_path: Path, arguments, message: str):
    asked = {"run": toy_run, "conditions": ["leads:2"], "settings": QUICK} | arguments
    with pytest.raises(ConfigError, match=message):
        robustness(asked.pop("run"), toy_pack, "inverted", tmp_path, **asked)
    assert not list(tmp_path.iterdir())
