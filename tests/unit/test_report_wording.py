"""Numbers and names as the page prints them."""

import pytest

from lamae.report.facts import selection_words
from lamae.report.results import short_protocol
from lamae.report.wording import flat_rows, heading, key_name, metric_name, number, signed, value_words, with_interval


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("warmup_steps", "warmup steps"),
        ("max_gap_s", "max gap, s"),
        ("bandpass_hz", "bandpass, Hz"),
        ("optim.lr", "optim › learning rate"),
        ("s", "s"),
    ],
)
def test_key_becomes_words_with_its_unit(key, words):
    assert key_name(key) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "none"), (True, "yes"), (1e-3, "0.001"), (790_137, "790,137"), ([0.5, 40.0], "0.5, 40"), ((), "none")],
)
def test_value_becomes_one_line(value, words):
    assert value_words(value) == words


def test_interval_is_left_out_where_it_is_not_known():
    assert with_interval({"value": 0.8424, "low": 0.815, "high": 0.866}, number) == "0.842 (0.815 to 0.866)"
    assert with_interval({"value": -0.01, "low": -0.03, "high": 0.02}, signed) == "−0.010 (−0.030 to +0.020)"
    assert with_interval({"value": 0.5, "low": None, "high": float("nan")}, number) == "0.500"
    assert with_interval(None, number) == number(None) == "–"


def test_names_of_metrics():
    assert (metric_name("macro_auroc"), heading("macro AUROC"), heading("")) == ("macro AUROC", "Macro AUROC", "")


def test_nested_settings_become_rows():
    assert flat_rows({"a": {"b_s": 2, "c": {}}}) == [("a › b, s", "2"), ("a › c", "none")]


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        ({"l2": 0.1, "metric": "log-loss"}, "L2 0.1 by log loss on the validation studies"),
        ({"k": [5, 20], "metric": "mae"}, "k 5, 20 by MAE on the validation studies"),
        (
            {"lr": 0.003, "weight_decay": 0.01, "balanced": True, "best_epoch": 7, "metric": "mae"},
            "learning rate 0.003, weight decay 0.01, balanced yes, best epoch 7 by MAE on the validation studies",
        ),
        ({"metric": "log-loss"}, "settings by log loss on the validation studies"),
    ],
)
def test_what_each_protocol_chose_is_said(selection, words: str):
    assert selection_words(selection) == words


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"kind": "probe"}, "linear probe"),
        ({"kind": "probe", "protocol_id": "linear"}, "linear probe"),
        ({"kind": "probe", "protocol_id": "knn"}, "neighbours"),
        ({"kind": "probe", "protocol_id": "attention-pool"}, "attention pooling"),
        ({"kind": "handmade", "protocol_id": "hand-made"}, "linear probe"),
        ({"kind": "finetune", "protocol_id": "fine-tune", "finetune": {"train": "head"}}, "head alone"),
        ({"kind": "finetune"}, "all weights"),
    ],
)
def test_a_row_says_its_protocol(info, words: str):
    assert short_protocol(info) == words
