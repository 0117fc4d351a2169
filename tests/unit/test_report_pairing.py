"""Paired differences: same studies in any order, and a reason where two results cannot be paired."""

import json

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from report_fakes import LABELS, write_result

from lamae.errors import DataError
from lamae.report.folders import read_result
from lamae.report.pairing import is_random_control, paired_difference, task_of


@pytest.fixture
def two(tmp_path):
    good = write_result(tmp_path / "good", skill=2.0, studies=211)
    bad = write_result(tmp_path / "bad", system="Random init (frozen)", skill=0.5, studies=211)
    return read_result(good), read_result(bad)


def rewrite(result, change):
    pq.write_table(change(pq.read_table(result.predictions)), result.predictions)


def test_difference_is_that_of_the_macro_values_and_its_sign_turns_with_the_order(two):
    good, bad = two
    forth, back = paired_difference(good, bad), paired_difference(bad, good)
    values = [result.info["metrics"]["macro_auroc"]["value"] for result in two]
    assert forth.difference.value == pytest.approx(values[0] - values[1], abs=1e-6)
    assert forth.difference.low > 0
    assert (back.difference.low, back.difference.high) == pytest.approx((-forth.difference.high, -forth.difference.low))
    assert (forth.metric, forth.num_studies) == ("auroc", 211)


def test_order_of_the_studies_does_not_matter(two):
    good, bad = two
    before = paired_difference(good, bad)
    rewrite(bad, lambda table: table.take(pa.array([*range(100, 211), *range(100)])))
    assert paired_difference(good, bad) == before


def test_result_with_itself_differs_by_nothing(two):
    interval = paired_difference(two[0], two[0]).difference
    assert (interval.value, interval.low, interval.high) == (0, 0, 0)


def test_absent_predictions_are_a_reason(two):
    two[1].predictions.unlink()
    with pytest.raises(DataError, match="predictions are not there"):
        paired_difference(two[0], read_result(two[1].predictions.parent))


def test_other_studies_are_a_reason(two):
    rewrite(two[1], lambda table: table.slice(1))
    with pytest.raises(DataError, match="tested on different studies"):
        paired_difference(*two)


def test_other_labels_are_a_reason(two):
    rewrite(two[1], lambda table: table.drop_columns([f"target_{LABELS[0]}", f"score_{LABELS[0]}"]))
    with pytest.raises(DataError, match="predict different labels"):
        paired_difference(*two)


def test_other_targets_are_a_reason(two):
    name = f"target_{LABELS[0]}"

    def turned(table):
        return table.set_column(table.column_names.index(name), name, pc.subtract(1.0, table[name]))

    rewrite(two[1], turned)
    with pytest.raises(DataError, match="targets of the two results differ"):
        paired_difference(*two)


def test_predictions_without_patients_are_a_reason(two):
    rewrite(two[1], lambda table: table.drop_columns(["patient_hash"]))
    with pytest.raises(DataError, match="no column patient_hash"):
        paired_difference(*two)


def test_control_is_known_by_its_weights(two):
    assert [is_random_control(result) for result in two] == [False, True]


def test_another_pack_is_another_task(two, tmp_path):
    content = json.loads((two[0].predictions.parent / "result.json").read_text())
    content["data"]["pack_hash"] = "another"
    other = tmp_path / "other"
    other.mkdir()
    (other / "result.json").write_text(json.dumps(content))
    assert task_of(two[0]) == task_of(two[1])
    assert task_of(read_result(other)) != task_of(two[0])
