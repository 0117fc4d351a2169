"""Files and tables: the exact layout, patients, labels, prevalence, and the same bytes from the same seed."""

import ast
import csv
import errno
import hashlib
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from lamae.cli.main import main
from lamae.ecg.simulate import CONDITIONS, SIMULATOR_VERSION, simulate_ecg_cohort
from lamae.ecg.simulate import cohort as cohort_module
from lamae.ecg.simulate.cart import AXIS_MISSING, INTERVAL_MISSING
from lamae.ecg.simulate.mimic_layout import MIMIC_LEADS, to_steps, write_record
from lamae.ecg.simulate.patients import INCIDENTAL_CODES, draw_num_ecgs, draw_patient
from lamae.errors import ConfigError

NUM_STUDIES = 127
DOCS = Path(__file__).parents[3] / "docs" / "simulated-cohort.md"

FROZEN_SPREAD = [
    [40.5, 38.9, 128.0, 44.1],
    [25.9, 44.6, 59.8, 47.3],
    [21.7, 35.0, 39.9, 64.6],
    [46.8, 63.7, 96.1, 81.1],
]
"""Standard deviation in steps of leads I, II, V1, V5 of the first four records of seed 11."""
FROZEN_CODES = [
    "[]",
    "['I5032', 'I454', 'R0602', 'J189']",
    "[]",
    "['I10', 'E119', 'K219', 'N179', 'E039']",
]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("simulated") / "cohort"
    simulate_ecg_cohort(out, num_studies=NUM_STUDIES, seed=11, workers=1, progress=False)
    return out


def table(root: Path, name: str) -> list[dict[str, str]]:
    with (root / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def steps_of(root: Path, path: str) -> np.ndarray:
    return np.fromfile(root / f"{path}.dat", dtype="<i2").reshape(-1, 12).T


def test_headers_of_the_tables_are_mimics(cohort: Path) -> None:
    lines = {path.name: path.read_text(encoding="utf-8").split("\n", 1)[0] for path in cohort.glob("*.csv")}
    reports = ",".join(f"report_{line}" for line in range(18))
    assert lines["record_list.csv"] == "subject_id,study_id,file_name,ecg_time,path"
    assert lines["machine_measurements.csv"] == (
        f"subject_id,study_id,cart_id,ecg_time,{reports},bandwidth,filtering,rr_interval,p_onset,p_end,qrs_onset,"
        "qrs_end,t_end,p_axis,qrs_axis,t_axis"
    )
    assert lines["records_w_diag_icd10.csv"] == (
        "file_name,study_id,subject_id,ecg_time,ed_stay_id,ed_hadm_id,hosp_hadm_id,ed_diag_ed,ed_diag_hosp,"
        "hosp_diag_hosp,all_diag_hosp,all_diag_all,gender,age,anchor_year,anchor_age,dod,ecg_no_within_stay,"
        "ecg_taken_in_ed,ecg_taken_in_hosp,ecg_taken_in_ed_or_hosp,fold,strat_fold"
    )


def test_tables_files_and_truth_speak_of_the_same_studies(cohort: Path) -> None:
    records = table(cohort, "record_list.csv")
    studies = [row["study_id"] for row in records]
    assert len(set(studies)) == NUM_STUDIES
    for name in ("machine_measurements.csv", "records_w_diag_icd10.csv"):
        assert [row["study_id"] for row in table(cohort, name)] == studies
    assert pq.read_table(cohort / "truth.parquet")["study_id"].to_pylist() == studies
    for row in records:
        patient, study = row["subject_id"], row["study_id"]
        assert row["path"] == f"files/p{patient[:4]}/p{patient}/s{study}/{study}"
        assert (cohort / f"{row['path']}.hea").is_file()
    assert (cohort / "RECORDS").read_text().split() == [row["path"] for row in records]
    about = json.loads((cohort / "lamae_simulation.json").read_text())
    assert about["simulator_version"] == SIMULATOR_VERSION
    assert (about["seed"], about["num_studies"]) == (11, NUM_STUDIES)


def test_header_of_a_record_is_mimics(tmp_path: Path) -> None:
    from datetime import datetime

    leads_mv = np.zeros((12, 5000))
    leads_mv[0, :3] = [0.02, np.nan, 500.0]
    path = write_record(tmp_path, 10045929, 45106466, leads_mv, datetime(2182, 9, 22, 12, 4))
    assert path == "files/p1004/p10045929/s45106466/45106466"
    lines = (tmp_path / f"{path}.hea").read_text().splitlines()
    assert lines[0] == "45106466 12 500 5000 12:04:00 22/09/2182"
    assert lines[1] == f"45106466.dat 16 200.0(0)/mV 16 0 4 {(4 - 32768 + 32767) % 65536} 0 I"
    assert [line.split()[-1] for line in lines[1:13]] == list(MIMIC_LEADS)
    assert lines[5].endswith(" aVF")
    assert lines[6].endswith(" aVL")
    assert lines[13] == "# <subject_id>: 10045929"


def test_steps_by_hand() -> None:
    steps = to_steps(np.array([[0.0, 0.005, -1.0, np.nan, 163.835, 900.0, -900.0]]))
    assert steps.tolist() == [[0, 1, -200, -32768, 32767, 32767, -32767]]


def test_wfdb_reads_the_records(cohort: Path) -> None:
    wfdb = pytest.importorskip("wfdb")
    for row in table(cohort, "record_list.csv")[:17]:
        record = wfdb.rdrecord(str(cohort / row["path"]), physical=False)
        assert tuple(record.sig_name) == MIMIC_LEADS
        assert record.fs == 500
        assert record.sig_len == 5000
        assert set(record.adc_gain) == {200.0}
        assert set(record.units) == {"mV"}
        assert record.comments == [f"<subject_id>: {row['subject_id']}"]
        assert record.base_datetime.isoformat(sep=" ") == row["ecg_time"]
        np.testing.assert_array_equal(record.d_signal.T, steps_of(cohort, row["path"]))
        assert (record.d_signal.sum(axis=0, dtype=np.int64) % 65536).tolist() == record.checksum


def test_stored_limb_leads_obey_einthoven_to_the_rounding(cohort: Path) -> None:
    for row in table(cohort, "record_list.csv")[:31]:
        steps = steps_of(cohort, row["path"]).astype(np.int64)
        whole = (steps > -32767).all(axis=0)
        lead_i, lead_ii, lead_iii, avr, avf, avl = steps[:6, whole]
        assert np.abs(lead_ii - lead_i - lead_iii).max() <= 1
        assert np.abs(avr + avl + avf).max() <= 1


def test_diagnoses_are_python_lists_of_valid_codes(cohort: Path) -> None:
    empty = 0
    for row in table(cohort, "records_w_diag_icd10.csv"):
        columns = ("ed_diag_ed", "ed_diag_hosp", "hosp_diag_hosp", "all_diag_hosp", "all_diag_all")
        lists = {name: ast.literal_eval(row[name]) for name in columns}
        in_stay = row["ecg_taken_in_ed_or_hosp"] == "True"
        assert bool(lists["all_diag_all"]) == in_stay
        assert (row["ecg_no_within_stay"] == "-1") == (not in_stay)
        assert set(lists["all_diag_hosp"]) <= set(lists["all_diag_all"])
        assert row["file_name"].startswith("mimic-iv-ecg-diagnostic-electrocardiogram-matched-subset-1.0/files/p1")
        assert row["gender"] in "FM"
        assert 18 <= float(row["age"]) < 120
        empty += not lists["all_diag_all"]
    assert 0.2 < empty / NUM_STUDIES < 0.6


def test_folds_hold_whole_patients(cohort: Path) -> None:
    folds = defaultdict(set)
    for row in table(cohort, "records_w_diag_icd10.csv"):
        folds[row["subject_id"]].add((row["fold"], row["strat_fold"]))
    assert all(len(found) == 1 for found in folds.values())
    used = {int(fold) for found in folds.values() for fold, _ in found}
    assert used == set(range(20))


def test_measurements_follow_the_truth(cohort: Path) -> None:
    measured, truth = table(cohort, "machine_measurements.csv"), pq.read_table(cohort / "truth.parquet").to_pylist()
    for row, true in zip(measured, truth, strict=True):
        assert row["report_0"]
        if np.isnan(true["pr_ms"]):
            assert int(row["p_onset"]) == int(row["p_end"]) == INTERVAL_MISSING
            assert int(row["p_axis"]) == AXIS_MISSING
        if int(row["qrs_onset"]) != INTERVAL_MISSING:
            assert abs(int(row["qrs_end"]) - int(row["qrs_onset"]) - true["qrs_ms"]) < 40
            assert -180 <= int(row["qrs_axis"]) <= 180


def test_workers_do_not_change_a_byte(cohort: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    simulate_ecg_cohort(again, num_studies=NUM_STUDIES, seed=11, workers=2, progress=False)
    assert digests(again) == digests(cohort)


def test_a_small_cohort_is_the_beginning_of_a_large_one(cohort: Path, tmp_path: Path) -> None:
    simulate_ecg_cohort(tmp_path / "small", num_studies=5, seed=11, workers=1, progress=False)
    small = table(tmp_path / "small", "records_w_diag_icd10.csv")
    assert small == table(cohort, "records_w_diag_icd10.csv")[:5]
    for row in table(tmp_path / "small", "record_list.csv"):
        np.testing.assert_array_equal(steps_of(tmp_path / "small", row["path"]), steps_of(cohort, row["path"]))


def test_another_seed_gives_another_cohort(cohort: Path, tmp_path: Path) -> None:
    simulate_ecg_cohort(tmp_path / "other", num_studies=3, seed=12, workers=1, progress=False)
    ours = {row["study_id"] for row in table(cohort, "record_list.csv")}
    assert not ours & {row["study_id"] for row in table(tmp_path / "other", "record_list.csv")}


def test_version_1_0_is_frozen(cohort: Path) -> None:
    """The figures of the frozen simulator: when they change, ``SIMULATOR_VERSION`` must change with them."""
    assert SIMULATOR_VERSION == "1.0"
    rows = table(cohort, "records_w_diag_icd10.csv")[:4]
    paths = [row["path"] for row in table(cohort, "record_list.csv")[:4]]
    spread = [steps_of(cohort, path).astype(float).std(axis=1).round(1)[[0, 1, 6, 10]].tolist() for path in paths]
    np.testing.assert_allclose(spread, FROZEN_SPREAD, atol=0.3)
    assert [row["all_diag_all"] for row in rows] == FROZEN_CODES


def test_every_code_is_valid_icd10cm() -> None:
    import simple_icd_10_cm

    for name, condition in CONDITIONS.items():
        assert sum(condition.codes.values()) == pytest.approx(1.0)
        for code in condition.codes:
            assert "." not in code
            assert simple_icd_10_cm.is_valid_item(code), (name, code)
    assert all(simple_icd_10_cm.is_valid_item(code) for code in INCIDENTAL_CODES)


def test_conditions_come_at_their_prevalence() -> None:
    num_patients, num_visits = 1500, 0
    patients, visits, shown_af, has_af = defaultdict(int), defaultdict(int), 0, 0
    coded = defaultdict(list)
    for index in range(num_patients):
        patient = draw_patient(np.random.default_rng([5, index]), num_ecgs=2)
        for name in patient.visits[0].conditions:
            patients[name] += CONDITIONS[name].course == "chronic"
        for visit in patient.visits:
            num_visits += 1
            for name in visit.conditions:
                visits[name] += CONDITIONS[name].course == "episode"
            if visit.hospital and "atrial_fibrillation" in visit.conditions:
                codes = set(CONDITIONS["atrial_fibrillation"].codes)
                coded["atrial_fibrillation"].append(bool(codes & set(visit.hospital_codes)))
        for ecg in patient.ecgs:
            has = "atrial_fibrillation" in patient.visits[ecg.visit].conditions
            has_af += has
            shown_af += has and "atrial_fibrillation" in ecg.conditions
    for name, condition in CONDITIONS.items():
        found, of = (patients[name], num_patients) if condition.course == "chronic" else (visits[name], num_visits)
        sd = np.sqrt(condition.prevalence * (1 - condition.prevalence) / of)
        assert found / of == pytest.approx(condition.prevalence, rel=0.15, abs=3 * sd), name
    assert shown_af / has_af == pytest.approx(CONDITIONS["atrial_fibrillation"].shown, abs=0.07)
    assert np.mean(coded["atrial_fibrillation"]) == pytest.approx(0.90, abs=0.08)


def test_most_ecgs_come_from_patients_with_several() -> None:
    counts = draw_num_ecgs(np.random.default_rng(0), 20_000)
    assert counts.min() == 1
    assert (counts == 1).mean() == pytest.approx(0.40, abs=0.02)
    assert counts[counts > 1].sum() / counts.sum() > 0.8


def test_broken_records_come_at_their_rates() -> None:
    from lamae.ecg.simulate.ecg import FLAT_RATE, MISSING_RATE, SATURATED_RATE, _break

    rng, size = np.random.default_rng(3), 20_000
    rates = defaultdict(int)
    for _ in range(size):
        leads_mv = np.ones((12, 2003), dtype=np.float32)
        broken = _break(leads_mv, MIMIC_LEADS, rng)
        rates["missing_samples"] += bool(np.isnan(leads_mv).any())
        rates["flat_leads"] += bool((leads_mv == 0).all(axis=1).any())
        rates["saturated_leads"] += bool((np.abs(leads_mv) > 160).any())
        assert bool(broken["missing_samples"]) == np.isnan(leads_mv).any()
    assert rates["missing_samples"] / size == pytest.approx(MISSING_RATE, rel=0.2)
    assert rates["flat_leads"] / size == pytest.approx(FLAT_RATE, rel=0.3)
    assert rates["saturated_leads"] / size == pytest.approx(SATURATED_RATE, rel=0.4)


def test_the_docs_state_every_condition_as_it_is() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for name, condition in CONDITIONS.items():
        codes = " ".join(condition.codes)
        percents = " | ".join(
            f"{100 * value:g} %" for value in (condition.prevalence, condition.shown, condition.coded)
        )
        assert f"| `{name}` | {codes} | {condition.course} | {percents} |" in text, name
    assert SIMULATOR_VERSION in text


def test_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not an empty folder"):
        simulate_ecg_cohort(tmp_path, num_studies=3, seed=0, progress=False)


@pytest.mark.parametrize(("num_studies", "seed", "workers"), [(0, 0, 1), (1, -1, 1), (1, 0, 0)])
def test_numbers_out_of_range_are_refused(tmp_path: Path, num_studies: int, seed: int, workers: int) -> None:
    with pytest.raises(ConfigError, match="must be at least 1 and seed at least 0"):
        simulate_ecg_cohort(tmp_path / "x", num_studies=num_studies, seed=seed, workers=workers, progress=False)


def test_a_full_disk_leaves_no_half_cohort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("lamae.ecg.simulate.cohort.write_tables", full)
    with pytest.raises(OSError, match=r"the disk is full; nothing half-written is kept.*cohort'"):
        simulate_ecg_cohort(tmp_path / "cohort", num_studies=3, seed=0, workers=1, progress=False)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    assert simulate_ecg_cohort(tmp_path / "cohort", num_studies=3, seed=0, workers=1, progress=False).num_studies == 3


def test_two_into_one_folder_the_second_is_refused_and_the_first_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[str] = []
    original = cohort_module.write_tables

    def second_meanwhile(root: Path, rows: dict) -> None:
        with pytest.raises(ConfigError, match="another process is simulating into this folder; wait for it") as caught:
            simulate_ecg_cohort(tmp_path / "cohort", num_studies=2, seed=7, workers=1, progress=False)
        refused.append(str(caught.value))
        original(root, rows)

    monkeypatch.setattr(cohort_module, "write_tables", second_meanwhile)
    simulate_ecg_cohort(tmp_path / "cohort", num_studies=3, seed=5, workers=1, progress=False)
    monkeypatch.undo()
    assert len(refused) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["cohort"]
    simulate_ecg_cohort(tmp_path / "alone", num_studies=3, seed=5, workers=1, progress=False)
    assert contents(tmp_path / "cohort") == contents(tmp_path / "alone")
    with pytest.raises(ConfigError, match="is not an empty folder"):
        simulate_ecg_cohort(tmp_path / "cohort", num_studies=2, seed=7, workers=1, progress=False)


def test_what_a_killed_one_left_is_removed_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    left = tmp_path / ".cohort.partial"
    (left / "files" / "p1000").mkdir(parents=True)
    (left / "stray.csv").touch()
    (left / ".lock").touch()
    with caplog.at_level("INFO", logger="lamae.simulate"):
        simulate_ecg_cohort(tmp_path / "cohort", num_studies=3, seed=5, workers=1, progress=False)
    assert "all is made anew" in caplog.messages[0]
    simulate_ecg_cohort(tmp_path / "alone", num_studies=3, seed=5, workers=1, progress=False)
    assert contents(tmp_path / "cohort") == contents(tmp_path / "alone")
    assert not left.exists()


def test_an_interrupt_leaves_nothing_and_the_command_line_says_that_it_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cohort_module, "write_tables", interrupted)
    assert main(["simulate", "ecg", str(tmp_path / "cohort"), "--studies", "3", "--workers", "1"]) == 130
    assert "lamae: interrupted; the same command begins anew" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
