"""Reading of RUN and RESULT folders: what is there is read, what is wrong is named."""

import json

import numpy as np
import pytest
from report_fakes import LEADS, write_result, write_run

from lamae import results
from lamae.errors import ConfigError, DataError, FormatError
from lamae.files import write_json
from lamae.report.folders import read_folders, read_result, read_run


def change(path, **changes):
    content = json.loads(path.read_text()) | changes
    write_json(path, {key: value for key, value in content.items() if value is not None})


def test_runs_and_results_are_told_apart_and_keep_their_order(tmp_path):
    first, run, second = (tmp_path / name for name in ("b", "run", "a"))
    write_result(first, system="first", studies=53), write_run(run, steps=11), write_result(second, studies=53)
    runs, results, comparisons = read_folders([first, run, second])
    assert comparisons == []
    assert [result.system for result in results] == ["first", "LAMAE"]
    assert [run.info["recipe"] for run in runs] == ["ecg-lamae-tiny"]
    assert len(runs[0].reconstructions) == 1
    assert tuple(runs[0].reconstructions[0]["leads"]) == LEADS
    assert runs[0].reconstructions[0]["masked"].dtype == bool


def test_run_without_metrics_and_examples_is_read(tmp_path):
    folder = write_run(tmp_path / "run", examples=False, attention=False)
    (folder / "metrics.jsonl").unlink()
    run = read_run(folder)
    assert (run.metrics, run.reconstructions, run.attention) == ((), (), None)


def test_damaged_predictions_are_named(tmp_path):
    folder = write_result(tmp_path / "r", studies=53)
    whole = (folder / "predictions.parquet").read_bytes()
    (folder / "predictions.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match=r"predictions\.parquet: damaged, .*evaluate again"):
        read_result(folder)


def test_result_without_predictions_is_read(tmp_path):
    assert read_result(write_result(tmp_path / "r", predictions=False, studies=53)).evaluation is None


def test_last_line_of_metrics_that_a_killed_run_cut_off_is_passed_over(tmp_path):
    folder = write_run(tmp_path / "run", steps=31)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "lo')
    assert [row["step"] for row in read_run(folder).metrics] == [0, 0, 10, 20, 30]


def test_no_input_is_refused():
    with pytest.raises(DataError, match="at least one RUN or RESULT folder"):
        read_folders([])


def test_absent_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere: .*found no such folder"):
        read_folders([tmp_path / "nowhere"])


def test_folder_of_something_else_is_named(tmp_path):
    with pytest.raises(DataError, match=r"RUN \(with run.json\) or of a RESULT .* found neither"):
        read_folders([tmp_path])


def test_run_without_configuration_is_refused(tmp_path):
    folder = write_run(tmp_path / "run", steps=11)
    (folder / "config.yaml").unlink()
    with pytest.raises(ConfigError, match=r"config.yaml: cannot read"):
        read_run(folder)


@pytest.mark.parametrize(
    ("file", "write", "message"),
    [
        ("run.json", write_run, r"run\.json: expected format version 2, found 7: read it with the release"),
        ("result.json", write_result, "result format version 7, but this version of lamae reads 2: evaluate again"),
    ],
)
def test_unknown_format_version_is_refused(tmp_path, file, write, message):
    folder = write(tmp_path / "x")
    change(folder / file, format_version=7)
    with pytest.raises(FormatError, match=message):
        read_folders([folder])


def test_file_of_another_format_is_refused(tmp_path):
    folder = write_result(tmp_path / "r", studies=53)
    change(folder / "result.json", format="other")
    with pytest.raises(FormatError, match='expected "format": "lamae-result", found \'other\''):
        read_result(folder)


def test_missing_key_is_named(tmp_path):
    folder = write_result(tmp_path / "r", studies=53)
    change(folder / "result.json", metrics=None)
    with pytest.raises(FormatError, match=r"result.json: metrics is missing"):
        read_result(folder)


def test_garbage_is_no_json(tmp_path):
    folder = write_run(tmp_path / "run", steps=11)
    (folder / "run.json").write_text("{")
    with pytest.raises(FormatError, match=r"run.json: this is not valid JSON"):
        read_run(folder)


@pytest.mark.parametrize(
    ("line", "message"),
    [("{\n", "line 1 is not valid JSON"), ('{"loss": 1}\n', "line 1 is not valid JSON: its content is not what")],
)
def test_damaged_metrics_are_refused(tmp_path, line, message):
    folder = write_run(tmp_path / "run", steps=11)
    (folder / "metrics.jsonl").write_text(line)
    with pytest.raises(FormatError, match=message):
        read_run(folder)


@pytest.mark.parametrize("damage", [lambda data: b"PK\x03\x04 no archive", lambda data: data[:400] + data[500:]])
def test_damaged_example_is_refused(tmp_path, damage):
    folder = write_run(tmp_path / "run", steps=11)
    file = folder / "examples/reconstruction.npz"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(FormatError, match=r"reconstruction.npz: this is not a readable .npz file"):
        read_run(folder)


def test_example_without_an_array_is_refused(tmp_path):
    folder = write_run(tmp_path / "run", steps=11)
    np.savez(folder / "examples/attention.npz", leads=np.array(LEADS), weights=np.zeros((2, 12, 12)))
    with pytest.raises(FormatError, match=r"attention.npz: the array cls is missing"):
        read_run(folder)


def test_example_whose_shapes_disagree_is_refused(tmp_path):
    folder = write_run(tmp_path / "run", steps=11)
    weights = np.zeros((2, 12, 11))
    np.savez(folder / "examples/attention.npz", leads=np.array(LEADS), weights=weights, cls=np.zeros(12))
    with pytest.raises(FormatError, match=r"weights must have the shape \(2, 12, 12\), found \(2, 12, 11\)"):
        read_run(folder)


def test_a_file_is_no_result(tmp_path):
    (tmp_path / "table.csv").write_text("a,b")
    with pytest.raises(FormatError, match=r"table\.csv: no result\.json in it, so this is no result"):
        results.read_result(tmp_path / "table.csv")
