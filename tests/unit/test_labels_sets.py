"""SCP, SNOMED, columns and label sets of your own."""

import numpy as np
import pyarrow as pa
import pytest

from lamae.errors import ConfigError, DataError
from lamae.labels import LabelTable, label_sets, make_labels
from lamae.labels.multi_hot import code_lists, count_studies, multi_hot, positives
from lamae.labels.scp import statements
from lamae.labels.snomed import scored_diagnoses, scored_labels
from lamae.labels.vocabulary import frequent

SCP = [["NORM", "SR"], ["IMI", "LVH", "PVC", "AFIB"], ["SR"], ["ASMI", "NDT", "PRC(S)"], []]
ALL = np.arange(len(SCP))


def scp_table(label_set, *, train_rows=ALL, **options):
    studies = pa.table({"codes_scp": pa.array(SCP, pa.list_(pa.string()))})
    return make_labels(None, studies, label_set, train_rows=train_rows, **options)


def test_the_statements_are_those_of_ptb_xl():
    table = statements().values()
    assert len(table) == 71
    assert [sum(row[kind] == "1" for row in table) for kind in ("diagnostic", "form", "rhythm")] == [44, 19, 12]
    assert {row["superclass"] for row in table} == {"", "CD", "HYP", "MI", "NORM", "STTC"}
    assert len({row["subclass"] for row in table} - {""}) == 23


@pytest.mark.parametrize(
    ("label_set", "names", "keep"),
    [
        ("superclass", ("HYP", "MI", "NORM", "STTC"), [1, 1, 0, 1, 0]),
        ("subclass", ("AMI", "IMI", "LVH", "NORM", "STTC"), [1, 1, 0, 1, 0]),
        ("diagnostic", ("ASMI", "IMI", "LVH", "NDT", "NORM"), [1, 1, 0, 1, 0]),
        ("form", ("NDT", "PRC(S)", "PVC"), [0, 1, 0, 1, 0]),
        ("rhythm", ("AFIB", "SR"), [1, 1, 1, 0, 0]),
        ("all", ("AFIB", "ASMI", "IMI", "LVH", "NDT", "NORM", "PRC(S)", "PVC", "SR"), [1, 1, 1, 1, 0]),
    ],
)
def test_scp_sets_by_hand(label_set, names, keep):
    table = scp_table(label_set)
    assert table.names == names
    assert table.keep.tolist() == [bool(one) for one in keep]
    assert table.kind == "multilabel"


def test_superclass_values():
    np.testing.assert_array_equal(
        scp_table("superclass").values, [[0, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0]]
    )


def test_scp_labels_that_no_training_study_has_are_dropped():
    table = scp_table("superclass", train_rows=np.array([0, 1]))
    assert table.names == ("HYP", "MI", "NORM")
    assert table.notes["dropped_labels"] == {"STTC": 0}


def test_snomed_codes():
    codes = [["426783006"], ["59118001", "713427006"], ["426783006", "17338001"], []]
    studies = pa.table({"codes_snomed": codes})
    table = make_labels(None, studies, "snomed", train_rows=np.arange(4), min_count=1)
    assert table.names == ("17338001", "426783006", "59118001", "713427006")
    assert table.keep.tolist() == [True, True, True, False]
    table = make_labels(None, studies, "snomed", train_rows=np.arange(4), min_count=2)
    assert table.names == ("426783006",)
    scored = make_labels(None, studies, "snomed-scored", train_rows=np.arange(4), min_count=1)
    assert scored.names == ("NSR", "PVC", "RBBB")
    assert scored.values.tolist() == [[1, 0, 0], [0, 0, 1], [1, 1, 0], [0, 0, 0]]


def test_thirty_scored_diagnoses_count_as_twenty_six():
    assert len(scored_diagnoses()) == 30
    assert len({label for code in scored_diagnoses() for label in scored_labels(code)}) == 26
    assert scored_labels("1") == ()


COLUMNS = pa.table(
    {
        "study_id": ["1", "2", "3"],
        "label_acceptable": pa.array([1, 0, None], pa.float32()),
        "label_AF": pa.array([1, None, 0], pa.float32()),
        "label_lvef": pa.array([55, 40.5, None], pa.float32()),
        "label_word": ["a", "b", "c"],
        "measure_rr_interval_ms": pa.array([800, None, 1000], pa.float32()),
        "age_years": pa.array([61, 62, None], pa.float32()),
        "sex": ["female", "male", None],
    }
)


def column_table(label_set):
    return make_labels(None, COLUMNS, label_set, train_rows=np.arange(3))


@pytest.mark.parametrize(
    ("label_set", "names", "kind", "values", "keep"),
    [
        ("signal-quality", ["acceptable"], "binary", [[1], [0], [np.nan]], [1, 1, 0]),
        ("column:AF", ["AF"], "binary", [[1], [np.nan], [0]], [1, 0, 1]),
        ("label_AF", ["AF"], "binary", [[1], [np.nan], [0]], [1, 0, 1]),
        ("AF,acceptable", ["AF", "acceptable"], "multilabel", [[1, 1], [np.nan, 0], [0, np.nan]], [1, 1, 1]),
        ("column:label_A*", ["AF"], "binary", [[1], [np.nan], [0]], [1, 0, 1]),
        ("lvef", ["lvef"], "regression", [[55], [40.5], [np.nan]], [1, 1, 0]),
        (
            "column:measure_rr_interval_ms",
            ["measure_rr_interval_ms"],
            "regression",
            [[800], [np.nan], [1000]],
            [1, 0, 1],
        ),
        ("age_years", ["age_years"], "regression", [[61], [62], [np.nan]], [1, 1, 0]),
        ("sex", ["female"], "binary", [[1], [0], [np.nan]], [1, 1, 0]),
    ],
)
def test_columns(label_set, names, kind, values, keep):
    table = column_table(label_set)
    assert table.names == tuple(names)
    assert table.kind == kind
    np.testing.assert_array_equal(table.values, np.array(values, dtype=np.float32))
    assert table.keep.tolist() == [bool(one) for one in keep]


@pytest.mark.parametrize(
    ("label_set", "error", "message"),
    [
        ("superclas", ConfigError, "unknown label set 'superclas': did you mean 'superclass'"),
        ("lvf", ConfigError, "unknown label set 'lvf': did you mean 'lvef'"),
        ("icd10-chapter-xxv", ConfigError, "unknown label set 'icd10-chapter-xxv': did you mean 'icd10-chapter-ix'"),
        ("column:acceptble", DataError, "no column of labels 'acceptble'; there are .*Did you mean 'acceptable'"),
        ("AF,lvef", DataError, "classes and values cannot be learned together: label_AF .binary., label_lvef .regr"),
        ("column:label_word", DataError, "column 'label_word' must hold numbers, found string"),
        ("superclass", DataError, "these studies: the label set needs the column 'codes_scp'"),
    ],
)
def test_wrong_label_sets(label_set, error, message):
    with pytest.raises(error, match=message):
        column_table(label_set)


def test_signal_quality_needs_its_label():
    with pytest.raises(DataError, match="no column of labels 'label_acceptable'; there are none"):
        make_labels(None, pa.table({"study_id": ["1"]}), "signal-quality", train_rows=np.arange(1))


def test_label_sets_of_your_own(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "af: {codes_icd10cm: [I48.0, I481], codes_scp: [AFIB]}\nmi: {codes_icd10cm: [I21]}\n"
        "never: {codes_icd10cm: [Z99]}\n"
    )
    studies = pa.table(
        {
            "codes_icd10cm": [["I480"], ["I4811", "I214"], ["E119"], [], []],
            "codes_scp": [[], [], [], ["AFIB"], []],
        }
    )
    table = make_labels(None, studies, str(file), train_rows=np.arange(5))
    assert table.names == ("af", "mi", "never")
    np.testing.assert_array_equal(table.values, [[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]])
    assert table.keep.tolist() == [True, True, True, True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("af: [I48]\n", "label 'af': expected a mapping such as"),
        ("af: {codes_icd10: [I48]}\n", "label 'af': unknown column 'codes_icd10'; expected codes_icd10cm"),
        ("af: {codes_icd10cm: I48}\n", "label 'af': codes_icd10cm: expected a list of codes, found 'I48'"),
    ],
)
def test_wrong_label_sets_of_your_own(tmp_path, text, message):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        make_labels(None, COLUMNS, str(tmp_path / "mine.yaml"), train_rows=np.arange(3))


def test_label_sets_of_your_own_need_their_columns(tmp_path):
    (tmp_path / "mine.yaml").write_text("af: {codes_icd10cm: [I48]}\n")
    with pytest.raises(DataError, match="the label set needs the column 'codes_icd10cm'"):
        make_labels(None, COLUMNS, str(tmp_path / "mine.yaml"), train_rows=np.arange(3))


def test_every_named_set_is_tested_here():
    assert set(label_sets()) == {
        "superclass", "subclass", "diagnostic", "form", "rhythm", "all", "icd10-chapter-ix", "icd10-expanded",
        "icd10-chapters", "icd10-blocks", "icd10-3char", "icd10-4char", "icd10-codes", "icd10-top40",
        "icd10-strodthoff", "snomed", "snomed-scored", "signal-quality",
    }  # fmt: skip


def test_multi_hot_against_a_plain_loop():
    rng = np.random.default_rng(7)
    lists = [[f"c{code}" for code in rng.integers(0, 23, rng.integers(0, 11))] for _ in range(101)]
    codes = code_lists(pa.chunked_array([lists[:37], lists[37:]]))
    found = positives(codes, lambda code: [code.upper(), "EVEN"] if int(code[1:]) % 2 == 0 else [code])
    train = rng.permutation(101)[:53]
    studies_of = count_studies(found, train)
    chosen = frequent(studies_of, min_count=17)
    names, dropped, _ = chosen
    values = multi_hot(found, names)
    expected = {}
    for row, row_codes in enumerate(lists):
        for code in row_codes:
            labels = [code.upper(), "EVEN"] if int(code[1:]) % 2 == 0 else [code.upper()]
            for label in labels:
                expected.setdefault(label, set()).add(row)
    counts = {label: len(rows & set(train.tolist())) for label, rows in expected.items()}
    assert studies_of == counts
    assert {label for label, count in counts.items() if count >= 17} == set(names)
    assert {label: count for label, count in counts.items() if count < 17} == dropped
    assert list(names) == sorted(names, key=lambda name: (-counts[name], name))
    for index, name in enumerate(names):
        assert set(np.flatnonzero(values[:, index]).tolist()) == expected[name]


def test_sliced_columns_of_codes():
    column = pa.array([["A"], ["B", "A"], [], ["C"], None]).slice(1, 4)
    codes = code_lists(column)
    assert [codes.distinct[code] for code in codes.code] == ["B", "A", "C"]
    assert codes.study.tolist() == [0, 0, 2]
    assert codes.has_any.tolist() == [True, False, True, False]


def test_a_label_table_checks_its_shape():
    with pytest.raises(ValueError, match=r"values must be float32 of shape \(3, 2\)"):
        LabelTable(
            names=("a", "b"), values=np.zeros((3, 1), np.float32), keep=np.ones(3, bool), kind="binary", description=""
        )


def test_missing_codes_within_lists_are_left_out():
    codes = code_lists(pa.array([["I48", None], None, [], [None, " i10"]], pa.list_(pa.string())))
    assert (codes.study.tolist(), codes.code.tolist(), codes.distinct) == ([0, 3], [0, 1], ("I48", "I10"))
    assert codes.has_any.tolist() == [True, False, False, True]


def test_titles_where_the_tables_give_them():
    assert scp_table("superclass").titles["HYP"] == "hypertrophy"
    assert scp_table("all").titles["ASMI"] == "anteroseptal myocardial infarction"
    assert scp_table("subclass").titles == {}  # AMI is another thing as a subclass than as a statement
    studies = pa.table({"codes_snomed": [["59118001", "713427006", "7"]]})
    plain = make_labels(None, studies, "snomed", train_rows=np.arange(1), min_count=1)
    assert plain.titles == {"59118001": "right bundle branch block", "713427006": "complete right bundle branch block"}
    scored = make_labels(None, studies, "snomed-scored", train_rows=np.arange(1), min_count=1)
    assert scored.titles == {"RBBB": "right bundle branch block"}


def test_unknown_statements_are_listed():
    studies = pa.table({"codes_scp": [["NORM", "NROM"], ["NROM"]]})
    table = make_labels(None, studies, "superclass", train_rows=np.arange(2))
    assert table.notes["unknown_codes"] == {"NROM": 2}
    assert table.keep.tolist() == [True, False]


MIXED = "af: {codes_icd10cm: [I48], codes_scp: [AFIB]}\nmi: {codes_icd10cm: [I21]}\n"


def test_a_label_of_your_own_is_made_from_the_columns_that_are_there(tmp_path):
    (tmp_path / "mine.yaml").write_text(MIXED)
    icd = pa.table({"codes_icd10cm": [["I480"], ["I214"], []]})
    table = make_labels(None, icd, str(tmp_path / "mine.yaml"), train_rows=np.arange(3))
    assert table.names == ("af", "mi")
    assert table.values.tolist() == [[1, 0], [0, 1], [0, 0]]
    scp = pa.table({"codes_scp": [["AFIB"], ["NORM"], []]})
    with pytest.raises(DataError, match="needs the column 'codes_icd10cm' for 'mi', which this pack does not have"):
        make_labels(None, scp, str(tmp_path / "mine.yaml"), train_rows=np.arange(3))
    only = make_labels(None, scp, str(tmp_path / "mine.yaml"), train_rows=np.arange(0), names=("af", "mi"))
    assert only.names == ("af",)
    assert only.values.tolist() == [[1], [0], [0]]
    assert only.keep.tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("statements", "keep"), [(None, [1, 1, 0]), ("any", [1, 1, 0]), ("in-set", [1, 0, 0]), ("not-needed", [1, 1, 1])]
)
def test_statements_of_a_label_set_of_your_own(tmp_path, statements, keep):
    (tmp_path / "mine.yaml").write_text("af: {codes_scp: [AFIB]}\n")
    studies = pa.table({"codes_scp": [["AFIB"], ["NORM"], []]})
    table = make_labels(None, studies, str(tmp_path / "mine.yaml"), train_rows=np.arange(3), statements=statements)
    assert table.keep.tolist() == [bool(one) for one in keep]


def test_columns_of_another_table():
    other = pa.table({"label_AF": pa.array([0.0, 1.0]), "sex": ["female", "male"]})
    table = make_labels(None, other, "AF,LBBB,sex", train_rows=np.arange(0), names=("AF", "LBBB", "female"))
    assert table.names == ("AF", "female")
    assert table.values.tolist() == [[0, 1], [1, 0]]
    with pytest.raises(DataError, match="none of the labels LBBB is a column of it; there are AF, female"):
        make_labels(None, other, "LBBB", train_rows=np.arange(0), names=("LBBB",))
