"""What the cohorts share: tables, lists of codes, files that are there."""

import gzip

import numpy as np
import pyarrow as pa
import pytest

from lamae.cohorts import COHORTS, names, notes, open_cohort
from lamae.cohorts.tables import (
    NUMBER,
    TEXT,
    TIME,
    keep_present,
    parse_code_lists,
    present_files,
    read_csv,
    studies_table,
    version_from_folder,
)
from lamae.errors import ConfigError, DataError


def test_every_cohort_has_its_name():
    assert names() == ("mimic-iv-ecg", "ptb-xl", "challenge-2021", "challenge-2011", "code-15", "folder")
    for name, cohort in COHORTS.items():
        assert cohort(root=None).name == name


def test_an_unknown_cohort_names_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="unknown cohort 'ptbxl': did you mean 'ptb-xl'"):
        open_cohort("ptbxl", tmp_path)


def test_an_unknown_option_names_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="cohort ptb-xl: unknown setting 'rate': did you mean 'rate_hz'"):
        open_cohort("ptb-xl", tmp_path, rate=100)


def test_an_option_of_the_wrong_type_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"rate_hz: expected .*100.*500.*found 250"):
        open_cohort("ptb-xl", tmp_path, rate_hz=250)


def test_options_may_be_text_as_on_the_command_line(tmp_path):
    assert open_cohort("ptb-xl", tmp_path, rate_hz="500", partial="false").options == {"rate_hz": 500, "partial": False}


def test_missing_folders_and_tables_are_named(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such folder"):
        open_cohort("ptb-xl", tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"none\.csv: there is no such file or folder; expected what --labels"):
        open_cohort("folder", tmp_path, labels=tmp_path / "none.csv")


def test_a_cohort_without_a_table_of_labels_says_so(tmp_path):
    with pytest.raises(ConfigError, match="cohort code-15: unknown setting 'hosp'"):
        open_cohort("code-15", tmp_path, hosp=tmp_path)


def test_csv_reads_wanted_columns_only(tmp_path):
    file = tmp_path / "a.csv.gz"
    with gzip.open(file, "wt", encoding="utf-8") as stream:
        stream.write('\ufeffid,extra,note,age,when\n007,x,"two\nlines",,2180-05-06 23:01:00\n,y,z,61,\n')
    table = read_csv(file, {"id": TEXT, "when": TIME}, {"age": NUMBER, "absent": NUMBER})
    assert table.column_names == ["id", "when", "age"]
    assert table["id"].to_pylist() == ["007", None]
    assert table["when"].to_pylist()[0].isoformat() == "2180-05-06T23:01:00"
    assert table["age"].to_pylist() == [None, 61]


def test_csv_without_the_needed_column(tmp_path):
    (tmp_path / "a.csv").write_text("study,patient_id\n1,2\n")
    with pytest.raises(DataError, match=r"a\.csv: expected a column 'study_id', found study, patient_id; did you mean"):
        read_csv(tmp_path / "a.csv", {"study_id": TEXT})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the table is empty"),
        (b"id,age\n1,old\n", "cannot read this table.*conversion error to float"),
        (b"id,age\n1,2\nMrs Smith,3,4\n", "cannot read this table.*Expected 2 columns, got 3$"),
        (b"\xff\xfe\x00\x01\n", "not readable as a CSV file"),
        (b"id,age\n\xff\xfe,2\n", "invalid UTF8"),
    ],
)
def test_unreadable_tables(tmp_path, content, message):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_csv(tmp_path / "a.csv", {"id": TEXT, "age": NUMBER})
    assert "Smith" not in str(caught.value)


def test_a_missing_table(tmp_path):
    with pytest.raises(DataError, match=r"a\.csv: there is no such file, but this data set needs the table"):
        read_csv(tmp_path / "a.csv", {"id": TEXT})


def test_lists_as_pandas_writes_them():
    texts = ["['I480', 'E119']", "[]", None, "['I10  ']", "['T82.7XXA',\"I10\"]", "[ ]"]
    lists = parse_code_lists(pa.chunked_array([texts[:2], texts[2:]], pa.string()))
    assert lists.to_pylist() == [["I480", "E119"], [], [], ["I10"], ["T82.7XXA", "I10"], []]


def test_lists_when_all_are_empty():
    assert parse_code_lists(pa.array(["[]", None, "[]"], pa.string())).to_pylist() == [[], [], []]


def test_present_files_are_found_by_listing(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/1.hea").touch()
    (tmp_path / "2.hea").touch()
    paths = ["a/b/1.hea", "a/b/2.hea", "2.hea", "c/1.hea", "2.hea/x"]
    assert present_files(tmp_path, paths).tolist() == [True, False, True, False, False]


def test_absent_files_are_counted(tmp_path):
    table = studies_table({"study_id": ["1", "2", "3"], "path": ["a", "b", "c"]}, where=tmp_path, notes={"num_seen": 5})
    kept = keep_present(table, np.array([True, False, True]), where=tmp_path)
    assert kept["study_id"].to_pylist() == ["1", "3"]
    assert notes(kept) == {"num_seen": 5, "num_absent": 1}


def test_a_folder_without_any_of_the_files(tmp_path):
    table = studies_table({"study_id": ["1", "2"]}, where=tmp_path)
    with pytest.raises(DataError, match="none of the 2 recordings that the data set lists is there"):
        keep_present(table, np.array([False, False]), where=tmp_path)


def test_repeated_study_ids_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"2 study ids occur more than once .such as '7'"):
        studies_table({"study_id": ["7", "7", "7", "8"]}, where=tmp_path)


def test_studies_without_an_id_are_refused(tmp_path):
    with pytest.raises(DataError, match="1 of 3 studies have no id"):
        studies_table({"study_id": ["7", None, "8"]}, where=tmp_path)


def test_a_patient_in_two_splits_is_refused(tmp_path):
    columns = {"study_id": ["1", "2"], "patient_key": ["p", "p"], "split": ["train", "test"]}
    with pytest.raises(DataError, match="1 of 1 patients have studies in several splits"):
        studies_table(columns, where=tmp_path)


def test_columns_come_in_their_order_and_types(tmp_path):
    columns = {"label_b": [1, None], "split": ["train", None], "fold": [3, None], "study_id": ["1", "2"]}
    columns["patient_key"] = ["p", "q"]
    table = studies_table(columns, where=tmp_path)
    assert table.column_names == ["study_id", "patient_key", "split", "fold", "label_b"]
    assert [str(kind) for kind in table.schema.types] == ["string", "string", "string", "int32", "float"]


@pytest.mark.parametrize(
    ("folder", "version"),
    [
        ("ptb-xl-a-large-publicly-available-electrocardiography-dataset-1.0.3", "1.0.3"),
        ("1.0.1", "1.0.1"),
        ("mimic-iv-ecg-demo-0.1", "0.1"),
        ("ptb-xl", "unknown"),
        ("data2", "unknown"),
    ],
)
def test_versions_are_read_from_folders(tmp_path, folder, version):
    assert version_from_folder(tmp_path / folder) == version


def test_a_column_of_another_type_is_refused_without_its_values(tmp_path):
    columns = {"study_id": ["a", "b"], "age_years": pa.array(["61", "Mrs Smith"])}
    with pytest.raises(DataError, match="'age_years' should hold float, found string") as caught:
        studies_table(columns, where=tmp_path)
    assert caught.value.reason == "wrong-column-type"
    assert "Smith" not in str(caught.value)
    with pytest.raises(DataError, match="'codes_icd10cm' should hold list"):
        studies_table({"study_id": ["a"], "codes_icd10cm": pa.array(["I480"])}, where=tmp_path)
