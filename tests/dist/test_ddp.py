import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import train_fakes
from train_fakes import write_fake_pack

from lamae.checkpoint import load_model
from lamae.ecg.leads import LEADS
from lamae.run_files import read_metrics

pytestmark = [pytest.mark.dist, pytest.mark.slow]
PROGRAM = Path(train_fakes.__file__)
TWO_STREAMS = (
    f"{{ecg: {{patch: [10], grid: [110], view_names: [{', '.join(LEADS)}]}},"
    " echo: {patch: [8, 8], grid: [16, 16], view_names: [A4C]}}"
)
"""A model of two streams, of which the pack holds one."""


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    return write_fake_pack(tmp_path_factory.mktemp("pack") / "pack", whole=False).path


def start(pack, run, *words, processes=1):
    launch = [sys.executable]
    if processes > 1:
        launch += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [*launch, str(PROGRAM), str(pack), str(run), *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250, check=False)


def losses(run):
    return [line["loss"] for line in read_metrics(run / "metrics.jsonl")]


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--optim.accumulation", 2, "--model.mask.strategy", "tube"),
        ("--alignment", "{metric: cosine}", "--model.encoder_weights", "private", "--data.min_views", 1),
        ("--model.encoder.depth", 0, "--data.max_patients", 7),
        ("--model.streams", TWO_STREAMS),
    ],
)
def test_two_processes_have_the_loss_curve_of_one(pack, tmp_path, words):
    for run, processes in ((tmp_path / "one", 1), (tmp_path / "two", 2)):
        done = start(pack, run, "--optim.batch_size", 9, *words, processes=processes)
        assert done.returncode == 0, done.stderr
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    lines = read_metrics(tmp_path / "two" / "metrics.jsonl")
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10, 12, 13]


def test_two_processes_have_the_loss_curve_of_one_where_studies_have_nothing_to_predict(tmp_path):
    """Every study has one long lead among short ones of one patch, which is dropped in some steps."""
    pack = write_fake_pack(tmp_path / "pack", recorded=lambda study, lead: 110 if lead == study % 12 else 10).path
    words = ("--optim.batch_size", 9, "--data.min_views", 1, "--optim.accumulation", 2)
    for run, processes in ((tmp_path / "one", 1), (tmp_path / "two", 2)):
        done = start(pack, run, *words, processes=processes)
        assert done.returncode == 0, done.stderr
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)


@pytest.mark.parametrize("step", [3, 7, 12])
def test_killed_at_any_step_and_resumed_equals_not_stopped(pack, tmp_path, step):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert start(pack, whole).returncode == 0
    killed = start(pack, cut, "--kill-at", step)
    assert killed.returncode == -9
    assert "finished" in start(pack, cut).stdout
    ours, theirs = load_model(whole)[0].state_dict(), load_model(cut)[0].state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert losses(whole) == losses(cut)
