"""Every way to judge a frozen encoder finds what is there, nothing where nothing is, and never looks at the test."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.neighbors import KNeighborsRegressor

from lamae.batch import StudyBatch
from lamae.errors import ConfigError, DataError
from lamae.evals import EvalSettings, probe
from lamae.evals.probes.attention_pool import PooledTokens, normed, predict_by_attention
from lamae.evals.probes.encoder import FrozenEncoder
from lamae.evals.probes.features import TaskTokens, tokens_of_task
from lamae.evals.probes.head_training import HeadGrid, train_heads
from lamae.evals.probes.knn import K_GRID, predict_by_neighbours
from lamae.evals.probes.linear_probe import predict_linearly
from lamae.evals.probes.mlp import predict_by_mlp
from lamae.evals.probes.selection import base_rate_logits
from lamae.evals.tasks.task import Task, make_task
from lamae.metrics import auroc, r_squared
from lamae.models import Features
from lamae.models.heads import AttentiveHead
from lamae.pack import Pack

from .conftest import write_run, write_toy

QUICK = EvalSettings(draws=11)
GRID = HeadGrid(lr=(3e-3, 1e-2), weight_decay=(1e-2,), epochs=23, patience=5, batch_size=17)
NUM_TOKENS, DIM = 7, 12


def _as_tokens(features: np.ndarray) -> TaskTokens:
    """Put each study's features into one of its tokens; the others hold noise, and the last one is no token."""
    rng = np.random.default_rng(5)
    values = rng.normal(size=(len(features), NUM_TOKENS, DIM)).astype(np.float16)
    place = rng.integers(0, NUM_TOKENS - 1, size=len(features))
    values[np.arange(len(features)), place, : features.shape[1]] = features
    values[np.arange(len(features)), place, -1] = 5  # what a query can find it by
    values[:, -1] = np.nan
    valid = np.ones(values.shape[:2], dtype=bool)
    valid[:, -1] = False
    values[~valid] = 0
    return TaskTokens(tables=((values, valid),), readout="tokens", num_heads=3)


PREDICT: dict[str, Callable[[np.ndarray, Task, EvalSettings], Any]] = {
    "linear": predict_linearly,
    "knn": predict_by_neighbours,
    "mlp": lambda features, task, settings: predict_by_mlp(features, task, settings, grid=GRID),
    "attention-pool": lambda features, task, settings: predict_by_attention(
        _as_tokens(features), task, settings, grid=GRID
    ),
}
by_protocol = pytest.mark.parametrize("predict", PREDICT.values(), ids=PREDICT.keys())


@pytest.fixture(scope="module")
def large_pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """Enough studies for chance to lie near 0.5."""
    return write_toy(tmp_path_factory.mktemp("large") / "pack", patients=397)


def planted(task: Task, strength: float = 1.0) -> np.ndarray:
    """Return ``[studies, 5]`` features of which the first two tell the first label."""
    features = np.random.default_rng(3).normal(size=(len(task.rows), 5))
    side = np.nan_to_num(task.targets[:, 0] - 0.5)
    features[:, 0] += 4 * strength * side
    features[:, 1] -= 3 * strength * side
    return features.astype(np.float32)


@by_protocol
def test_a_planted_signal_is_found_and_noise_is_not(large_pack: Pack, predict):
    task = make_task(large_pack, "inverted,luck", QUICK)
    scores, selection, in_validation = predict(planted(task), task, QUICK)
    found, chance = auroc(task.targets[task.tested], scores)
    assert found > 0.95
    assert 0.35 < chance < 0.65
    assert ((scores > 0) & (scores < 1)).all()
    assert selection["on"] == "validation"
    assert selection["metric"] == "log-loss"
    assert [one.shape for one in in_validation] == [(len(task.parts[0].validation), 2)]
    no_signal = predict(planted(task, 0.0), task, QUICK)[0]
    assert np.abs(auroc(task.targets[task.tested], no_signal) - 0.5).max() < 0.15


@by_protocol
@pytest.mark.parametrize("labels", ["inverted,luck", "measure_size_mv"])
def test_the_test_studies_have_no_say(toy_pack: Pack, predict, labels: str):
    task = make_task(toy_pack, labels, QUICK)
    targets = task.targets.copy()
    targets[task.tested] = 0 if task.is_regression else 1 - np.nan_to_num(targets[task.tested])
    poisoned = replace(task, targets=targets)
    features = planted(task)
    scores, selection, in_validation = predict(features, task, QUICK)
    again, same, alike = predict(features, poisoned, QUICK)
    assert same == selection
    np.testing.assert_array_equal(again, scores)
    np.testing.assert_array_equal(alike[0], in_validation[0])


@by_protocol
def test_neither_do_the_features_of_other_test_studies(toy_pack: Pack, predict):
    task = make_task(toy_pack, "inverted", QUICK)
    features = planted(task)
    poisoned = features.copy()
    poisoned[task.tested[1:]] = 97 * features[task.tested[1:]] + 13
    scores, others = predict(features, task, QUICK)[0], predict(poisoned, task, QUICK)[0]
    np.testing.assert_allclose(others[0], scores[0], rtol=1e-5)
    assert np.abs(others[1:] - scores[1:]).max() > 0.01


@by_protocol
def test_the_same_seed_gives_the_same_scores(toy_pack: Pack, predict):
    task = make_task(toy_pack, "inverted", QUICK)
    scores = [predict(planted(task, 0.2), task, QUICK)[0] for _ in range(2)]
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize("name", ["mlp", "attention-pool"])
def test_another_seed_trains_another_head(toy_pack: Pack, name: str):
    task = make_task(toy_pack, "inverted", QUICK)
    scores = [PREDICT[name](planted(task, 0.2), task, replace(QUICK, seed=seed))[0] for seed in (1, 2)]
    assert np.abs(scores[0] - scores[1]).max() > 1e-3


@by_protocol
def test_cross_validation_scores_each_study_once(toy_pack: Pack, predict):
    settings = replace(QUICK, folds=(1, 2, 3, 4, 5))
    task = make_task(toy_pack, "inverted", settings)
    scores, selection, in_validation = predict(planted(task), task, settings)
    assert len(scores) == len(task.rows)
    assert len(in_validation) == 5
    assert len(selection["value"]) == 5
    assert auroc(task.targets, scores)[0] > 0.95


@by_protocol
def test_values_are_predicted_in_their_unit(large_pack: Pack, predict):
    task = make_task(large_pack, "measure_size_mv", QUICK)
    features = np.random.default_rng(3).normal(size=(len(task.rows), 3)).astype(np.float32)
    features[:, 0] = task.targets[:, 0] / 4
    scores, selection, _ = predict(features, task, QUICK)
    assert r_squared(task.targets[task.tested], scores)[0] > 0.6
    assert np.abs(scores).max() > 5
    assert selection["metric"] == "mae"
    assert not selection.get("balanced")


def name_of(predict) -> str:
    return next(name for name, one in PREDICT.items() if one is predict)


@by_protocol
def test_unknown_targets_teach_nothing(large_pack: Pack, predict):
    """Half of the training studies are copies of the other half, with a target that nobody knows."""
    task = make_task(large_pack, "inverted", QUICK)
    part = task.parts[0]
    train = part.train[: len(part.train) // 2 * 2]
    targets, features = task.targets.copy(), planted(task, 0.5)
    targets[train[::2]] = np.nan
    features[train[::2]] = features[train[1::2]]
    unknown = replace(task, targets=targets, parts=(replace(part, train=train),))
    without = replace(task, parts=(replace(part, train=train[1::2]),))
    scores = predict(features, unknown, QUICK)[0]
    assert auroc(task.targets[task.tested], scores)[0] > 0.85
    if (tolerance := {"linear": 1e-3, "knn": 1e-5}.get(name_of(predict))) is not None:
        np.testing.assert_allclose(scores, predict(features, without, QUICK)[0], atol=tolerance)
    if name_of(predict) == "attention-pool":  # which learns nothing from features alone
        features[train[::2]] += 3
        np.testing.assert_array_equal(predict(features, unknown, QUICK)[0], scores)


def test_neighbours_are_those_of_scikit_learn(toy_pack: Pack, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lamae.evals.probes.knn.K_GRID", (13,))
    monkeypatch.setattr("lamae.evals.probes.knn._BLOCK_VALUES", 1000)
    task = make_task(toy_pack, "measure_size_mv", QUICK)
    part, features = task.parts[0], planted(task)
    scores, selection, _ = predict_by_neighbours(features, task, QUICK)
    assert selection["k"] == 13

    def weights(distance: np.ndarray) -> np.ndarray:
        return np.exp(-distance / 0.07)

    mean, std = features[part.train].mean(axis=0), features[part.train].std(axis=0)
    reference = KNeighborsRegressor(13, metric="cosine", weights=weights)
    reference.fit((features[part.train] - mean) / std, task.targets[part.train, 0])
    expected = reference.predict((features[part.test] - mean) / std)
    np.testing.assert_allclose(scores[:, 0], expected, rtol=1e-4)


def test_two_neighbours_by_hand(toy_pack: Pack):
    """Neighbours of cosine 1 and 0, a base rate of one half: (1 + 1/2) / (1 + exp(-1 / 0.07) + 1)."""
    from lamae.evals.probes.knn import _nearest, _vote

    cosine, nearest = _nearest(np.array([[1.0, 0.0]], np.float32), np.eye(2, dtype=np.float32), 2)
    np.testing.assert_array_equal(nearest, [[0, 1]])
    score = _vote(cosine, nearest, np.array([[1.0], [0.0]]), False)
    assert score[0, 0] == pytest.approx(1.5 / (2 + np.exp(-1 / 0.07)))


def test_more_neighbours_than_training_studies_are_not_asked_for(toy_pack: Pack):
    settings = replace(QUICK, label_count=11)
    task = make_task(toy_pack, "inverted", settings)
    _, selection, _ = predict_by_neighbours(planted(task), task, settings)
    assert selection["k"] in [k for k in K_GRID if k <= 11]


@pytest.mark.parametrize("predict", [predict_linearly, predict_by_neighbours])
def test_progress_counts_the_divisions(toy_pack: Pack, predict):
    said: list[tuple[int, int]] = []
    task = make_task(toy_pack, "inverted", replace(QUICK, folds=(1, 2, 3)))
    predict(planted(task), task, QUICK, progress=lambda _, done, total: said.append((done, total)))
    assert said == [(1, 3), (2, 3), (3, 3)]


def test_logits_of_base_rates_by_hand():
    """One in four known, and none, which is held at one in ten thousand."""
    targets = np.array([[1, 0], [0, 0], [0, np.nan], [0, 0], [np.nan, 0]])
    np.testing.assert_allclose(base_rate_logits(targets), [-np.log(3), -np.log(9999)])


def test_each_division_has_a_seed_of_its_own(toy_pack: Pack):
    settings = replace(QUICK, folds=(1, 2, 3), seed=5)
    task, seeds = make_task(toy_pack, "inverted", settings), []

    def make_head(seed: int, train: np.ndarray) -> torch.nn.Module:
        seeds.append(seed)
        return torch.nn.Linear(2, 1)

    grid = HeadGrid(lr=(1e-3,), weight_decay=(0.0,), balanced=(False,), epochs=1, patience=1, batch_size=64)
    given = {"what": "heads", "progress": lambda *_: None}
    train_heads(make_head, lambda rows: (torch.zeros(len(rows), 2),), task, settings, grid, **given)
    assert seeds == [5, 6, 7]


def test_as_many_neighbours_as_training_studies_are_asked_for(toy_pack: Pack, monkeypatch: pytest.MonkeyPatch):
    task = make_task(toy_pack, "inverted", QUICK)
    num = len(task.parts[0].train)
    monkeypatch.setattr("lamae.evals.probes.knn.K_GRID", (num, num + 1))
    assert predict_by_neighbours(planted(task), task, QUICK)[1]["k"] == num


def test_balanced_heads_give_probabilities_of_the_data(large_pack: Pack):
    """Weighing a rare label's positives moves its logits; they are moved back, so that the mean is its base rate."""
    task = make_task(large_pack, "inverted", QUICK)
    targets = task.targets.copy()
    rare = np.random.default_rng(4).random(len(targets)) < 0.8
    targets[rare] = 0
    task = replace(task, targets=targets)
    features = planted(task)
    for balanced in (False, True):
        grid = replace(GRID, balanced=(balanced,), lr=(3e-3,))
        scores, selection, _ = predict_by_mlp(features, task, QUICK, grid=grid)
        assert selection["balanced"] is balanced
        assert abs(scores.mean() - targets[task.tested].mean()) < 0.06


def test_the_faster_pooling_is_the_attentive_head():
    torch.manual_seed(3)
    head = AttentiveHead(dim=12, num_heads=3, num_outputs=5)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    tokens, valid = 3 * torch.randn(7, 11, 12) + 1, torch.rand(7, 11) < 0.7
    valid[:, 0] = True
    expected = head(tokens, valid)
    found = PooledTokens(head)(normed(tokens), valid)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    gradients = []
    for outputs in (expected, found):
        head.zero_grad()
        outputs.square().sum().backward()
        gradients.append({name: p.grad.clone() for name, p in head.named_parameters() if p.grad is not None})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("protocol", ["linear", "mlp", "knn", "attention-pool"])
def test_a_result_names_its_protocol_and_what_was_chosen(toy_run: Path, toy_pack: Pack, tmp_path: Path, protocol):
    info = probe(toy_run, toy_pack, "inverted,luck", tmp_path / "result", protocol=protocol, settings=QUICK).info
    assert info["protocol_id"] == protocol
    assert info["initialisation"] == "pretrained"
    assert info["split"]["test_uses"] == 1
    assert info["system"] == "LAMAE"
    assert info["per_label"][0]["auroc"]["value"] > 0.9
    assert info["thresholds"]["policy"] == "validation"
    assert info["readout"] == ("tokens" if protocol == "attention-pool" else "view-concat")
    random = probe(toy_run, toy_pack, "inverted", protocol=protocol, weights="random", settings=QUICK, cache=False).info
    assert (random["system"], random["initialisation"]) == ("Random", "random")


def test_a_line_through_values_is_named_ridge(toy_run: Path, toy_pack: Pack):
    assert probe(toy_run, toy_pack, "measure_size_mv", settings=QUICK).info["protocol_id"] == "ridge"


def test_tokens_are_kept_once_for_all_draws_of_labels(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    task = make_task(toy_pack, "inverted", QUICK)
    tokens = tokens_of_task(FrozenEncoder(run=toy_run, cache=tmp_path), task)
    assert tokens.tables[0][0].shape == (len(task.rows), 120, 16)
    assert tokens.tables[0][0].dtype == np.float16
    before = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    assert len(before) == 2
    fewer = make_task(toy_pack, "inverted", replace(QUICK, label_fraction=0.5))
    again, _ = tokens_of_task(FrozenEncoder(run=toy_run, cache=tmp_path), fewer).take(np.array([3, 1]))
    np.testing.assert_array_equal(again, tokens.tables[0][0][[3, 1]])
    assert {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == before
    bypassed = tokens_of_task(FrozenEncoder(run=toy_run, cache=tmp_path), task, readout="encoder-tokens")
    assert np.abs(bypassed.tables[0][0] - tokens.tables[0][0]).max() > 0.1


def test_tokens_are_padded_to_the_longest_study(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    """Three clips of every view: an instance is the unit that counts, not a name."""
    pack, names = Pack.open(toy_pack.path), toy_pack.studies["views"].to_pylist()
    thrice = pa.array([[name for name in one for _ in range(3)] for one in names])
    place = pack.studies.column_names.index("views")
    pack.__dict__["studies"] = pack.studies.set_column(place, "views", thrice)
    task = make_task(pack, "inverted", QUICK)
    once = tokens_of_task(FrozenEncoder(run=toy_run, cache=tmp_path / "once"), make_task(toy_pack, "inverted", QUICK))
    encoder = FrozenEncoder(run=toy_run, cache=tmp_path / "thrice")
    single = encoder.model.features

    def features(batch: StudyBatch) -> Features:
        found = single(batch)
        rows = torch.arange(len(found.study_of)).repeat_interleave(3)
        by_instance = ("tokens", "token_valid", "study_of", "recording_of", "view_of", "time_of", "encoder_tokens")
        return replace(found, **{name: getattr(found, name)[rows] for name in by_instance})

    encoder.model.features = features  # pyright: ignore[reportAttributeAccessIssue]
    tokens, valid = tokens_of_task(encoder, task).take(np.array([5, 2]))
    assert tokens.shape == (2, 3 * 120, 16)
    assert valid.all()
    expected, _ = once.take(np.array([5, 2]))
    np.testing.assert_array_equal(
        tokens.reshape(2, 12, 3, 10, 16), expected.reshape(2, 12, 1, 10, 16).repeat(3, axis=2)
    )


def test_tokens_of_two_packs_by_hand():
    """2 studies of 3 tokens and 4 studies of 2 tokens; the shorter ones are padded with what is no token."""
    first = np.arange(6, dtype=np.float16).reshape(2, 3, 1), np.array([[True, True, True], [True, False, True]])
    second = np.arange(10, 18, dtype=np.float16).reshape(4, 2, 1), np.ones((4, 2), dtype=bool)
    tokens = TaskTokens(tables=(first, second), readout="tokens", num_heads=3)
    assert tokens.dim == 1
    values, valid = tokens.take(np.array([5, 1, 2]))
    assert values[..., 0].tolist() == [[16, 17, 0], [3, 4, 5], [10, 11, 0]]
    assert valid.tolist() == [[True, True, False], [True, False, True], [True, True, False]]


def test_only_labelled_studies_are_extracted(toy_run: Path, toy_pack: Pack, tmp_path: Path):
    task = make_task(toy_pack, "luck", QUICK)
    assert len(task.rows) < len(toy_pack)
    assert len(tokens_of_task(FrozenEncoder(run=toy_run, cache=tmp_path), task).tables[0][0]) == len(task.rows)


def test_attention_pooling_of_another_packs_studies(toy_pack: Pack, tmp_path: Path):
    run = write_run(tmp_path / "run", ["nobody"])
    other = write_toy(tmp_path / "other", cohort="elsewhere", prefix="elsewhere", seed=7)
    found = probe(run, toy_pack, "inverted", protocol="attention-pool", test_pack=other, settings=QUICK)
    assert len(found.scores) == len(other)
    assert found.metric("macro_auroc").value > 0.9


def test_wrong_protocols_and_read_outs_are_refused(toy_run: Path, toy_pack: Pack):
    with pytest.raises(ConfigError, match="unknown protocol 'svm': expected one of linear, attention-pool, mlp, knn"):
        probe(toy_run, toy_pack, "inverted", protocol="svm")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="attention-pool reads all tokens, so it has no read-out 'mean'"):
        probe(toy_run, toy_pack, "inverted", protocol="attention-pool", readout="mean")
    with pytest.raises(ConfigError, match="unknown read-out 'tokens'"):
        probe(toy_run, toy_pack, "inverted", readout="tokens")


def test_wrong_grids_and_diverging_heads_are_refused(toy_pack: Pack):
    with pytest.raises(ConfigError, match="at least one value of each setting"):
        HeadGrid(lr=(), weight_decay=(0.1,))
    with pytest.raises(ConfigError, match=r"lr, epochs, patience and batch_size must be above 0"):
        HeadGrid(lr=(0.0,), weight_decay=(0.1,))
    task = make_task(toy_pack, "inverted", QUICK)
    grid = replace(GRID, lr=(1e20,))
    with pytest.raises(DataError, match=r"the loss of a head is .* too large for this protocol"):
        predict_by_mlp(planted(task), task, QUICK, grid=grid)


@pytest.mark.parametrize("name", ["knn", "mlp", "attention-pool"])
def test_a_validation_set_of_one_class_is_refused(toy_pack: Pack, name: str):
    settings = replace(QUICK, select_by="macro-auroc")
    task = make_task(toy_pack, "inverted", settings)
    targets = task.targets.copy()
    targets[task.parts[0].validation] = 0
    with pytest.raises(DataError, match="no label has positives and negatives among the validation studies"):
        PREDICT[name](planted(task), replace(task, targets=targets), settings)
