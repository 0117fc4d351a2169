"""Label sets, label draws and transfer as a user would type them, on two simulated cohorts."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lamae.cli.main import main


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Packs of two cohorts of different patients."""
    folder = tmp_path_factory.mktemp("labels")
    for seed in (3, 4):
        cohort, pack = str(folder / f"cohort{seed}"), str(folder / f"pack{seed}")
        assert main(["simulate", "ecg", cohort, "--studies", "97", "--seed", str(seed), "--workers", "1"]) == 0
        folds = ["--option", "num_test_folds=7", "--option", "num_validation_folds=4"]
        assert main(["prepare", "mimic-iv-ecg", cohort, pack, "--workers", "0", *folds]) == 0
    return folder / "pack3", folder / "pack4"


def judged(*words: object, out: Path) -> dict:
    assert main(["probe", "hand-made", "--draws", "7", "--out", str(out), *map(str, words)]) == 0
    return json.loads((out / "result.json").read_text())


def test_a_label_set_is_printed(packs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["labels", str(packs[0]), "icd10-chapter-ix", "--min-count", "5", "--want", "7"]
    assert main([*words, "--out", str(tmp_path / "labels.csv")]) == 0
    told = capsys.readouterr().out
    assert "Diseases of the circulatory system" in told
    assert "7 labels" in told
    studies = pq.read_table(packs[0] / "studies.parquet", columns=["study_id", "patient_key"])
    for name in studies["study_id"].to_pylist():
        assert name not in told
    assert (tmp_path / "labels.csv").read_text().startswith("label,title,path,depth,train_studies,")


def test_label_sets_and_draws(packs: tuple[Path, Path], tmp_path: Path):
    labels = ["--data", packs[0], "--labels", "icd10-chapter-ix", "--max-labels", 5, "--min-count", 3]
    found = judged(*labels, "--label-count", 23, "--label-draw", 2, out=tmp_path / "count")
    assert found["split"]["train"]["studies"] == 23
    assert (found["split"]["label_count"], found["split"]["label_draw"]) == (23, 2)
    assert found["split"]["test_uses"] == 1
    assert found["labels"]["vocabulary"] == "train"
    assert found["labels"]["titles"]["IX"] == "Diseases of the circulatory system"
    assert found["labels"]["paths"]["IX"] == ["IX"]
    assert found["labels"]["max_labels"] == 5
    leaky = judged(*labels, "--vocabulary", "all", "--statements", "not-needed", out=tmp_path / "leaky")
    assert leaky["labels"]["vocabulary"] == "all (leak)"
    assert leaky["labels"]["statements"] == "not-needed"
    assert leaky["split"]["train"]["studies"] > 23


def test_icd9_codes_are_mapped(packs: tuple[Path, Path], tmp_path: Path):
    (tmp_path / "map.csv").write_text("icd_9,icd_10,flags\n42731,I4891,10000\n")
    words = ["--data", packs[0], "--labels", "icd10-3char", "--min-count", 3, "--icd9", "map"]
    found = judged(*words, "--icd9-map", tmp_path / "map.csv", out=tmp_path / "mapped")
    assert found["labels"]["names"]
    assert main(["probe", "hand-made", *map(str, words), "--out", str(tmp_path / "none")]) == 2


def test_another_pack_is_tested(packs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["--data", packs[0], "--labels", "icd10-3char", "--min-count", 3]
    found = judged(*words, "--test-data", packs[1], out=tmp_path / "all")
    assert found["transfer"]["train"]["pack_hash"] != found["transfer"]["test"]["pack_hash"]
    assert found["transfer"]["test"]["simulated"]
    part = judged(*words, "--test-data", packs[1], "--test-part", "test", out=tmp_path / "part")
    assert 0 < part["split"]["test"]["studies"] < found["split"]["test"]["studies"]
    assert part["split"]["train"] == found["split"]["train"]
    same = ["probe", "hand-made", "--data", packs[0], "--labels", "icd10-3char", "--test-data", packs[0]]
    assert main([*map(str, same), "--min-count", "3", "--out", str(tmp_path / "same")]) == 2
    assert "are trained or selected on" in capsys.readouterr().err
