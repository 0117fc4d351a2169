"""``kill -9`` at random moments, again and again: what the last run leaves is the same to the bit as without."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import train_fakes
from train_fakes import write_fake_pack

pytestmark = [pytest.mark.dist, pytest.mark.slow]

NUM_STUDIES = 41
LONGEST_S = 120


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "lamae", *map(str, words)]


def simulate(out: Path) -> list[str]:
    return command("simulate", "ecg", out, "--studies", NUM_STUDIES, "--seed", 5)


def start(words: Sequence[str]) -> subprocess.Popen[bytes]:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(words, **quiet, env=os.environ | {"OMP_NUM_THREADS": "1"}, start_new_session=True)


def run_whole(words: Sequence[str]) -> float:
    """Run a command to its end and return the seconds it took."""
    began = time.monotonic()
    assert start(words).wait(LONGEST_S) == 0
    return time.monotonic() - began


def run_killed(words: Sequence[str], num_kills: int, whole_s: float, seed: int) -> int:
    """Kill a command and its workers at random moments, then let it end; return how often it was killed at work."""
    rng = np.random.default_rng(seed)
    num_killed = 0
    for _ in range(num_kills):
        process = start(words)
        try:
            process.wait(rng.uniform(0.2, 0.8) * whole_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            num_killed += process.wait() == -signal.SIGKILL
        else:
            assert process.returncode == 0
            break  # all is done: what is killed from here on is a look at it
    run_whole(words)
    return num_killed


def content(folder: Path) -> dict[str, str]:
    """Return the hash of each file but locks; nothing half-written may be left."""
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    assert not [name for name in files if ".writing-" in name or "parts/" in name]
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items() if name[-5:] != ".lock"}


def check_simulate(folder: Path, num_kills: int, seed: int) -> None:
    whole_s = run_whole(simulate(folder / "whole"))
    killed = 0
    for number in range(num_kills):  # it begins anew each time: the first kill of each counts
        cut = folder / f"cut{number}"
        killed += run_killed(simulate(cut), 1, whole_s, seed + number)
        assert content(cut) == content(folder / "whole")
    assert killed
    assert len(content(folder / "whole")) > NUM_STUDIES


def check_prepare(folder: Path, num_kills: int, seed: int, workers: int) -> None:
    run_whole(simulate(folder / "cohort"))
    words = ("--shard-size", 3, "--salt", "kills", "--workers", workers)
    packs = {name: command("prepare", "mimic-iv-ecg", folder / "cohort", folder / name, *words) for name in ("a", "b")}
    whole_s = run_whole(packs["a"])
    assert run_killed(packs["b"], num_kills, whole_s, seed)
    assert content(folder / "a") == content(folder / "b")


def check_pretrain(folder: Path, num_kills: int, seed: int) -> None:
    import torch

    from lamae.checkpoint import load_model
    from lamae.train.run_folder import read_metrics

    pack = write_fake_pack(folder / "pack", whole=False).path
    runs = {
        name: [sys.executable, train_fakes.__file__, str(pack), str(folder / name), "--optim.steps", "97"]
        for name in ("a", "b")
    }
    whole_s = run_whole(runs["a"])
    assert run_killed(runs["b"], num_kills, whole_s, seed)
    one, other = (load_model(folder / name)[0].state_dict() for name in runs)
    assert all(torch.equal(one[name], other[name]) for name in one)
    losses = [[line["loss"] for line in read_metrics(folder / name / "metrics.jsonl")] for name in runs]
    assert losses[0] == losses[1]
    assert len(losses[0]) > 31


def test_simulate_killed_and_begun_again(tmp_path: Path) -> None:
    check_simulate(tmp_path, 1, seed=3)


def test_prepare_killed_and_begun_again(tmp_path: Path) -> None:
    check_prepare(tmp_path, 2, seed=5, workers=0)


def test_pretrain_killed_and_begun_again(tmp_path: Path) -> None:
    check_pretrain(tmp_path, 2, seed=7)


@pytest.mark.thorough
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [11, 13])
def test_each_killed_many_times(tmp_path: Path, seed: int) -> None:
    for name in ("simulate", "prepare", "workers", "pretrain"):
        (tmp_path / name).mkdir()
    check_simulate(tmp_path / "simulate", 5, seed)
    check_prepare(tmp_path / "prepare", 11, seed, workers=0)
    check_prepare(tmp_path / "workers", 11, seed, workers=2)
    check_pretrain(tmp_path / "pretrain", 11, seed)
