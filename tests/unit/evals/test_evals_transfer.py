"""Learning from one pack and testing on another."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lamae.errors import ConfigError, DataError
from lamae.evals import EvalSettings, FinetuneConfig, extract, finetune, handmade, probe
from lamae.evals.tasks.task import make_task
from lamae.pack import Pack, write_pack

from .conftest import PREPROCESSING, toy_studies, write_run, write_toy

LABELS = "inverted,luck"
QUICK = EvalSettings(draws=23)


def other_table(**columns) -> pa.Table:
    """Return the toy table with other patients, records and columns."""
    table = toy_studies()[1]
    patients = [key.replace("toy:", "other:") for key in table["patient_key"].to_pylist()]
    records = [key.replace("toy:", "other:") for key in table["record_key"].to_pylist()]
    changed = {"patient_key": patients, "record_key": records} | columns
    for name, values in changed.items():
        if name in table.column_names:
            table = table.drop_columns([name])
        if values is not None:
            table = table.append_column(name, pa.array(values))
    return table


@pytest.fixture(scope="module")
def other_pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return write_toy(tmp_path_factory.mktemp("other") / "pack", other_table(), cohort="other")


def written(tmp_path: Path, *, preprocessing=PREPROCESSING, **columns) -> Pack:
    return write_toy(tmp_path / "pack", other_table(**columns), cohort="other", preprocessing=preprocessing)


def test_one_pack_trains_and_the_other_is_tested_whole(toy_pack: Pack, other_pack: Pack):
    task = make_task(toy_pack, LABELS, EvalSettings(), test_pack=other_pack)
    alone = make_task(toy_pack, LABELS, EvalSettings())
    ours, theirs = (part.parts[0] for part in (alone, task))
    np.testing.assert_array_equal(task.rows[theirs.train], alone.rows[ours.train])
    np.testing.assert_array_equal(task.rows[theirs.validation], alone.rows[ours.validation])
    np.testing.assert_array_equal(task.patient_hash[theirs.train], alone.patient_hash[ours.train])
    assert len(theirs.test) == len(other_pack)
    assert (task.rows[theirs.test] >= len(toy_pack)).all()
    assert not set(task.patient_hash[theirs.test]) & set(task.patient_hash[theirs.train])
    assert task.is_transfer
    assert not alone.is_transfer
    assert (task.pack, task.tested_pack) == (toy_pack, other_pack)
    wanted = np.array(other_pack.studies["label_inverted"].to_pylist())
    np.testing.assert_array_equal(task.targets[theirs.test, 0], wanted)


def test_pieces_say_which_rows_of_which_pack(toy_pack: Pack, other_pack: Pack):
    task = make_task(toy_pack, LABELS, EvalSettings(), test_pack=other_pack)
    (first, rows), (second, tested) = task.pieces
    assert (first, second) == (toy_pack, other_pack)
    np.testing.assert_array_equal(np.concatenate([rows, tested + len(toy_pack)]), task.rows)
    part = task.parts[0]
    assert task.locate(part.train)[0] is toy_pack
    pack, found = task.locate(part.test[[5, 3]])
    assert pack is other_pack
    np.testing.assert_array_equal(found, tested[[5, 3]])
    with pytest.raises(ValueError, match="are of different packs"):
        task.locate(np.array([part.train[0], part.test[0]]))
    alone = make_task(toy_pack, LABELS, EvalSettings())
    assert len(alone.pieces) == 1
    np.testing.assert_array_equal(alone.pieces[0][1], alone.rows)


def test_only_the_test_split_of_the_other_pack_by_option(toy_pack: Pack, other_pack: Pack, tmp_path: Path):
    task = make_task(toy_pack, LABELS, EvalSettings(test_part="test"), test_pack=other_pack)
    split = np.array(other_pack.studies["split"].to_pylist())
    np.testing.assert_array_equal(task.pieces[1][1], np.flatnonzero(split == "test"))
    without = written(tmp_path, split=None)
    assert len(make_task(toy_pack, LABELS, EvalSettings(), test_pack=without).pieces[1][1]) == len(without)
    with pytest.raises(DataError, match="the studies have no split"):
        make_task(toy_pack, LABELS, EvalSettings(test_part="test"), test_pack=without)


def test_labels_that_the_other_pack_cannot_tell_are_skipped_by_name(toy_pack: Pack, tmp_path: Path):
    other = written(tmp_path, label_luck=None)
    task = make_task(toy_pack, LABELS, EvalSettings(), test_pack=other)
    assert task.label_names == ("inverted",)
    assert task.skipped == ({"label": "luck", "reason": "cohort other of the test pack has nothing that tells it"},)
    with pytest.raises(DataError, match="none of the labels luck is a column of it"):
        make_task(toy_pack, "luck", EvalSettings(), test_pack=other)


def test_the_vocabulary_is_that_of_the_training_studies(tmp_path: Path):
    num = toy_studies()[1].num_rows
    ours = [["I480"] if row % 2 else ["I10", "E119"] for row in range(num)]
    theirs = [["I480", "Z950"] if row % 3 else ["I10"] for row in range(num)]
    table = toy_studies()[1].append_column("codes_icd10cm", pa.array(ours))
    pack = write_toy(tmp_path / "ours", table)
    other = write_toy(tmp_path / "theirs", other_table(codes_icd10cm=theirs), cohort="other")
    task = make_task(pack, "icd10-3char", EvalSettings(), test_pack=other)
    assert task.label_names == ("E11", "I10", "I48")
    tested = task.targets[task.tested]
    assert tested[:, 0].sum() == 0
    assert tested[:, 2].tolist() == [float("I480" in codes) for codes in theirs]
    without = write_toy(tmp_path / "without", other_table(), cohort="other")
    with pytest.raises(DataError, match="cohort other: the label set needs the column 'codes_icd10cm'"):
        make_task(pack, "icd10-3char", EvalSettings(), test_pack=without)


def test_classes_here_and_values_there_are_refused(toy_pack: Pack, tmp_path: Path):
    other = written(tmp_path, label_inverted=np.linspace(0, 9, toy_studies()[1].num_rows))
    with pytest.raises(DataError, match="'inverted' is regression here but binary in the pack that is learned from"):
        make_task(toy_pack, "inverted", EvalSettings(), test_pack=other)


def test_patients_of_both_packs_are_refused(toy_pack: Pack, tmp_path: Path):
    table = toy_studies()[1]
    keys = other_table()["patient_key"].to_pylist()
    trained = table["split"].to_pylist().index("train")
    tested = table["split"].to_pylist().index("test")
    keys[0] = table["patient_key"].to_pylist()[trained]
    with pytest.raises(DataError, match=r"1 of 98 tested patients and 0 of \d+ tested records .* trained or selected"):
        make_task(toy_pack, LABELS, EvalSettings(), test_pack=written(tmp_path, patient_key=keys))
    keys[0] = table["patient_key"].to_pylist()[tested]  # nobody learns from the first pack's test patients
    unused = write_toy(tmp_path / "unused", other_table(patient_key=keys), cohort="other")
    assert make_task(toy_pack, LABELS, EvalSettings(), test_pack=unused).is_transfer


def test_recordings_of_both_packs_are_refused(toy_pack: Pack, tmp_path: Path):
    records = other_table()["record_key"].to_pylist()
    row = toy_pack.studies["split"].to_pylist().index("validation")
    records[5] = f"toy:record:{row}"
    with pytest.raises(DataError, match=r"0 of \d+ tested patients and 1 of \d+ tested records"):
        make_task(toy_pack, LABELS, EvalSettings(allow_leak=True), test_pack=written(tmp_path, record_key=records))


def test_a_pack_cannot_be_its_own_other(toy_pack: Pack):
    with pytest.raises(DataError, match="are trained or selected on"):
        make_task(toy_pack, LABELS, EvalSettings(), test_pack=toy_pack)


def test_packs_that_were_prepared_differently_are_refused(toy_pack: Pack, tmp_path: Path):
    other = written(tmp_path, preprocessing={"rate_hz": 20.0, "duration_s": 6.0})
    with pytest.raises(ConfigError, match=r"prepared differently, so cannot be joined: duration_s: 5.0 and 6.0"):
        make_task(toy_pack, LABELS, EvalSettings(), test_pack=other)


def test_folds_are_of_one_pack(toy_pack: Pack, other_pack: Pack):
    with pytest.raises(ConfigError, match="folds cross-validate within one pack"):
        make_task(toy_pack, LABELS, EvalSettings(folds=(1, 2, 3)), test_pack=other_pack)


def test_a_label_count_is_of_the_first_pack(toy_pack: Pack, other_pack: Pack):
    task = make_task(toy_pack, LABELS, EvalSettings(label_count=13), test_pack=other_pack)
    assert len(task.parts[0].train) == 13
    assert task.locate(task.parts[0].train)[0] is toy_pack


def test_a_probe_learned_here_holds_there(toy_run: Path, toy_pack: Pack, other_pack: Pack, tmp_path: Path):
    found = probe(toy_run, toy_pack, LABELS, tmp_path / "there", settings=QUICK, test_pack=other_pack)
    by_label = {row["label"]: row for row in found.info["per_label"]}
    assert by_label["inverted"]["auroc"]["value"] > 0.98
    assert by_label["inverted"]["studies"] == len(other_pack)
    assert by_label["luck"]["auroc"]["value"] < 0.7
    transfer = found.info["transfer"]
    assert (transfer["train"]["cohort"], transfer["test"]["cohort"]) == ("toy", "other")
    assert transfer["train"]["pack_hash"] == toy_pack.info.content_hash
    assert transfer["test_part"] == "all"
    assert found.info["data"]["cohort"] == "other"
    assert found.info["leak"]["patients_pretrained_on"] == 0
    assert json.loads((tmp_path / "there" / "result.json").read_text())["transfer"] == transfer
    assert probe(toy_run, toy_pack, "inverted", settings=QUICK).info["transfer"] is None


def test_the_tested_features_are_the_other_pack_s(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    """Waveforms of opposite sign make the scores of the same labels turn round."""
    studies, _ = toy_studies()
    upside_down = [one.with_waveforms(np.concatenate([one.values[:6], -one.values[6:]]), one.scale) for one in studies]
    info = {"cohort": "other", "cohort_version": "1", "preprocessing": PREPROCESSING}
    other = write_pack(tmp_path / "pack", upside_down, other_table(), **info)
    found = probe(toy_run, toy_pack, "inverted", settings=QUICK, test_pack=other)
    assert found.metric("macro_auroc").value < 0.02
    assert np.abs(extract(toy_run, other).values - extract(toy_run, toy_pack).values).max() > 0.1


def test_hand_made_features_and_fine_tuning_transfer(toy_run: Path, toy_pack: Pack, other_pack: Pack):
    by_hand = handmade(toy_pack, "inverted", settings=QUICK, test_pack=other_pack)
    assert len(by_hand.scores) == len(other_pack)
    tuned = finetune(
        toy_run, toy_pack, "inverted", settings=QUICK, test_pack=other_pack, config=FinetuneConfig(epochs=1)
    )
    assert len(tuned.scores) == len(other_pack)
    assert tuned.info["transfer"]["test"]["cohort"] == "other"


def test_a_run_that_was_pretrained_on_the_other_pack_s_patients_is_refused(
    toy_pack: Pack, other_pack: Pack, tmp_path: Path
):
    run = write_run(tmp_path / "run", ["other:1", "other:2", "toy:3"])
    with pytest.raises(DataError, match=r"2 of 97 tested patients and 0 of \d+ tested records were in the pretraining"):
        probe(run, toy_pack, "inverted", settings=QUICK, test_pack=other_pack)
    allowed = EvalSettings(draws=3, allow_leak=True)
    assert probe(run, toy_pack, "inverted", settings=allowed, test_pack=other_pack).info["leak"] == {
        "checked": True,
        "patients_pretrained_on": 2,
        "records_pretrained_on": 0,
        "allowed": True,
    }


def test_the_salt_that_counts_is_the_tested_pack_s(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    other = write_toy(tmp_path / "pack", other_table(), cohort="other", salt="another")
    with pytest.raises(DataError, match="another salt than the tested one"):
        probe(toy_run, toy_pack, "inverted", settings=QUICK, test_pack=other)
