"""Workers of the simulator end with the process that started them, however it ends."""

import time
from multiprocessing import get_context
from multiprocessing.connection import Connection

import pytest

from lamae.ecg.simulate.cohort import _end_with_parent


def _wait_for_work(held: Connection) -> None:
    _end_with_parent()
    held.send("waiting")
    time.sleep(97)


def _start_worker(held: Connection) -> None:
    get_context("spawn").Process(target=_wait_for_work, args=(held,)).start()
    held.close()
    time.sleep(97)


def test_workers_of_a_killed_process_end() -> None:
    ours, theirs = get_context("spawn").Pipe(duplex=False)
    parent = get_context("spawn").Process(target=_start_worker, args=(theirs,))
    parent.start()
    theirs.close()
    assert ours.recv() == "waiting"
    parent.kill()
    parent.join()
    assert ours.poll(13), "the worker lives on"
    with pytest.raises(EOFError):
        ours.recv()
