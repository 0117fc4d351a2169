"""Label efficiency: amounts and draws, what is comparable between them, resuming, and what is refused."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamae.errors import ConfigError, DataError
from lamae.evals import EvalSettings, FinetuneConfig, handmade, probe, read_result
from lamae.evals.probes.handmade import measure_task
from lamae.evals.sweeps.label_efficiency import check_positives, label_amounts, label_efficiency
from lamae.evals.tasks.task import make_task
from lamae.pack import Pack

from .conftest import toy_studies, write_toy

QUICK = EvalSettings(draws=31)
LABELS = "inverted,luck"


def test_each_amount_and_draw_is_a_result_and_all_labels_are_one_draw(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    summary = label_efficiency(
        toy_run, toy_pack, LABELS, tmp_path, fractions=(1.0, 0.25), counts=[20], draws=3, settings=QUICK
    )
    folders = sorted(path.name for path in tmp_path.iterdir() if path.is_dir())
    expected = [f"{amount}-draw-{draw}" for amount in ("count-20", "fraction-0.25") for draw in range(3)]
    assert folders == [*expected, "fraction-1-draw-0"]
    splits = {name: read_result(tmp_path / name).info["split"] for name in folders}
    assert splits["count-20-draw-1"]["train"]["studies"] == 20
    assert (splits["count-20-draw-1"]["label_count"], splits["count-20-draw-1"]["label_draw"]) == (20, 1)
    assert (splits["fraction-0.25-draw-2"]["label_fraction"], splits["fraction-0.25-draw-2"]["label_draw"]) == (0.25, 2)
    assert splits["fraction-1-draw-0"]["train"]["patients"] == 53
    assert {split["validation"]["studies"] for split in splits.values()} == {
        splits[folders[0]]["validation"]["studies"]
    }
    assert [row.amount for row in summary.rows] == ["count-20", "fraction-0.25", "fraction-1"]
    assert [row.draws for row in summary.rows] == [3, 3, 1]
    assert summary.rows[-1].sd is None
    assert "macro AUROC" in str(summary)


def test_a_result_is_the_one_that_probing_gives(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    label_efficiency(toy_run, toy_pack, LABELS, tmp_path, fractions=(0.25,), draws=2, settings=QUICK)
    alone = probe(toy_run, toy_pack, LABELS, settings=EvalSettings(draws=31, label_fraction=0.25, label_draw=1))
    found = read_result(tmp_path / "fraction-0.25-draw-1")
    np.testing.assert_array_equal(found.scores, alone.scores)
    assert {**found.info, "request": ""} == {**alone.info, "request": ""}


def test_means_are_over_the_labels_that_every_draw_could_teach(toy_run: Path, tmp_path: Path):
    _, table = toy_studies()
    rare = np.zeros(table.num_rows, np.float32)
    split, patients = table["split"].to_pylist(), table["patient_key"].to_pylist()
    for part, wanted in (("train", 4), ("validation", 1), ("test", 1)):
        chosen = sorted({key for key, where in zip(patients, split, strict=True) if where == part})[:wanted]
        rare[np.isin(patients, chosen)] = 1
    pack = write_toy(tmp_path / "pack", table.append_column("label_rare", [rare]))
    found = label_efficiency(
        toy_run, pack, "inverted,luck,rare", tmp_path / "out", fractions=(0.15, 1.0), draws=4, settings=QUICK
    )
    results = [read_result(path) for path in sorted((tmp_path / "out").iterdir()) if path.is_dir()]
    without = [one for one in results if "rare" not in one.label_names]
    assert without
    assert "rare" in results[-1].label_names
    skipped = {row["label"]: row["reason"] for row in without[0].info["skipped_labels"]}
    assert "no positives among the training studies" in skipped["rare"]
    assert (found.label_names, found.not_everywhere) == (("inverted", "luck"), ("rare",))
    per_label = {row["label"]: row["auroc"]["value"] for row in results[-1].info["per_label"]}
    assert found.rows[-1].mean == pytest.approx((per_label["inverted"] + per_label["luck"]) / 2)
    assert found.rows[0].labels_taught == 2
    assert "Left out, some draw had none of them: rare." in (tmp_path / "out" / "label-efficiency.md").read_text()


def test_the_table_is_mean_and_spread_of_the_results(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    label_efficiency(toy_run, toy_pack, LABELS, tmp_path, fractions=(0.25,), draws=3, settings=QUICK)
    values = [read_result(path).metric("macro_auroc").value for path in tmp_path.iterdir() if path.is_dir()]
    with (tmp_path / "label-efficiency.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["system"], row["amount"], row["labels"]) == ("LAMAE", "fraction-0.25", "2")
    assert float(row["mean"]) == pytest.approx(np.mean(values))
    assert float(row["sd"]) == pytest.approx(np.std(values, ddof=1))
    assert (float(row["lowest"]), float(row["highest"])) == (pytest.approx(min(values)), pytest.approx(max(values)))


def test_two_draws_have_a_spread_and_settings_have_defaults(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    summary = label_efficiency(toy_run, toy_pack, "inverted", tmp_path, fractions=(0.25,), draws=2, protocol="knn")
    values = [read_result(path).metric("macro_auroc") for path in tmp_path.iterdir() if path.is_dir()]
    (row,) = summary.rows
    assert row.sd == pytest.approx(abs(values[0].value - values[1].value) / np.sqrt(2))
    assert [read_result(path).info["bootstrap"]["draws"] for path in tmp_path.iterdir() if path.is_dir()] == [1000] * 2


def test_results_of_other_settings_of_fine_tuning_are_not_kept(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    given = {"fractions": (1.0,), "protocol": "fine-tune", "settings": QUICK}
    for _ in range(2):  # the same settings are kept
        label_efficiency(toy_run, toy_pack, "inverted", tmp_path, config=FinetuneConfig(epochs=1), **given)
    with pytest.raises(ConfigError, match="the result of another request is there already"):
        label_efficiency(toy_run, toy_pack, "inverted", tmp_path, config=FinetuneConfig(epochs=2), **given)


def test_finished_results_are_kept_and_those_of_another_request_are_replaced_when_asked(
    toy_run: Path, toy_pack: Pack, tmp_path: Path
):
    def sweep(**changed: Any) -> dict[str, int]:
        asked = {"fractions": (0.25, 1.0), "draws": 2, "settings": QUICK} | changed
        label_efficiency(toy_run, toy_pack, LABELS, tmp_path, **asked)
        return {path.parent.name: path.stat().st_mtime_ns for path in tmp_path.glob("*/result.json")}

    first = sweep()
    assert sweep() == first
    (tmp_path / "fraction-0.25-draw-1" / "predictions.parquet").write_bytes(b"PAR1")
    (tmp_path / "fraction-1-draw-0" / "result.json").unlink()
    again = sweep()
    assert {name for name in first if again[name] != first[name]} == {"fraction-0.25-draw-1", "fraction-1-draw-0"}
    more = sweep(draws=3)
    assert {name: more[name] for name in again} == again
    assert len(more) == len(again) + 1
    for changed in ({"readout": "mean"}, {"settings": EvalSettings(draws=32)}, {"initialisation": "random"}):
        other = sweep(overwrite=True, **changed)
        assert all(other[name] != more[name] for name in first)


def test_fewer_positives_than_draws(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    task = make_task(toy_pack, "inverted", QUICK)
    (part,) = task.parts
    positives = len(np.unique(task.patient_hash[part.train][task.targets[part.train, 0] == 1]))
    check_positives(task, positives)
    with pytest.raises(
        DataError, match=rf"fewer positives than draws: 1 labels .* inverted \({positives}\): raise min"
    ):
        label_efficiency(toy_run, toy_pack, "inverted", tmp_path, draws=positives + 1, settings=QUICK)
    assert not list(tmp_path.iterdir())
    label_efficiency(toy_run, toy_pack, "inverted", tmp_path, fractions=(1.0,), draws=positives + 1, settings=QUICK)


def test_values_have_no_positives_to_run_out_of(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    found = label_efficiency(toy_run, toy_pack, "measure_size_mv", tmp_path, fractions=(0.25,), draws=2, settings=QUICK)
    assert found.rows[0].metric == "r2"


def test_hand_made_features_are_measured_once(toy_pack: Pack, tmp_path: Path):
    measured = []

    def progress(what: str, done: int, total: int) -> None:
        if what == "measuring" and done == total:
            measured.append(total)

    label_efficiency(
        None,
        toy_pack,
        "inverted",
        tmp_path,
        fractions=(0.25, 1.0),
        draws=2,
        protocol="hand-made",
        settings=QUICK,
        progress=progress,
    )
    assert len(measured) == 1
    found = read_result(tmp_path / "fraction-1-draw-0")
    np.testing.assert_array_equal(found.scores, handmade(toy_pack, "inverted", settings=QUICK).scores)
    assert (found.system, found.info["protocol_id"]) == ("Hand-made", "hand-made")


def test_measurements_of_other_studies_are_refused(toy_pack: Pack):
    measured = measure_task(make_task(toy_pack, "inverted", QUICK))
    with pytest.raises(DataError, match=r"measured features must be \[\d+ studies, 135 features\] of the task, found"):
        handmade(toy_pack, "inverted", settings=QUICK, measured=measured[1:])


@pytest.mark.parametrize("initialisation", ["pretrained", "scratch"])
def test_fine_tuning_with_few_labels(toy_run: Path, toy_pack: Pack, tmp_path: Path, initialisation):
    config = FinetuneConfig(epochs=1, batch_size=32)
    label_efficiency(
        toy_run,
        toy_pack,
        "inverted",
        tmp_path,
        counts=[30],
        draws=1,
        protocol="fine-tune",
        initialisation=initialisation,
        config=config,
        settings=QUICK,
    )
    info = json.loads((tmp_path / "count-30-draw-0" / "result.json").read_text())
    assert info["kind"] == "finetune"
    assert info["split"]["train"]["studies"] == 30
    assert info["run"]["weights"].startswith("pretrained" if initialisation == "pretrained" else "random")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"draws": 0}, "draws must be at least 1, found 0"),
        ({"fractions": ()}, "no amount of labels was given: name fractions such as 0.05,0.25,1"),
        ({"fractions": (0.5, 1.5), "counts": (0,)}, "up to 1, counts are at least 1, found 1.5, 0"),
        ({"fractions": (0.5, 0.5)}, "amounts of labels given twice: fraction-0.5"),
    ],
)
def test_bad_amounts_are_refused(arguments: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        label_amounts(**({"fractions": None, "counts": None, "draws": 3} | arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"protocol": "forest"}, "unknown protocol 'forest': expected one of linear"),
        ({"protocol": "hand-made"}, "'hand-made' goes without a run"),
        ({"initialisation": "none"}, "unknown initialisation 'none'"),
        ({"initialisation": "scratch"}, "'linear' knows the initialisation pretrained and random, found 'scratch'"),
        ({"protocol": "fine-tune", "initialisation": "random"}, "'fine-tune' knows .* pretrained and scratch"),
        ({"config": FinetuneConfig()}, "settings of fine-tuning need the protocol 'fine-tune', found 'linear'"),
        ({"settings": EvalSettings(label_count=7)}, "sets label_fraction and label_count itself"),
    ],
)
def test_what_does_not_fit_is_refused(toy_run: Path, toy_pack: Pack, tmp_path: Path, arguments, message: str):
    with pytest.raises(ConfigError, match=message):
        label_efficiency(toy_run, toy_pack, "inverted", tmp_path, **arguments)
