"""Names of systems, and what a result keeps of the run that an encoder comes from."""

from dataclasses import replace
from pathlib import Path

import pytest

from lamae.checkpoint import find_checkpoint, read_meta
from lamae.evals import EvalSettings, probe
from lamae.evals.identity import describe_encoder, system_name
from lamae.pack import Pack

from .conftest import write_run

CARD = {
    "system": "MMVM",
    "seed": 23,
    "steps": 3,
    "studies": 307,
    "seconds": 61.0,
    "flops": {"step": 11, "total": 11_099, "by_part": {"encoder": 7}},
    "parameters": {"encoder": 5, "total": 5},
}


@pytest.mark.parametrize(
    ("pretrained", "depth", "how", "name"),
    [
        (None, 1, {}, "LAMAE"),
        (None, 0, {}, "Ind_P"),
        ("LAMAE", 1, {"readout": "view-concat"}, "LAMAE"),
        ("LAMAE", 1, {"readout": "encoder-view-concat"}, "LAMAE_E"),
        ("LAMAE", 1, {"readout": "encoder-tokens"}, "LAMAE_E"),
        ("Ind_P", 0, {"readout": "encoder-mean"}, "Ind_P"),
        ("MMVM", 0, {}, "MMVM"),
        ("Joint", 3, {}, "Joint"),
        ("LAMAE", 1, {"initialisation": "scratch"}, "Scratch"),
        ("Ind_P", 0, {"initialisation": "scratch"}, "Ind_S"),
        ("Ind_P, private encoders", 0, {"initialisation": "scratch"}, "Ind_S, private encoders"),
        ("MMVM", 0, {"initialisation": "scratch"}, "Ind_S"),
        ("Joint", 3, {"initialisation": "scratch"}, "Joint, scratch"),
        ("Ind_P", 0, {"added_latent": 2}, "Ind + LA"),
        ("MMVM", 0, {"added_latent": 2}, "MMVM + LA"),
        ("Ind_P", 0, {"initialisation": "random"}, "Random"),
        ("LAMAE", 1, {"initialisation": "random", "readout": "encoder-mean"}, "Random"),
    ],
)
def test_systems_have_the_names_of_the_table(pretrained, depth: int, how, name: str):
    description = {"latent_depth": depth, "card": None if pretrained is None else {"system": pretrained}}
    assert system_name(description, **how) == name


def test_the_card_of_a_run_stands_in_its_results(toy_pack: Pack, tmp_path: Path):
    run = write_run(tmp_path / "run", ["nobody"], latent_depth=0, card=CARD)
    info = probe(run, toy_pack, "inverted", settings=EvalSettings(draws=3)).info
    assert info["system"] == "MMVM"
    assert info["run"]["card"] == CARD
    assert info["run"]["finished"] is True
    assert (info["run"]["seed"], info["run"]["weights"], info["run"]["step"]) == (23, "pretrained", 3)
    named = probe(run, toy_pack, "inverted", settings=EvalSettings(draws=3), system="Ours")
    assert named.info["system"] == "Ours"


def test_weights_that_were_never_trained_cost_nothing(toy_pack: Pack, tmp_path: Path):
    run = write_run(tmp_path / "run", ["nobody"], latent_depth=0, card=CARD)
    settings = EvalSettings(draws=3, seed=5)
    info = probe(run, toy_pack, "inverted", settings=settings, weights="random").info["run"]
    assert (info["seed"], info["step"], info["checkpoint_hash"]) == (5, 0, None)
    assert info["card"]["parameters"] == CARD["parameters"]
    assert [info["card"][name] for name in ("steps", "studies", "seconds", "seed")] == [0, 0, None, None]
    assert info["card"]["flops"]["total"] == 0


def test_a_checkpoint_that_says_nothing_of_its_training_has_no_card_and_no_seed(tmp_path: Path):
    meta = read_meta(find_checkpoint(write_run(tmp_path / "run", None)))
    found = describe_encoder(replace(meta, trained_on=[]), weights="pretrained", seed=0)
    assert (found["recipe"], found["seed"], found["card"], found["finished"]) == (None, None, None, True)


def test_the_wall_time_of_a_run_does_not_make_its_features_other_ones(toy_pack: Pack, tmp_path: Path):
    runs = [
        write_run(tmp_path / name, ["nobody"], card=CARD | {"seconds": s}) for name, s in (("a", 61.0), ("b", 97.0))
    ]
    for run in runs:
        probe(run, toy_pack, "inverted", settings=EvalSettings(draws=3))
    first, second = (sorted(file.name for file in (run / "features").iterdir()) for run in runs)
    assert first == second
