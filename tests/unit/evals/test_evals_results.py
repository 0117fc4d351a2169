"""RESULT folders are written whole, read back equal, and refused when they are damaged."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamae.errors import DataError, FormatError
from lamae.evals import EvalSettings, read_result, write_result
from lamae.evals.results import judge
from lamae.evals.tasks.task import Task, make_task
from lamae.files import write_json
from lamae.metrics import best_f1_thresholds, brier, expected_calibration_error, f1, recalibrate
from lamae.pack import Pack

SETTINGS = EvalSettings(draws=7)


@pytest.fixture
def result(toy_pack: Pack, tmp_path: Path) -> Path:
    task = make_task(toy_pack, "inverted,luck", SETTINGS)
    scores = np.random.default_rng(3).random((len(task.tested), 2))
    evaluation = judge(
        task, scores, SETTINGS, kind="probe", system="Dice", protocol="chance", selection={"on": "validation"}
    )
    return write_result(tmp_path / "result", evaluation)


def test_round_trip(result: Path, toy_pack: Pack):
    evaluation = read_result(result)
    task = make_task(toy_pack, "inverted,luck", SETTINGS)
    np.testing.assert_array_equal(evaluation.targets, task.targets[task.tested].astype(np.float32))
    np.testing.assert_array_equal(evaluation.patient_hash, task.patient_hash[task.tested])
    np.testing.assert_array_equal(evaluation.fold, task.fold[task.tested])
    again = read_result(write_result(result.with_name("again"), evaluation))
    assert again.info == evaluation.info
    np.testing.assert_array_equal(again.scores, evaluation.scores)
    assert str(evaluation).startswith(f"Dice: inverted,luck, {len(task.tested)} test studies")


def test_a_labels_counts_and_the_split_are_said(result: Path, toy_pack: Pack):
    info = read_result(result).info
    split = np.array(toy_pack.studies["split"].to_pylist())
    inverted = np.array(toy_pack.studies["label_inverted"].to_pylist())
    assert info["per_label"][0]["positives"] == int(inverted[split == "test"].sum())
    tested = {
        key for key, part in zip(toy_pack.studies["patient_key"].to_pylist(), split, strict=True) if part == "test"
    }
    assert 0 < info["per_label"][0]["positive_patients"] < len(tested)
    assert info["per_label"][0]["few"] == (info["per_label"][0]["positive_patients"] < 10)
    assert info["per_label"][0]["studies"] == int((split == "test").sum())
    assert info["per_label"][1]["studies"] < info["per_label"][0]["studies"]  # some are unknown
    assert info["split"]["train"]["studies"] == int((split == "train").sum())
    assert info["data"] == {
        "cohort": "toy",
        "cohort_version": "1",
        "simulated": False,
        "pack_hash": toy_pack.info.content_hash,
        "rate_hz": 20.0,
    }


def test_damaged_results_are_refused(result: Path, tmp_path: Path):
    with pytest.raises(FormatError, match=r"no result\.json in it"):
        read_result(tmp_path)
    file = result / "result.json"
    good = json.loads(file.read_text())
    file.write_text("{")
    with pytest.raises(FormatError, match="not readable as JSON"):
        read_result(result)
    write_json(file, good | {"format": "else"})
    with pytest.raises(FormatError, match='expected "format": "lamae-result"'):
        read_result(result)
    write_json(file, good | {"format_version": 1})
    with pytest.raises(FormatError, match="result format version 1, but this version of lamae reads 2"):
        read_result(result)
    write_json(file, good | {"labels": good["labels"] | {"names": ["inverted", "other"]}})
    with pytest.raises(FormatError, match="the predictions lack the label 'other'"):
        read_result(result)
    write_json(file, good)
    predictions = result / "predictions.parquet"
    predictions.write_bytes(predictions.read_bytes()[:-9])
    with pytest.raises(FormatError, match=r"predictions\.parquet: damaged, .*evaluate again"):
        read_result(result)
    predictions.unlink()
    with pytest.raises(FormatError, match=r"predictions\.parquet is missing"):
        read_result(result)


def judged(task: Task, scores: np.ndarray, settings: EvalSettings = SETTINGS, **options: Any) -> dict[str, Any]:
    """Return the info of a result of these scores."""
    told = {"kind": "probe", "system": "Dice", "protocol": "chance", "selection": {}}
    return dict(judge(task, scores, settings, **told, **options).info)


def test_thresholds_come_from_the_validation_studies_of_each_division(toy_pack: Pack):
    settings = EvalSettings(draws=7, folds=(1, 2, 3, 4, 5))
    task = make_task(toy_pack, "inverted,luck", settings)
    rng = np.random.default_rng(5)
    everyone = 0.2 * rng.random((len(task.rows), 2)) + 0.1 * np.nan_to_num(task.targets)
    in_validation = [everyone[part.validation] for part in task.parts]
    in_validation[0][::5] = np.nan  # a protocol may have no score for some
    info = judged(task, everyone[task.tested], settings, validation_scores=in_validation)
    assert info["thresholds"]["policy"] == "validation"
    values = info["thresholds"]["values"]
    part = task.parts[3]
    chosen = best_f1_thresholds(task.targets[part.validation], everyone[part.validation])
    assert [values["inverted"][3], values["luck"][3]] == chosen.tolist()
    assert len(set(values["inverted"])) > 1
    spread = np.empty((len(task.rows), 2))
    for number, part in enumerate(task.parts):
        spread[part.test] = [values["inverted"][number], values["luck"][number]]
    expected = f1(task.targets, everyone, thresholds=spread)
    found = [row["f1"]["value"] for row in info["per_label"]]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert info["metrics"]["macro_f1"]["value"] == pytest.approx(expected.mean())
    assert info["metrics"]["macro_f1"]["low"] < info["metrics"]["macro_f1"]["high"]
    turned = judged(task, everyone[task.tested], replace(settings, f1_threshold="0.5"), validation_scores=in_validation)
    assert turned["thresholds"] == {"policy": "0.5", "values": {"inverted": [0.5] * 5, "luck": [0.5] * 5}}
    assert turned["metrics"]["macro_f1"]["value"] == 0  # nobody reaches 0.5


def test_without_validation_scores_the_threshold_is_half_and_the_result_says_so(toy_pack: Pack):
    task = make_task(toy_pack, "inverted,luck", SETTINGS)
    info = judged(task, np.random.default_rng(3).random((len(task.tested), 2)))
    assert info["thresholds"]["policy"] == "0.5"
    assert "no validation scores" in info["thresholds"]["note"]


def test_calibration_and_brier_stand_in_the_result(toy_pack: Pack):
    task = make_task(toy_pack, "inverted,luck", SETTINGS)
    scores = np.random.default_rng(3).random((len(task.tested), 2))
    info = judged(task, scores)
    targets = task.targets[task.tested]
    assert info["metrics"]["macro_brier"]["value"] == pytest.approx(brier(targets, scores).mean())
    assert info["metrics"]["macro_ece"] == {
        "value": pytest.approx(expected_calibration_error(targets, scores).mean()),
        "low": None,
        "high": None,
    }
    first = info["per_label"][0]["calibration"]
    assert first["slope"] == pytest.approx(recalibrate(targets, scores).slope[0])
    assert sum(first["bins"]["studies"]) == info["per_label"][0]["studies"]
    assert len(first["bins"]["frequency"]) == len(first["bins"]["probability"]) == len(first["bins"]["studies"])


def test_a_regression_has_neither_thresholds_nor_calibration(toy_pack: Pack):
    task = make_task(toy_pack, "measure_size_mv", SETTINGS)
    info = judged(task, np.random.default_rng(3).normal(size=(len(task.tested), 1)))
    assert info["thresholds"] is None
    assert set(info["metrics"]) == {"macro_mae", "macro_r2"}
    assert "calibration" not in info["per_label"][0]


def test_scores_that_are_no_probabilities_and_ill_fitting_validation_scores_are_refused(toy_pack: Pack):
    task = make_task(toy_pack, "inverted,luck", SETTINGS)
    scores = np.random.default_rng(3).random((len(task.tested), 2))
    with pytest.raises(DataError, match=r"scores are no probabilities, for example -?\d"):
        judged(task, 5 * scores - 1)
    with pytest.raises(DataError, match=r"validation scores must be one .validation studies, labels. a division"):
        judged(task, scores, validation_scores=[scores[:3]])
