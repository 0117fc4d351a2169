"""Fine-tuning learns a toy task, from pretrained and from random weights, and leaves a classifier behind."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lamae.checkpoint import find_checkpoint
from lamae.data import PackDataset
from lamae.errors import CheckpointError, ConfigError, DataError
from lamae.evals import EvalSettings, FinetuneConfig, finetune, load_classifier
from lamae.evals.finetuning.classifier import StudyClassifier
from lamae.evals.finetuning.finetune import head_config
from lamae.evals.finetuning.training import fit, make_optimiser
from lamae.evals.probes.encoder import load_encoder, stream_of
from lamae.evals.probes.head_training import masked_loss
from lamae.evals.settings import silent
from lamae.evals.tasks.task import make_task
from lamae.files import write_json
from lamae.pack import Pack

QUICK = EvalSettings(draws=11)
CONFIG = FinetuneConfig(epochs=13, patience=5, batch_size=19, lr=3e-3)


@pytest.mark.parametrize("init", ["pretrained", "scratch"])
def test_learns_a_toy_task(toy_run: Path, toy_pack: Pack, init):
    evaluation = finetune(toy_run, toy_pack, "inverted", init=init, readout="cls", config=CONFIG, settings=QUICK)
    assert evaluation.metric("macro_auroc").value > 0.95
    assert evaluation.info["finetune"]["init"] == init
    assert evaluation.info["system"] == ("LAMAE" if init == "pretrained" else "Scratch")
    (chosen,) = evaluation.info["selection"]["early_stopping"]
    assert 1 <= chosen["best_epoch"] <= chosen["epochs"] <= 13


def test_the_classifier_that_was_tested_is_the_one_that_is_kept(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    short = FinetuneConfig(epochs=2, batch_size=19)
    evaluation = finetune(toy_run, toy_pack, "inverted,luck", tmp_path / "out", config=short, settings=QUICK)
    model, meta = load_classifier(tmp_path / "out")
    assert model.config.label_names == ("inverted", "luck")
    assert meta.preprocessing == dict(toy_pack.info.preprocessing)
    task = make_task(toy_pack, "inverted,luck", QUICK)
    dataset = PackDataset([toy_pack], view_names=model.config.view_names, rows=task.rows[task.tested])
    np.testing.assert_allclose(model.predict(dataset.batch(np.arange(len(dataset)))), evaluation.scores, atol=1e-5)


def test_the_same_seed_gives_the_same_scores(toy_run: Path, toy_pack: Pack):
    short = FinetuneConfig(epochs=1, batch_size=19)
    scores = [
        finetune(toy_run, toy_pack, "inverted", config=short, settings=EvalSettings(draws=3, seed=seed)).scores
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert np.abs(scores[0] - scores[2]).max() > 0


def test_regression_is_in_the_unit_of_its_targets(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    evaluation = finetune(
        toy_run, toy_pack, "measure_size_mv", tmp_path / "out", readout="mean", config=CONFIG, settings=QUICK
    )
    assert evaluation.metric("macro_r2").value > 0.5
    assert np.abs(evaluation.scores).max() > 5
    assert load_classifier(tmp_path / "out")[0].config.kind == "regression"


def test_unknown_targets_have_no_gradient_and_the_loss_is_that_of_torch():
    outputs = torch.tensor([[0.3, -1.2], [2.0, 0.5]], requires_grad=True)
    targets = torch.tensor([[1.0, float("nan")], [0.0, 1.0]])
    loss = masked_loss(outputs, targets, is_regression=False)
    known = torch.nn.functional.binary_cross_entropy_with_logits(
        outputs[[0, 1, 1], [0, 0, 1]], torch.tensor([1.0, 0, 1])
    )
    assert loss.item() == pytest.approx(known.item())
    loss.backward()
    assert outputs.grad is not None
    assert outputs.grad[0, 1] == 0
    assert masked_loss(outputs, torch.full((2, 2), float("nan")), is_regression=True).item() == 0


def test_rates_fall_towards_the_input_and_the_decoder_is_left_alone(toy_run: Path, toy_pack: Pack):
    task = make_task(toy_pack, "inverted", QUICK)
    path = next((toy_run / "checkpoint").iterdir())
    start = load_encoder(path, weights="pretrained", seed=0)
    model = StudyClassifier(start, head_config(task, task.parts[0], "cls", ("I",)), width=16)
    optimiser = make_optimiser(model, FinetuneConfig(lr=1.0), 0.5)
    rate = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    names = {name: rate.get(id(parameter)) for name, parameter in model.named_parameters()}
    assert names["head.weight"] == 1.0
    assert names["encoder.latent.transformer.blocks.0.mlp.0.weight"] == 1.0
    assert names["encoder.encoders.ecg.transformer.blocks.1.mlp.0.weight"] == 0.5
    assert names["encoder.encoders.ecg.transformer.blocks.0.mlp.0.weight"] == 0.25
    assert names["encoder.encoders.ecg.embed.weight"] == 0.125
    assert all(value is None for name, value in names.items() if ".decoders." in name)
    decay = {id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    decays = {name: decay[id(p)] for name, p in model.named_parameters() if id(p) in decay}
    assert set(decays.values()) == {0.0, 0.05}
    assert decays["encoder.encoders.ecg.embed.weight"] == decays["encoder.encoders.ecg.identity"] == 0.05
    assert {decays[name] for name in decays if name.endswith("bias") or "norm" in name or "cls" in name} == {0.0}


def test_before_it_learns_a_linear_head_knows_nothing(toy_run: Path, toy_pack: Pack):
    start = load_encoder(find_checkpoint(toy_run), weights="pretrained", seed=0)
    task = make_task(toy_pack, "inverted", QUICK)
    model = StudyClassifier(start, head_config(task, task.parts[0], "cls", ("I",)), width=16).eval()
    dataset = PackDataset([toy_pack], view_names=start.config.streams["ecg"].view_names)
    assert model.predict(dataset.batch(np.arange(3))).tolist() == [[0.5]] * 3


def test_a_model_without_the_packs_stream_is_refused():
    with pytest.raises(ConfigError, match="the model has no stream 'echo', only ecg"):
        stream_of({"ecg": 1}, "echo")
    assert stream_of({"ecg": 1, "echo": 2}, "echo") == 2


def test_every_trained_weight_has_a_gradient(toy_run: Path, toy_pack: Pack):
    task = make_task(toy_pack, "inverted", QUICK)
    path = next((toy_run / "checkpoint").iterdir())
    start = load_encoder(path, weights="pretrained", seed=0)
    model = StudyClassifier(start, head_config(task, task.parts[0], "cls", ("I",)), width=16)
    torch.nn.init.normal_(model.head.weight)
    dataset = PackDataset([toy_pack], view_names=start.config.streams["ecg"].view_names)
    model(dataset.batch(np.arange(5))).square().sum().backward()
    without = [
        name
        for name, p in model.named_parameters()
        if ".decoders." not in name and not (p.grad is not None and p.grad.any())
    ]
    assert not without


def test_a_diverging_training_stops(toy_run: Path, toy_pack: Pack):
    with pytest.raises(DataError, match="lower lr"):
        finetune(toy_run, toy_pack, "inverted", config=FinetuneConfig(lr=1e30, warmup_fraction=0), settings=QUICK)


def test_a_gradient_without_bound_stops_under_a_finite_loss(toy_run: Path, toy_pack: Pack):
    task = make_task(toy_pack, "inverted", QUICK)
    start = load_encoder(find_checkpoint(toy_run), weights="pretrained", seed=0)
    model = StudyClassifier(start, head_config(task, task.parts[0], "cls", ("I",)), width=16)
    model.last_layer.bias.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(DataError, match=r"the loss is 0\.\d+ with a gradient of (nan|inf) at step 0: lower lr"):
        fit(model, task, task.parts[0], CONFIG, layer_decay=1.0, seed=0, progress=silent)


def test_folders_without_a_head_are_refused(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"no head\.json in it"):
        load_classifier(toy_run)
    finetune(toy_run, toy_pack, "inverted", tmp_path, config=FinetuneConfig(epochs=1), settings=QUICK)
    (tmp_path / "head.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="the weights of the head do not fit"):
        load_classifier(tmp_path)
    (tmp_path / "head.json").write_text('{"format": "lamae-head", "format_version": 7}')
    with pytest.raises(CheckpointError, match="expected lamae-head of version 2"):
        load_classifier(tmp_path)
    write_json(tmp_path / "head.json", {"format": "lamae-head", "format_version": 2})
    with pytest.raises(CheckpointError, match="label_names' is missing"):
        load_classifier(tmp_path)
