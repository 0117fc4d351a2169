"""CODE-15 %."""

import pytest

from lamae.cohorts import notes, open_cohort
from lamae.errors import DataError

HEADER = "exam_id,age,is_male,nn_predicted_age,1dAVb,RBBB,LBBB,SB,ST,AF,patient_id,death,timey,normal_ecg,trace_file"
NO = "False,False,False,False,False,False"


@pytest.fixture
def root(tmp_path):
    rows = [
        f"1169160,38,True,40.1,{NO},523632,False,2.098628,True,exams_part1.hdf5",
        "2873686,73,False,67.4,True,False,False,False,False,True,1724173,True,6.657529,False,exams_part0.hdf5",
        f"168405,67,True,79.6,{NO},51421,,,False,exams_part0.hdf5",
        f"271011,41,True,69.7,{NO},523632,,,False,exams_part17.hdf5",
    ]
    (tmp_path / "exams.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    for part in (0, 1):
        (tmp_path / f"exams_part{part}.hdf5").touch()
    return tmp_path


def test_table(root):
    table = open_cohort("code-15", root).table()
    assert table["study_id"].to_pylist() == table["record"].to_pylist() == ["1169160", "2873686", "168405"]
    assert table["path"].to_pylist() == ["exams_part1.hdf5", "exams_part0.hdf5", "exams_part0.hdf5"]
    assert table["patient_key"].to_pylist() == ["code-15:523632", "code-15:1724173", "code-15:51421"]
    assert table["label_AF"].to_pylist() == [0, 1, 0]
    assert table["label_1dAVb"].to_pylist() == [0, 1, 0]
    assert table["label_normal_ecg"].to_pylist() == [1, 0, 0]
    assert table["sex"].to_pylist() == ["male", "female", "male"]
    assert table["age_years"].to_pylist() == [38, 73, 67]
    assert notes(table) == {"num_absent": 1}
    assert not {"label_death", "label_follow_up_years"} & {*table.column_names}


def test_the_split_is_by_patient_and_stays_when_parts_are_added(root):
    before = open_cohort("code-15", root).table()
    (root / "exams_part17.hdf5").touch()
    after = open_cohort("code-15", root).table()
    assert after["split"].to_pylist()[:3] == before["split"].to_pylist()
    assert after["split"].to_pylist()[3] == after["split"].to_pylist()[0]


def test_outcomes_are_given_when_asked_for(root):
    table = open_cohort("code-15", root, outcomes=True).table()
    assert table["label_death"].to_pylist() == [0, 1, None]
    assert table["label_follow_up_years"].to_pylist() == pytest.approx([2.098628, 6.657529, None])


def test_an_exam_needs_its_id(root):
    with pytest.raises(ValueError, match="holds many exams"):
        open_cohort("code-15", root).read("exams_part0.hdf5")


def test_exams_without_the_needed_column(root):
    (root / "exams.csv").write_text("exam_id,patient_id,1dAVb,RBBB,LBBB,SB,ST,AF\n")
    with pytest.raises(DataError, match="expected a column 'trace_file'"):
        open_cohort("code-15", root).table()
