"""`lamae demo --compare` on a few studies and steps: from a simulated cohort to the tables, and again without work."""

import json
from pathlib import Path

import pytest

from lamae.cli import demo_compare
from lamae.cli.main import main
from lamae.report.folders import read_comparison

pytestmark = pytest.mark.slow

SMALL = {"num_studies": 131, "workers": 0, "steps": 2, "seeds": 2, "min_count": 23, "fractions": (0.5, 1.0)}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare") / "out"
    assert demo_compare.run(folder, **SMALL) == 0
    return folder


def test_two_systems_over_seeds_and_controls_are_compared(out: Path) -> None:
    info = read_comparison(out / "comparison")
    table = info["sections"][0]["parts"][0]
    assert [row["name"] for row in table["rows"]] == ["LAMAE", "Ind_P", "Random", "Hand-made"]
    assert info["simulated"]
    assert not [warning for warning in info["warnings"] if "no card" in warning]
    titles = [section["title"] for section in info["sections"]]
    assert titles[-2:] == ["Label efficiency", "Matched controls"]
    results = list((out / "results").glob("*/*/result.json"))
    assert len(results) == 6 * 4  # four runs and two controls, each with all labels and three draws of half of them
    seeds = {json.loads(file.read_text())["run"]["seed"] for file in (out / "results").glob("ecg-*/*/result.json")}
    assert seeds == {0, 1}


def test_a_second_call_does_no_work_again(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = {path: path.stat().st_mtime_ns for path in (out / "results").glob("*/*/predictions.parquet")}
    assert demo_compare.run(out, **SMALL) == 0
    assert kept == {path: path.stat().st_mtime_ns for path in (out / "results").glob("*/*/predictions.parquet")}
    told = capsys.readouterr().out
    assert f"page: {out / 'comparison' / 'comparison.html'}" in told
    assert "Simulated data: it shows that the machinery works" in told


def test_the_report_shows_runs_and_comparison(out: Path, tmp_path: Path) -> None:
    run = next((out / "runs").iterdir())
    words = ["report", str(run), str(out / "comparison"), "--out", str(tmp_path / "report.html")]
    assert main(words) == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Matched controls" in page
    assert "Label efficiency" in page
