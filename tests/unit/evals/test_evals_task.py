"""Tasks: who is trained on and tested on, and which labels can be learned."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lamae.errors import ConfigError, DataError
from lamae.evals.settings import EvalSettings, FinetuneConfig
from lamae.evals.tasks.folds import labelled
from lamae.evals.tasks.notes import label_notes
from lamae.evals.tasks.task import make_task
from lamae.pack import Pack
from lamae.splits import patient_hashes

from .conftest import toy_studies, write_toy

LABELS = "inverted,luck,never"


def patients_of(task, positions: np.ndarray) -> set[str]:
    return set(task.patient_hash[positions].tolist())


def test_the_packs_own_split(toy_pack: Pack):
    task = make_task(toy_pack, LABELS, EvalSettings())
    (part,) = task.parts
    split = np.array(toy_pack.studies["split"].to_pylist())[task.rows]
    for name in ("train", "validation", "test"):
        assert (split[getattr(part, name)] == name).all()
    assert len(part.train) + len(part.validation) + len(part.test) == len(toy_pack)
    assert task.num_folds is None
    np.testing.assert_array_equal(task.tested, part.test)


def test_cross_validation_never_mixes_patients_and_tests_each_study_once(toy_pack: Pack):
    folds = (1, 2, 3, 5)
    task = make_task(toy_pack, LABELS, EvalSettings(folds=folds))
    assert task.num_folds == 4
    tested = []
    for index, part in enumerate(task.parts):
        assert set(task.fold[part.test]) == {folds[index]}
        assert set(task.fold[part.validation]) == {folds[(index + 1) % 4]}
        groups = [patients_of(task, group) for group in (part.train, part.validation, part.test)]
        assert not groups[0] & groups[1]
        assert not groups[0] & groups[2]
        assert not groups[1] & groups[2]
        tested.append(part.test)
    assert len(np.unique(np.concatenate(tested))) == len(np.concatenate(tested)) == len(task.tested)
    assert set(task.fold[task.tested]) == set(folds)


def test_labels_that_cannot_be_learned_are_skipped_and_said(toy_pack: Pack):
    task = make_task(toy_pack, LABELS, EvalSettings())
    assert task.label_names == ("inverted", "luck")
    assert task.skipped == ({"label": "never", "reason": "no positives among the training studies"},)
    assert np.isnan(task.targets[:, 1]).any()


def test_a_label_fraction_is_of_patients_and_nested(toy_pack: Pack):
    whole, half, tenth = (
        make_task(toy_pack, LABELS, EvalSettings(label_fraction=fraction, label_draw=3)) for fraction in (1.0, 0.5, 0.2)
    )
    everyone = patients_of(whole, whole.parts[0].train)
    some, few = (patients_of(task, task.parts[0].train) for task in (half, tenth))
    assert len(some) == round(0.5 * len(everyone))
    assert few < some < everyone
    np.testing.assert_array_equal(half.parts[0].validation, whole.parts[0].validation)
    in_part = np.isin(whole.patient_hash[whole.parts[0].train], list(some))
    np.testing.assert_array_equal(half.parts[0].train, whole.parts[0].train[in_part])  # all studies of a patient
    other = make_task(toy_pack, LABELS, EvalSettings(label_fraction=0.5, label_draw=4))
    assert patients_of(other, other.parts[0].train) != some


def test_a_label_count_is_exact_and_part_of_the_same_sequence_as_the_fractions(toy_pack: Pack):
    whole = make_task(toy_pack, LABELS, EvalSettings())
    num = len(whole.parts[0].train)
    taken = {}
    for count in (11, 12, 13, 47, num):
        task = make_task(toy_pack, LABELS, EvalSettings(label_count=count, label_draw=3))
        assert len(task.parts[0].train) == count
        taken[count] = set(task.parts[0].train.tolist())
    assert taken[11] < taken[12] < taken[13] < taken[47] < taken[num]
    half = make_task(toy_pack, LABELS, EvalSettings(label_fraction=0.5, label_draw=3))
    of_half = set(half.parts[0].train.tolist())
    assert taken[13] < of_half
    same = make_task(toy_pack, LABELS, EvalSettings(label_count=len(of_half), label_draw=3))
    np.testing.assert_array_equal(same.parts[0].train, half.parts[0].train)
    other = make_task(toy_pack, LABELS, EvalSettings(label_count=47, label_draw=4))
    assert set(other.parts[0].train.tolist()) != taken[47]


def test_only_the_last_patient_of_a_label_count_is_cut():
    keys = np.array(["b", "a", "b", "c", "a", "c", "c", "x"])
    train = np.arange(7)
    names = sorted("abc", key=lambda key: patient_hashes([key], salt="")[0])
    order = [names[one] for one in np.random.default_rng(5).permutation(3)]
    sequence = [row for patient in order for row in train if keys[row] == patient]
    for count in range(1, 8):
        got = labelled(train, keys, EvalSettings(label_count=count, label_draw=5))
        assert got.tolist() == sorted(sequence[:count])


def test_the_salt_of_hashes_leaves_the_label_draw_alone(toy_pack: Pack, tmp_path: Path):
    salted = write_toy(tmp_path / "pack", salt="another salt")
    ours, theirs = (make_task(pack, LABELS, EvalSettings(label_count=31, label_draw=2)) for pack in (toy_pack, salted))
    assert set(ours.patient_hash).isdisjoint(theirs.patient_hash)
    np.testing.assert_array_equal(ours.parts[0].train, theirs.parts[0].train)


def test_the_seed_leaves_the_label_draw_alone(toy_pack: Pack):
    one, other = (make_task(toy_pack, LABELS, EvalSettings(label_fraction=0.3, seed=seed)) for seed in (1, 2))
    np.testing.assert_array_equal(one.parts[0].train, other.parts[0].train)


def test_more_labels_than_there_are_studies_is_refused(toy_pack: Pack):
    num = len(make_task(toy_pack, LABELS, EvalSettings()).parts[0].train)
    with pytest.raises(DataError, match=f"label_count is {num + 1}, but there are only {num} labelled training"):
        make_task(toy_pack, LABELS, EvalSettings(label_count=num + 1))


def test_a_label_whose_positives_the_draw_missed_is_skipped_with_their_number(tmp_path: Path):
    _, table = toy_studies()
    split = np.array(table["split"].to_pylist())
    train = np.flatnonzero(split == "train")
    rare = np.zeros(len(split), np.float32)
    rare[[train[0], np.flatnonzero(split == "test")[0]]] = 1
    pack = changed(tmp_path, label_never=rare)
    assert "never" in make_task(pack, LABELS, EvalSettings()).label_names
    draws = [make_task(pack, LABELS, EvalSettings(label_fraction=0.2, label_draw=draw)) for draw in range(5)]
    skipped = [task for task in draws if task.skipped]
    assert skipped
    (reason,) = skipped[0].skipped
    num_drawn = len(skipped[0].parts[0].train)
    assert reason == {
        "label": "never",
        "reason": "no positives among the training studies that the label draw took "
        f"({num_drawn} of {len(train)}, which have 1 positives)",
    }


def test_a_draw_too_small_for_any_label_is_refused(toy_pack: Pack):
    with pytest.raises(DataError, match=r"no label can be learned; the first one: .* the label draw took \(1 of \d+"):
        make_task(toy_pack, LABELS, EvalSettings(label_count=1))


@pytest.mark.parametrize(("value", "reason"), [(0, "no positives"), (1, "no negatives")])
def test_a_constant_label_column_is_skipped_with_the_reason(tmp_path: Path, value: int, reason: str):
    pack = changed(tmp_path, label_never=np.full(toy_studies()[1].num_rows, value, np.float32))
    task = make_task(pack, LABELS, EvalSettings())
    assert task.skipped == ({"label": "never", "reason": f"{reason} among the training studies"},)
    with pytest.raises(DataError, match=f"no label can be learned; the first one: {reason} among"):
        make_task(pack, "never", EvalSettings())


def test_a_constant_measurement_is_refused(tmp_path: Path):
    pack = changed(tmp_path, measure_size_mv=np.full(toy_studies()[1].num_rows, 7.5, np.float32))
    with pytest.raises(DataError, match="no label can be learned; the first one: the same value for all training"):
        make_task(pack, "measure_size_mv", EvalSettings())


def changed(tmp_path: Path, **columns) -> Pack:
    _, table = toy_studies()
    for name, values in columns.items():
        index = table.column_names.index(name)
        table = table.remove_column(index)
        if values is not None:
            table = table.append_column(name, pa.array(values))
    return write_toy(tmp_path / "pack", table)


def test_a_patient_in_two_splits_is_refused(tmp_path: Path):
    split = ["train", "validation", "test"] * 100
    pack = changed(tmp_path, split=split[: toy_studies()[1].num_rows])
    with pytest.raises(DataError, match="patients have studies in several splits"):
        make_task(pack, LABELS, EvalSettings())


def test_a_patient_in_two_folds_is_refused(tmp_path: Path):
    num = toy_studies()[1].num_rows
    pack = changed(tmp_path, fold=np.arange(num, dtype=np.int32) % 5)
    with pytest.raises(DataError, match=r"\d+ patients have studies in several folds"):
        make_task(pack, LABELS, EvalSettings(folds=(0, 1, 2, 3, 4)))


def test_packs_without_split_or_fold_are_refused(tmp_path: Path, toy_pack: Pack):
    pack = changed(tmp_path, split=None)
    with pytest.raises(DataError, match="the studies have no split"):
        make_task(pack, LABELS, EvalSettings())
    with pytest.raises(DataError, match="no study is in fold 9; the folds are 1, 2, 3, 4, 5"):
        make_task(toy_pack, LABELS, EvalSettings(folds=(1, 2, 9)))


def test_an_empty_split_is_refused(tmp_path: Path):
    num = toy_studies()[1].num_rows
    pack = changed(tmp_path, split=["train"] * num)
    with pytest.raises(DataError, match="is left for validation and test"):
        make_task(pack, LABELS, EvalSettings())


def test_nothing_to_learn_is_refused(toy_pack: Pack):
    with pytest.raises(DataError, match="no label can be learned; the first one: no positives among"):
        make_task(toy_pack, "never", EvalSettings())


def test_studies_without_a_patient_are_patients_of_their_own(tmp_path: Path):
    num = toy_studies()[1].num_rows
    pack = changed(tmp_path, patient_key=pa.array([None] * num, pa.string()))
    task = make_task(pack, LABELS, EvalSettings())
    assert len(set(task.patient_hash)) == num


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"folds": (1, 2)}, "at least three different numbers"),
        ({"folds": (1, 2, 2)}, "at least three different numbers"),
        *[({"label_fraction": value}, "label_fraction must lie above 0") for value in (0.0, 1.5)],
        ({"label_count": 0}, "label_count must be at least 1, found 0"),
        ({"label_count": 7, "label_fraction": 0.5}, "label_count or label_fraction, not both; found 7 and 0.5"),
        ({"label_draw": -1}, "label_draw is a seed of at least 0"),
        ({"min_count": 0}, "min_count must be at least 1"),
        ({"max_labels": -3}, "max_labels must be at least 1, found -3"),
        ({"statements": "some"}, "unknown statements 'some': expected one of any, in-set, not-needed"),
        ({"statements": "in_set"}, "unknown statements 'in_set': did you mean 'in-set'"),
        ({"vocabulary": "test"}, "unknown vocabulary 'test': .*expected one of train, all"),
        ({"test_part": "train"}, "unknown test_part 'train': .*expected one of all, test"),
        ({"f1_threshold": "0.4"}, "unknown f1_threshold '0.4': .*expected one of 0.5, validation"),
        ({"icd9": "keep"}, "unknown icd9 'keep': expected one of drop, map"),
        ({"icd9": "map"}, "icd9='map' and icd9_map"),
        ({"icd9_map": "map.csv"}, "icd9='map' and icd9_map"),
        ({"l2_grid": (0.1, 0.0)}, "penalties above 0"),
        ({"absent": "zero"}, "unknown absent 'zero'"),
        ({"select_by": "test-auroc"}, "unknown select_by 'test-auroc'"),
        *[({"level": value}, "level between 0 and 1") for value in (95.0, 1.0, 0.0)],
        ({"draws": 0}, "draws must be above 0"),
    ],
)
def test_settings_outside_their_range_are_refused(bad: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        EvalSettings(**bad)


@pytest.mark.parametrize(
    "edge",
    [
        {"draws": 1},
        {"label_fraction": 1.0},
        {"label_count": 1},
        {"label_draw": 0},
        {"min_count": 1},
        {"max_labels": 1},
        {"folds": (1, 2, 3)},
        {"l2_grid": (1e-9,)},
        {"level": 0.999},
    ],
)
def test_settings_at_the_edge_of_their_range_are_taken(edge: dict):
    assert EvalSettings(**edge).plain() == EvalSettings().plain() | edge


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        *[({name: 0}, f"{name} of fine-tuning") for name in ("epochs", "patience", "lr", "clip")],
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, found 0"),
        *[({"layer_decay": value}, r"layer_decay must lie in \(0, 1]") for value in (1.5, 0.0)],
        *[({"warmup_fraction": value}, r"warmup_fraction in \[0, 1\)") for value in (1.0, -0.1)],
        ({"weight_decay": -0.1}, "weight_decay not below 0"),
    ],
)
def test_fine_tuning_outside_its_range_is_refused(bad: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        FinetuneConfig(**bad)


def test_fine_tuning_at_the_edge_of_its_range_is_taken():
    edge = FinetuneConfig(epochs=1, patience=1, batch_size=1, layer_decay=1.0, warmup_fraction=0.0, weight_decay=0.0)
    assert (edge.layer_decay, edge.warmup_fraction, edge.weight_decay) == (1.0, 0.0, 0.0)


def test_a_result_counts_codes_and_names_labels(tmp_path: Path):
    num = toy_studies()[1].num_rows
    codes = [["I480", "I4Z", "I48119"] if row % 2 else ["I10", "E119"] for row in range(num)]
    table = toy_studies()[1].append_column("codes_icd10cm", pa.array(codes))
    task = make_task(write_toy(tmp_path / "pack", table), "icd10-chapter-ix", EvalSettings(max_labels=4))
    notes = label_notes(task)
    half = num // 2
    assert notes["unknown_codes"] == {"codes": 1, "occurrences": half}
    assert notes["retired_codes"] == {"codes": 1, "occurrences": half}
    assert set(notes["titles"]) == set(notes["paths"]) == set(task.label_names)
    assert "IX" not in task.label_names  # everybody has it
    assert task.skipped[0] == {"label": "IX", "reason": "no negatives among the training studies"}
    assert notes["num_dropped"] + len(task.label_names) + len(task.skipped) == 7
    assert (notes["vocabulary"], notes["max_labels"], notes["statements"]) == ("train", 4, "any")
    folds = EvalSettings(max_labels=4, folds=(1, 2, 3, 5))
    over_folds = label_notes(make_task(write_toy(tmp_path / "folds", table), "icd10-chapter-ix", folds))
    assert over_folds["vocabulary"] == "all folds (test studies too)"
    assert "I4Z" not in str(notes)
