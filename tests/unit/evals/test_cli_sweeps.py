"""`lamae efficiency` and `lamae robustness` as a user types them."""

from pathlib import Path

import pytest

from lamae.cli.main import main
from lamae.cli.sweeps import fraction_list
from lamae.evals import read_result
from lamae.pack import Pack


def call(*words: object, status: int = 0) -> None:
    assert main([str(word) for word in words]) == status


@pytest.fixture
def judged(toy_pack: Pack, tmp_path: Path) -> list[object]:
    return ["--data", toy_pack.path, "--labels", "inverted", "--out", tmp_path / "out", "--draws", "13"]


def test_efficiency_of_a_probe(toy_run: Path, judged: list[object], tmp_path: Path, capsys):
    sweep = ["--label-fractions", "0.25,1", "--label-counts", "20", "--label-draws", "2", "--protocol", "knn"]
    call("efficiency", toy_run, *judged, *sweep, "--system", "Ours")
    told = capsys.readouterr().out
    assert "Ours: " in told
    assert "| fraction-0.25 | 2 |" in told
    found = read_result(tmp_path / "out" / "count-20-draw-1")
    assert (found.info["protocol_id"], found.info["split"]["label_count"]) == ("knn", 20)


def test_efficiency_of_fine_tuning_takes_its_settings(toy_run: Path, judged: list[object], tmp_path: Path):
    amounts = ["--label-counts", "20", "--label-draws", "1", "--control", "scratch", "--protocol", "fine-tune"]
    call("efficiency", toy_run, *judged, *amounts, "--epochs", "1")
    found = read_result(tmp_path / "out" / "count-20-draw-0")
    assert found.info["finetune"]["epochs"] == 1
    assert found.info["initialisation"] == "scratch"


def test_efficiency_of_hand_made_features(judged: list[object], tmp_path: Path):
    call("efficiency", "hand-made", *judged, "--label-fractions", "0.5", "--label-draws", "1")
    assert read_result(tmp_path / "out" / "fraction-0.5-draw-0").system == "Hand-made"


def test_robustness_of_a_probe(toy_run: Path, judged: list[object], tmp_path: Path, capsys):
    call("robustness", toy_run, *judged, "--conditions", "leads:II", "order", "--train-too", "--control", "random-init")
    told = capsys.readouterr().out
    assert "Random: " in told
    assert "| leads:II (trained alike) |" in told
    names = sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir())
    assert names == ["clean", "leads-II", "leads-II-trained-alike", "order-reversed", "order-shuffled"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["efficiency", "--epochs", "3"], "--epochs 3: settings of the training need --protocol fine-tune"),
        (["efficiency", "--label-draws", "99"], "fewer positives than draws"),
        (["robustness", "--conditions", "leads:5"], "subsets are known for 12, 8, 6, 3, 2, 1 leads"),
        (["robustness", "--conditions", "noise:mains@3dB"], "name the frequency of the mains"),
    ],
)
def test_errors_name_what_to_do(toy_run: Path, judged: list[object], words: list[str], message: str, capsys):
    call(words[0], toy_run, *judged, *words[1:], status=2)
    assert message in capsys.readouterr().err


def test_shares_are_numbers(toy_run: Path, judged: list[object], capsys):
    assert fraction_list("0.05,1") == (0.05, 1.0)
    with pytest.raises(SystemExit):
        call("efficiency", toy_run, *judged, "--label-fractions", "few")
    assert "expected fractions such as 0.05,0.25,1, found 'few'" in capsys.readouterr().err
