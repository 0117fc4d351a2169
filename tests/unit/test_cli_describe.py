"""The matched-control lines of `lamae describe`."""

import json
from pathlib import Path

import pytest
from train_fakes import fake_config, write_fake_pack

from lamae import recipes
from lamae.cli.card_lines import card_lines, with_prefix
from lamae.cli.describe import planned_card
from lamae.cli.main import main
from lamae.config import apply_overrides
from lamae.files import write_json
from lamae.train import pretrain

CARD = {
    "system": "LAMAE",
    "parameters": {
        "encoder": 451_200,
        "latent_attention": 223_968,
        "decoder": 108_761,
        "alignment": 0,
        "total": 783_929,
    },
    "tokens": {"per_view": 40, "views": 12, "visible": 120, "total": 480},
    "mask": {"strategy": "view", "ratio": 0.75, "latent_ratio": 0.25, "hidden_views": 3, "num_masks": 2},
    "target": "patch-normalised",
    "decoder_context": "cls",
    "flops": {
        "step": 12_956_110_848,
        "total": 6_478_055_424_000,
        "by_part": {"encoder": 325_186_560, "latent_attention": 194_312_448, "decoder": 290_257_920},
    },
    "steps": 500,
    "batch_size": 16,
    "optimiser": "muon",
    "lr": 0.002,
    "schedule": "linear warm-up of 30 steps, cosine to 0",
    "warmup_steps": 30,
    "weight_decay": 0.05,
    "precision": "bf16",
    "seed": 7,
    "studies": 1_238,
    "seconds": 108.4,
    "hardware": {"device": "cpu", "name": "AMD EPYC", "threads": 2, "processes": 3},
}


def test_every_fact_of_a_card_is_told():
    assert card_lines(CARD).split("\n") == [
        "system      LAMAE",
        "parameters  0.784 M: encoder 451 k, latent attention 224 k, decoder 109 k",
        "tokens      480 a study (12 leads x 40), 120 visible",
        "mask        view, 75 % hidden, 3 whole leads hidden, 25 % of the visible tokens hidden from latent attention, "
        "2 masks a study",
        "target      patch-normalised; the decoder sees the study's CLS token",
        "operations  0.81 GFLOP a study, forward and backward (encoder 325 MFLOP, latent attention 194 MFLOP, "
        "decoder 290 MFLOP); 13 GFLOP a step; 6.48 TFLOP in total",
        "training    500 steps of 16 studies; 1,238 studies, 6.46 epochs; bf16",
        "optimiser   muon, learning rate 0.002; linear warm-up of 30 steps, cosine to 0; weight decay 0.05",
        "seed        7",
        "wall time   1 min 48 s on AMD EPYC, 2 threads, 3 processes",
    ]


@pytest.mark.parametrize("absent", CARD)
def test_what_a_card_does_not_say_has_no_line(absent):
    without = {key: value for key, value in CARD.items() if key != absent}
    told = card_lines(without)
    assert "None" not in told
    assert len(told.split("\n")) <= len(CARD)
    assert card_lines({}) == ""


def test_a_seed_of_zero_is_a_seed():
    assert card_lines({"seed": 0}) == "seed        0"


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 FLOP"), (96, "96 FLOP"), (1_200_000_000, "1.2 GFLOP"), (999_700, "1 MFLOP"), (13_456_000, "13.5 MFLOP"),
     (2.0027e18, "2 EFLOP"), (123_456, "123 kFLOP"), (7.5e21, "7,500 EFLOP")],
)  # fmt: skip
def test_numbers_with_prefixes(number, words):
    assert with_prefix(number, "FLOP") == words


def test_parameters_have_no_unit():
    assert with_prefix(812_345) == "0.812 M"
    assert with_prefix(96) == "96"


def test_the_card_of_a_recipe_by_hand():
    config = apply_overrides(
        recipes.get("ecg-lamae-tiny"),
        {
            "model.mask.strategy": "view",
            "model.mask.hidden_views": 5,
            "model.decoder_context": "cls",
            "optim.steps": 700,
        },
    )
    card = planned_card(config)
    # 7 of 12 leads have 10 of 40 patches visible
    assert card["tokens"] == {"per_view": 40, "views": 12, "visible": 70, "total": 480}
    by_part = dict(card["flops"]["by_part"])
    assert by_part.pop("total") == sum(by_part.values())
    assert card["flops"]["step"] == 16 * sum(by_part.values())
    assert card["flops"]["total"] == 700 * card["flops"]["step"]
    eight = planned_card(recipes.get("ecg-lamae-8lead-tiny"))["tokens"]
    assert eight == {"per_view": 40, "views": 8, "visible": 80, "total": 320}


def test_a_run_is_described_with_its_card_and_without(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_fake_pack(tmp_path / "pack")
    pretrain(fake_config(optim__steps=3), [tmp_path / "pack"], tmp_path / "run")
    file = tmp_path / "run" / "run.json"
    info = json.loads(file.read_text())
    info.pop("card", None)
    write_json(file, info)
    assert main(["describe", str(tmp_path / "run")]) == 0
    told = capsys.readouterr().out
    assert "tokens      132 a study (12 leads x 11), 36 visible" in told  # round(11 * .3) = 3 of 11
    assert "training    3 steps of 7 studies" in told
    assert "cohort: fake" in told
    write_json(file, info | {"card": CARD})
    assert main(["describe", str(tmp_path / "run")]) == 0
    told = capsys.readouterr().out
    assert told.startswith(card_lines(CARD) + "\n\n")
    assert "'system'" not in told


def test_a_result_is_described_with_the_card_of_its_run(monkeypatch, tmp_path, capsys):
    from types import SimpleNamespace

    from lamae import results

    (tmp_path / "result.json").write_text("{}")
    for run, wanted in (({"card": CARD}, card_lines(CARD)), ({}, None), (None, None)):

        class Result(SimpleNamespace):
            def __str__(self) -> str:
                return "LAMAE: macro_auroc 0.800"

        monkeypatch.setattr(results, "read_result", lambda folder, run=run: Result(info={"run": run}))
        assert main(["describe", str(tmp_path)]) == 0
        told = capsys.readouterr().out
        assert told == "LAMAE: macro_auroc 0.800\n" + (f"\n{wanted}\n" if wanted else "")
