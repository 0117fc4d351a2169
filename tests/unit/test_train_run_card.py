import json
import math
from dataclasses import replace

import pytest
import torch
from train_fakes import fake_config, write_fake_pack

from lamae import recipes
from lamae.batch import ClipConfig
from lamae.models import StreamConfig
from lamae.models.accounting import example_batch, flops_per_step
from lamae.objectives import AlignmentConfig
from lamae.train import pretrain
from lamae.train.run_card import flops_of_run, hardware, processor_name, run_card, system_name, tokens_of_study
from lamae.train.run_folder import RunFolder
from lamae.train.stopping import StopRequest
from lamae.train.workers import Workers

ALONE = Workers(rank=0, world_size=1, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    return write_fake_pack(tmp_path_factory.mktemp("pack") / "pack", whole=False).path


def test_the_card_of_a_run(tmp_path, pack):
    config = fake_config(optim__steps=3)
    pretrain(config, [pack], tmp_path / "run", recipe_name="fake", progress=False)
    info = RunFolder(tmp_path / "run").info
    card = info["card"]
    assert card["parameters"] == info["parameters"]
    assert card["studies"] == info["training"]["studies"]
    assert card["seconds"] == info["seconds"]
    assert card["hardware"]["device"] == "cpu"
    assert card["hardware"]["processes"] == 1
    assert card["system"] == "LAMAE"
    assert card["tokens"] == {"per_view": 11, "views": 12, "visible": 36, "total": 132}
    assert card["mask"] == {
        "strategy": "random", "ratio": 0.7, "latent_ratio": 0.0, "hidden_views": 0, "num_masks": 1
    }  # fmt: skip
    wanted = {
        "target": "patch-normalised", "decoder_context": "cls", "steps": 3, "batch_size": 7, "optimiser": "adamw",
        "lr": 3e-3, "schedule": "linear warm-up of 3 steps, cosine to 0", "warmup_steps": 3, "weight_decay": 0.05,
        "precision": "fp32", "seed": 11, "encoder_weights": "shared", "alignment": None,
    }  # fmt: skip
    assert {key: card[key] for key in wanted} == wanted
    assert card["flops"]["total"] == 3 * card["flops"]["step"] > 0


def test_the_time_of_a_resumed_run_adds_up(tmp_path, pack, monkeypatch):
    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(StopRequest, "__bool__", lambda self: True)
        assert pretrain(fake_config(), [pack], run, progress=False).status == "interrupted"
    first = json.loads((run / "run.json").read_text())
    assert first["card"]["seconds"] == first["seconds"]
    with monkeypatch.context() as patched:
        patched.delattr("lamae.train.loop.train_step")
        with pytest.raises(NameError):
            pretrain(fake_config(), [pack], run, progress=False)  # what a run says while it goes on
    assert RunFolder(run).info["card"]["seconds"] == first["seconds"]
    summary = pretrain(fake_config(), [pack], run, progress=False)
    card = RunFolder(run).info["card"]
    assert card["seconds"] == round(summary.seconds, 1) >= first["seconds"]


def test_time_is_unknown_before_the_end():
    card = run_card(fake_config(), modality="ecg", num_studies=5, workers=ALONE)
    assert card["seconds"] is None
    assert json.loads(json.dumps(card)) == card


def test_operations_of_a_global_batch_however_it_is_cut():
    config = fake_config()
    whole = flops_of_run(config, "ecg", world_size=1)
    expected = flops_per_step(config.model, example_batch(config.model, num_studies=7))
    assert whole["step"] == expected["total"]
    assert whole["by_part"] == {part: round(flops / 7) for part, flops in expected.items()}
    assert flops_of_run(fake_config(optim__accumulation=3), "ecg", world_size=2)["step"] == whole["step"]


def test_contrast_is_counted_in_the_micro_batches_in_which_it_is_computed():
    """7 studies of 12 leads of width 20 in 3 micro-batches of 3, 2 and 2; a product of all views with each other."""
    contrast = AlignmentConfig(metric="simclr")
    config = replace(fake_config(optim__accumulation=3), alignment=contrast)
    plain = flops_of_run(replace(config, alignment=None), "ecg", world_size=1)["step"]
    products = sum((12 * size) ** 2 for size in (3, 2, 2))
    assert flops_of_run(config, "ecg", world_size=1)["step"] - plain == 3 * 2 * 20 * products


def test_tokens_of_chosen_leads_and_hidden_ones():
    config = fake_config(data__views=["I", "II", "V1"])
    assert tokens_of_study(config, "ecg") == {"per_view": 11, "views": 3, "visible": 9, "total": 33}
    hidden = fake_config(model__mask__strategy="view", model__mask__hidden_views=5)
    assert tokens_of_study(hidden, "ecg")["visible"] == 7 * 3
    one = fake_config(data__views=["I", "II"], model__mask__strategy="view", model__mask__hidden_views=1)
    assert tokens_of_study(one, "ecg")["visible"] == 3
    more = fake_config(data__views=["I", "II"], model__mask__strategy="view", model__mask__hidden_views=5)
    assert tokens_of_study(more, "ecg")["visible"] == 3  # one view stays
    fewer = flops_of_run(config, "ecg", world_size=1)["step"]
    assert fewer < flops_of_run(fake_config(), "ecg", world_size=1)["step"] / 3


def test_tokens_of_a_model_of_frames():
    """Two views of 3 frames of 6 patches, of which round(6 * .3) = 2 are visible."""
    clip = ClipConfig(frames=3, instances="frame")
    stream = StreamConfig(patch=(4, 5), grid=(8, 15), view_names=("A4C", "PLAX"), clip=clip)
    plain = fake_config()
    config = replace(plain, model=replace(plain.model, streams={"echo": stream}))
    assert tokens_of_study(config, "echo") == {"per_view": 18, "views": 2, "visible": 12, "total": 36}


INDEPENDENT = {"model__latent__depth": 0, "model__decoder_context": "none"}


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ({}, "LAMAE"),
        (INDEPENDENT, "Ind_P"),
        (INDEPENDENT | {"alignment": {"metric": "mix"}}, "MMVM"),
        ({"alignment": {}}, "LAMAE + alignment"),
        ({"model__encoder__depth": 0}, "Joint"),
        (INDEPENDENT | {"model__encoder_weights": "private"}, "Ind_P, private encoders"),
    ],
)
def test_names_of_systems(overrides, name):
    assert system_name(fake_config(**overrides)) == name


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_has_the_name_of_its_system(name):
    kinds = {"lamae": "LAMAE", "independent": "Ind_P", "mmvm": "MMVM", "joint": "Joint"}
    assert system_name(recipes.get(name)) == kinds[name.split("-")[1]]


def test_the_processor_is_named_and_the_machine_is_not(tmp_path):
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel name\t: A Processor 9000\nprocessor\t: 1\nmodel name\t: other\n")
    assert processor_name(file) == "A Processor 9000"
    file.write_text("processor\t: 0\n")
    assert processor_name(file) == processor_name(tmp_path / "absent") != ""
    assert set(hardware(ALONE)) == {"device", "name", "threads", "processes"}
    assert math.isfinite(hardware(ALONE)["threads"])
