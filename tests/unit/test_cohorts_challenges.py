"""The Challenges 2011 and 2021."""

import pytest

from lamae.cohorts import notes, open_cohort
from lamae.errors import DataError

LINE = "{name}.mat 16+24 1000/mV 16 0 28 -1716 0 I\n"


def write_header(folder, name, *comments):
    folder.mkdir(parents=True, exist_ok=True)
    lines = f"{name} 12 500 5000 05-Feb-2020 11:39:16\n" + LINE.format(name=name) * 12
    (folder / f"{name}.hea").write_text(lines + "\n".join(comments) + "\n", encoding="latin-1")


@pytest.fixture
def challenge_2021(tmp_path):
    training = tmp_path / "training"
    write_header(training / "cpsc_2018/g1", "A0001", "#Age: 74", "#Sex: Male", "#Dx: 59118001", "#Rx: Unknown")
    write_header(
        training / "ptb-xl/g1", "HR00502", "# Age: 300", "# Sex: F", "# Dx: 251146004, 426783006 ,", "# Hx: Unknown"
    )
    write_header(training / "ningbo/g4", "JS23074", "#Age: NaN", "#Sex: Unknown", "#Dx: ")
    write_header(training / "cpsc_2018/g2", "A0002", "#Age: -1", "#Sex: female", "#Dx: 426783006,164889003")
    write_header(training / "ptb/g1", "S0001")
    return tmp_path


def test_challenge_2021(challenge_2021):
    table = open_cohort("challenge-2021", challenge_2021).table()
    assert table["study_id"].to_pylist() == ["A0001", "A0002", "JS23074", "HR00502", "S0001"]
    assert table["path"].to_pylist()[0] == "training/cpsc_2018/g1/A0001"
    assert table["age_years"].to_pylist() == [74, None, None, 90, None]
    assert table["sex"].to_pylist() == ["male", "female", None, "female", None]
    assert table["codes_snomed"].to_pylist() == [
        ["59118001"], ["426783006", "164889003"], [], ["251146004", "426783006"], []
    ]  # fmt: skip
    assert table["patient_key"].to_pylist()[0] == "challenge-2021:study:A0001"
    assert None not in table["split"].to_pylist()


def test_challenge_2021_knows_ptb_xl(challenge_2021):
    keys = open_cohort("challenge-2021", challenge_2021).table()["record_key"].to_pylist()
    assert keys[3] == "ptb-xl:502"
    assert keys[0] == "challenge-2021:A0001"


def test_challenge_2021_the_same_name_twice(challenge_2021):
    write_header(challenge_2021 / "training/other", "A0001")
    with pytest.raises(DataError, match=r"1 study ids occur more than once .such as 'A0001'"):
        open_cohort("challenge-2021", challenge_2021).table()


def test_challenge_2021_without_headers(tmp_path):
    with pytest.raises(DataError, match=r"no header .*found below it"):
        open_cohort("challenge-2021", tmp_path).table()


@pytest.fixture
def challenge_2011(tmp_path):
    for name, records in (("set-a", ["1002", "1003", "1005", "1007"]), ("set-b", ["2002"])):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "RECORDS").write_text("\n".join(records))
        for record in records[:3]:
            (folder / f"{record}.hea").touch()
    (tmp_path / "set-a/RECORDS-acceptable").write_text("1002\n1007\n")
    (tmp_path / "set-a/RECORDS-unacceptable").write_text("1003\n")
    return tmp_path


def test_challenge_2011_both_sets(challenge_2011):
    table = open_cohort("challenge-2011", challenge_2011).table()
    assert table["study_id"].to_pylist() == ["1002", "1003", "1005", "2002"]
    assert table["path"].to_pylist() == ["set-a/1002", "set-a/1003", "set-a/1005", "set-b/2002"]
    assert table["label_acceptable"].to_pylist() == [1, 0, None, None]
    assert notes(table) == {"num_absent": 1}


def test_challenge_2011_one_set(challenge_2011):
    table = open_cohort("challenge-2011", challenge_2011 / "set-a", partial=False).table()
    assert table["path"].to_pylist() == ["1002", "1003", "1005", "1007"]
    assert table["label_acceptable"].to_pylist() == [1, 0, None, 1]


def test_challenge_2011_without_a_list(tmp_path):
    with pytest.raises(DataError, match="expected the list RECORDS"):
        open_cohort("challenge-2011", tmp_path).table()
