"""A second kind of model, with an EMA and a loss of two parts, is trained, resumed, loaded and read out."""

import json
import os
import signal

import numpy as np
import pytest
import torch
from second_model import LatentPrediction, LatentPredictionConfig, second_config
from train_fakes import fake_config, write_fake_pack

from lamae.checkpoint import load_model
from lamae.config import apply_overrides, from_dict, to_dict
from lamae.data import PackDataset
from lamae.ecg.leads import LEADS
from lamae.errors import CheckpointError, ConfigError
from lamae.models import MODELS, build_model, read_out
from lamae.models.pretrainable import Drawable, Pretrainable, PretrainableConfig
from lamae.pack import Pack
from lamae.run_files import read_metrics
from lamae.train import PretrainConfig, loop, pretrain
from lamae.train.loop import make_trainer
from lamae.train.run_folder import RunFolder
from lamae.train.step import train_step, validation_loss
from lamae.train.workers import Workers

ALONE = Workers(rank=0, world_size=1, device=torch.device("cpu"))


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """All that a further kind of model takes: its class in the dictionary."""
    monkeypatch.setitem(MODELS, "latent-prediction", LatentPrediction)


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    return write_fake_pack(tmp_path_factory.mktemp("pack") / "pack").path


def run_config(**overrides):
    return apply_overrides(second_config(fake_config()), {k.replace("__", "."): v for k, v in overrides.items()})


def trained(pack, steps=3, **overrides):
    dataset = PackDataset([Pack.open(pack)], view_names=LEADS, split="train")
    trainer = make_trainer(run_config(**overrides), dataset, ALONE)
    return trainer, [train_step(trainer, step) for step in range(steps)]


@pytest.mark.parametrize("make", [run_config, fake_config])
def test_a_model_offers_what_the_protocol_asks_for(make):
    config = make()
    model = build_model(config.model)
    assert isinstance(model, Pretrainable)
    assert isinstance(model.config, PretrainableConfig)
    assert isinstance(model, Drawable) == (config.model.kind == "masked-autoencoder")
    assert set(MODELS) == {"masked-autoencoder", "latent-prediction"}


def stopped_at(step, monkeypatch):
    real_step = loop.train_step

    def step_and_stop(trainer, number):
        result = real_step(trainer, number)
        if number == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    monkeypatch.setattr(loop, "train_step", step_and_stop)


def test_a_stopped_run_goes_on_bit_by_bit_with_its_ema(tmp_path, pack, monkeypatch):
    config = run_config(optim__optimiser="muon", optim__accumulation=2)  # of two optimisers, one of them AdamW
    whole = pretrain(config, [pack], tmp_path / "whole", progress=False)
    assert whole.status == "finished"
    with monkeypatch.context() as patched:
        stopped_at(6, patched)
        assert pretrain(config, [pack], tmp_path / "cut", progress=False).status == "interrupted"
    assert pretrain(config, [pack], tmp_path / "cut", progress=False).status == "finished"
    (ours, meta), (theirs, _) = load_model(tmp_path / "whole"), load_model(tmp_path / "cut")
    assert isinstance(ours, LatentPrediction)
    assert meta.model == "latent-prediction"
    assert ours.config == config.model
    state, other = ours.state_dict(), theirs.state_dict()
    assert all(torch.equal(state[name], other[name]) for name in state)
    assert int(state["num_moves"]) == 13
    assert not torch.equal(state["target.embed.weight"], state["encoder.embed.weight"])
    lines, again = (
        [{k: v for k, v in line.items() if k not in ("seconds", "studies_per_s")} for line in read_metrics(path)]
        for path in (tmp_path / "whole" / "metrics.jsonl", tmp_path / "cut" / "metrics.jsonl")
    )
    assert lines == again
    assert all({"prediction", "spread", "spread_weight"} <= line.keys() for line in lines)
    assert lines[-1]["loss"] == pytest.approx(lines[-1]["prediction"] + 0.01 * lines[-1]["spread"])


def test_the_ema_follows_and_has_no_gradient(pack):
    trainer, _ = trained(pack, steps=0)
    model = trainer.model
    first = {name: value.clone() for name, value in model.state_dict().items()}
    train_step(trainer, 0)
    now = model.state_dict()
    expected = torch.lerp(first["target.embed.weight"], now["encoder.embed.weight"], 0.2)
    torch.testing.assert_close(now["target.embed.weight"], expected)
    optimised = {id(p) for group in trainer.optimiser.param_groups for p in group["params"]}
    assert {name for name, p in model.named_parameters() if id(p) not in optimised} == {
        name for name, _ in model.named_parameters() if name.startswith("target.")
    }


def test_accumulation_does_not_change_the_step(pack):
    _, whole = trained(pack)
    _, cut = trained(pack, optim__accumulation=3)
    for ours, theirs in zip(whole, cut, strict=True):
        assert theirs.loss == pytest.approx(ours.loss, rel=1e-5)
        assert theirs.parts == pytest.approx(ours.parts, rel=1e-5)


def test_a_non_finite_step_moves_nothing(pack, monkeypatch):
    trainer, _ = trained(pack, steps=1)
    monkeypatch.setattr(trainer.model.mask_token, "data", torch.full_like(trainer.model.mask_token, torch.nan))
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    assert not train_step(trainer, 1).finite
    after = trainer.model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before if name != "mask_token")


def test_it_learns_is_validated_and_read_out(pack):
    trainer, results = trained(pack, steps=13)
    assert results[-1].loss < results[0].loss
    dataset = PackDataset([Pack.open(pack)], view_names=LEADS, split="validation")
    assert 0 < validation_loss(trainer, dataset) < 10
    features = trainer.model.features(dataset.batch(np.arange(3)))
    assert read_out(features, "view-concat", LEADS).shape == (3, 12 * 20)


def test_the_card_of_its_run(tmp_path, pack):
    pretrain(run_config(optim__steps=3), [pack], tmp_path / "run", progress=False)
    card = RunFolder(tmp_path / "run").info["card"]
    assert card["system"] == "Latent prediction"
    assert card["momentum"] == 0.8
    assert card["parameters"]["encoder"] == card["parameters"]["target_encoder"] > card["parameters"]["predictor"] > 0
    flops = card["flops"]["by_part"]
    assert flops["encoder"] > 0
    assert flops["target_encoder"] > 0
    assert flops["predictor"] > 0
    assert card["mask"]["families"][0]["num_blocks"] == 2
    assert not (tmp_path / "run" / "examples").exists()


def test_its_configuration_goes_there_and_back():
    config = run_config()
    content = to_dict(config)
    assert content["model"]["kind"] == "latent-prediction"
    assert from_dict(PretrainConfig, json.loads(json.dumps(content)), source="here") == config
    assert isinstance(config.model, LatentPredictionConfig)
    assert run_config(model__momentum=0.5).model.momentum == 0.5


def test_wrong_kinds_and_keys_of_another_kind_are_refused(monkeypatch):
    content = to_dict(run_config())
    with pytest.raises(ConfigError, match=r"unknown setting 'model\.latent'"):
        from_dict(PretrainConfig, content | {"model": content["model"] | {"latent": {}}}, source="here")
    content["model"]["kind"] = "jepa"
    with pytest.raises(ConfigError, match=r"model\.kind: expected one of masked-autoencoder, latent-prediction, found"):
        from_dict(PretrainConfig, content, source="here")
    with pytest.raises(ConfigError, match="'cls' needs latent attention"):
        run_config(readout="cls")


def test_a_checkpoint_of_a_kind_that_is_not_known_is_refused(tmp_path, pack, monkeypatch):
    pretrain(run_config(optim__steps=3), [pack], tmp_path / "run", progress=False)
    monkeypatch.delitem(MODELS, "latent-prediction")
    with pytest.raises(CheckpointError, match="kind 'latent-prediction'; known is 'masked-autoencoder'"):
        load_model(tmp_path / "run")
