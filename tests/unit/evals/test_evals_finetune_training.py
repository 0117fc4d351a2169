"""The loop of fine-tuning, by hand: the best epoch is restored, and every weight moves at its block's rate."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lamae.checkpoint import find_checkpoint
from lamae.evals import EvalSettings, FinetuneConfig, finetune, load_classifier
from lamae.evals.finetuning import training
from lamae.evals.finetuning.finetune import make_classifier
from lamae.evals.finetuning.state import TrainingState
from lamae.evals.finetuning.training import fit
from lamae.evals.probes.encoder import load_encoder
from lamae.evals.settings import silent
from lamae.evals.tasks.task import make_task
from lamae.pack import Pack

from .conftest import write_run

QUICK = EvalSettings(draws=3)
CONFIG = FinetuneConfig(epochs=7, patience=2, batch_size=19, lr=3e-3)


def fit_with_values(
    run: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch, values: Sequence[float], begun: TrainingState | None = None
) -> tuple[dict, list[TrainingState], dict[str, torch.Tensor]]:
    """Train while the validation studies give these values; return what was chosen, each epoch's state, the weights."""
    left = iter(values)
    monkeypatch.setattr(training, "_validation_value", lambda *_: next(left))
    task = make_task(pack, "inverted", QUICK)
    start = load_encoder(find_checkpoint(run), weights="pretrained", seed=0)
    model = make_classifier(start, task, task.parts[0], "cls", CONFIG, seed=0)
    states: list[TrainingState] = []

    def keep(state: TrainingState) -> None:  # a copy, as a file would be: the state holds the weights that learn on
        states.append(replace(state, parts={part: copied(tensors) for part, tensors in state.parts.items()}))

    given = {"layer_decay": 1.0, "seed": 0, "progress": silent}
    chosen = fit(model, task, task.parts[0], CONFIG, begun=begun, keep=keep, **given)
    assert not model.training
    return chosen, states, copied(dict(model.named_parameters()))


def copied(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in tensors.items()}


def assert_weights_of(found: dict[str, torch.Tensor], state: TrainingState) -> None:
    for name, value in state.parts["weights"].items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("values", "best", "epochs"),
    [
        ((0.6, 0.8, 0.7, 0.8), 2, 4),  # an equal value is no better, and the patience of 2 is over
        ((0.9, 0.8, 0.7), 1, 3),
        ((-math.inf,) * 3, 1, 3),  # the first epoch is better than none, whatever its value
        ((-3.0, -2.0, -1.5, -1.0, -0.5, -0.25, -0.125), 7, 7),  # minus an error; the last of all epochs
        ((0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.5), 6, 7),
    ],
)
def test_the_weights_of_the_best_epoch_are_restored(
    toy_run: Path, toy_pack: Pack, monkeypatch: pytest.MonkeyPatch, values: tuple[float, ...], best: int, epochs: int
):
    chosen, states, found = fit_with_values(toy_run, toy_pack, monkeypatch, values)
    wanted = {"best_epoch": best, "epochs": epochs, "value": abs(values[best - 1]), "metric": "macro-auroc"}
    assert chosen == wanted
    assert [state.epoch for state in states] == list(range(1, epochs + 1))
    assert_weights_of(found, states[best - 1])
    name = "encoder.encoders.ecg.embed.weight"
    assert (
        len({float(state.parts["weights"][name].sum()) for state in states}) == epochs
    )  # each epoch has weights of its own


def test_a_training_that_goes_on_restores_a_best_epoch_from_before_it_was_cut_off(
    toy_run: Path, toy_pack: Pack, monkeypatch: pytest.MonkeyPatch
):
    _, whole, best = fit_with_values(toy_run, toy_pack, monkeypatch, (0.6, 0.8, 0.7, 0.75))
    chosen, states, found = fit_with_values(toy_run, toy_pack, monkeypatch, (0.75,), begun=whole[2])
    assert (chosen["best_epoch"], chosen["epochs"], len(states)) == (2, 4, 1)
    assert_weights_of(found, whole[1])
    for name, value in best.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0)


def test_without_both_classes_in_validation_the_log_loss_is_compared(
    toy_run: Path, toy_pack: Pack, monkeypatch: pytest.MonkeyPatch
):
    """Three known targets with probabilities .5, .8 and .1 of what they are; the last label is known nowhere."""
    task = make_task(toy_pack, "inverted,luck", QUICK)
    part = task.parts[0]
    targets = task.targets.copy()
    targets[part.validation] = np.nan
    targets[part.validation[:3], 0] = 1
    scores = np.full((len(part.validation), 2), 0.3)
    scores[:3, 0] = 0.5, 0.8, 0.1
    monkeypatch.setattr(training, "predict", lambda *_: scores)
    start = load_encoder(find_checkpoint(toy_run), weights="pretrained", seed=0)
    model = make_classifier(start, task, part, "cls", CONFIG, seed=0)
    value = training._validation_value(model, replace(task, targets=targets), part, CONFIG)
    assert value == pytest.approx((math.log(0.5) + math.log(0.8) + math.log(0.1)) / 3)
    targets[part.validation[:3], 0] = 0
    value = training._validation_value(model, replace(task, targets=targets), part, CONFIG)
    assert value == pytest.approx((math.log(0.5) + math.log(0.2) + math.log(0.9)) / 3)
    targets[part.validation[0], 0] = 1  # AUROC of 1 positive and 2 negatives, one of them above it
    value = training._validation_value(model, replace(task, targets=targets), part, CONFIG)
    assert value == 0.5


RATES = {
    "head.": 1.0,
    "encoder.latent.norm.": 1.0,
    "encoder.latent.transformer.blocks.0.": 1.0,
    "encoder.latent.cls": 0.5,
    "encoder.encoders.ecg.norm.": 0.5,
    "encoder.encoders.ecg.transformer.blocks.1.": 0.5,
    "encoder.encoders.ecg.transformer.blocks.0.": 0.25,
    "encoder.encoders.ecg.embed.": 0.125,
    "encoder.encoders.ecg.identity": 0.125,
    "encoder.decoders.": 0.0,
}
"""Halved from each block to the one below it: latent attention of 1 block on an encoder of 2."""
ADDED = {
    "head.": 1.0,
    "encoder.latent.norm.": 1.0,
    "encoder.latent.transformer.blocks.1.": 1.0,
    "encoder.latent.transformer.blocks.0.": 0.5,
    "encoder.latent.cls": 0.25,
    "encoder.encoders.ecg.norm.": 0.25,
    "encoder.encoders.ecg.transformer.blocks.1.": 0.25,
    "encoder.encoders.ecg.transformer.blocks.0.": 0.125,
    "encoder.encoders.ecg.embed.": 0.0625,
    "encoder.encoders.ecg.identity": 0.0625,
    "encoder.decoders.": 0.0,
}
"""The same with 2 blocks of added latent attention."""


def moved(start: torch.nn.Module, end: torch.nn.Module) -> dict[str, float]:
    """Return the furthest way of any value of each parameter that both have."""
    ends = dict(end.named_parameters())
    return {name: float((ends[name] - value).abs().max().detach()) for name, value in start.named_parameters()}


@pytest.mark.parametrize(("added", "init"), [(0, "pretrained"), (2, "pretrained"), (0, "scratch")])
def test_every_weight_moves_at_the_rate_of_its_block(toy_run: Path, toy_pack: Pack, tmp_path: Path, added, init):
    """The first step of Adam moves a value by its rate: its gradient divided by its own size."""
    lr, run = 2.0**-7, write_run(tmp_path / "run", [], latent_depth=0) if added else toy_run
    config = FinetuneConfig(
        epochs=1, batch_size=10_000, lr=lr, layer_decay=0.5, weight_decay=0.0, warmup_fraction=0.0, head="mlp"
    )
    config = replace(config, added_latent=added)
    given = {"init": init, "readout": "cls", "config": config, "settings": QUICK}
    finetune(run, toy_pack, "inverted", tmp_path / "out", **given)
    end = load_classifier(tmp_path / "out")[0]
    task, weights = make_task(toy_pack, "inverted", QUICK), "random" if init == "scratch" else "pretrained"
    start = load_encoder(find_checkpoint(run), weights=weights, seed=0)
    model = make_classifier(start, task, task.parts[0], "cls", config, seed=0)
    prevalence = task.targets[task.parts[0].train].mean()  # what an untrained head predicts
    torch.nn.init.constant_(model.last_layer.bias, float(np.log(prevalence / (1 - prevalence))))
    rates = ADDED if added else RATES
    found = moved(model, end)
    assert len(found) > 40
    for name, value in found.items():
        (rate,) = [rate for prefix, rate in rates.items() if name.startswith(prefix)]
        rate = 1.0 if init == "scratch" and rate else rate
        assert value == pytest.approx(lr * rate, rel=1e-2), name
