"""Cohorts and labels on open data, held against plain loops over the same tables."""

import ast
import csv
import gzip
import os
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from lamae.cohorts import notes, open_cohort
from lamae.labels import make_labels
from lamae.labels.icd9 import read_icd9_map
from lamae.splits import check_disjoint

DATA = Path(os.environ.get("LAMAE_REAL_DATA", Path(__file__).parents[3] / "shared/data"))
pytestmark = pytest.mark.realdata


def folder(name):
    if not (DATA / name).is_dir():
        pytest.skip(f"no {name} in {DATA}: set LAMAE_REAL_DATA to the folder of open data sets")
    return DATA / name


def rows_of(file):
    opener = gzip.open if file.suffix == ".gz" else open
    with opener(file, "rt", encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def train_rows(table):
    return np.flatnonzero([split == "train" for split in table["split"].to_pylist()])


def test_ptb_xl_superclasses():
    root = folder("ptb-xl")
    table = open_cohort("ptb-xl", root, rate_hz=500).table()
    assert len(table) == 434
    check_disjoint(table)
    labels = make_labels(None, table, "superclass", train_rows=train_rows(table))
    class_of = {row[""]: row["diagnostic_class"] for row in rows_of(root / "scp_statements.csv")}
    expected = Counter()
    num_kept = 0
    for row in rows_of(root / "ptbxl_database.csv"):
        classes = {class_of[code] for code in ast.literal_eval(row["scp_codes"])} - {""}
        expected.update(classes)
        num_kept += bool(classes)
    assert dict(zip(labels.names, labels.values.sum(axis=0), strict=True)) == expected
    assert expected == {"NORM": 261, "STTC": 80, "CD": 67, "MI": 65, "HYP": 33}
    assert labels.keep.sum() == num_kept == 424


def test_ptb_xl_signal():
    cohort = open_cohort("ptb-xl", folder("ptb-xl"))
    study = cohort.read("records100/00000/00001_lr")
    assert {view.num_samples for view in study.views.values()} == {1000}
    # The first samples of lead II as the wfdb package reads them (record 1, 100 Hz).
    wfdb = pytest.importorskip("wfdb")
    record = wfdb.rdrecord(str(DATA / "ptb-xl/records100/00000/00001_lr"))
    np.testing.assert_allclose(study.views["aVL"].values, record.p_signal[:, record.sig_name.index("AVL")], atol=1e-6)


def test_challenge_2011():
    table = open_cohort("challenge-2011", folder("challenge-2011")).table()
    assert (len(table), notes(table)) == (811, {"num_absent": 189})
    labels = make_labels(None, table, "signal-quality", train_rows=train_rows(table))
    assert (labels.kind, labels.keep.sum(), np.nansum(labels.values)) == ("binary", 809, 773)


def test_challenge_2021_is_partly_ptb_xl():
    ptb_xl = open_cohort("ptb-xl", folder("ptb-xl")).table()
    table = open_cohort("challenge-2021", folder("cinc2021/challenge-2021-sample")).table()
    assert len(table) == 59
    shared = {*ptb_xl["record_key"].to_pylist()} & {*table["record_key"].to_pylist()}
    assert len(shared) == 9
    labels = make_labels(None, table, "snomed-scored", train_rows=train_rows(table), min_count=1)
    assert "NSR" in labels.names


def write_records_in_admissions(root, hosp):
    """Write a record list with three recordings an admission: just before, at its start, and within."""
    expected = {}
    lines = ["subject_id,study_id,file_name,ecg_time,path"]
    for number, row in enumerate(rows_of(hosp / "admissions.csv.gz")):
        start = datetime.fromisoformat(row["admittime"])
        for offset, delta in enumerate((timedelta(days=-36500), timedelta(0), timedelta(minutes=7))):
            study, subject = f"{40000000 + 10 * number + offset}", row["subject_id"]
            path = f"files/p{subject[:4]}/p{subject}/s{study}/{study}"
            lines.append(f"{subject},{study},{study},{start + delta},{path}")
            expected[study] = (subject, start + delta)
    (root / "record_list.csv").write_text("\n".join(lines) + "\n")
    return expected


def test_mimic_iv_demo_hospital_tables(tmp_path):
    hosp = folder("mimic-iv-clinical-database-demo-2.2") / "hosp"
    records = write_records_in_admissions(tmp_path, hosp)
    table = open_cohort("mimic-iv-ecg", tmp_path, hosp=hosp, partial=False).table()

    admissions = sorted(rows_of(hosp / "admissions.csv.gz"), key=lambda row: row["admittime"])
    diagnoses = sorted(rows_of(hosp / "diagnoses_icd.csv.gz"), key=lambda row: int(row["seq_num"]))
    num_without = 0
    for row in table.to_pylist():
        subject, time = records[row["study_id"]]
        hadm_id = None
        for admission in admissions:
            ends = [datetime.fromisoformat(admission[name]) for name in ("dischtime", "deathtime") if admission[name]]
            inside = datetime.fromisoformat(admission["admittime"]) <= time < max(ends)
            if admission["subject_id"] == subject and inside:
                hadm_id = admission["hadm_id"]
                break
        num_without += hadm_id is None
        for column, version in (("codes_icd10cm", "10"), ("codes_icd9cm", "9")):
            wanted = [
                one["icd_code"].strip()
                for one in diagnoses
                if one["hadm_id"] == hadm_id and one["icd_version"] == version
            ]
            assert row[column] == wanted
    assert notes(table)["num_without_admission"] == num_without
    check_disjoint(table)


def test_mimic_iv_demo_labels(tmp_path):
    hosp = folder("mimic-iv-clinical-database-demo-2.2") / "hosp"
    write_records_in_admissions(tmp_path, hosp)
    table = open_cohort("mimic-iv-ecg", tmp_path, hosp=hosp, partial=False).table()
    everyone = np.arange(len(table))
    labels = make_labels(None, table, "icd10-chapter-ix", train_rows=everyone)
    has_chapter = [any(code.startswith("I") for code in codes) for codes in table["codes_icd10cm"].to_pylist()]
    assert labels.names[0] == "IX"
    assert labels.values[:, 0].tolist() == [float(one) for one in has_chapter]
    assert labels.keep.sum() == sum(bool(codes) for codes in table["codes_icd10cm"].to_pylist())
    assert labels.notes["unknown_codes"] == {}

    icd9_map = folder("icd") / "icd_cm_9_to_10_mapping.csv.gz"
    assert read_icd9_map(icd9_map)["42731"] == ("I4891",)
    mapped = make_labels(None, table, "icd10-chapter-ix", train_rows=everyone, icd9="map", icd9_map=icd9_map)
    assert mapped.keep.sum() > labels.keep.sum()
    assert sum(mapped.notes["icd9_without_target"].values()) < 0.05 * mapped.notes["num_icd9_translated"]
