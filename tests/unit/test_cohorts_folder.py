"""A folder of any mix of files, with a table of labels."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lamae.cohorts import notes, open_cohort
from lamae.errors import ConfigError, DataError

FILES = ["a/one.hea", "a/one.dat", "two.dcm", "b/three.XML", "b/four.npy", "b/four.npy.json", "five.csv", "notes.txt"]
STUDIES = ["a/one", "b/four", "b/three", "five", "two"]


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "ecgs"
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "a/one.hea").write_text("one 1 500 5000\none.dat 16 200 16 0 0 0 0 II\n")
    return folder


def labelled(root, text, **options):
    file = root.parent / "labels.csv"
    file.write_text(text)
    return open_cohort("folder", root, labels=file, **options).table()


def test_every_supported_file_is_a_study(root):
    table = open_cohort("folder", root).table()
    assert table["study_id"].to_pylist() == STUDIES
    assert table["path"].to_pylist() == ["a/one.hea", "b/four.npy", "b/three.XML", "five.csv", "two.dcm"]
    assert table["patient_key"].to_pylist()[0] == "folder:study:a/one"
    assert None not in table["split"].to_pylist()
    assert notes(table) == {"num_ignored_files": 1}


def test_parts_of_records_are_no_studies(root):
    (root / "long.hea").write_text("# a comment\nlong/3 2 500 9000\nlong_1 3000\n~ 3000\nlong_2 3000\n")
    for part in ("long_1", "long_2"):
        (root / f"{part}.hea").write_text(f"{part} 2 500 3000\nx_{part}.dat 16 200 16 0 0 0 0 I\n")
        (root / f"x_{part}.dat").touch()
    (root / "lost.dat").touch()
    ids = open_cohort("folder", root).table()["study_id"].to_pylist()
    assert set(ids) - set(STUDIES) == {"long", "lost"}


def test_a_damaged_header_keeps_its_signal_file(root):
    for name, text in {"empty": "", "dots": "dots 1 500\n. 16\n.. 16\n", "noise": "\x00\x7f\n"}.items():
        (root / f"{name}.hea").write_text(text)
        (root / f"{name}.dat").touch()
    ids = open_cohort("folder", root).table()["study_id"].to_pylist()
    assert sorted(set(ids) - set(STUDIES)) == ["dots", "empty", "noise"]
    assert len(ids) == len(set(ids))


def test_headers_that_name_themselves_or_each_other_are_not_lost(root):
    for name, segment in {"self": "self", "left": "right", "right": "left"}.items():
        (root / f"{name}.hea").write_text(f"{name}/2 1 500 7\n{segment} 7\n")
    ids = open_cohort("folder", root).table()["study_id"].to_pylist()
    assert sorted(set(ids) - set(STUDIES)) == ["left", "right", "self"]


def test_files_that_cannot_be_opened_are_left_to_the_reader(root):
    for name in ("gone.hea", "gone.dcm", "IM00002"):
        (root / name).symlink_to(root / "nowhere")
    found = open_cohort("folder", root, keep_suffix=True).table()["study_id"].to_pylist()
    assert {"gone.hea", "gone.dcm", "IM00002"} <= set(found)


def test_a_folder_that_cannot_be_listed(root, monkeypatch):
    def forbidden(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", forbidden)
    with pytest.raises(DataError, match=r"cannot be listed \(Permission denied\), so its recordings would be lost"):
        open_cohort("folder", root).table()


@pytest.mark.parametrize("cohort", ["folder", "challenge-2021"])
def test_links_to_folders_are_counted_and_folders_that_cannot_be_listed_stop(tmp_path, monkeypatch, cohort):
    """Neither is lost in silence: a linked folder is counted, an unreadable one is an error."""
    (tmp_path / "elsewhere").mkdir()
    root = tmp_path / "root"
    root.mkdir()
    (root / "A0001.hea").write_text("A0001 1 500 1000\nA0001.dat 16 1000/mV 16 0 0 0 0 I\n#Age: 50\n")
    (root / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (root / ".hidden").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    table = open_cohort(cohort, root).table()
    assert table["study_id"].to_pylist() == ["A0001"]
    assert notes(table)["num_linked_folders_not_followed"] == 1

    def forbidden(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", forbidden)
    with pytest.raises(DataError, match=r"cannot be listed \(Permission denied\), so its recordings would be lost"):
        open_cohort(cohort, root).table()


def test_dicom_without_an_ending_and_hidden_files(root):
    (root / "IM00001").write_bytes(bytes(128) + b"DICM" + bytes(7))
    (root / "README").write_text("no ECG")
    (root / ".hidden.dcm").touch()
    (root / ".cache").mkdir()
    (root / ".cache/x.dcm").touch()
    table = open_cohort("folder", root).table()
    assert set(table["study_id"].to_pylist()) - set(STUDIES) == {"IM00001"}


def test_two_files_of_one_name(root):
    (root / "two.xml").touch()
    with pytest.raises(DataError, match=r"1 study ids occur more than once .such as 'two'.*keep_suffix=true"):
        open_cohort("folder", root).table()
    ids = open_cohort("folder", root, keep_suffix=True).table()["study_id"].to_pylist()
    assert ids == ["a/one.hea", "b/four.npy", "b/three.XML", "five.csv", "two.dcm", "two.xml"]


def test_an_empty_folder(tmp_path):
    with pytest.raises(DataError, match="no recording found below it"):
        open_cohort("folder", tmp_path).table()


def test_labels_covariates_patients_and_splits(root):
    text = "study_id,patient_id,split,lvef,af,age_years,sex,name\n"
    text += "one,7,train,55.5,1,61,female,Smith\ntwo,8,val,,0,,male,Jones\nb/three,7,Training,40,,5,,\n"
    table = labelled(root, text)
    assert table["patient_key"].to_pylist() == [
        "folder:7", "folder:study:b/four", "folder:7", "folder:study:five", "folder:8"
    ]  # fmt: skip
    assert table["split"].to_pylist() == ["train", None, "train", None, "validation"]
    assert table["label_lvef"].to_pylist() == [55.5, None, 40, None, None]
    assert table["label_af"].to_pylist() == [1, None, None, None, 0]
    assert table["age_years"].to_pylist() == [61, None, 5, None, None]
    assert table["sex"].to_pylist() == ["female", None, None, None, "male"]
    assert "name" not in " ".join(table.column_names)
    assert notes(table) == {
        "num_ignored_files": 1, "num_unknown_studies": 0, "num_without_labels": 2, "num_ignored_columns": 1
    }  # fmt: skip


def test_other_names_of_columns(root):
    table = labelled(
        root,
        "ecg,mrn,fold_name,lvef,weight\none,007,dev,55,80\n",
        study_column="ecg",
        patient_column="mrn",
        split_column="fold_name",
        label_columns=["lvef"],
        source="our-hospital",
    )
    assert table["patient_key"].to_pylist()[0] == "our-hospital:007"
    assert table["split"].to_pylist()[0] == "validation"
    assert [name for name in table.column_names if name.startswith("label_")] == ["label_lvef"]


def test_options_from_the_command_line_are_text(root):
    options = {"label_columns": "[lvef]", "array_leads": "[I, II]", "array_rate_hz": "250", "keep_suffix": "true"}
    cohort = open_cohort("folder", root, lead_names="{LEAD1: I}", **options)
    assert cohort.label_columns == ("lvef",)
    assert cohort.array_leads == ("I", "II")
    assert cohort.array_rate_hz == 250
    assert cohort.keep_suffix
    assert cohort.lead_names == {"LEAD1": "I"}


def test_splits_are_drawn_by_patient_when_none_are_given(root):
    table = labelled(root, "study_id,patient_id\na/one,1\nb/four,1\nb/three,1\nfive,1\ntwo,1\n")
    assert len(set(table["split"].to_pylist())) == 1


def test_parquet_with_codes(root):
    file = root / "labels.parquet"
    content = {"study_id": ["one", "two"], "codes_icd10cm": [["I480"], []], "patient_id": [1, 2], "af": [True, False]}
    pq.write_table(pa.table(content), file)
    table = open_cohort("folder", root, labels=file).table()
    assert table["codes_icd10cm"].to_pylist() == [["I480"], None, None, None, []]
    assert table["patient_key"].to_pylist()[0] == "folder:1"
    assert table["label_af"].to_pylist() == [1, None, None, None, 0]


def test_a_table_inside_the_folder_is_no_study(root):
    (root / "labels.csv").write_text("study_id,af\none,1\n")
    table = open_cohort("folder", root, labels=root / "labels.csv").table()
    assert table["study_id"].to_pylist() == STUDIES


def test_table_without_the_needed_column(root):
    with pytest.raises(DataError, match="expected a column 'study_id', found study, af; did you mean 'study'"):
        labelled(root, "study,af\none,1\n")
    with pytest.raises(DataError, match="expected a column 'lvef'"):
        labelled(root, "study_id,ef\none,1\n", label_columns=["lvef"])


def test_labels_for_unknown_studies(root):
    text = "study_id,af\none,1\n" + "".join(f"gone{number},0\n" for number in range(7))
    with pytest.raises(DataError, match=r"labels for 7 unknown studies .'gone0', .*'gone4', .*unknown_studies=ignore"):
        labelled(root, text)
    table = labelled(root, text, unknown_studies="ignore")
    assert table["label_af"].to_pylist() == [1, None, None, None, None]
    assert notes(table)["num_unknown_studies"] == 7


def test_bare_names_count_only_where_they_are_unique(root):
    (root / "b/one.npy").touch()
    with pytest.raises(DataError, match=r"labels for 1 unknown studies .'one'"):
        labelled(root, "study_id,af\none,1\n")


def test_table_that_repeats_a_study(root):
    with pytest.raises(DataError, match=r"1 study ids occur more than once .'one'"):
        labelled(root, "study_id,af\none,1\none,0\n")


def test_a_patient_in_two_splits(root):
    with pytest.raises(DataError, match="1 of 1 patients have studies in several splits"):
        labelled(root, "study_id,patient_id,split\none,7,train\ntwo,7,test\n")


def test_an_unknown_split(root):
    with pytest.raises(DataError, match="unknown split 'holdout': expected train, validation, test"):
        labelled(root, "study_id,split\none,holdout\n")


def test_a_label_that_is_no_number(root):
    with pytest.raises(DataError, match="the label 'rhythm' must hold numbers, found string"):
        labelled(root, "study_id,rhythm\none,AF\n", label_columns=["rhythm"])


def test_an_unreadable_table(root):
    with pytest.raises(DataError, match=r"cannot read this table.*Expected 2 columns, got 3$"):
        labelled(root, "study_id,af\none,1,Smith\n")
    (root.parent / "labels.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="cannot read this table"):
        open_cohort("folder", root, labels=root.parent / "labels.parquet").table()


def test_options_are_plain_and_hold_no_path(root):
    options = open_cohort("folder", root, label_columns=["a", "b"], unknown_studies="ignore").options
    assert options["label_columns"] == ("a", "b")
    assert "root" not in options
    with pytest.raises(ConfigError, match="unknown_studies: expected"):
        open_cohort("folder", root, unknown_studies="drop")
