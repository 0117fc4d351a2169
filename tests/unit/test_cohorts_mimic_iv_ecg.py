"""MIMIC-IV-ECG: record list, machine measurements, Ext-ICD, hospital tables, demo, simulated."""

import gzip
import json
import pickle

import pytest

from lamae.cohorts import notes, open_cohort
from lamae.errors import ConfigError, DataError, FormatError

RECORDS = [
    ("10000032", "40000011", "2180-05-06 23:10:00"),
    ("10000032", "40000012", "2180-06-27 01:00:00"),
    ("10014729", "40000013", "2125-03-01 01:00:00"),
    ("10020740", "40000014", "2150-01-01 00:00:00"),
    ("10020740", "40000015", "2150-02-01 00:00:30"),
]
EXT_ICD_HEADER = (
    "file_name,study_id,subject_id,ecg_time,ed_diag_ed,all_diag_hosp,all_diag_all,gender,age,fold,strat_fold"
)


def path_of(subject, study):
    return f"files/p{subject[:4]}/p{subject}/s{study}/{study}"


@pytest.fixture
def root(tmp_path):
    """A folder in the layout of the demo: a record list and files, without measurements or diagnoses."""
    folder = tmp_path / "mimic-iv-ecg-demo-0.1"
    folder.mkdir()
    lines = ["subject_id,study_id,file_name,ecg_time,path"]
    for subject, study, time in RECORDS:
        path = path_of(subject, study)
        (folder / path).parent.mkdir(parents=True)
        (folder / f"{path}.hea").touch()
        lines.append(f"{subject},{study},{study},{time},{path}")
    (folder / "record_list.csv").write_text("\n".join(lines) + "\n")
    return folder


def write_ext_icd(file, rows, header=EXT_ICD_HEADER):
    file.write_text("\n".join([header, *rows]) + "\n")


def ext_icd_row(number, codes, fold, *, strat_fold=0, gender="F", age="52", study=None):
    subject, study_id, time = RECORDS[number]
    zip_name = "mimic-iv-ecg-diagnostic-electrocardiogram-matched-subset-1.0"
    file_name = f"{zip_name}/{path_of(subject, study_id)}"
    return f'{file_name},{study or study_id},{subject},{time},[],"{codes}","{codes}",{gender},{age},{fold},{strat_fold}'


def write_hosp(folder, *, compress):
    folder.mkdir(parents=True)
    tables = {
        "admissions": "subject_id,hadm_id,admittime,dischtime,deathtime,race\n"
        "10000032,21,2180-05-06 22:23:00,2180-05-07 17:15:00,,X\n"
        "10000032,22,2180-06-26 18:27:00,2180-06-27 00:30:00,2180-06-27 02:00:00,X\n"
        "10020740,24,2150-01-01 00:00:00,2150-01-05 00:00:00,,X\n"
        "10020740,25,2149-12-31 00:00:00,2150-01-02 00:00:00,,X\n"
        "10020740,26,2150-01-20 00:00:00,2150-02-01 00:00:30,,X\n",
        "diagnoses_icd": "subject_id,hadm_id,seq_num,icd_code,icd_version\n"
        "10000032,21,2,42731  ,9\n"
        "10000032,21,1,4019,9\n"
        "10000032,22,2,E119,10\n"
        "10000032,22,1,i480,10\n"
        "10020740,24,1,I10,10\n"
        "10020740,25,1,I214,10\n"
        "10020740,26,1,I509,10\n",
        "patients": "subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod\n"
        "10000032,F,52,2180,2014 - 2016,\n10020740,M,91,2148,2014 - 2016,\n",
    }
    for name, text in tables.items():
        if compress:
            (folder / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / f"{name}.csv").write_text(text)


def test_record_list_alone_as_in_the_demo(root):
    cohort = open_cohort("mimic-iv-ecg", root)
    table = cohort.table()
    assert cohort.version == "0.1"
    assert not cohort.simulated
    assert cohort.options["diagnoses_from"] == "none"
    assert table["study_id"].to_pylist() == [study for _, study, _ in RECORDS]
    assert table["patient_key"].to_pylist()[2] == "mimic-iv:10014729"
    assert table["path"].to_pylist()[0] == "files/p1000/p10000032/s40000011/40000011"
    assert table["acquired_at"].to_pylist()[0].isoformat() == "2180-05-06T23:10:00"
    splits = table["split"].to_pylist()
    assert splits[0] == splits[1]
    assert splits[3] == splits[4]
    assert not [name for name in table.column_names if name.startswith(("codes_", "measure_", "text_"))]


def test_a_cohort_travels_to_other_processes(root):
    cohort = open_cohort("mimic-iv-ecg", root)
    cohort.table()
    again = pickle.loads(pickle.dumps(cohort))
    assert again == cohort
    assert len(pickle.dumps(cohort)) < 2000


def test_ext_icd_codes_folds_and_covariates(root):
    rows = [
        "0," + ext_icd_row(0, "['I480', 'E119 ']", 17, strat_fold=19),
        "1," + ext_icd_row(1, "[]", 17, strat_fold=19),
        "2," + ext_icd_row(2, "['I10']", 18, gender="missing", age=""),
        "3," + ext_icd_row(3, "['I2510']", 19, gender="M", age="91"),
    ]
    write_ext_icd(root / "records_w_diag_icd10.csv", rows, header="Unnamed: 0," + EXT_ICD_HEADER)
    cohort = open_cohort("mimic-iv-ecg", root)
    table = cohort.table()
    assert table["codes_icd10cm"].to_pylist() == [["I480", "E119"], [], ["I10"], ["I2510"], []]
    assert table["fold"].to_pylist() == [17, 17, 18, 19, None]
    assert table["split"].to_pylist() == ["train", "train", "validation", "test", None]
    assert table["sex"].to_pylist() == ["female", "female", None, "male", None]
    assert table["age_years"].to_pylist() == [52, 52, None, 91, None]
    assert notes(table) == {"num_without_labels": 1, "num_unknown_studies": 0, "num_absent": 0}
    assert cohort.options["diagnoses_from"] == "ext-icd"

    other = open_cohort("mimic-iv-ecg", root, fold_column="strat_fold", diagnosis_column="ed_diag_ed").table()
    assert other["split"].to_pylist() == ["test", "test", "train", "train", None]
    assert other["codes_icd10cm"].to_pylist() == [[], [], [], [], []]


def test_more_folds_for_validation_and_test(root):
    rows = [ext_icd_row(0, "[]", 13), ext_icd_row(2, "[]", 14), ext_icd_row(3, "[]", 16)]
    write_ext_icd(root / "records_w_diag_icd10.csv", rows)
    table = open_cohort("mimic-iv-ecg", root, num_validation_folds=2, num_test_folds="4").table()
    assert table["split"].to_pylist() == ["train", None, "validation", "test", None]
    with pytest.raises(ConfigError, match="of the 20 folds, 1 for validation and 19 for the test leave none to train"):
        open_cohort("mimic-iv-ecg", root, num_test_folds=19)


def test_ext_icd_elsewhere_and_unknown_studies_are_counted(root, tmp_path):
    file = tmp_path / "labels.csv"
    write_ext_icd(file, [ext_icd_row(0, "['I480']", 3), ext_icd_row(1, "[]", 3, study="999")])
    table = open_cohort("mimic-iv-ecg", root, labels=file).table()
    assert table["codes_icd10cm"].to_pylist()[0] == ["I480"]
    assert notes(table)["num_unknown_studies"] == 1


def test_renumbered_demo_studies_are_found_by_patient_and_minute(root, tmp_path):
    rows = [ext_icd_row(number, f"['I4{number}']", 3, study=f"5{number}") for number in (0, 2, 4)]
    write_ext_icd(tmp_path / "labels.csv", [row.replace("00:00:30", "00:00:00") for row in rows])
    table = open_cohort("mimic-iv-ecg", root, labels=tmp_path / "labels.csv").table()
    assert table["codes_icd10cm"].to_pylist() == [["I40"], [], ["I42"], [], ["I44"]]


def test_labels_of_other_studies_only(root, tmp_path):
    row = ext_icd_row(0, "['I480']", 3, study="999").replace("2180", "2190")
    write_ext_icd(tmp_path / "labels.csv", [row])
    with pytest.raises(DataError, match=r"labels for 1 studies, but none of them is among the 5"):
        open_cohort("mimic-iv-ecg", root, labels=tmp_path / "labels.csv").table()


def test_ext_icd_repeating_a_study(root, tmp_path):
    write_ext_icd(tmp_path / "labels.csv", [ext_icd_row(0, "[]", 3), ext_icd_row(0, "[]", 3)])
    with pytest.raises(DataError, match="1 study ids occur more than once"):
        open_cohort("mimic-iv-ecg", root, labels=tmp_path / "labels.csv").table()


def test_ext_icd_without_the_needed_column(root, tmp_path):
    write_ext_icd(tmp_path / "labels.csv", [], header="study_id,subject_id,fold,strat_fold")
    with pytest.raises(DataError, match="expected a column 'all_diag_all', found study_id"):
        open_cohort("mimic-iv-ecg", root, labels=tmp_path / "labels.csv").table()


def test_a_patient_in_two_folds(root, tmp_path):
    write_ext_icd(tmp_path / "labels.csv", [ext_icd_row(0, "[]", 3), ext_icd_row(1, "[]", 19)])
    with pytest.raises(DataError, match="1 of 1 patients have studies in several splits"):
        open_cohort("mimic-iv-ecg", root, labels=tmp_path / "labels.csv").table()


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("above", [True, False])
def test_diagnoses_from_the_hospital(root, tmp_path, compress, above):
    write_hosp(tmp_path / "mimic-iv/hosp", compress=compress)
    hosp = tmp_path / "mimic-iv" if above else tmp_path / "mimic-iv/hosp"
    cohort = open_cohort("mimic-iv-ecg", root, hosp=hosp)
    table = cohort.table()
    # By hand: the first ECG is in an admission coded in ICD-9; the second after discharge but before death; the third
    # patient was never admitted; the fourth is at the start of one admission and inside an earlier one, which counts;
    # the last is at the very moment of discharge, so outside.
    assert table["codes_icd10cm"].to_pylist() == [[], ["I480", "E119"], [], ["I214"], []]
    assert table["codes_icd9cm"].to_pylist() == [["4019", "42731"], [], [], [], []]
    assert table["sex"].to_pylist() == ["female", "female", None, "male", "male"]
    assert table["age_years"].to_pylist() == [52, 52, None, 93, 93]
    assert notes(table) == {"num_without_admission": 2, "num_absent": 0}
    assert cohort.options["diagnoses_from"] == "hosp"


def test_a_hospital_that_codes_in_icd_9_only(root, tmp_path):
    write_hosp(tmp_path / "hosp", compress=False)
    (tmp_path / "hosp/patients.csv").unlink()
    file = tmp_path / "hosp/diagnoses_icd.csv"
    file.write_text("subject_id,hadm_id,seq_num,icd_code,icd_version\n10000032,21,1,4019,9\n")
    table = open_cohort("mimic-iv-ecg", root, hosp=tmp_path / "hosp").table()
    assert table["codes_icd10cm"].to_pylist() == [[]] * 5
    assert table["codes_icd9cm"].to_pylist() == [["4019"], [], [], [], []]
    assert "sex" not in table.column_names


def test_hosp_without_its_tables(root, tmp_path):
    (tmp_path / "hosp").mkdir()
    with pytest.raises(DataError, match=r"expected admissions\.csv or admissions\.csv\.gz in it"):
        open_cohort("mimic-iv-ecg", root, hosp=tmp_path / "hosp").table()


def test_hosp_needs_times(root, tmp_path):
    write_hosp(tmp_path / "hosp", compress=False)
    (root / "record_list.csv").write_text("subject_id,study_id,path\n1,2,files/p1/p1/s2/2\n")
    with pytest.raises(DataError, match="expected a column 'ecg_time'"):
        open_cohort("mimic-iv-ecg", root, hosp=tmp_path / "hosp").table()


def test_hosp_and_labels_together(root, tmp_path):
    write_hosp(tmp_path / "hosp", compress=False)
    with pytest.raises(ConfigError, match="either hosp or labels, not both"):
        open_cohort("mimic-iv-ecg", root, hosp=tmp_path / "hosp", labels=root / "record_list.csv")


def test_machine_measurements_without_their_sentinels(root):
    header = "subject_id,study_id,cart_id,ecg_time,report_0,rr_interval,p_onset,qrs_end,p_axis,qrs_axis,t_axis"
    rows = [
        "10014729,40000013,1,2125-03-01 01:00:00,Sinus rhythm,800,40,280,20,-30,29999",
        "10000032,40000012,1,2180-06-27 01:00:00,AF,65535,29999,29999,32767,-32768,45",
        "10000032,40000011,1,2180-06-27 01:00:00,AF,0,,200,,,",
    ]
    (root / "machine_measurements.csv").write_text("\n".join([header, *rows]) + "\n")
    table = open_cohort("mimic-iv-ecg", root).table()
    assert table["measure_rr_interval_ms"].to_pylist() == [None, None, 800, None, None]
    assert table["measure_p_onset_ms"].to_pylist() == [None, None, 40, None, None]
    assert table["measure_qrs_end_ms"].to_pylist() == [200, None, 280, None, None]
    assert table["measure_p_axis_deg"].to_pylist() == [None, None, 20, None, None]
    assert table["measure_qrs_axis_deg"].to_pylist() == [None, None, -30, None, None]
    assert table["measure_t_axis_deg"].to_pylist() == [None, 45, None, None, None]
    assert not [name for name in table.column_names if "report" in name or "text" in name]


def test_partial_download(root):
    folder = root / path_of(*RECORDS[1][:2])
    folder.with_suffix(".hea").unlink()
    folder.parent.rmdir()
    table = open_cohort("mimic-iv-ecg", root).table()
    assert table["study_id"].to_pylist() == ["40000011", "40000013", "40000014", "40000015"]
    assert notes(table) == {"num_absent": 1}
    assert len(open_cohort("mimic-iv-ecg", root, partial=False).table()) == 5


def test_without_a_record_list(tmp_path):
    with pytest.raises(DataError, match=r"record_list\.csv: there is no such file, but this data set needs the table"):
        open_cohort("mimic-iv-ecg", tmp_path).table()


def test_simulated_cohorts_say_so(root):
    about = {"simulator_version": "3", "seed": 7, "num_studies": 5}
    (root / "lamae_simulation.json").write_text(json.dumps(about))
    cohort = open_cohort("mimic-iv-ecg", root)
    assert cohort.simulated
    assert cohort.version == "simulated 3 seed 7"
    assert cohort.table()["patient_key"].to_pylist()[0] == "simulated-7:10000032"


@pytest.mark.parametrize(
    ("content", "message"), [("{", "not readable as JSON"), ("[]", "expected 'simulator_version'")]
)
def test_damaged_description_of_a_simulation(root, content, message):
    (root / "lamae_simulation.json").write_text(content)
    with pytest.raises(FormatError, match=message):
        _ = open_cohort("mimic-iv-ecg", root).version
