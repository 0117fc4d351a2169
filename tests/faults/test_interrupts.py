"""Ctrl-C with several processes, and schedulers without workers or without an answer."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bad_files import GOOD, write_good

from lamae.cohorts import open_cohort
from lamae.prepare import prepare

pytestmark = [pytest.mark.dist, pytest.mark.slow]

NUM_FILES = 5003

SCHEDULER = """
import logging, sys, time
from threading import Thread
from distributed import LocalCluster
from lamae.cohorts import open_cohort
from lamae.prepare import prepare, run

if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    logging.getLogger("lamae").setLevel("INFO")
    run._LOOK_S = run._SAY_AGAIN_S = 0.5
    with LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address=None) as cluster:
        Thread(target=lambda: (time.sleep(5), cluster.scale(1)), daemon=True).start()
        cohort = open_cohort("folder", sys.argv[1])
        print(prepare(cohort, sys.argv[2], scheduler=cluster.scheduler_address, progress=False).num_studies)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    folder.mkdir()
    write_good(folder)
    return folder


def wait_for(found, timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not found() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert found()


def let_interrupts_through() -> None:
    """Undo what a shell does to its background jobs, should the tests be one."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_an_interrupt_is_told_in_one_sentence(root, tmp_path, workers):
    for number in range(NUM_FILES):
        os.link(root / GOOD[0], root / f"copy{number}.npz")
    pack = tmp_path / "pack"
    words = ["prepare", "folder", str(root), str(pack), "--shard-size", "31", "--workers", workers]
    command = [sys.executable, "-m", "lamae", *words]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=let_interrupts_through,
    )
    try:
        wait_for(lambda: list((pack / "parts").glob("*.json")))
        os.killpg(process.pid, signal.SIGINT)  # as the terminal does: to every process
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    told = [line for line in errors.splitlines() if "studies" not in line]
    assert told == ["lamae: interrupted; the same command goes on from here"]
    assert 0 < len(list((pack / "parts").glob("*.json"))) < NUM_FILES // 31


def test_a_scheduler_without_workers_is_told_of_until_one_comes(root, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(SCHEDULER)
    command = [sys.executable, str(program), str(root), str(tmp_path / "pack")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == "2"
    assert done.stderr.count("waiting for workers at tcp://127.0.0.1:") > 1


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://here"])
def test_an_address_where_nothing_listens_is_an_error(root, tmp_path, address, monkeypatch):
    monkeypatch.setattr("lamae.prepare.run._ANSWER_S", 1)
    with pytest.raises(ConnectionError, match=f"no Dask scheduler answers at {address}"):
        prepare(open_cohort("folder", root), tmp_path / "pack", scheduler=address, progress=False)


HANGING = """
import sys, time
from lamae.prepare import prepare
sys.path.insert(0, sys.argv[2])
from test_boundary import CONFIG, Faults

if __name__ == "__main__":
    prepare(Faults(("1", "sleeps")), sys.argv[1], preprocessing=CONFIG, workers=0, progress=False, file_timeout_s=4.0)
"""


def test_a_process_that_hangs_on_a_file_outlives_nobody_who_was_killed(tmp_path):
    command = [sys.executable, "-c", HANGING, str(tmp_path / "pack"), str(Path(__file__).parent)]
    process = subprocess.Popen(command)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    wait_for(lambda: children.read_text().split())
    (reader,) = map(int, children.read_text().split())
    wait_for(lambda: (tmp_path / "pack" / "views").exists())
    process.kill()
    process.wait()
    wait_for(lambda: not Path(f"/proc/{reader}").exists(), 60.0)
