"""ICD-10-CM label sets by hand, and ICD-9 codes."""

import gzip

import numpy as np
import pyarrow as pa
import pytest

from lamae.errors import ConfigError, DataError
from lamae.labels import make_labels
from lamae.labels.icd9 import read_icd9_map, translate
from lamae.labels.icd10 import (
    is_chapter,
    level_labels,
    level_of,
    path_of,
    resolve,
    strodthoff_labels,
    title_of,
)
from lamae.labels.multi_hot import code_lists

CODES = [
    ["I480", "E119"],  # train
    ["I4811", "I10", "I4811"],  # train
    [],  # train, nothing linked
    ["E119"],  # train, linked, nothing of chapter IX
    ["I214"],  # test only
    None,  # nothing linked
    ["i48.0 ", "I10"],  # test, as some tables write it
]
TRAIN = np.array([0, 1, 2, 3])


def studies(codes=CODES, **columns):
    return pa.table({"codes_icd10cm": pa.array(codes, pa.list_(pa.string())), **columns})


def test_hierarchy_by_hand():
    assert path_of("I4811") == ("IX", "I30-I5A", "I48", "I481", "I4811")
    assert level_labels("I4811", level="expanded", chapter="IX") == ("IX", "I30-I5A", "I48", "I481")
    assert level_labels("I10", level="expanded", chapter="IX") == ("IX", "I10-I1A", "I10")
    assert level_labels("E119", level="expanded", chapter="IX") == ()
    assert level_labels("E119", level="expanded", chapter="IV") == ("IV", "E08-E13", "E11", "E119")


def test_chapter_ix_has_the_known_number_of_nodes():
    import simple_icd_10_cm as icd

    codes = [code.replace(".", "") for code in icd.get_descendants("9") if not icd.is_chapter_or_block(code)]
    nodes = {node for code in codes for node in level_labels(code, level="expanded", chapter="IX")}
    assert [sum(level_of(node) == wanted for node in nodes) for wanted in (0, 1, 3, 4)] == [1, 10, 80, 383]


def test_retired_and_unknown_codes():
    assert resolve("I4811") == "I4811"
    assert resolve("I48119") == "I4811"
    assert resolve("I4Z") == ""
    assert resolve("I") == ""
    assert resolve("S020XXA") == "S020XXA"
    assert level_labels("I48119", level="3char") == ("I48",)
    assert level_labels("42731", level="3char") == ()


def test_titles():
    assert title_of("IX") == "Diseases of the circulatory system"
    assert title_of("I30-I5A") == "Other forms of heart disease"
    assert title_of("I480") == "Paroxysmal atrial fibrillation"
    assert title_of("I4Z") is None
    assert is_chapter("XXII")
    assert not is_chapter("XXIII")


def test_chapter_ix_by_hand():
    table = make_labels(None, studies(), "icd10-chapter-ix", train_rows=TRAIN, min_count=1)
    assert table.names == ("IX", "I10-I1A", "I30-I5A", "I10", "I48", "I480", "I481")
    expected = [
        [1, 0, 1, 0, 1, 1, 0],
        [1, 1, 1, 1, 1, 0, 1],
        [0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 0],
    ]
    np.testing.assert_array_equal(table.values, expected)
    assert table.values.dtype == np.float32
    assert table.keep.tolist() == [True, True, False, True, True, False, True]
    assert table.kind == "multilabel"
    assert set(table.notes["dropped_labels"]) == {"I20-I25", "I21", "I214"}
    assert table.notes["unknown_codes"] == {}


def test_vocabulary_comes_from_the_training_rows_only():
    in_train = make_labels(None, studies(), "icd10-chapter-ix", train_rows=TRAIN, min_count=1).names
    changed = [codes if row in TRAIN else ["I214", "I255"] for row, codes in enumerate(CODES)]
    mask = np.isin(np.arange(len(CODES)), TRAIN)
    assert make_labels(None, studies(changed), "icd10-chapter-ix", train_rows=mask, min_count=1).names == in_train


def test_rare_labels_are_dropped_and_told():
    table = make_labels(None, studies(), "icd10-chapter-ix", train_rows=TRAIN, min_count=2)
    assert table.names == ("IX", "I30-I5A", "I48")
    assert table.notes["dropped_labels"]["I10"] == 1
    assert table.notes["min_count"] == 2


def test_the_default_min_count_is_ten():
    with pytest.raises(DataError, match="no label of 'icd10-chapter-ix' has 10 positive studies in the training"):
        make_labels(None, studies(), "icd10-chapter-ix", train_rows=TRAIN)


def test_studies_without_statements_are_kept_only_when_asked():
    def keep(statements):
        table = make_labels(
            None, studies(), "icd10-chapter-ix", train_rows=TRAIN, min_count=1, statements=statements
        )  # fmt: skip
        return table.keep.tolist()

    assert keep("in-set") == [True, True, False, False, True, False, True]
    assert keep("not-needed") == [True] * 7


def test_three_characters_and_the_most_frequent():
    table = make_labels(None, studies(), "icd10-3char", train_rows=TRAIN, min_count=1)
    assert table.names == ("E11", "I10", "I48")
    assert table.values[1].tolist() == [0, 1, 1]
    assert make_labels(None, studies(), "icd10-3char", train_rows=TRAIN, min_count=1, max_labels=2).names == (
        "E11",
        "I48",
    )
    letters = "ABCDEGHIJK"
    many = [[f"{letter}0{digit}"] for letter in letters for digit in range(10)]
    top = make_labels(None, studies(many), "icd10-top40", train_rows=np.arange(len(many)), min_count=1)
    assert len(top.names) == 40


def test_the_benchmark_s_rule_step_by_step():
    assert strodthoff_labels("I2510") == ("I25", "I251", "I2510")
    assert strodthoff_labels("S020XXA") == ("S02", "S020")  # cut to S020X, then X taken off
    assert strodthoff_labels("T827XXA") == ("T82", "T827")
    assert strodthoff_labels("I48119") == ("I48", "I481", "I4811")
    assert strodthoff_labels("E119", chapter_letter="I") == ()
    assert strodthoff_labels("I1") == ()
    table = make_labels(None, studies(), "icd10-strodthoff:I", train_rows=TRAIN, min_count=1)
    assert table.names == ("I10", "I48", "I480", "I481", "I4811")
    table = make_labels(None, studies(), "icd10-strodthoff", train_rows=TRAIN, min_count=2)
    assert table.names == ("E11", "E119", "I48")


def test_unknown_and_retired_codes_are_listed_and_counted():
    codes = [["I480", "I4Z", "42731"], ["I4Z", "I48119"]]
    table = make_labels(None, studies(codes), "icd10-chapter-ix", train_rows=np.arange(2), min_count=1)
    assert table.notes["unknown_codes"] == {"I4Z": 2, "42731": 1}
    assert table.notes["retired_codes"] == {"I48119": {"counted_as": "I4811", "count": 1}}


def test_studies_without_the_column_of_codes():
    class Info:
        cohort = "ptb-xl"

    with pytest.raises(DataError, match="cohort ptb-xl: the label set needs the column 'codes_icd10cm'"):
        make_labels(Info(), pa.table({"study_id": ["1"]}), "icd10-chapter-ix", train_rows=np.arange(1))


MAP = """icd_9,icd_10,flags
42731,I4891,10000
4019,I10,10000
4019,I169,10000
0730,A70,10111
0730,J17,10112
0730,J99,10122
11595,B399,10111
11595,I32,10112
11595,I39,10122
36570,NoDx,11000
"""


@pytest.fixture(params=["map.csv", "map.csv.gz"])
def map_file(tmp_path, request):
    file = tmp_path / request.param
    file.write_bytes(gzip.compress(MAP.encode()) if request.param.endswith("gz") else MAP.encode())
    return file


def test_map_takes_first_targets_and_all_parts_of_a_combination(map_file):
    assert read_icd9_map(map_file) == {
        "42731": ("I4891",), "4019": ("I10",), "0730": ("A70", "J17"), "11595": ("B399", "I32"), "36570": ()
    }  # fmt: skip


def test_translation_by_hand():
    codes = code_lists(pa.array([["0730", "42731"], [], ["V1582", "4019"], None, ["V1582"]]))
    lists, lost = translate(codes, {"42731": ("I4891",), "4019": ("I10",), "0730": ("A70", "J17")})
    assert lists.to_pylist() == [["A70", "J17", "I4891"], [], ["I10"], [], []]
    assert lost == {"V1582": 2}


def test_icd9_is_dropped_or_mapped(map_file):
    table = studies([["I10"], [], []], codes_icd9cm=[[], ["427.31", "36570"], []])
    dropped = make_labels(None, table, "icd10-3char", train_rows=np.arange(3), min_count=1)
    assert dropped.names == ("I10",)
    assert dropped.keep.tolist() == [True, False, False]
    assert dropped.notes["num_icd9_dropped"] == 2
    mapped = make_labels(
        None, table, "icd10-3char", train_rows=np.arange(3), min_count=1, icd9="map", icd9_map=map_file
    )
    assert mapped.names == ("I10", "I48")
    assert mapped.values.tolist() == [[1, 0], [0, 1], [0, 0]]
    assert mapped.keep.tolist() == [True, True, False]
    assert mapped.notes["num_icd9_translated"] == 1
    assert mapped.notes["icd9_without_target"] == {"36570": 1}


def test_a_map_without_codes_to_translate_says_so(map_file):
    table = studies([["I10"]])
    mapped = make_labels(
        None, table, "icd10-3char", train_rows=np.arange(1), min_count=1, icd9="map", icd9_map=map_file
    )
    assert mapped.notes["num_icd9_translated"] == 0


def test_bad_maps(tmp_path):
    table = studies([["I10"]], codes_icd9cm=[["4019"]])
    with pytest.raises(ConfigError, match="icd9='map' needs icd9_map"):
        make_labels(None, table, "icd10-3char", train_rows=np.arange(1), icd9="map")
    with pytest.raises(DataError, match="no such file; expected a map"):
        read_icd9_map(tmp_path / "none.csv")
    (tmp_path / "map.csv").write_text("icd9,icd10\n1,2\n")
    with pytest.raises(DataError, match="expected columns 'icd_9' and 'icd_10', found icd9, icd10"):
        read_icd9_map(tmp_path / "map.csv")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("I4811", {"chapters": "IX", "blocks": "I30-I5A", "3char": "I48", "4char": "I481", "codes": "I4811"}),
        ("I10", {"chapters": "IX", "blocks": "I10-I1A", "3char": "I10", "4char": None, "codes": "I10"}),
        ("S020XXA", {"chapters": "XIX", "blocks": "S00-S09", "3char": "S02", "4char": "S020", "codes": "S020XXA"}),
        ("I48119", {"chapters": "IX", "blocks": "I30-I5A", "3char": "I48", "4char": "I481", "codes": "I4811"}),
        ("Q9Z9", dict.fromkeys(("chapters", "blocks", "3char", "4char", "codes"))),
    ],
)
def test_levels_by_hand(code, expected):
    found = {level: level_labels(code, level=level) for level in expected}
    assert found == {level: () if label is None else (label,) for level, label in expected.items()}
    assert set(level_labels(code, level="expanded")) == {
        label for level, label in expected.items() if label and level != "codes"
    }
    assert level_labels(code, level="3char", chapter="II") == ()


@pytest.mark.parametrize(
    ("label_set", "names"),
    [
        ("icd10-chapters", ("IV", "IX")),
        ("icd10-blocks", ("E08-E13", "I10-I1A", "I30-I5A")),
        ("icd10-blocks:ix", ("I10-I1A", "I30-I5A")),
        ("icd10-3char:IX", ("I10", "I48")),
        ("icd10-4char", ("E119", "I480", "I481")),
        ("icd10-codes", ("E119", "I10", "I480", "I4811")),
        ("icd10-expanded", ("IV", "IX", "E08-E13", "I10-I1A", "I30-I5A", "E11", "I10", "I48", "E119", "I480", "I481")),
    ],
)
def test_sets_of_levels(label_set, names):
    table = make_labels(None, studies(), label_set, train_rows=TRAIN, min_count=1)
    assert table.names == names
    assert set(table.titles) == set(table.paths) == set(names)


def test_the_expansion_of_one_study_as_documented():
    """The worked example of docs/labels.md."""
    table = pa.table({"codes_icd10cm": [["I2510", "I5023", "S020XXA"]]})

    def names(label_set):
        return set(make_labels(None, table, label_set, train_rows=np.arange(1), min_count=1).names)

    assert names("icd10-chapter-ix") == {"IX", "I20-I25", "I25", "I251", "I30-I5A", "I50", "I502"}
    assert names("icd10-strodthoff:I") == {"I25", "I251", "I2510", "I50", "I502", "I5023"}
    assert names("icd10-strodthoff") == names("icd10-strodthoff:I") | {"S02", "S020"}


def test_titles_and_paths_in_the_table():
    table = make_labels(None, studies(), "icd10-chapter-ix", train_rows=TRAIN, min_count=1)
    assert table.titles["I480"] == "Paroxysmal atrial fibrillation"
    assert table.paths["IX"] == ("IX",)
    assert table.paths["I30-I5A"] == ("IX", "I30-I5A")
    assert table.paths["I481"] == ("IX", "I30-I5A", "I48", "I481")


def test_unknown_codes_are_labels_of_the_benchmark_and_stand_below_what_is_known_of_them():
    codes = [["I4Z1", "I4819"], ["I4Z1", "I481"]]
    table = make_labels(None, studies(codes), "icd10-strodthoff", train_rows=np.arange(2), min_count=1)
    assert table.names == ("I48", "I481", "I4819", "I4Z", "I4Z1")
    assert table.paths["I4819"] == ("IX", "I30-I5A", "I48", "I481", "I4819")
    assert table.paths["I4Z1"] == ("I4Z1",)
    assert "I4Z1" not in table.titles
    assert table.notes["unknown_codes"] == {"I4Z1": 2}
    assert table.notes["keeps_unknown_codes"]


def test_the_published_vocabulary_is_called_a_leak():
    ours = make_labels(None, studies(), "icd10-chapter-ix", train_rows=TRAIN, min_count=1)
    theirs = make_labels(None, studies(), "icd10-chapter-ix", train_rows=TRAIN, min_count=1, vocabulary="all")
    assert set(theirs.names) - set(ours.names) == {"I20-I25", "I21", "I214"}
    assert (ours.notes["vocabulary"], theirs.notes["vocabulary"]) == ("train", "all (leak)")
    with pytest.raises(ConfigError, match=r"unknown vocabulary 'test': .*expected one of train, all"):
        make_labels(None, studies(), "icd10-chapter-ix", train_rows=TRAIN, vocabulary="test")  # pyright: ignore


def test_labels_of_another_table_have_no_say_of_their_own():
    table = make_labels(None, studies(), "icd10-3char", train_rows=np.zeros(0, int), names=("I48", "Z95"))
    assert table.names == ("I48", "Z95")
    assert table.values.sum(axis=0).tolist() == [3, 0]
    assert "counts" not in table.notes
