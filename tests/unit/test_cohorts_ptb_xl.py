"""PTB-XL: statements, folds, ages, partial downloads."""

import math

import pytest

from lamae.cohorts import notes, open_cohort
from lamae.errors import DataError

HEADER = "ecg_id,patient_id,age,sex,height,recording_date,report,scp_codes,strat_fold,filename_lr,filename_hr"
ROWS = [
    (1, "15709.0", "56.0", 1, "1984-11-09 09:17:34", "{'NORM': 100.0, 'LVOLT': 0.0, 'SR': 0.0}", 8),
    (2, "13243.0", "300.0", 0, "1984-11-14 12:55:37", "{'LAO/LAE': 80.0, 'PRC(S)': nan}", 9),
    (3, "", "", 0, "1984-11-15 12:49:10", "{}", 10),
    (17001, "15709.0", "57.0", 1, "1985-11-09 09:17:34", "{'AFIB': 0.0}", 1),
]


@pytest.fixture
def root(tmp_path):
    lines = [HEADER]
    for ecg_id, patient, age, sex, date, codes, fold in ROWS:
        below = f"{ecg_id // 1000 * 1000:05d}/{ecg_id:05d}"
        files = [f"records100/{below}_lr", f"records500/{below}_hr"]
        lines.append(f'{ecg_id},{patient},{age},{sex},,{date},"sinus,\nrhythmus","{codes}",{fold},{",".join(files)}')
        for file in files:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / f"{file}.hea").touch()
    (tmp_path / "ptbxl_database.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def test_table(root):
    table = open_cohort("ptb-xl", root).table()
    assert table["study_id"].to_pylist() == ["1", "2", "3", "17001"]
    assert table["patient_key"].to_pylist() == ["ptb-xl:15709", "ptb-xl:13243", "ptb-xl:study:3", "ptb-xl:15709"]
    assert table["record_key"].to_pylist() == ["ptb-xl:1", "ptb-xl:2", "ptb-xl:3", "ptb-xl:17001"]
    assert table["split"].to_pylist() == ["train", "validation", "test", "train"]
    assert table["fold"].to_pylist() == [8, 9, 10, 1]
    assert table["sex"].to_pylist() == ["female", "male", "male", "female"]
    assert table["age_years"].to_pylist() == [56, 90, None, 57]
    assert table["acquired_at"].to_pylist()[1].isoformat() == "1984-11-14T12:55:37"
    assert table["path"].to_pylist()[3] == "records100/17000/17001_lr"
    assert notes(table) == {"num_absent": 0}
    assert not [name for name in table.column_names if "report" in name]


def test_statements_and_likelihoods(root):
    table = open_cohort("ptb-xl", root).table()
    assert table["codes_scp"].to_pylist() == [["NORM", "LVOLT", "SR"], ["LAO/LAE", "PRC(S)"], [], ["AFIB"]]
    first, second, third, fourth = table["codes_scp_likelihood"].to_pylist()
    assert (first, third, fourth) == ([100, 0, 0], [], [0])
    assert second[0] == 80
    assert math.isnan(second[1])


def test_rates(root):
    table = open_cohort("ptb-xl", root, rate_hz=500).table()
    assert table["path"].to_pylist()[0] == "records500/00000/00001_hr"


def test_partial_download(root):
    (root / "records100/17000/17001_lr.hea").unlink()
    table = open_cohort("ptb-xl", root).table()
    assert table["study_id"].to_pylist() == ["1", "2", "3"]
    assert notes(table) == {"num_absent": 1}
    assert len(open_cohort("ptb-xl", root, partial=False).table()) == 4


def test_nothing_downloaded_at_that_rate(root):
    for file in (root / "records500").rglob("*.hea"):
        file.unlink()
    with pytest.raises(DataError, match="none of the 4 recordings"):
        open_cohort("ptb-xl", root, rate_hz=500).table()


def test_database_without_the_needed_column(root):
    (root / "ptbxl_database.csv").write_text("ecg_id,patient_id,filename_lr\n1,1,a\n")
    with pytest.raises(DataError, match=r"ptbxl_database\.csv: expected a column 'scp_codes'"):
        open_cohort("ptb-xl", root).table()
