"""`lamae labels`: counts by split, the minimum count for a number of labels, nothing of anybody."""

import csv

import numpy as np
import pyarrow as pa
import pytest

from lamae.cli.main import main
from lamae.ecg.leads import LEADS
from lamae.errors import ConfigError
from lamae.labels import make_labels
from lamae.labels.overview import overview
from lamae.labels.vocabulary import frequent, min_count_for
from lamae.pack import write_pack
from lamae.studies import PreparedStudy

CODES = [
    ["I480", "I10"],  # train, patient a
    ["I4811"],  # train, a
    ["I480", "I4Z", "I48119"],  # train, b
    [],  # train, c: nothing linked
    ["E119"],  # validation, d
    ["I480", "I10"],  # test, e
    ["I10"],  # test, f
]
PATIENTS = ["a", "a", "b", "c", "d", "e", "f"]
SPLITS = ["train"] * 4 + ["validation"] + ["test"] * 2


def groups():
    return {name: np.flatnonzero(np.array(SPLITS) == name) for name in ("train", "validation", "test")}


def labels(label_set="icd10-chapter-ix", **options):
    table = pa.table({"codes_icd10cm": CODES})
    return make_labels(None, table, label_set, train_rows=groups()["train"], **({"min_count": 1} | options))


def test_counts_by_hand():
    found = overview(labels(), "icd10-chapter-ix", groups=groups(), patients=PATIENTS)
    assert found.groups == {"train": (3, 2), "validation": (1, 1), "test": (2, 2)}
    assert [one.name for one in found.labels] == ["IX", "I10-I1A", "I10", "I30-I5A", "I48", "I480", "I481"]
    assert [one.depth for one in found.labels] == [0, 1, 2, 1, 2, 3, 3]
    by_name = {one.name: one for one in found.labels}
    assert by_name["I48"].studies == {"train": 3, "validation": 0, "test": 1}
    assert by_name["I48"].patients == {"train": 2, "validation": 0, "test": 1}
    assert by_name["I480"].studies == {"train": 2, "validation": 0, "test": 1}
    assert by_name["I480"].path == ("IX", "I30-I5A", "I48", "I480")
    assert by_name["I480"].title == "Paroxysmal atrial fibrillation"


def test_a_tree_without_its_top_is_not_indented():
    found = overview(labels("icd10-4char"), "icd10-4char", groups=groups(), patients=PATIENTS)
    assert [(one.name, one.depth) for one in found.labels] == [("I480", 0), ("I481", 0)]


COUNTS = {"a": 9, "b": 7, "c": 7, "d": 4, "e": 4, "f": 4, "g": 1, "h": 0}


@pytest.mark.parametrize(
    ("wanted", "highest", "lowest", "num_labels", "tied"),
    [
        (1, 9, 8, 1, ()),
        (2, 7, 5, 3, ("b", "c")),
        (3, 7, 5, 3, ()),
        (5, 4, 2, 6, ("d", "e", "f")),
        (7, 1, 1, 7, ()),
        (8, None, None, 7, ()),
    ],
)
def test_the_minimum_count_that_gives_a_number_of_labels(wanted, highest, lowest, num_labels, tied):
    found = min_count_for(COUNTS, wanted)
    assert (found.highest, found.lowest, found.num_labels, found.tied) == (highest, lowest, num_labels, tied)
    assert found.is_exact == (num_labels == wanted)
    if highest is not None:
        for count in (highest, lowest):
            assert len(frequent(COUNTS, min_count=count)[0]) == num_labels
        assert len(frequent(COUNTS, min_count=highest + 1)[0]) < wanted


def test_the_minimum_count_in_words():
    assert str(min_count_for(COUNTS, 3)) == "3 labels: a minimum count of 5 to 7 gives exactly these"
    assert str(min_count_for(COUNTS, 7)) == "7 labels: a minimum count of 1 gives exactly these"
    assert str(min_count_for(COUNTS, 5)) == (
        "5 labels: no minimum count gives exactly so many: 4 gives 6, 5 gives 3; tied at 4: d, e, f"
    )
    assert str(min_count_for(COUNTS, 9)) == "9 labels wanted: there are only 7 with a positive study"


def test_ties_at_the_greatest_number_are_named():
    names, _, tied = frequent(COUNTS, min_count=2, max_labels=5)
    assert (names, tied) == (("a", "b", "c", "d", "e"), ("f",))
    assert frequent(COUNTS, min_count=2, max_labels=3)[2] == ()
    assert frequent(COUNTS, min_count=2)[2] == ()
    reverse = frequent(COUNTS, min_count=2, max_labels=4, order=lambda name: -ord(name))
    assert (reverse[0], reverse[2]) == (("a", "c", "b", "f"), ("e", "d"))


def test_parents_come_before_their_children_among_equals():
    assert labels(max_labels=3).names == ("IX", "I30-I5A", "I48")
    assert labels(max_labels=2).notes["tied_labels"] == ("I48",)


def test_sets_that_do_not_count_have_no_minimum_count():
    table = make_labels(None, pa.table({"label_AF": pa.array([1.0, 0.0])}), "AF", train_rows=np.arange(2))
    with pytest.raises(ConfigError, match="'AF' keeps all of its labels, so no minimum count gives 5"):
        overview(table, "AF", groups={"train": np.arange(2)}, patients=["a", "b"], want=5)


@pytest.fixture
def pack(tmp_path):
    study = PreparedStudy.of_waveforms(
        view_names=LEADS,
        values=np.ones((12, 20), np.int16),
        scale=np.full(12, 0.001, np.float32),
        rate_hz=20.0,
        has_missing=False,
    )
    table = pa.table(
        {
            "study_id": [f"secret{number}" for number in range(7)],
            "patient_key": [f"toy:person-{one}" for one in PATIENTS],
            "split": SPLITS,
            "fold": pa.array([1, 1, 2, 2, 3, 3, 3], pa.int32()),
            "codes_icd10cm": CODES,
        }
    )
    write_pack(tmp_path / "pack", [study] * 7, table, cohort="toy", cohort_version="1", preprocessing={})
    return tmp_path / "pack"


def test_the_verb_prints_counts_and_nobody(pack, tmp_path, capsys):
    words = ["labels", str(pack), "icd10-chapter-ix", "--min-count", "2", "--want", "5"]
    assert main([*words, "--out", str(tmp_path / "labels.csv")]) == 0
    told = capsys.readouterr().out
    assert "train: 3 studies of 2 patients" in told
    assert "      I480" in told
    assert "labels left out, with their positive studies: 2: I10-I1A (1), I10 (1)" in told
    assert "unknown codes (lost), with their number: 1: I4Z (1)" in told
    assert "retired or over-long codes, what they are known as, and their number: 1: I48119 (I4811, 1)" in told
    assert "vocabulary: train" in told
    assert "5 labels: a minimum count of 2 gives exactly these" in told
    assert "secret" not in told
    assert "person" not in told
    rows = list(csv.DictReader((tmp_path / "labels.csv").read_text().splitlines()))
    assert [row["label"] for row in rows] == ["IX", "I30-I5A", "I48", "I480", "I481"]
    assert rows[2] == {
        "label": "I48",
        "title": "Atrial fibrillation and flutter",
        "path": "IX > I30-I5A > I48",
        "depth": "2",
        "train_studies": "3",
        "train_patients": "2",
        "validation_studies": "0",
        "validation_patients": "0",
        "test_studies": "1",
        "test_patients": "1",
    }


def test_the_verb_counts_by_folds(pack, capsys):
    assert main(["labels", str(pack), "icd10-3char", "--min-count", "1", "--folds", "1-3"]) == 0
    told = capsys.readouterr().out
    assert "fold 3: 3 studies of 3 patients" in told
    assert main(["labels", str(pack), "icd10-3char", "--folds", "1-4"]) == 2
    assert "no study is in fold 4" in capsys.readouterr().err
