"""Paired differences: same studies in any order, and a reason where two results cannot be paired."""

from dataclasses import replace

import numpy as np
import pytest
from report_fakes import LABELS, write_result

from lamae.errors import DataError
from lamae.results import (
    aligned,
    is_pretrained,
    is_random_control,
    paired_bootstrap,
    paired_difference,
    read_result,
    task_of,
)


@pytest.fixture
def two(tmp_path):
    good = write_result(tmp_path / "good", skill=2.0, studies=211)
    bad = write_result(tmp_path / "bad", system="Random init (frozen)", skill=0.5, studies=211)
    return read_result(good), read_result(bad)


def taken(evaluation, order):
    """Return the evaluation with its studies in another order, or with some of them."""
    names = ("study_hash", "patient_hash", "fold", "targets", "scores")
    return replace(evaluation, **{name: getattr(evaluation, name)[order] for name in names})


def with_labels(evaluation, columns):
    labels = {**evaluation.info["labels"], "names": [evaluation.label_names[column] for column in columns]}
    values = {name: getattr(evaluation, name)[:, columns] for name in ("targets", "scores")}
    return replace(evaluation, info={**evaluation.info, "labels": labels}, **values)


def test_difference_is_that_of_the_macro_values_and_its_sign_turns_with_the_order(two):
    forth, back = paired_difference(*two), paired_difference(*two[::-1])
    values = [result.info["metrics"]["macro_auroc"]["value"] for result in two]
    assert forth.value == pytest.approx(values[0] - values[1], abs=1e-6)
    assert forth.low > 0
    assert (back.low, back.high) == pytest.approx((-forth.high, -forth.low))


def test_folders_are_read(tmp_path):
    folders = [write_result(tmp_path / name, system=name, studies=53) for name in ("one", "other")]
    assert paired_difference(*folders) == paired_difference(*map(read_result, folders))


def test_order_of_studies_and_labels_does_not_matter(two):
    good, bad = two
    other = with_labels(taken(bad, np.r_[100:211, 0:100]), [3, 0, 1, 2, 6, 5, 4])
    assert paired_difference(good, other) == paired_difference(good, bad)
    back = aligned(other, to=good)
    np.testing.assert_array_equal(back.scores, bad.scores)
    assert back.label_names == good.label_names


def test_each_label_has_its_difference(two):
    found = paired_bootstrap(*two)
    rows = [{row["label"]: row["auroc"]["value"] for row in result.info["per_label"]} for result in two]
    for name, interval in zip(two[0].label_names, found.per_label["auroc"], strict=True):
        assert interval.value == pytest.approx(rows[0][name] - rows[1][name], abs=1e-6)


def test_result_with_itself_differs_by_nothing(two):
    interval = paired_difference(two[0], two[0])
    assert (interval.value, interval.low, interval.high) == (0, 0, 0)


def test_other_studies_are_a_reason(two):
    with pytest.raises(DataError, match="tested on different studies: 1 are only in 'LAMAE'"):
        paired_difference(two[0], taken(two[1], slice(1, None)))


def test_other_labels_are_a_reason(two):
    with pytest.raises(DataError, match=f"different labels: {LABELS[0]} in one only"):
        paired_difference(two[0], with_labels(two[1], [1, 2, 3, 4, 5, 6]))


def test_other_targets_are_a_reason(two):
    targets = two[1].targets.copy()
    targets[:, 0] = 1 - targets[:, 0]
    with pytest.raises(DataError, match=f"other targets for {LABELS[0]}$"):
        paired_difference(two[0], replace(two[1], targets=targets))


def test_random_control_and_pretrained_are_told_by_the_weights(two):
    assert [is_random_control(result.info) for result in two] == [False, True]
    assert [is_pretrained(result.info) for result in two] == [True, False]


def test_results_on_another_pack_are_another_task(two):
    info = two[0].info
    other = {**info, "data": {**info["data"], "pack_hash": "another"}}
    assert task_of(info) == task_of(two[1].info)
    assert task_of(other) != task_of(info)
