"""RESULT folders are written whole, read back equal, and refused when they are damaged."""

import json
from pathlib import Path

import numpy as np
import pytest

from lamae.errors import FormatError
from lamae.evals import EvalSettings, read_result, write_result
from lamae.evals.results import judge
from lamae.evals.task import make_task
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
    file.write_text(json.dumps(good | {"format": "else"}))
    with pytest.raises(FormatError, match='expected "format": "lamae-result"'):
        read_result(result)
    file.write_text(json.dumps(good | {"format_version": 2}))
    with pytest.raises(FormatError, match="result format version 2, but this version of lamae reads 1"):
        read_result(result)
    file.write_text(json.dumps(good | {"labels": good["labels"] | {"names": ["inverted", "other"]}}))
    with pytest.raises(FormatError, match="the predictions lack the label 'other'"):
        read_result(result)
    file.write_text(json.dumps(good))
    predictions = result / "predictions.parquet"
    predictions.write_bytes(predictions.read_bytes()[:-9])
    with pytest.raises(FormatError, match=r"predictions\.parquet: not readable as Parquet; evaluate again"):
        read_result(result)
    predictions.unlink()
    with pytest.raises(FormatError, match=r"predictions\.parquet is missing"):
        read_result(result)
