"""`lamae audit` as a user types it."""

import json
from pathlib import Path

import pytest
from train_fakes import fake_config, write_fake_pack

from lamae.cli.main import main
from lamae.train import pretrain


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    write_fake_pack(folder / "pack")
    pretrain(
        fake_config(optim__steps=3, data__views=["I", "II", "III", "aVF", "V1"]), [folder / "pack"], folder / "run"
    )
    return folder


def test_a_recipe_is_audited_with_its_settings_changed(capsys):
    assert main(["audit", "ecg-lamae-tiny", "--studies", "3", "--leads", "i,ii,iii", "--model.mask.ratio", "0.5"]) == 0
    told = capsys.readouterr().out
    assert "random 0.5 (own)" in told
    # Fewer than two of five seen with 1/2: 6 / 32; half of the leads are limb leads.
    assert f"{100 * (1 - 6 / 32) / 2:.1f} %" in told
    assert "explained" not in told


def test_a_run_is_audited_on_a_pack(work, capsys):
    words = ["audit", str(work / "run"), "--data", str(work / "pack"), "--studies", "5", "--out", str(work / "a.json")]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "limb leads, follow from others" in told
    assert "random 0.7 (own)" in told
    content = json.loads((work / "a.json").read_text())
    assert content["leads"] == ["I", "II", "III", "aVF", "V1"]
    assert content["data"]["simulated"] is True
    assert content["data"]["studies"] == 5
    assert (content["data"]["patients"], content["data"]["patients_trained_on"]) == (3, 0)
    assert "the model's loss flatters" not in told
    assert content["model"][0]["loss"]["model"] > 0
    assert "study-" not in json.dumps(content)


def test_judged_patients_that_the_run_was_trained_on_are_said(work, capsys, tmp_path):
    write_fake_pack(tmp_path / "turned", splits=("validation", "train", "train", "train", "test"))
    words = ["audit", str(work / "run"), "--data", str(tmp_path / "turned"), "--out", str(tmp_path / "a.json")]
    assert main(words) == 0
    assert "4 of the 4 judged patients were trained on: the model's loss flatters." in capsys.readouterr().out
    assert json.loads((tmp_path / "a.json").read_text())["data"]["patients_trained_on"] == 4


def test_wrong_words_are_named(work, capsys, tmp_path):
    for words, message in (
        (["ecg-lamae-tinny"], "did you mean 'ecg-lamae-tiny'"),
        (["ecg-lamae-tiny", "--leads", "I,Q7"], "unknown ECG lead 'Q7'"),
        (["ecg-lamae-tiny", "--leads", "I,X"], "a set of leads must name some of I, II"),
        (["ecg-lamae-tiny", "--out", "a.txt"], "written as .json or .md"),
        (["ecg-lamae-tiny", "--data", str(tmp_path)], "this is no pack"),
        (["ecg-lamae-tiny", "--data", str(work / "pack")], "110 samples a lead, but the model takes 1000"),
        ([str(work / "run"), "--optim.lr", "1"], "a run keeps its settings"),
    ):
        assert main(["audit", *words]) == 2
        assert message in capsys.readouterr().err


def test_a_pack_that_was_prepared_differently_is_refused(work, capsys, tmp_path):
    from dataclasses import asdict, replace

    from train_fakes import PREPROCESSING

    from lamae.pack import Pack, write_pack

    pack = Pack.open(work / "pack")
    other = asdict(replace(PREPROCESSING, notch_hz=5.0))
    write_pack(
        tmp_path / "other",
        [pack.study(row) for row in range(len(pack))],
        pack.studies.select(["study_id", "split"]),
        cohort="fake",
        cohort_version="1",
        preprocessing=other,
    )
    assert main(["audit", str(work / "run"), "--data", str(tmp_path / "other")]) == 2
    assert "prepared differently" in capsys.readouterr().err
