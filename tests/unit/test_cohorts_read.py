"""Signals of each cohort, from real files in its layout to millivolts by lead name."""

import numpy as np
import pytest

from lamae.cohorts import open_cohort
from lamae.ecg.leads import LEADS

NUM_SAMPLES = 509
MIMIC_ORDER = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
PTB_XL_ORDER = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")


def integers():
    """Each lead a constant of its own, so that a swapped lead is seen."""
    return np.repeat(np.arange(100, 1300, 100, dtype="<i2")[:, None], NUM_SAMPLES, axis=1)


def write_wfdb(path, leads, *, gain, offset=0, file_format="16", ending=".dat", comments=()):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = integers()[[LEADS.index(lead.replace("A", "a") if lead[0] == "A" else lead) for lead in leads]]
    path.with_suffix(ending).write_bytes(bytes(offset) + values.T.tobytes())
    lines = [f"{path.name} 12 500 {NUM_SAMPLES}"]
    for lead, signal in zip(leads, values, strict=True):
        checksum = int(signal.sum(dtype=np.int16))
        lines.append(f"{path.name}{ending} {file_format} {gain}(0)/mV 16 0 {signal[0]} {checksum} 0 {lead}")
    path.with_suffix(".hea").write_text("\n".join([*lines, *comments]) + "\n")


def check(study, mv_of_first_lead):
    assert len(study.views) == 12
    for index, lead in enumerate(LEADS):
        view = study.views[lead]
        np.testing.assert_allclose(view.values, mv_of_first_lead * (index + 1), rtol=1e-6)
        assert view.num_samples == NUM_SAMPLES


def read_first(cohort):
    table = cohort.table()
    record = table["record"].to_pylist()[0] if "record" in table.column_names else None
    return cohort.read(table["path"].to_pylist()[0], record)


def test_mimic_iv_ecg_with_its_order_of_leads(tmp_path):
    path = "files/p1000/p10000032/s40689238/40689238"
    write_wfdb(tmp_path / path, MIMIC_ORDER, gain="200.0", comments=["# <subject_id>: 10000032"])
    (tmp_path / "record_list.csv").write_text(
        f"subject_id,study_id,file_name,ecg_time,path\n10000032,40689238,40689238,2180-07-23 08:44:00,{path}\n"
    )
    check(read_first(open_cohort("mimic-iv-ecg", tmp_path)), 0.5)


def test_ptb_xl_with_capital_leads(tmp_path):
    path = "records500/00000/00001_hr"
    write_wfdb(tmp_path / path, PTB_XL_ORDER, gain="1000.0")
    (tmp_path / "ptbxl_database.csv").write_text(
        f"ecg_id,patient_id,scp_codes,strat_fold,filename_hr\n1,15709.0,\"{{'NORM': 100.0}}\",3,{path}\n"
    )
    check(read_first(open_cohort("ptb-xl", tmp_path, rate_hz=500)), 0.1)


def test_challenge_2011(tmp_path):
    write_wfdb(tmp_path / "set-a/1002603", LEADS, gain="200.0")
    (tmp_path / "set-a/RECORDS").write_text("1002603\n")
    check(read_first(open_cohort("challenge-2011", tmp_path)), 0.5)


def test_challenge_2021_in_matlab_files(tmp_path):
    path = tmp_path / "training/georgia/g1/E00001"
    write_wfdb(path, LEADS, gain="1000.0", offset=24, file_format="16+24", ending=".mat", comments=["#Dx: 426783006"])
    check(read_first(open_cohort("challenge-2021", tmp_path)), 0.1)


def test_folder_of_wfdb_and_arrays(tmp_path):
    write_wfdb(tmp_path / "a", LEADS, gain="1000.0")
    np.save(tmp_path / "b.npy", integers().astype(np.float32))
    cohort = open_cohort("folder", tmp_path, array_leads=list(LEADS), array_rate_hz=500, array_units="uV")
    table = cohort.table()
    assert table["study_id"].to_pylist() == ["a", "b"]
    check(cohort.read(table["path"].to_pylist()[0]), 0.1)
    check(cohort.read(table["path"].to_pylist()[1]), 0.1)


def test_code_15_by_exam_and_not_by_row(tmp_path):
    h5py = pytest.importorskip("h5py")
    tracings = np.zeros((3, 4096, 12), dtype=np.float32)
    pad = (4096 - NUM_SAMPLES) // 2
    tracings[1, pad : pad + NUM_SAMPLES] = integers().T / 1000
    tracings[0, 100:3996] = 7
    with h5py.File(tmp_path / "exams_part0.hdf5", "w") as file:
        file["exam_id"] = np.array([31, 17, 0])
        file["tracings"] = tracings
    names = "1dAVb,RBBB,LBBB,SB,ST,AF"
    (tmp_path / "exams.csv").write_text(
        f"exam_id,patient_id,{names},trace_file\n17,5,{','.join(['False'] * 6)},exams_part0.hdf5\n"
    )
    study = read_first(open_cohort("code-15", tmp_path))
    assert study.views["V6"].rate_hz == 400
    np.testing.assert_allclose(np.max(study.views["V6"].values), 1.2, rtol=1e-6)
    np.testing.assert_allclose(np.max(study.views["aVL"].values), 0.5, rtol=1e-6)
