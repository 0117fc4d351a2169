"""The same request may be made again; the result of another one is replaced only where that is asked for."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from lamae.data import PackDataset
from lamae.errors import ConfigError
from lamae.evals import EvalSettings, FinetuneConfig, finetune, handmade, load_classifier, probe, read_result
from lamae.evals.sweeps.label_efficiency import label_efficiency
from lamae.evals.sweeps.robustness import robustness
from lamae.evals.tasks.task import make_task
from lamae.files import write_json
from lamae.pack import Pack

from .conftest import write_run

QUICK = EvalSettings(draws=3)
SHORT = FinetuneConfig(epochs=2, batch_size=19)
REFUSED = r"result\.json: the result of another request is there already.*--overwrite"


def verbs(run: Path, pack: Pack):
    return {
        "probe": lambda labels, out, **how: probe(run, pack, labels, out, settings=QUICK, **how),
        "finetune": lambda labels, out, **how: finetune(run, pack, labels, out, config=SHORT, settings=QUICK, **how),
        "efficiency": lambda labels, out, **how: label_efficiency(
            run, pack, labels, out, fractions=[1.0], settings=QUICK, **how
        ),
        "robustness": lambda labels, out, **how: robustness(
            run, pack, labels, out, conditions=["leads:2"], settings=QUICK, **how
        ),
    }


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("verb", ["probe", "finetune", "efficiency", "robustness"])
def test_another_result_is_refused_and_replaced_when_asked(toy_run: Path, toy_pack: Pack, tmp_path: Path, verb: str):
    judge = verbs(toy_run, toy_pack)[verb]
    judge("inverted", tmp_path)
    before = files(tmp_path)
    with pytest.raises(ConfigError, match=REFUSED):
        judge("luck", tmp_path)
    assert files(tmp_path) == before
    judge("inverted", tmp_path)  # the same command again
    assert files(tmp_path) == before
    judge("luck", tmp_path, overwrite=True)
    results = sorted(tmp_path.rglob("result.json"))
    assert results
    assert {read_result(file.parent).label_names for file in results} == {("luck",)}
    judge("luck", tmp_path / "new")
    assert [file.name for file in sorted((tmp_path / "new").rglob("result.json"))] == ["result.json"] * len(results)


def test_another_encoder_is_another_request(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    probe(toy_run, toy_pack, "inverted", tmp_path / "out", settings=QUICK)
    for how in ({"weights": "random"}, {"protocol": "knn"}, {"system": "Ours"}, {"readout": "mean"}):
        with pytest.raises(ConfigError, match=REFUSED):
            probe(toy_run, toy_pack, "inverted", tmp_path / "out", settings=QUICK, **how)  # type: ignore[arg-type]


def test_hand_made_features_are_asked_for_too(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    probe(toy_run, toy_pack, "inverted", tmp_path, settings=QUICK)
    with pytest.raises(ConfigError, match=REFUSED):
        handmade(toy_pack, "inverted", tmp_path, settings=QUICK)


def test_fine_tuning_over_another_one_keeps_the_encoder_that_was_tested(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    finetune(toy_run, toy_pack, "luck", tmp_path, config=SHORT, settings=QUICK)
    kept = finetune(toy_run, toy_pack, "inverted", tmp_path, config=SHORT, settings=QUICK, overwrite=True)
    model, _ = load_classifier(tmp_path)
    task = make_task(toy_pack, "inverted", QUICK)
    dataset = PackDataset([toy_pack], view_names=model.config.view_names, rows=task.rows[task.tested])
    np.testing.assert_allclose(model.predict(dataset.batch(np.arange(len(dataset)))), kept.scores, atol=1e-5)


def test_a_probe_over_a_fine_tuning_leaves_no_classifier_behind(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    finetune(toy_run, toy_pack, "luck", tmp_path, config=SHORT, settings=QUICK)
    probe(toy_run, toy_pack, "luck", tmp_path, settings=QUICK, overwrite=True)
    assert set(files(tmp_path)) == {"result.json", "predictions.parquet"}


def test_the_beginning_of_another_fine_tuning_is_replaced_when_asked(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    (tmp_path / "progress").mkdir()
    write_json(tmp_path / "progress" / "settings.json", {"init": "other"})
    with pytest.raises(ConfigError, match="begun with other settings"):
        finetune(toy_run, toy_pack, "luck", tmp_path, config=SHORT, settings=QUICK)
    finetune(toy_run, toy_pack, "luck", tmp_path, config=SHORT, settings=QUICK, overwrite=True)
    assert not (tmp_path / "progress").exists()


@pytest.mark.parametrize("verb", [probe, finetune])
def test_an_encoder_is_not_replaced_by_its_own_result(verb, toy_pack: Pack, tmp_path: Path):
    run, settings = write_run(tmp_path / "run", ["nobody"]), EvalSettings(draws=3, min_count=1, allow_leak=True)
    tuned = tmp_path / "tuned"
    finetune(run, toy_pack, "inverted", tuned, config=FinetuneConfig(epochs=1), settings=settings)
    before = files(tuned)
    with pytest.raises(ConfigError, match="holds the encoder itself, which would be replaced; give another folder"):
        verb(tuned, toy_pack, "inverted", tuned, settings=settings, overwrite=True)
    assert files(tuned).keys() >= before.keys()
    assert {name: files(tuned)[name] for name in before} == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_run_is_no_place_for_a_result(toy_pack: Pack, tmp_path: Path, overwrite: bool):
    run = write_run(tmp_path / "run", ["nobody"])
    before = files(run)
    with pytest.raises(ConfigError, match=r"run\.json is there, no result; give another folder"):
        finetune(run, toy_pack, "inverted", run, config=SHORT, settings=QUICK, overwrite=overwrite)
    assert files(run) == before


def test_a_damaged_result_is_made_anew(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    probe(toy_run, toy_pack, "inverted", tmp_path / "a", settings=QUICK)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / "result.json").write_text("{")
    probe(toy_run, toy_pack, "inverted", tmp_path / "b", settings=QUICK)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    other = json.loads((tmp_path / "a" / "result.json").read_text()) | {"format_version": 97}
    write_json(tmp_path / "b" / "result.json", other)
    with pytest.raises(ConfigError, match=REFUSED):
        probe(toy_run, toy_pack, "inverted", tmp_path / "b", settings=QUICK)
