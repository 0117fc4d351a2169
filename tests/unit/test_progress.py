import io
import logging
import sys

import pytest

from lamae import progress as module
from lamae.progress import Moment, Progress, TaskProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [100.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    return now


def words(moment: Moment) -> str:
    return f"{moment.done}/{moment.total} {moment.rate:.0f}/s {moment.left_s:.0f} s {moment.note}"


def test_a_line_for_each_note(capsys, clock):
    with Progress("work", total=20, done=10, line=words) as shown:
        clock[0] += 4
        shown.advance(12)
        shown.advance(12, "two")
    assert capsys.readouterr().err == "12/20 0/s 16 s two\n"


def test_a_line_now_and_then_and_one_at_the_end(capsys, clock):
    with Progress("work", total=9, line=words, every_s=30.0) as shown:
        for done in range(1, 10):
            clock[0] += 10
            shown.advance(done, f"{done} refused")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == ["3/9", "6/9", "9/9"]
    assert lines[0] == "3/9 0/s 60 s 3 refused"


def test_nothing_is_shown_when_it_is_not_wanted(capsys):
    with Progress("work", total=2, show=False, line=words) as shown:
        shown.advance(1, "one")
        shown.say("hello")
    assert capsys.readouterr().err == ""


def test_lines_go_to_the_log_where_it_lets_them_pass(capsys, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("lamae"), "handlers", [])  # a command line before may have set these
    monkeypatch.setattr(logging.getLogger("lamae"), "propagate", True)
    with (
        caplog.at_level(logging.INFO, logger="lamae.some"),
        Progress("work", total=2, line=words, log="lamae.some") as it,
    ):
        it.say("hello")
    assert caplog.messages == ["hello"]
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress("pretraining", total=7, line=words, show_rate=True) as shown:
        shown.advance(3, "loss 0.5")
        shown.say("run[a] [/x]")
        shown.advance(7)
    told = terminal.getvalue()
    assert all(word in told for word in ("pretraining", "7/7", "loss 0.5", "run[a] [/x]", "/s"))


def test_one_task_after_another(capsys, clock):
    with TaskProgress() as progress:
        progress("quick", 3, 3)
        for done in range(4):
            progress("slow", done, 3)
            clock[0] += 25
    assert capsys.readouterr().err.splitlines() == [
        "slow: 1 of 3, about 50 s left", "slow: 2 of 3, about 25 s left", "slow: 3 of 3"
    ]  # fmt: skip
