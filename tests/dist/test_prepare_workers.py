"""Preparation in several processes, some of which are killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lamae.pack import Pack, verify

pytestmark = [pytest.mark.dist, pytest.mark.slow]

NUM_STUDIES = 41
SHARD_SIZE = 5

PROGRAM = f"""
import json, os, signal, sys, time
from dataclasses import dataclass, field
from pathlib import Path
import numpy as np
import pyarrow as pa
from distributed import LocalCluster
from lamae.prepare import prepare
from lamae.ecg.preprocess import EcgPreprocessing
from lamae.studies import Study, View, Views

@dataclass(frozen=True)
class Slow:
    log: str
    kill_once: str | None = None
    name: str = "slow"
    version: str = "1"
    modality: str = "ecg"
    simulated: bool = True
    options: dict = field(default_factory=dict)

    def table(self):
        ids = [f"s{{i}}" for i in range({NUM_STUDIES})]
        return pa.table({{"study_id": ids, "path": ids}})

    def read(self, path, record=None):
        with open(self.log, "a") as log:
            log.write(path + "\\n")
        if self.kill_once and path == "s23" and not Path(self.kill_once).is_file():
            if not Path(self.kill_once).is_dir():
                Path(self.kill_once).write_text("done")
            os.kill(os.getppid(), signal.SIGKILL)  # the worker, which waits for this process
        time.sleep(0.05)
        values = np.random.default_rng(int(path[1:])).standard_normal((2, 300)).astype(np.float32)
        views = Views(View(name=n, values=v, rate_hz=100.0) for n, v in zip(("I", "V1"), values))
        return Study(study_id=path, views=views)

if __name__ == "__main__":
    pack, log, workers, kill_once = sys.argv[1:]
    cohort = Slow(log=log, kill_once=kill_once or None)
    settings = dict(preprocessing=EcgPreprocessing(duration_s=3.0), shard_size={SHARD_SIZE}, progress=False)
    if workers == "scheduler":
        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
            summary = prepare(cohort, pack, scheduler=cluster.scheduler_address, **settings)
    else:
        summary = prepare(cohort, pack, workers=int(workers), **settings)
    print(json.dumps([summary.num_studies, summary.num_resumed]))
"""


@pytest.fixture
def start(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    started: list[subprocess.Popen] = []

    def start_program(pack: Path, *, workers: int | str, kill_once: Path | str = "", **settings) -> subprocess.Popen:
        command = [sys.executable, str(program), str(pack), str(tmp_path / "log"), str(workers), str(kill_once)]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            start_new_session=True,
            env=os.environ | {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"},
            **settings,
        )
        started.append(process)
        return process

    yield start_program
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def outcome(process: subprocess.Popen) -> tuple[int, int]:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    num_studies, num_resumed = json.loads(output.splitlines()[-1])
    return num_studies, num_resumed


def finished_shards(pack: Path) -> int:
    return len(list((pack / "parts").glob("?????.json")))


def test_workers_write_what_one_process_writes(start, tmp_path):
    assert outcome(start(tmp_path / "two", workers=2)) == (NUM_STUDIES, 0)
    assert outcome(start(tmp_path / "none", workers=0)) == (NUM_STUDIES, 0)
    assert Pack.open(tmp_path / "two").info.content_hash == Pack.open(tmp_path / "none").info.content_hash


def test_killed_and_started_again_it_redoes_only_unfinished_shards(start, tmp_path):
    pack = tmp_path / "pack"
    process = start(pack, workers=2)
    deadline = time.monotonic() + 60
    while finished_shards(pack) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    num_finished = finished_shards(pack)
    assert 3 <= num_finished < NUM_STUDIES // SHARD_SIZE
    (tmp_path / "log").unlink()
    assert outcome(start(pack, workers=2)) == (NUM_STUDIES, num_finished * SHARD_SIZE)
    read_again = (tmp_path / "log").read_text().split()
    assert len(read_again) == NUM_STUDIES - num_finished * SHARD_SIZE
    assert verify(pack) == []


def test_the_task_of_a_killed_worker_is_done_by_another(start, tmp_path):
    flag = tmp_path / "killed"
    assert outcome(start(tmp_path / "pack", workers=2, kill_once=flag)) == (NUM_STUDIES, 0)
    assert flag.exists()
    assert verify(tmp_path / "pack") == []


def test_a_running_scheduler_can_be_used(start, tmp_path):
    assert outcome(start(tmp_path / "pack", workers="scheduler")) == (NUM_STUDIES, 0)


def test_a_shard_that_brings_down_every_worker_is_told(start, tmp_path):
    (tmp_path / "always").mkdir()
    process = start(tmp_path / "pack", workers=2, kill_once=tmp_path / "always", stderr=subprocess.PIPE)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "one shard brought down every worker that tried it" in errors
