"""The linear probe, its controls, its cache and its guard on a pack whose labels are known."""

import errno
import json
import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from lamae.checkpoint import load_model, save_checkpoint
from lamae.errors import CheckpointError, ConfigError, DataError
from lamae.evals import EvalSettings, extract, handmade, paired_difference, probe, read_result
from lamae.evals.probes import features
from lamae.evals.probes.encoder import run_cache
from lamae.evals.probes.handmade import impute
from lamae.evals.probes.linear_probe import predict_linearly
from lamae.evals.probes.probe import _features_folder
from lamae.evals.probes.selection import scaled_log_loss
from lamae.evals.tasks.task import Part, make_task
from lamae.models import Readout
from lamae.pack import Pack
from lamae.provenance import UNTRAINED

from .conftest import write_run, write_toy

QUICK = EvalSettings(draws=53)
LABELS = "inverted,luck,never"


def test_a_visible_label_is_found_and_an_invisible_one_is_not(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    evaluation = probe(toy_run, toy_pack, LABELS, tmp_path / "result", settings=QUICK)
    by_label = {row["label"]: row for row in evaluation.info["per_label"]}
    assert by_label["inverted"]["auroc"]["value"] > 0.98
    assert by_label["luck"]["auroc"]["low"] < 0.5 < by_label["luck"]["auroc"]["high"]
    assert evaluation.info["skipped_labels"][0]["label"] == "never"
    assert evaluation.info["system"] == "LAMAE"
    assert evaluation.info["readout"] == "view-concat"
    assert evaluation.info["selection"]["on"] == "validation"
    assert evaluation.info["leak"] == {
        "checked": True,
        "patients_pretrained_on": 0,
        "records_pretrained_on": 0,
        "allowed": False,
    }
    assert evaluation.metric("macro_auroc").low < evaluation.metric("macro_auroc").value


def test_the_same_command_gives_the_same_result(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    for name in ("a", "b"):
        probe(toy_run, toy_pack.path, "inverted", tmp_path / name, settings=QUICK)
    assert (tmp_path / "a" / "result.json").read_bytes() == (tmp_path / "b" / "result.json").read_bytes()
    assert (tmp_path / "a" / "predictions.parquet").read_bytes() == (
        tmp_path / "b" / "predictions.parquet"
    ).read_bytes()


def test_no_identifier_is_in_a_result(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    probe(toy_run, toy_pack, "inverted", tmp_path / "result", settings=QUICK)
    content = b"".join(file.read_bytes() for file in (tmp_path / "result").iterdir())
    assert b"toy:" not in content
    assert str(tmp_path).encode() not in content
    assert b'"s1"' not in content


def test_the_random_control_is_named_and_needs_no_guard(toy_pack: Pack, tmp_path: Path):
    everyone = toy_pack.studies["patient_key"].to_pylist()
    run = write_run(tmp_path / "run", everyone)
    evaluation = probe(run, toy_pack, "inverted", weights="random", settings=QUICK)
    assert evaluation.info["system"] == "Random"
    assert evaluation.info["leak"] is None
    assert evaluation.info["run"]["checkpoint_hash"] is None
    assert evaluation.info["run"]["weights"] == "random, seed 0"


def test_random_weights_depend_on_the_seed(toy_run: Path, toy_pack: Pack):
    tables = [extract(toy_run, toy_pack, weights="random", seed=seed).values for seed in (1, 1, 2)]
    np.testing.assert_array_equal(tables[0], tables[1])
    assert np.abs(tables[0] - tables[2]).max() > 0.01
    assert np.abs(tables[0] - extract(toy_run, toy_pack).values).max() > 0.01


@pytest.mark.parametrize(("readout", "width"), [("cls", 16), ("mean", 16), ("view-concat", 192)])
def test_read_outs_and_batches(toy_run: Path, toy_pack: Pack, readout, width: int):
    whole = extract(toy_run, toy_pack, readout=readout).values
    assert whole.shape == (len(toy_pack), width)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(extract(toy_run, toy_pack, readout=readout, batch_size=7).values, whole, atol=1e-5)


def test_features_are_cached_under_everything_they_depend_on(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    fresh = extract(toy_run, toy_pack, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 5  # one pass keeps every read-out
    before = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    np.testing.assert_array_equal(extract(toy_run, toy_pack, cache=tmp_path).values, fresh.values)
    for readout in get_args(Readout):
        apart = extract(toy_run, toy_pack, readout=readout).values
        np.testing.assert_array_equal(extract(toy_run, toy_pack, cache=tmp_path, readout=readout).values, apart)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == before
    extract(toy_run, toy_pack, cache=tmp_path, weights="random")
    extract(toy_run, toy_pack, cache=tmp_path, precision="bf16")
    extract(toy_run, toy_pack, cache=tmp_path, rows=np.arange(7))
    assert len(list(tmp_path.iterdir())) == 20


def test_independent_leads_have_no_second_copy_in_the_cache(toy_pack: Pack, tmp_path: Path):
    run = write_run(tmp_path / "run", [], latent_depth=0)
    extract(run, toy_pack, cache=tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2
    bypassed = extract(run, toy_pack, cache=tmp_path / "cache", readout="encoder-mean").values
    np.testing.assert_array_equal(bypassed, extract(run, toy_pack, readout="mean").values)


def test_rows_are_extracted_alone_and_in_their_order(toy_run: Path, toy_pack: Pack):
    rows = np.array([11, 3, 101, 4])
    chosen = extract(toy_run, toy_pack, rows=rows)
    np.testing.assert_allclose(chosen.values, extract(toy_run, toy_pack).values[rows], atol=1e-5)


def test_a_cache_that_was_damaged_or_cut_off_is_made_anew(
    toy_run: Path, toy_pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fresh = extract(toy_run, toy_pack, cache=tmp_path, readout="mean").values.copy()
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[:-5])
    np.testing.assert_array_equal(extract(toy_run, toy_pack, cache=tmp_path, readout="mean").values, fresh)
    read, blocks = features.read_out, []

    def full(*given):
        blocks.append(given)
        if len(blocks) > 7:
            raise OSError(errno.ENOSPC, "no space")
        return read(*given)

    monkeypatch.setattr(features, "read_out", full)
    with pytest.raises(OSError, match="the disk is full; nothing half-written is kept"):
        extract(toy_run, toy_pack, cache=tmp_path / "full", batch_size=64)
    assert not list((tmp_path / "full").iterdir())


def test_studies_with_features_that_are_not_finite_are_counted_and_named(toy_pack: Pack, tmp_path: Path):
    run = write_run(tmp_path / "run", [])
    model, meta = load_model(run)
    with torch.no_grad():
        next(model.encoders.parameters()).fill_(float("nan"))
    (folder,) = (run / "checkpoint").iterdir()
    shutil.rmtree(folder)
    kept = {"modality": meta.modality, "preprocessing": meta.preprocessing, "readout": meta.readout, "step": 3}
    save_checkpoint(run / "checkpoint", model=model, provenance=UNTRAINED, **kept)
    task = make_task(toy_pack, "inverted", QUICK)
    first = ", ".join(task.study_hash[:3])
    words = rf"not finite for {len(task.rows)} of {len(task.rows)} studies \(by study hash: {first}, ...\)"
    with pytest.raises(DataError, match=words):
        probe(run, toy_pack, "inverted", settings=QUICK)
    with pytest.raises(DataError, match=words):
        probe(run, toy_pack, "inverted", settings=QUICK, protocol="attention-pool")


def test_tested_patients_that_were_pretrained_on_are_refused(toy_pack: Pack, tmp_path: Path):
    split = toy_pack.studies["split"].to_pylist()
    keys = toy_pack.studies["patient_key"].to_pylist()
    tested = sorted({key for key, part in zip(keys, split, strict=True) if part == "test"})
    run = write_run(tmp_path / "run", ["toy:0x", *tested[:3]])
    with pytest.raises(DataError, match=rf"3 of {len(tested)} tested patients and 0 of \d+ tested records"):
        probe(run, toy_pack, "inverted", settings=QUICK)
    allowed = probe(run, toy_pack, "inverted", settings=EvalSettings(draws=3, allow_leak=True))
    assert allowed.info["leak"]["patients_pretrained_on"] == 3
    assert allowed.info["leak"]["allowed"]


def test_tested_records_under_another_patient_are_refused(toy_pack: Pack, tmp_path: Path):
    row = toy_pack.studies["split"].to_pylist().index("test")
    run = write_run(tmp_path / "run", [f"toy:record:{row}"])
    with pytest.raises(DataError, match=r"0 of \d+ tested patients and 1 of \d+ tested records"):
        probe(run, toy_pack, "inverted", settings=QUICK)


def test_cross_validation_with_pretrained_patients_is_refused(toy_run: Path, toy_pack: Pack):
    with pytest.raises(DataError, match="were in the pretraining data"):
        probe(toy_run, toy_pack, "inverted", settings=EvalSettings(folds=(1, 2, 3), draws=3))


def test_a_run_that_does_not_say_whom_it_saw_is_refused(toy_pack: Pack, tmp_path: Path):
    run = write_run(tmp_path / "run", None)
    with pytest.raises(DataError, match="nobody can tell whether the tested patients were pretrained on"):
        probe(run, toy_pack, "inverted", settings=QUICK)
    allowed = probe(run, toy_pack, "inverted", settings=EvalSettings(draws=3, allow_leak=True))
    assert allowed.info["leak"] == {"checked": False, "allowed": True}


def test_a_run_of_another_salt_is_refused(toy_pack: Pack, tmp_path: Path):
    run = write_run(tmp_path / "run", ["toy:0x"], salt="another")
    with pytest.raises(DataError, match="another salt than the tested one, so nobody can tell"):
        probe(run, toy_pack, "inverted", settings=QUICK)
    allowed = probe(run, toy_pack, "inverted", settings=EvalSettings(draws=3, allow_leak=True))
    assert allowed.info["leak"] == {"checked": False, "allowed": True}


@pytest.mark.parametrize("damage", ["other", "gone"])
def test_a_checkpoint_whose_list_of_patients_is_damaged_is_refused(toy_pack: Pack, tmp_path: Path, damage: str):
    run = write_run(tmp_path / "run", ["toy:0x"])
    (file,) = run.glob("checkpoint/*/patients.parquet")
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes((*write_run(tmp_path / "b", []).glob("checkpoint/*/patients.parquet"),)[0].read_bytes())
    with pytest.raises(CheckpointError, match=r"patients\.parquet(: damaged| is missing)"):
        probe(run, toy_pack, "inverted", settings=EvalSettings(draws=3, allow_leak=True))


def test_cross_validated_probe(toy_pack: Pack, tmp_path: Path):
    run = write_run(tmp_path / "run", [], latent_depth=0)
    evaluation = probe(run, toy_pack, "inverted", settings=EvalSettings(folds=(1, 2, 3, 4, 5), draws=23))
    assert evaluation.info["system"] == "Ind_P"
    assert evaluation.info["split"]["cross_validated_folds"] == 5
    assert evaluation.info["split"]["test"]["studies"] == len(toy_pack) == len(evaluation.scores)
    assert len(evaluation.info["selection"]["l2"]) == 5
    assert evaluation.metric("macro_auroc").value > 0.98


def test_the_test_set_has_no_say_in_the_penalty(toy_pack: Pack):
    task = make_task(toy_pack, "inverted,luck", QUICK)
    features = np.random.default_rng(1).normal(size=(len(task.rows), 13))
    features[:, 0] += 2 * task.targets[:, 0]
    scores, selection, _ = predict_linearly(features, task, QUICK)
    turned_round = task.targets.copy()
    turned_round[task.tested] = 1 - turned_round[task.tested]
    other = make_task(toy_pack, "inverted,luck", QUICK)
    object.__setattr__(other, "targets", turned_round)
    again, same, _ = predict_linearly(features, other, QUICK)
    assert same == selection
    np.testing.assert_array_equal(again, scores)


@pytest.mark.parametrize("select_by", ["macro-auroc", "log-loss"])
def test_either_criterion_chooses_on_the_validation_studies(toy_pack: Pack, select_by):
    settings = EvalSettings(draws=3, select_by=select_by)
    task = make_task(toy_pack, "luck", settings)
    features = np.random.default_rng(2).normal(size=(len(task.rows), 61))
    _, selection, in_validation = predict_linearly(features, task, settings)
    assert [one.shape for one in in_validation] == [(len(task.parts[0].validation), 1)]
    assert selection["metric"] == select_by
    assert selection["on"] == "validation"


def test_the_log_loss_is_taken_at_the_best_spread_of_the_scores():
    rng = np.random.default_rng(3)
    targets = (rng.random((997, 2)) < 0.5).astype(float)
    scores = 4 * (rng.normal(size=(997, 2)) + 2 * targets - 1)
    targets[::5, 1] = np.nan
    at_best, bias = scaled_log_loss(scores, np.zeros(2), targets), np.array([0.3, -0.2])
    np.testing.assert_allclose(scaled_log_loss(7 * scores, np.zeros(2), targets), at_best, rtol=0.02)
    reference = LogisticRegression(C=np.inf, fit_intercept=False).fit(scores[:, :1], targets[:, 0])
    plain = log_loss(targets[:, 0], reference.predict_proba(scores[:, :1]))
    assert at_best[0] == pytest.approx(plain, rel=0.01)
    assert np.isnan(scaled_log_loss(scores, bias, np.full((997, 2), np.nan))).all()


def test_features_that_are_not_finite_are_refused(toy_pack: Pack):
    task = make_task(toy_pack, "inverted", QUICK)
    with pytest.raises(DataError, match="studies have features that are not finite"):
        predict_linearly(np.full((len(task.rows), 3), np.nan), task, QUICK)


def test_a_validation_set_of_one_class_is_refused(toy_pack: Pack):
    task = make_task(toy_pack, "inverted", QUICK)
    targets = task.targets.copy()
    targets[task.parts[0].validation] = 0
    object.__setattr__(task, "targets", targets)
    features = np.random.default_rng(2).normal(size=(len(task.rows), 3))
    with pytest.raises(DataError, match="no penalty can be chosen by macro-auroc"):
        predict_linearly(features, task, EvalSettings(select_by="macro-auroc"))
    assert predict_linearly(features, task, QUICK)[1]["metric"] == "log-loss"


def test_regression(toy_run: Path, toy_pack: Pack):
    evaluation = probe(toy_run, toy_pack, "measure_size_mv", settings=QUICK)
    assert evaluation.info["labels"]["kind"] == "regression"
    assert evaluation.metric("macro_r2").value > 0.8
    assert evaluation.metric("macro_mae").value < 5
    assert evaluation.info["selection"]["metric"] == "mae"


def test_hand_made_features(toy_pack: Pack, tmp_path: Path):
    evaluation = handmade(toy_pack, LABELS, tmp_path / "hand", settings=QUICK)
    assert evaluation.info["kind"] == "handmade"
    assert evaluation.info["run"] is None
    assert evaluation.metric("macro_auroc").value > 0.5
    assert read_result(tmp_path / "hand").info == evaluation.info


def test_imputation_learns_from_the_training_studies_alone():
    features = np.array([[1.0, np.nan], [3.0, np.nan], [5.0, np.nan], [np.nan, 7.0], [1e9, np.nan]])
    part = Part(train=np.array([0, 1, 2]), validation=np.array([3]), test=np.array([4]))
    filled = impute(features, part)
    np.testing.assert_allclose(filled[3], [3.0, 0.0, 1.0, 0.0])  # the median; a feature nobody trained on is 0
    np.testing.assert_allclose(filled[4], [4.98, 0.0, 0.0, 1.0])  # moved to the 99.5 % of the training studies


def test_pretrained_against_random_on_the_same_studies(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    probe(toy_run, toy_pack, LABELS, tmp_path / "a", settings=QUICK)
    handmade(toy_pack, LABELS, tmp_path / "b", settings=QUICK)
    same = paired_difference(tmp_path / "a", tmp_path / "a")
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    there, back = paired_difference(tmp_path / "a", tmp_path / "b"), paired_difference(tmp_path / "b", tmp_path / "a")
    assert there.value == -back.value
    assert there.low <= there.value <= there.high


def test_results_that_cannot_be_compared_are_refused(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    settings = EvalSettings(draws=3, allow_leak=True)
    one = probe(toy_run, toy_pack, "inverted,luck", settings=settings)
    with pytest.raises(DataError, match="different labels: luck in one only"):
        paired_difference(one, probe(toy_run, toy_pack, "inverted", settings=settings))
    folds = EvalSettings(draws=3, allow_leak=True, folds=(1, 2, 3))
    with pytest.raises(DataError, match=r"different studies: \d+ are only in 'LAMAE', \d+ only in 'LAMAE'"):
        paired_difference(one, probe(toy_run, toy_pack, "inverted,luck", settings=folds))
    other = probe(toy_run, toy_pack, "inverted,luck", settings=settings)
    other.targets[0, 0] = 1 - other.targets[0, 0]
    with pytest.raises(DataError, match="other targets for inverted"):
        paired_difference(one, other)


def test_a_pack_prepared_differently_is_refused(toy_run: Path, tmp_path: Path):
    pack = write_toy(tmp_path / "pack", preprocessing={"rate_hz": 20.0, "duration_s": 6.0})
    with pytest.raises(ConfigError, match=r"prepared differently .*duration_s: 5.0 != 6.0"):
        extract(toy_run, pack)


def test_wrong_runs_and_read_outs_are_refused(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    with pytest.raises(CheckpointError, match="no checkpoint there"):
        extract(tmp_path, toy_pack)
    with pytest.raises(ConfigError, match="unknown read-out 'max'"):
        extract(toy_run, toy_pack, readout="max")  # pyright: ignore[reportArgumentType]


def test_absent_policy_is_in_the_result(toy_run: Path, toy_pack: Pack):
    settings = EvalSettings(draws=3, absent="0.5", seed=5)
    info = probe(toy_run, toy_pack, "inverted", settings=settings).info
    assert info["absent_policy"] == "0.5"
    assert info["bootstrap"] == {
        "unit": "patient",
        "draws": 3,
        "seed": 5,
        "level": 0.95,
        "patients": info["split"]["test"]["patients"],
    }
    json.dumps(info, allow_nan=False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"weights": "randon"}, "unknown weights 'randon': did you mean 'random'"),
        ({"protocol": "liner"}, "unknown protocol 'liner': did you mean 'linear'"),
        ({"readout": "view_concat"}, "unknown read-out 'view_concat': did you mean 'view-concat'"),
    ],
)
def test_misspelt_words_name_the_nearest(toy_run: Path, toy_pack: Pack, words, message):
    with pytest.raises(ConfigError, match=message):
        probe(toy_run, toy_pack, "inverted", settings=EvalSettings(draws=11), **words)


def test_tokens_need_a_folder_that_is_removed_where_none_is_kept(toy_run: Path):
    with _features_folder(toy_run, cache=False, needed=True) as folder:
        assert folder is not None
        assert Path(folder).is_dir()
    assert not Path(folder).exists()
    with _features_folder(toy_run, cache=False, needed=False) as folder:
        assert folder is None
    for needed in (True, False):
        with _features_folder(toy_run, cache=True, needed=needed) as folder:
            assert folder == run_cache(toy_run)
