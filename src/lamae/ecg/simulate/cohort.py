"""Simulate a cohort of ECGs into a folder, in parallel; the same seed gives the same bytes."""

import json
import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import numpy as np

from lamae.ecg.simulate import cart
from lamae.ecg.simulate.ecg import record
from lamae.ecg.simulate.mimic_layout import DATA_SET_FOLDER, MIMIC_LEADS, write_record, write_tables
from lamae.ecg.simulate.patients import MAX_ECGS, Patient, PlannedEcg, draw_num_ecgs, draw_patient
from lamae.errors import ConfigError
from lamae.files import locked, naming_full_disk

SIMULATOR_VERSION = "1.0"
"""Version of the simulated data: any change to the bytes that a seed produces needs a new version."""

NUM_FOLDS = 20
_COUNTS, _PATIENTS, _FOLDS = range(3)
_STUDIES_A_CHUNK = 100
_ID_PRIME, _ID_STEP = 9_999_991, 3_571_429
_BANDWIDTHS = ("0.005-150 Hz", "0.05-150 Hz", "0.5-100 Hz")
_LOCK_FILE = ".lock"
_TABLES = ("record_list", "machine_measurements", "records_w_diag_icd10", "truth")

_log = logging.getLogger("lamae.simulate")


@dataclass(frozen=True, kw_only=True)
class SimulationSummary:
    """Summary of a simulated cohort.

    Attributes:
        path: Folder of the cohort.
        num_studies: Number of studies.
        num_patients: Number of patients.
        seed: Seed.
        simulator_version: Version of the simulated data.
        seconds: Wall-clock time taken.
    """

    path: Path
    num_studies: int
    num_patients: int
    seed: int
    simulator_version: str
    seconds: float


def simulate_ecg_cohort(
    out: str | os.PathLike[str], *, num_studies: int, seed: int, workers: int = 2, progress: bool = True
) -> SimulationSummary:
    """Write a simulated cohort in the layout of MIMIC-IV-ECG 1.0 with the labels of Ext-ICD 1.0.1.

    A smaller cohort is a prefix of a larger one with the same seed. The folder appears under its name only once it is
    complete.

    Args:
        out: Folder to write; it must be empty or not exist.
        num_studies: Number of ECGs.
        seed: Seed, at least 0.
        workers: Number of processes; it does not change the data.
        progress: Show a progress bar.

    Raises:
        ConfigError: A number is out of range, the folder is not empty, or another process is simulating into it.
        OSError: Writing failed; no partial files are left behind.
    """
    out = Path(out)
    if num_studies < 1 or seed < 0 or workers < 1:
        raise ConfigError(
            f"num_studies and workers must be at least 1 and seed at least 0: found {num_studies}, {workers}, {seed}"
        )
    start = time.monotonic()
    counts = _ecgs_by_patient(num_studies, seed)
    with _built_aside(out) as building, naming_full_disk(out):
        _write_cohort(building, seed, counts, workers, progress)
    return SimulationSummary(
        path=out,
        num_studies=num_studies,
        num_patients=len(counts),
        seed=seed,
        simulator_version=SIMULATOR_VERSION,
        seconds=time.monotonic() - start,
    )


@contextmanager
def _built_aside(out: Path) -> Iterator[Path]:
    """Yield a hidden folder beside ``out``, held by this process alone, that takes its place when the block ends.

    What a killed process left there is removed; an error or an interruption leaves nothing.

    Raises:
        ConfigError: ``out`` is no empty folder, or another process is simulating into it.
    """
    _check_empty(out)
    building = out.with_name(f".{out.name}.partial")
    building.mkdir(parents=True, exist_ok=True)
    with locked(building / _LOCK_FILE, f"{out}: another process is simulating into this folder; wait for it"):
        _check_empty(out)  # the other one may have ended meanwhile
        left = [entry for entry in building.iterdir() if entry.name != _LOCK_FILE]
        if left:
            _log.info("%s: a simulation was cut off here; what it left is removed, and all is made anew", out)
        for entry in left:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        try:
            yield building
            if out.exists():
                out.rmdir()
            (building / _LOCK_FILE).unlink()
            building.rename(out)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise


def _check_empty(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} exists and is not an empty folder: choose another one or remove it")


def _write_cohort(root: Path, seed: int, counts: np.ndarray, workers: int, progress: bool) -> None:
    """Write records, tables, the truth table and the folder's own description."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in _TABLES}
    with closing(_in_parallel(root, seed, counts, workers, progress)) as parts:
        for part in parts:
            for name in _TABLES:
                rows[name] += part[name]
    pq.write_table(pa.Table.from_pylist(rows["truth"]), root / "truth.parquet")
    write_tables(root, rows)
    about = {
        "simulator_version": SIMULATOR_VERSION,
        "seed": seed,
        "num_studies": int(counts[:, 1].sum()),
        "num_patients": len(counts),
        "layout": "MIMIC-IV-ECG 1.0 with Ext-ICD 1.0.1",
        "note": "Simulated data: no record of this folder comes from a person.",
    }
    (root / "lamae_simulation.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def _ecgs_by_patient(num_studies: int, seed: int) -> np.ndarray:
    """Return ``[patients, 2]``: number of ECGs drawn, and number kept so that the total is ``num_studies``."""
    counts = draw_num_ecgs(np.random.default_rng([seed, _COUNTS]), num_studies)
    totals = np.cumsum(counts)
    last = int(np.searchsorted(totals, num_studies))
    kept = counts[: last + 1].copy()
    kept[-1] -= int(totals[last]) - num_studies
    return np.stack([counts[: last + 1], kept], axis=1)


def _in_parallel(
    root: Path, seed: int, counts: np.ndarray, workers: int, progress: bool
) -> Generator[dict[str, list[dict[str, Any]]]]:
    """Simulate chunks of patients and yield their rows in order."""
    from rich.console import Console
    from rich.progress import Progress

    totals = np.cumsum(counts[:, 1])
    borders = np.searchsorted(totals, np.arange(0, totals[-1], _STUDIES_A_CHUNK), side="right")
    chunks = [chunk for chunk in np.split(np.arange(len(counts)), np.unique(borders)) if len(chunk)]
    jobs = [(str(root), seed, int(chunk[0]), counts[chunk].tolist()) for chunk in chunks]
    with Progress(console=Console(stderr=True), disable=not progress) as bar, ExitStack() as stack:
        task = bar.add_task("simulating ECGs", total=int(totals[-1]))
        if workers == 1 or len(jobs) == 1:
            parts = map(_simulate_patients, jobs)
        else:
            pool = ProcessPoolExecutor(
                min(workers, len(jobs)), mp_context=get_context("spawn"), initializer=_end_with_parent
            )
            stack.callback(pool.shutdown, cancel_futures=True)
            parts = pool.map(_simulate_patients, jobs)
        for part in parts:
            bar.advance(task, len(part["truth"]))
            yield part


def _end_with_parent() -> None:
    """Make a worker exit when its parent is killed, instead of waiting for work forever; Ctrl-C is for the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_after, args=(parent_process(),), daemon=True).start()


def _exit_after(process: Any) -> None:
    process.join()
    os._exit(1)


def _simulate_patients(job: tuple[str, int, int, Sequence[tuple[int, int]]]) -> dict[str, list[dict[str, Any]]]:
    """Write the records of a range of patients; return their rows by table."""
    from threadpoolctl import threadpool_limits

    root, seed, first, counts = job
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in _TABLES}
    with threadpool_limits(1):  # the processes are the parallelism
        for index, (num_ecgs, kept) in enumerate(counts, start=first):
            patient = draw_patient(np.random.default_rng([seed, _PATIENTS, index]), num_ecgs=num_ecgs)
            for number in range(kept):
                for name, row in _simulate_ecg(Path(root), seed, index, number, patient).items():
                    rows[name].append(row)
    return rows


def _folds(seed: int, patient: int) -> tuple[int, int]:
    """Return the patient's ``fold`` and ``strat_fold``; each block of twenty patients fills all folds."""
    rng = np.random.default_rng([seed, _FOLDS, patient // NUM_FOLDS])
    first, second = rng.permutation(NUM_FOLDS), rng.permutation(NUM_FOLDS)
    return int(first[patient % NUM_FOLDS]), int(second[patient % NUM_FOLDS])


def _identifier(start: int, seed: int, number: int) -> int:
    """Return a random-looking number without collisions (multiplication modulo a prime)."""
    return start + ((number + start // 1000) * _ID_STEP + seed * 7919) % _ID_PRIME


def _simulate_ecg(root: Path, seed: int, index: int, number: int, patient: Patient) -> dict[str, dict[str, Any]]:
    """Record and write one ECG; return its row in each table."""
    planned = patient.ecgs[number]
    # its own generator: an ECG does not change when the end of the cohort truncates its patient
    rng = np.random.default_rng([seed, _PATIENTS, index, number])
    subject_id = _identifier(10_000_000, seed, index)
    study_id = _identifier(40_000_000, seed, index * (MAX_ECGS + 2) + number)
    recording = record(patient.body, planned.conditions, rng, leads=MIMIC_LEADS)
    path = write_record(root, subject_id, study_id, recording.leads_mv, planned.taken_at)
    ids, taken = {"subject_id": subject_id, "study_id": study_id}, {"ecg_time": f"{planned.taken_at:%Y-%m-%d %H:%M:%S}"}
    lines = cart.statement(recording.truth, rng)
    measured = {
        "cart_id": 6_800_000 + int(rng.integers(0, 500)),
        "bandwidth": str(rng.choice(_BANDWIDTHS, p=[0.7, 0.25, 0.05])),
        "filtering": "60 Hz notch Baseline filter" if rng.random() < 0.4 else "<not specified>",
        **{f"report_{place}": line for place, line in enumerate(lines)},
        **cart.measurements(recording.truth, rng),
    }
    return {
        "record_list": ids | {"file_name": study_id} | taken | {"path": path},
        "machine_measurements": ids | taken | measured,
        "records_w_diag_icd10": {"file_name": f"{DATA_SET_FOLDER}/{path}", "study_id": study_id}
        | {"subject_id": subject_id, **taken}
        | _diagnoses(seed, index, patient, planned),
        "truth": {"study_id": str(study_id), "subject_id": str(subject_id), "path": path}
        | recording.truth
        | {"has_conditions": " ".join(patient.visits[planned.visit].conditions)},
    }


def _diagnoses(seed: int, index: int, patient: Patient, planned: PlannedEcg) -> dict[str, Any]:
    visit = patient.visits[planned.visit]
    in_ed, in_hospital = planned.in_ed, visit.hospital and not planned.in_ed
    admission = float(_identifier(20_000_000, seed, index * (MAX_ECGS + 2) + planned.visit))
    hospital = list(visit.hospital_codes)
    emergency = list(visit.ed_codes) if in_ed else []
    years = planned.taken_at.year - patient.first_seen.year
    anchor_age = 91 if patient.age_years > 89 else int(patient.age_years)
    return {
        "ed_stay_id": admission + 10_000_000 if in_ed else "",
        "ed_hadm_id": admission if in_ed and visit.hospital else "",
        "hosp_hadm_id": admission if in_hospital else "",
        "ed_diag_ed": str(emergency),
        "ed_diag_hosp": str(hospital if in_ed else []),
        "hosp_diag_hosp": str(hospital if in_hospital else []),
        "all_diag_hosp": str(hospital),
        "all_diag_all": str(hospital or emergency),
        "gender": "F" if patient.female else "M",
        "age": float(anchor_age + years),
        "anchor_year": patient.first_seen.year,
        "anchor_age": anchor_age,
        "dod": f"{patient.died_at:%Y-%m-%d}" if patient.died_at else "",
        "ecg_no_within_stay": planned.number_within_stay,
        "ecg_taken_in_ed": in_ed,
        "ecg_taken_in_hosp": in_hospital,
        "ecg_taken_in_ed_or_hosp": in_ed or in_hospital,
        **dict(zip(("fold", "strat_fold"), _folds(seed, index), strict=True)),
    }
