"""What may learn in a fine-tuning: heads, frozen encoders, added latent attention; and a training that was cut off."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lamae.checkpoint import find_checkpoint, load_model, optimiser_tensors, restore_optimiser
from lamae.data import PackDataset
from lamae.errors import CheckpointError, ConfigError
from lamae.evals import EvalSettings, FinetuneConfig, finetune, load_classifier, read_result
from lamae.evals.finetuning.finetune import make_classifier, protocol_words, with_added_latent
from lamae.evals.probes.encoder import load_encoder
from lamae.evals.tasks.task import make_task
from lamae.pack import Pack

from .conftest import write_run

QUICK = EvalSettings(draws=11)
SHORT = FinetuneConfig(epochs=3, batch_size=19, lr=3e-3)
LONG = replace(SHORT, epochs=17)


@pytest.fixture(scope="module")
def independent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without latent attention."""
    return write_run(tmp_path_factory.mktemp("independent") / "run", ["nobody"], latent_depth=0)


def weights_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


@pytest.mark.parametrize("head", ["linear", "attentive", "mlp"])
@pytest.mark.parametrize("train", ["all", "head"])
def test_every_head_learns_and_is_kept(toy_run: Path, toy_pack: Pack, tmp_path: Path, head, train):
    config = replace(LONG, head=head, train=train, lr=1e-2 if train == "head" else 3e-3)
    evaluation = finetune(toy_run, toy_pack, "inverted", tmp_path / "out", config=config, settings=QUICK)
    assert evaluation.metric("macro_auroc").value > 0.9
    assert evaluation.info["protocol_id"] == "fine-tune"
    assert evaluation.info["initialisation"] == "pretrained"
    assert evaluation.info["system"] == "LAMAE"
    assert evaluation.info["readout"] == ("tokens" if head == "attentive" else "view-concat")
    assert evaluation.info["split"]["test_uses"] == 1
    assert ("frozen" in evaluation.info["protocol"]) == (train == "head")
    model, _ = load_classifier(tmp_path / "out")
    assert model.config.head == head
    task = make_task(toy_pack, "inverted", QUICK)
    dataset = PackDataset([toy_pack], view_names=model.config.view_names, rows=task.rows[task.tested])
    np.testing.assert_allclose(model.predict(dataset.batch(np.arange(len(dataset)))), evaluation.scores, atol=1e-5)


@pytest.mark.parametrize("head", ["linear", "attentive", "mlp"])
def test_heads_give_values_in_their_unit(toy_run: Path, toy_pack: Pack, head):
    config = replace(LONG, head=head, lr=1e-2)
    found = finetune(toy_run, toy_pack, "measure_size_mv", config=config, settings=QUICK)
    assert found.metric("macro_r2").value > 0.3
    assert np.abs(found.scores).max() > 5


@pytest.mark.parametrize("added", [0, 2])
def test_a_frozen_encoder_stays_as_it_was(independent: Path, toy_pack: Pack, tmp_path: Path, added: int):
    config = replace(SHORT, train="head", added_latent=added)
    finetune(independent, toy_pack, "inverted", tmp_path / "out", config=config, settings=QUICK)
    before = weights_of(load_model(independent)[0])
    after = weights_of(load_classifier(tmp_path / "out")[0].encoder)
    assert len(after) > len(before) if added else len(after) == len(before)
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=0, atol=0)


def test_of_a_frozen_encoder_only_the_head_has_a_gradient(toy_run: Path, independent: Path, toy_pack: Pack):
    task = make_task(toy_pack, "inverted", QUICK)
    path, config = find_checkpoint(independent), replace(SHORT, train="head", added_latent=1, head="mlp")
    start = load_encoder(path, weights="pretrained", seed=0)
    model = make_classifier(start, task, task.parts[0], "cls", config, seed=0)
    dataset = PackDataset([toy_pack], view_names=model.config.view_names)
    model(dataset.batch(np.arange(5))).square().sum().backward()
    learned = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert learned == {n for n, _ in model.named_parameters() if n.startswith(("head.", "encoder.latent."))}


@pytest.mark.parametrize("train", ["all", "head"])
def test_added_latent_attention_learns_is_kept_and_embeds(independent: Path, toy_pack: Pack, tmp_path: Path, train):
    config = replace(LONG, train=train, added_latent=1, epochs=13)
    evaluation = finetune(independent, toy_pack, "inverted", tmp_path / "out", config=config, settings=QUICK)
    assert evaluation.info["system"] == "Ind + LA"
    assert evaluation.info["readout"] == "cls"
    assert evaluation.info["run"]["added_latent"] == evaluation.info["run"]["latent_depth"] == 1
    assert evaluation.metric("macro_auroc").value > 0.9
    model, meta = load_classifier(tmp_path / "out")
    assert model.encoder.config.latent.depth == 1
    assert meta.readout == load_model(tmp_path / "out")[1].readout == "cls"
    task = make_task(toy_pack, "inverted", QUICK)
    dataset = PackDataset([toy_pack], view_names=model.config.view_names, rows=task.rows[task.tested])
    np.testing.assert_allclose(model.predict(dataset.batch(np.arange(len(dataset)))), evaluation.scores, atol=1e-5)


def test_added_latent_attention_leaves_the_encoder_and_depends_on_its_seed(independent: Path, toy_pack: Pack):
    start = load_model(independent)[0]
    one, same, other = (with_added_latent(start, 2, seed=seed) for seed in (1, 1, 2))
    batch = PackDataset([toy_pack], view_names=start.config.streams["ecg"].view_names).batch(np.arange(3))
    with torch.no_grad():
        torch.testing.assert_close(one.features(batch).encoder_tokens, start.features(batch).tokens)
    for name, value in weights_of(one).items():
        torch.testing.assert_close(value, weights_of(same)[name], rtol=0, atol=0)
    assert (one.latent.cls - other.latent.cls).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("changes", "init", "words"),
    [
        ({}, "pretrained", "all weights and a linear head"),
        ({"head": "mlp"}, "scratch", "supervised from random weights: all weights and a perceptron as head"),
        ({"head": "attentive", "train": "head"}, "pretrained", "an attentive head on a frozen encoder"),
        ({"added_latent": 2}, "pretrained", "all weights and 2 layers of added latent attention and a linear head"),
    ],
)
def test_a_protocol_in_words(changes: dict, init, words: str):
    assert protocol_words(replace(SHORT, **changes), init) == words


def test_from_scratch_both_architectures_have_their_names(toy_run: Path, independent: Path, toy_pack: Pack):
    for run, name in ((toy_run, "Scratch"), (independent, "Ind_S")):
        info = finetune(run, toy_pack, "inverted", init="scratch", config=replace(SHORT, epochs=1), settings=QUICK).info
        assert (info["system"], info["initialisation"], info["run"]["weights"]) == (name, "scratch", "random, seed 0")


def test_what_does_not_fit_together_is_refused(toy_run: Path, independent: Path, toy_pack: Pack):
    def refused(words: str, run: Path = independent, init="pretrained", readout=None, **how) -> None:
        given = {"init": init, "readout": readout, "settings": QUICK}
        with pytest.raises(ConfigError, match=words):
            finetune(run, toy_pack, "inverted", config=FinetuneConfig(epochs=1, **how), **given)

    refused("added_latent is for a run without latent attention; this one has 1 layers", toy_run, added_latent=1)
    refused("added_latent from scratch is the architecture of LAMAE", init="scratch", added_latent=1)
    refused("train='head' freezes the encoder", init="scratch", train="head")
    refused("the attentive head reads all tokens, so it has no read-out 'mean'", readout="mean", head="attentive")
    refused("unknown head 'svm': expected one of linear, attentive, mlp", head="svm")
    refused("unknown train 'none': expected one of all, head", train="none")
    refused("added_latent must not be below 0, found -1", added_latent=-1)


@pytest.mark.parametrize("labels", ["inverted,luck", "measure_size_mv"])
def test_the_test_studies_have_no_say(toy_run: Path, toy_pack: Pack, monkeypatch: pytest.MonkeyPatch, labels: str):
    given = {"config": replace(SHORT, epochs=2), "settings": QUICK}
    scores = finetune(toy_run, toy_pack, labels, **given).scores
    task = make_task(toy_pack, labels, QUICK)
    targets = task.targets.copy()
    targets[task.tested] = 7 - targets[task.tested] if task.is_regression else 1 - np.nan_to_num(targets[task.tested])
    module = importlib.import_module("lamae.evals.finetuning.finetune")  # the package's name is that of the function
    monkeypatch.setattr(module, "make_task", lambda *_, **__: replace(task, targets=targets))
    np.testing.assert_array_equal(finetune(toy_run, toy_pack, labels, **given).scores, scores)


class CutOffError(Exception):
    """In place of a killed process."""


def cut_off_after(epochs: int) -> Callable[[str, int, int], None]:
    left = [epochs]

    def progress(what: str, done: int, total: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise CutOffError

    return progress


@pytest.mark.parametrize("added", [0, 1])
@pytest.mark.parametrize("after", [1, 4])
def test_cut_off_and_begun_again_equals_not_cut_off(
    independent: Path, toy_pack: Pack, tmp_path: Path, added: int, after: int
):
    config = replace(SHORT, epochs=5, added_latent=added, head="mlp")
    given = (independent, toy_pack, "inverted")
    whole = finetune(*given, tmp_path / "whole", config=config, settings=QUICK)
    with pytest.raises(CutOffError):
        finetune(*given, tmp_path / "cut", config=config, settings=QUICK, progress=cut_off_after(after))
    assert not (tmp_path / "cut" / "result.json").exists()
    done = []
    again = finetune(
        *given, tmp_path / "cut", config=config, settings=QUICK, progress=lambda _, epoch, total: done.append(epoch)
    )
    assert done == list(range(after + 1, 6))
    np.testing.assert_array_equal(again.scores, whole.scores)
    for name in ("result.json", "predictions.parquet", "head.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not (tmp_path / "cut" / "progress").exists()


def test_a_cross_validation_goes_on_with_the_fold_that_was_cut_off(independent: Path, toy_pack: Pack, tmp_path: Path):
    settings, config = replace(QUICK, folds=(1, 2, 3)), replace(SHORT, epochs=2)
    given = (independent, toy_pack, "inverted")
    whole = finetune(*given, tmp_path / "whole", config=config, settings=settings)
    with pytest.raises(CutOffError):
        finetune(*given, tmp_path / "cut", config=config, settings=settings, progress=cut_off_after(3))
    done = []
    again = finetune(
        *given, tmp_path / "cut", config=config, settings=settings, progress=lambda _, epoch, total: done.append(epoch)
    )
    assert done == [2, 1, 2]
    np.testing.assert_array_equal(again.scores, whole.scores)
    assert read_result(tmp_path / "cut").info == read_result(tmp_path / "whole").info


def test_other_settings_on_what_was_cut_off_are_refused_with_the_difference(
    independent: Path, toy_pack: Pack, tmp_path: Path
):
    given = (independent, toy_pack, "inverted")
    with pytest.raises(CutOffError):
        finetune(*given, tmp_path, config=SHORT, settings=QUICK, progress=cut_off_after(1))
    words = r"begun with other settings .*: finetune.lr: 0.003 != 0.1; settings.seed: 0 != 7. Give the same settings"
    with pytest.raises(ConfigError, match=words):
        finetune(*given, tmp_path, config=replace(SHORT, lr=0.1), settings=replace(QUICK, seed=7))
    (tmp_path / "progress" / "training.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"training\.safetensors: damaged, .* remove .*progress to begin anew"):
        finetune(*given, tmp_path, config=SHORT, settings=QUICK)
    (tmp_path / "progress" / "settings.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"settings\.json: not readable as JSON .* to begin anew"):
        finetune(*given, tmp_path, config=SHORT, settings=QUICK)


def test_the_state_of_another_models_optimiser_is_refused():
    models = torch.nn.Linear(3, 2), torch.nn.Sequential(torch.nn.Linear(3, 2))
    optimisers = [torch.optim.AdamW(model.parameters()) for model in models]
    models[0](torch.ones(1, 3)).sum().backward()
    optimisers[0].step()
    held = optimiser_tensors(optimisers[0], models[0])
    with pytest.raises(CheckpointError, match="state is of another model's parameters, such as 'bias'"):
        restore_optimiser(optimisers[1], models[1], held, source="x")
    fresh = torch.optim.AdamW(models[0].parameters())
    restore_optimiser(fresh, models[0], held, source="x")
    for name, value in optimiser_tensors(fresh, models[0]).items():
        torch.testing.assert_close(value, held[name], rtol=0, atol=0)
