import math
import signal

import numpy as np
import pytest
import torch
from train_fakes import fake_config, write_fake_pack

from lamae.data import PackDataset
from lamae.ecg.leads import LEADS
from lamae.errors import ConfigError
from lamae.models import MaskedAutoencoder
from lamae.progress import format_seconds
from lamae.run_files import read_metrics, write_metrics
from lamae.train import DataConfig, OptimConfig
from lamae.train.loop import make_trainer
from lamae.train.optim import learning_rate, make_optimiser, schedule_in_words
from lamae.train.step import read_ahead, train_step, validation_loss
from lamae.train.stopping import stop_requests
from lamae.train.workers import Workers

ALONE = Workers(rank=0, world_size=1, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    pack = write_fake_pack(tmp_path_factory.mktemp("pack") / "pack", whole=False)
    return PackDataset([pack], view_names=LEADS, split="train")


def trained(dataset, steps=3, **overrides):
    trainer = make_trainer(fake_config(**overrides), dataset, ALONE)
    return trainer, [train_step(trainer, step) for step in range(steps)]


def test_the_rate_by_hand():
    config = OptimConfig(steps=10, warmup_steps=4, lr=8.0, batch_size=1)
    assert [learning_rate(config, step) for step in range(4)] == [2.0, 4.0, 6.0, 8.0]
    assert learning_rate(config, 4) == 8.0
    assert learning_rate(config, 7) == pytest.approx(4.0)
    assert learning_rate(config, 9) == pytest.approx(4.0 * (1 + math.cos(math.pi * 5 / 6)))
    assert learning_rate(OptimConfig(steps=3, warmup_steps=0, lr=2.0), 0) == 2.0


def test_a_constant_rate_and_its_cooldown_by_hand():
    config = OptimConfig(steps=10, warmup_steps=2, lr=8.0, schedule="constant", cooldown_steps=4)
    assert [learning_rate(config, step) for step in range(10)] == [4, 8, 8, 8, 8, 8, 8, 6, 4, 2]
    assert schedule_in_words(config) == "linear warm-up of 2 steps, constant, linear to 0 over the last 4"
    flat = OptimConfig(steps=3, warmup_steps=1, lr=8.0, schedule="constant")
    assert [learning_rate(flat, step) for step in range(3)] == [8, 8, 8]
    assert schedule_in_words(flat) == "linear warm-up of 1 steps, constant"


def test_weight_decay_on_matrices_only():
    model = MaskedAutoencoder(fake_config().model)
    groups = make_optimiser(model, OptimConfig(weight_decay=0.3)).param_groups
    assert [group["weight_decay"] for group in groups] == [0.3, 0.0]
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    undecayed = {names[id(parameter)] for parameter in groups[1]["params"]}
    assert {name for name in names.values() if name.endswith("bias")} < undecayed
    assert "decoders.ecg.mask_token" in undecayed
    assert not any(name.endswith("qkv.weight") for name in undecayed)
    assert sum(len(group["params"]) for group in groups) == len(names)


def test_muon_moves_the_matrices_of_the_blocks():
    model = MaskedAutoencoder(fake_config().model)
    optimiser = make_optimiser(model, OptimConfig(optimiser="muon", weight_decay=0.3))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimiser.step()
    for name, parameter in model.named_parameters():
        by_muon = "momentum_buffer" in optimiser.state[parameter]
        assert by_muon == (".blocks." in name and name.endswith("weight") and "norm" not in name), name
    assert sum(len(group["params"]) for group in optimiser.param_groups) == len(list(model.parameters()))


@pytest.mark.parametrize("strategy", ["random", "tube"])
def test_accumulation_does_not_change_the_step(dataset, strategy):
    options = {"model__mask__strategy": strategy, "data__min_views": 2}
    _, whole = trained(dataset, **options)
    _, cut = trained(dataset, optim__accumulation=3, **options)
    for ours, theirs in zip(whole, cut, strict=True):
        assert theirs.loss == pytest.approx(ours.loss, rel=1e-5)
        assert theirs.grad_norm == pytest.approx(ours.grad_norm, rel=1e-4)


ALIGNED = {"model__latent__depth": 0, "model__decoder_context": "none", "optim__warmup_steps": 0}


@pytest.mark.parametrize("metric", ["mse", "cosine"])
def test_accumulation_does_not_change_an_aligned_step(dataset, metric):
    options = ALIGNED | {"alignment": {"metric": metric}, "optim__steps": 3, "data__min_views": 2}
    _, whole = trained(dataset, **options)
    _, cut = trained(dataset, optim__accumulation=3, **options)
    for ours, theirs in zip(whole, cut, strict=True):
        assert theirs.loss == pytest.approx(ours.loss, rel=1e-5)
        assert theirs.parts == pytest.approx(ours.parts, rel=1e-5)
        assert theirs.grad_norm == pytest.approx(ours.grad_norm, rel=1e-4)


def test_the_parts_of_an_aligned_loss(dataset):
    """At weight 0, in the first step, alignment changes nothing; then it adds its weight times its value."""
    _, plain = trained(dataset, optim__steps=3, **ALIGNED)
    _, results = trained(dataset, optim__steps=3, **ALIGNED, alignment={"metric": "simclr"})
    assert plain[0].parts == {}
    assert results[0].parts["alignment_weight"] == 0
    assert results[0].loss == plain[0].loss
    assert results[0].grad_norm == pytest.approx(plain[0].grad_norm, rel=1e-6)
    assert [result.parts["alignment_weight"] for result in results] == pytest.approx([0, 1, 2])
    for result in results:
        parts = result.parts
        together = parts["reconstruction"] + parts["alignment_weight"] * parts["alignment"]
        assert result.loss == pytest.approx(together, rel=1e-6)
    assert results[1].grad_norm != plain[1].grad_norm


def test_an_aligned_run_aligns_the_leads(dataset):
    options = ALIGNED | {"optim__steps": 40, "optim__lr": 1e-2}
    _, plain = trained(dataset, steps=40, **options, alignment={"metric": "cosine", "final_weight": 1e-9})
    _, results = trained(dataset, steps=40, **options, alignment={"metric": "cosine"})
    assert results[-1].parts["alignment"] < plain[-1].parts["alignment"] - 0.02


def test_the_validation_loss_is_reconstruction_alone(dataset):
    trainer, _ = trained(dataset, steps=0, **ALIGNED)
    aligned, _ = trained(dataset, steps=0, **ALIGNED, alignment={"metric": "cosine"})
    assert validation_loss(aligned, dataset) == validation_loss(trainer, dataset)


def test_bf16_follows_fp32(dataset):
    _, exact = trained(dataset)
    _, rounded = trained(dataset, precision="bf16")
    assert rounded[0].loss != exact[0].loss
    for ours, theirs in zip(exact, rounded, strict=True):
        assert theirs.loss == pytest.approx(ours.loss, rel=0.02)


def test_clipping_bounds_the_step(dataset):
    free, results = trained(dataset, steps=1, optim__clip=None)
    assert results[0].grad_norm > 0.1
    clipped, again = trained(dataset, steps=1, optim__clip=1e-9)
    assert again[0].grad_norm == results[0].grad_norm
    moments = [clipped.optimiser.state[parameter]["exp_avg"].norm() for parameter in clipped.model.parameters()]
    assert max(moments) < 1e-9
    assert max(free.optimiser.state[parameter]["exp_avg"].norm() for parameter in free.model.parameters()) > 1e-3


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_every_parameter_moves(dataset, kind):
    before = make_trainer(fake_config(), dataset, ALONE).model.state_dict()
    trainer, _ = trained(dataset, optim__optimiser=kind)
    for name, value in trainer.model.state_dict().items():
        assert not torch.equal(value, before[name]), name


def test_validation_is_the_same_each_time_and_in_any_batches(dataset):
    trainer, _ = trained(dataset, steps=1)
    first = validation_loss(trainer, dataset)
    assert validation_loss(trainer, dataset) == first
    small, _ = trained(dataset, steps=1, optim__batch_size=7)
    small = make_trainer(fake_config(optim__batch_size=2), dataset, ALONE)
    small.model.load_state_dict(trainer.model.state_dict())
    assert validation_loss(small, dataset) == pytest.approx(first, rel=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own compiler says so
def test_compiled_follows_eager(dataset):
    _, eager = trained(dataset)
    _, compiled = trained(dataset, compile=True)
    for ours, theirs in zip(eager, compiled, strict=True):
        assert theirs.loss == pytest.approx(ours.loss, rel=1e-4)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"optim__steps": 0}, "optim.steps must be above 0, found 0"),
        ({"optim__lr": 0}, r"optim.lr must be above 0, found 0.0"),
        ({"optim__warmup_steps": 14}, r"optim.warmup_steps must lie between 0 and optim.steps \(13\), found 14"),
        ({"optim__cooldown_steps": 5}, "optim.cooldown_steps is for optim.schedule 'constant', found 'cosine'"),
        ({"optim__schedule": "constant", "optim__cooldown_steps": 11}, r"cooldown_steps must fit between the warm-up"),
        ({"optim__schedule": "linear"}, "optim.schedule: expected"),
        ({"optim__weight_decay": -1}, "optim.weight_decay must not be negative"),
        ({"optim__betas": [0.9, 1.0]}, r"optim.betas must lie in \[0, 1\)"),
        ({"optim__clip": 0}, "optim.clip must be above 0 or null"),
        ({"optim__accumulation": 0}, "optim.accumulation must be above 0"),
        ({"optim__batch_size": 0}, "optim.batch_size must be above 0"),
        ({"data__train_splits": []}, "data.train_splits must name a split"),
        ({"data__validation_splits": ["train"]}, "data.train_splits and data.validation_splits share train"),
        ({"data__validation_studies": 0}, "data.validation_studies must be above 0"),
        ({"data__views": []}, "data.views must name a lead"),
        ({"data__min_views": 0}, "data.min_views must be above 0"),
        ({"data__max_patients": 0}, "data.max_patients must be above 0"),
        ({"data__patients_seed": -1}, "data.patients_seed must not be negative"),
        ({"optim__betas": [-0.1, 0.9]}, r"optim.betas must lie in \[0, 1\)"),
        ({"optim__cooldown_steps": -1, "optim__schedule": "constant"}, "cooldown_steps must fit between the warm-up"),
        ({"optim__warmup_steps": -1}, "optim.warmup_steps must lie between 0"),
        ({"log_every": 0}, "log_every must be above 0"),
        ({"save_every": 0}, "save_every must be above 0"),
        ({"keep": 0}, "keep must be above 0"),
        ({"seed": -1}, "seed must not be negative"),
        (
            {"model__latent__depth": 0, "model__decoder_context": "none", "readout": "cls"},
            "readout 'cls' needs latent attention",
        ),
        ({"alignment": {"tokens": "cls"}}, "alignment.tokens 'cls' needs model.instance_cls"),
        ({"alignment": {}, "data__views": ["I"]}, "alignment needs two views or more to align, found one"),
        ({"alignment": {"midpoint": 400}}, "alignment.midpoint is a share of the run"),
        ({"alignment": {"metrics": "mse"}}, "unknown setting 'alignment.metrics': did you mean 'alignment.metric'"),
        ({"optim__stepz": 3}, "unknown setting 'optim.stepz': did you mean 'optim.steps'"),
    ],
)
def test_wrong_settings(overrides, words):
    with pytest.raises(ConfigError, match=words):
        fake_config(**overrides)


def test_settings_at_the_edge_of_their_range_are_taken():
    optim = {"optim__warmup_steps": 0, "optim__weight_decay": 0, "optim__betas": [0.0, 0.0], "optim__accumulation": 1}
    config = fake_config(**optim, data__min_views=1, data__max_patients=1, data__validation_studies=1, keep=1, seed=0)
    assert (config.data.min_views, config.data.max_patients, config.data.patients_seed) == (1, 1, 0)
    steady = fake_config(optim__schedule="constant", optim__warmup_steps=3, optim__cooldown_steps=10)
    assert steady.optim.cooldown_steps == 10
    assert fake_config(alignment={}, data__views=["I", "II"]).alignment is not None


def test_what_is_read_ahead_ends_with_the_run(dataset):
    with read_ahead(make_trainer(fake_config(optim__accumulation=2), dataset, ALONE)) as ahead:
        found = [ahead._following(key) for key in ((3, 0), (3, 1), (11, 1), (12, 0), (12, 1))]
    assert found == [(3, 1), (4, 0), (12, 0), (12, 1), None]


def test_no_gpu_is_said(monkeypatch):
    from lamae.nn.precision import choose_device

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    with pytest.raises(ConfigError, match="device 'cuda' was asked for, but torch finds no GPU"):
        choose_device("cuda")


def test_signals_are_noted_and_given_back():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with stop_requests() as stop:
        assert not stop
        signal.raise_signal(signal.SIGINT)
        assert stop
        assert stop.signal_name == "SIGINT"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_line_cut_off_by_a_crash_is_left_out(tmp_path):
    file = tmp_path / "metrics.jsonl"
    write_metrics(file, [{"step": 1}, {"step": 2}])
    with file.open("a") as opened:
        opened.write('{"st')
    assert read_metrics(file) == [{"step": 1}, {"step": 2}]


def test_times_in_words():
    assert [format_seconds(s) for s in (0.4, 59.6, 200, 3600, 7384)] == [
        "0 s", "1 min 00 s", "3 min 20 s", "1 h 00 min", "2 h 03 min",
    ]  # fmt: skip


def test_defaults_are_whole():
    assert DataConfig().train_splits == ("train",)
    assert np.isclose(OptimConfig().lr, 1e-3)
