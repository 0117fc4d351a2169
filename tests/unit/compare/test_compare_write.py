"""The folder: whole, escaped, honest about simulation; with many labels and long names; and the page."""

import csv
import itertools
import json
import re

import pytest
from compare_fakes import NINE, fake_evaluation, write_fake, write_many
from matplotlib.backends.backend_agg import FigureCanvasAgg

from lamae.cli.main import main
from lamae.compare import Settings, compare
from lamae.compare.charts import ForestRow, efficiency, forest, styles_of
from lamae.compare.estimates import OverSeeds
from lamae.compare.table import Cell, Row, Table, as_csv, as_latex, as_markdown
from lamae.errors import ConfigError, FormatError
from lamae.files import write_json
from lamae.report import write_report
from lamae.results import write_result

SMALL = {"studies": 61, "draws": 7}
QUICK = Settings(permutations=19)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    systems = {name: NINE[name] for name in ("LAMAE", "LAMAE_E", "Ind_P", "Scratch", "Random")}
    some = {"seeds": (0, 1), "fractions": (0.25, 1.0), "conditions": ("leads:I,II", "noise:muscle@10dB")}
    results = write_many(folder / "results", systems, **some, **SMALL)
    compare(results, folder / "out", settings=QUICK)
    return folder / "out"


def table_of(**changes) -> Table:
    cells = [Cell(text="0.9 ± 0.1", note="[0.8, 1.0]", mark="best", stars="**"), Cell(text="–", mark="second")]
    rows = [Row(name="A_1", cells=cells, depth=2, title="R&D | 50 % of {x} \\ <b>")]
    table = {"key": "k", "title": "T_1", "caption": "C #1", "corner": "", "columns": ["A", "B_2"], "rows": rows}
    return Table(**table | {"records": [{"a": 1.5, "b": 'x, "y"'}, {"a": 2, "c": ""}]} | changes)


def test_every_table_and_chart_is_there(out):
    assert {path.name for path in out.iterdir()} == {
        "comparison.html",
        "comparison.json",
        "tables.md",
        "tables",
        "charts",
    }
    tables = {path.stem for path in (out / "tables").iterdir()}
    expected = {"macro", "differences", "seeds", "labels", "efficiency", "robustness", "matched-controls"}
    assert expected <= tables
    assert {f"25-percent-of-the-labels-{name}" for name in ("macro", "labels")} <= tables
    assert len(list((out / "tables").iterdir())) == 3 * len(tables)
    charts = {path.name for path in (out / "charts").iterdir()}
    assert {"forest.png", "forest.svg", "forest-lamae-minus-ind-p.png", "efficiency.svg", "robustness.png"} <= charts
    assert (out / "charts" / "forest.png").read_bytes().startswith(b"\x89PNG")


def test_simulated_data_is_said_in_every_caption(out):
    parts = [
        part for section in json.loads((out / "comparison.json").read_text())["sections"] for part in section["parts"]
    ]
    assert len(parts) > 20
    assert all(part["caption"].startswith("SIMULATED DATA") for part in parts)
    for path in (out / "tables").glob("*.tex"):
        assert "SIMULATED DATA" in path.read_text()


def test_real_data_is_not_called_simulated(tmp_path):
    results = write_many(tmp_path, {"LAMAE": 1.0, "Ind_P": 1.0}, seeds=(0,), fractions=(1.0,), simulated=False, **SMALL)
    compare(results, tmp_path / "out", settings=QUICK)
    assert not re.search("simulated data", (tmp_path / "out" / "tables.md").read_text(), re.IGNORECASE)


def test_a_caption_says_how_it_came_about(out):
    text = (out / "tables" / "labels.md").read_text()
    for words in (
        "Protocol linear, read-out view-concat / encoder-view-concat, all labels",
        "61 test studies of",
        "7 draws of patients",
        "Holm's correction over 12 labels",
        "19 permutations, smallest p 0.05",
        "selected on validation studies; every result touched the test set once",
        "2 seeds each",
    ):
        assert words in text, words


def test_the_test_set_touched_unknown_times_is_said(tmp_path):
    for name in ("LAMAE", "Ind_P"):
        evaluation = fake_evaluation(name, **SMALL)
        del evaluation.info["split"]["test_uses"]
        write_result(tmp_path / name, evaluation)
    compare([tmp_path / "LAMAE", tmp_path / "Ind_P"], tmp_path / "out", settings=QUICK)
    assert "not every result says how often its test set was touched" in (tmp_path / "out" / "tables.md").read_text()


def test_csv_holds_numbers(out):
    rows = list(csv.DictReader((out / "tables" / "labels.csv").read_text().splitlines()))
    assert len(rows) == 5 * 13
    assert 0 < float(rows[0]["low"]) < float(rows[0]["value"]) < float(rows[0]["high"]) < 1
    rows = list(csv.DictReader((out / "tables" / "differences.csv").read_text().splitlines()))
    assert len(rows) == 4 * 13
    assert all(float(row["p_holm"]) >= float(row["p_larger"]) for row in rows if row["p_holm"])


def test_formats_escape_and_mark():
    assert as_csv(table_of()) == 'a,b,c\n1.5,"x, ""y""",\n2,,\n'
    markdown = as_markdown(table_of())
    assert r"| &nbsp;&nbsp;&nbsp;&nbsp;A\_1 R&D \| 50 % of {x} \\ \<b\>" in markdown
    assert r"| **0.9 ± 0.1**\*\* \[0.8, 1.0\] | *–* |" in markdown
    latex = as_latex(table_of())
    assert r"\hspace{2em}A\_1 R\&D | 50 \% of \{x\} \textbackslash{} \textless{}b\textgreater{}" in latex
    assert r"& \textbf{0.9 $\pm$ 0.1}$^{**}$ {\scriptsize [0.8, 1.0]} & \underline{--} \\" in latex
    assert r"\begin{tabular}{lrr}" in latex
    assert r"\caption{C \#1}" in latex


def test_a_long_table_goes_over_pages():
    rows = [Row(name=str(index), cells=[Cell(text="1"), Cell(text="2")]) for index in range(60)]
    latex = as_latex(table_of(rows=rows))
    assert r"\begin{longtable}" in latex
    assert latex.count(r"\toprule") == 2
    assert r"\begin{table}" not in latex


def test_the_page_loads_nothing_and_shows_every_table(out):
    page = (out / "comparison.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert not re.search(r'(?:src|href)="(?!#)', page)
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    for name in ("Matched controls", "Label efficiency", "Robustness", "Simulated data"):
        assert name in page
    assert page.count('<table class="compared">') == len(list((out / "tables").glob("*.csv")))


def test_the_report_takes_a_comparison(out, tmp_path):
    result = write_fake(tmp_path / "r", **SMALL)
    page = write_report([out, result], tmp_path / "report.html").read_text(encoding="utf-8")
    assert '<a href="#comparison-1">Comparison</a>' in page
    assert 'id="results"' in page
    content = json.loads((out / "comparison.json").read_text())
    for change, message in (
        ({"format_version": 7}, "expected the format 'lamae-comparison'"),
        ({"title": None}, "title is"),
    ):
        other = tmp_path / message[:5]
        other.mkdir()
        kept = {key: value for key, value in (content | change).items() if value is not None}
        write_json(other / "comparison.json", kept)
        with pytest.raises(FormatError, match=message):
            write_report([other], tmp_path / "x.html")
    (other / "comparison.json").write_text("{")
    with pytest.raises(FormatError, match=r"comparison\.json: this is not valid JSON"):
        write_report([other], tmp_path / "x.html")


def test_many_labels_with_long_names(tmp_path):
    options = {"num_labels": 113, "studies": 61, "draws": 3, "seeds": (0,), "fractions": (1.0,)}
    results = write_many(tmp_path, {"LAMAE with a name that is longer than any": 1.0, "Ind_P": 1.0}, **options)
    compare(results, tmp_path / "out", settings=Settings(permutations=0))
    assert r"\begin{longtable}" in (tmp_path / "out" / "tables" / "labels.tex").read_text()
    assert len(list((tmp_path / "out" / "charts").glob("forest-lamae*.png"))) == 1


def extents(labels, figure):
    renderer = figure.canvas.get_renderer()
    return [label.get_window_extent(renderer) for label in labels if label.get_text()]


@pytest.mark.parametrize("num_rows", [1, 2, 113])
def test_names_of_rows_do_not_overlap_nor_stick_out(num_rows):
    found = OverSeeds(value=0.0123, low=-0.101, high=0.204, sd=0.1, num_seeds=3)
    name = "I700 Label with a title as long as ICD-10-CM has them, unspecified, without complication or gangrene"
    rows = [ForestRow(name=name if i % 3 else "I48", found=found, stars="***") for i in range(num_rows)]
    figure = forest(rows, x_label="difference of AUROC")
    FigureCanvasAgg(figure).draw()
    axes = figure.axes[0]
    width, height = figure.canvas.get_width_height()
    for labels in (axes.get_yticklabels(), axes.child_axes[0].get_yticklabels()):
        boxes = sorted(extents(labels, figure), key=lambda box: box.y0)
        assert len(boxes) == num_rows
        assert all(below.y1 <= above.y0 for below, above in itertools.pairwise(boxes))
        assert min(box.x0 for box in boxes) >= 0
        assert max(box.x1 for box in boxes) <= width
        assert max(box.y1 for box in boxes) <= height
    ticks = sorted(extents(axes.get_xticklabels(), figure), key=lambda box: box.x0)
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(ticks))


def test_ticks_are_written_without_rounding():
    rows = [ForestRow(name="a", found=OverSeeds(value=0.01, low=-0.083, high=0.102, sd=0, num_seeds=1))]
    figure = forest(rows, x_label="difference")
    FigureCanvasAgg(figure).draw()
    axes = figure.axes[0]
    words = [label.get_text().replace("−", "-") for label in axes.get_xticklabels()]
    assert [float(word) for word in words] == pytest.approx(list(axes.get_xticks()), abs=1e-9)


def test_twelve_systems_are_drawn_apart():
    names = [f"System number {index} with a long name" for index in range(12)]
    styles = styles_of(names, controls=names[3:4])
    assert len({(style.colour, style.shape, style.line) for style in styles.values()}) == 12
    found = OverSeeds(value=0.8, low=0.78, high=0.82, sd=0.1, num_seeds=3)
    figure = efficiency({name: [(62, found), (1249, found)] for name in names}, styles, y_label="macro AUROC")
    FigureCanvasAgg(figure).draw()
    boxes = sorted(extents(figure.legends[0].get_texts(), figure), key=lambda box: box.y0)
    assert len(boxes) == 12
    assert all(below.y1 <= above.y0 for below, above in itertools.pairwise(boxes))
    assert boxes[0].y0 >= 0


def test_a_folder_of_something_else_is_kept(tmp_path):
    results = write_many(tmp_path / "r", {"LAMAE": 1.0, "Ind_P": 1.0}, seeds=(0,), fractions=(1.0,), **SMALL)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("precious")
    with pytest.raises(ConfigError, match="thesis: holds files but no comparison"):
        compare(results, tmp_path / "thesis")
    with pytest.raises(ConfigError, match="chapter: is a file; give the name of a folder"):
        compare(results, tmp_path / "thesis" / "chapter")


def test_the_same_results_give_the_same_bytes(tmp_path):
    results = write_many(tmp_path / "r", {"LAMAE": 1.0, "Ind_P": 1.0}, seeds=(0,), fractions=(1.0,), **SMALL)
    for name in ("one", "other", "other"):
        compare(results, tmp_path / name, settings=QUICK)
    for path in (tmp_path / "one").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "other" / path.relative_to(tmp_path / "one")).read_bytes(), path


def test_the_verb_prints_table_warnings_and_paths(tmp_path, capsys):
    systems = {"LAMAE": 1.5, "Ind_P": 1.0, "Random": 0.2}
    results = write_many(tmp_path / "r", systems, seeds=(0,), fractions=(1.0,), **SMALL)
    write_fake(tmp_path / "r" / "0-0-1.0", "LAMAE", card_changes={"steps": 7}, **SMALL)
    words = ["compare", *map(str, results), "--out", str(tmp_path / "out"), "--permutations", "0"]
    assert main([*words, "--reference", "Random"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"^System +macro AUROC +macro AUPRC", told, re.MULTILINE)
    assert "WARNING: NOT MATCHED in steps" in told
    assert f"page: {tmp_path / 'out' / 'comparison.html'}" in told
    assert main(["compare", str(results[0]), "--out", str(tmp_path / "alone")]) == 2
    assert "a comparison needs at least two systems, found only 'LAMAE' (1 results)" in capsys.readouterr().err
    assert main(["compare", str(tmp_path), "--out", str(tmp_path / "no")]) == 2
    assert "no result.json in it" in capsys.readouterr().err


def test_a_condition_that_was_trained_on_is_named_in_the_caption(tmp_path):
    results = []
    for number, system in enumerate(("LAMAE", "Ind_P")):
        results.append(write_fake(tmp_path / f"{number}-clean", system, **SMALL))
        for name, trained in (("leads:I", "as recorded"), ("leads:I (trained alike)", "alike")):
            folder = write_fake(tmp_path / f"{number}-{trained}", system, condition=name, **SMALL)
            info = json.loads((folder / "result.json").read_text())
            info["condition"]["trained"] = trained
            write_json(folder / "result.json", info)
            results.append(folder)
    comparison = compare(results, tmp_path / "out", settings=QUICK)
    caption = next(content.caption for content in comparison.contents if content.key == "robustness")
    assert "nothing was learned or selected anew, except for leads:I (trained alike)." in caption


def test_another_comparison_is_replaced_only_when_asked(tmp_path, capsys):
    systems = {"LAMAE": 1.5, "Ind_P": 1.0, "Random": 0.2}
    results = write_many(tmp_path / "r", systems, seeds=(0,), fractions=(1.0,), **SMALL)
    out = tmp_path / "out"
    compare(results, out, settings=QUICK)
    before = {path: path.read_bytes() for path in out.rglob("*.*")}
    for others, settings in ((results[:2], QUICK), (results, Settings(permutations=0))):
        with pytest.raises(ConfigError, match=r"comparison\.json: another comparison is there already.*--overwrite"):
            compare(others, out, settings=settings)
    words = ["compare", *map(str, results[:2]), "--out", str(out), "--permutations", "0"]
    assert main(words) == 2
    assert "another comparison is there already" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*.*")} == before
    compare(results, out, settings=QUICK)
    assert {path: path.read_bytes() for path in out.rglob("*.*")} == before
    assert main([*words, "--overwrite"]) == 0
    assert "Random" not in (out / "tables.md").read_text()


def test_what_flatters_or_is_unfinished_stands_beside_the_figures_in_every_format(tmp_path, capsys):
    leak = {"checked": True, "patients_pretrained_on": 7, "records_pretrained_on": 9, "allowed": True}
    results = []
    for name in ("LAMAE", "Joint", "Random"):
        evaluation = fake_evaluation(name, **SMALL)
        if name != "Random":
            evaluation.info["leak"] = leak
        if name == "Joint":
            evaluation.info["run"] |= {"finished": False, "step": 120}
        results.append(write_result(tmp_path / name, evaluation))
    assert main(["compare", *map(str, results), "--out", str(tmp_path / "out"), "--permutations", "19"]) == 0
    seen, unfinished = (
        "LAMAE was trained on 7 tested patients and 9 tested records",
        "had pretrained for 120 of 500 steps",
    )
    told = capsys.readouterr().out
    assert (seen in told, unfinished in told) == (True, True)
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())
    parts = [part for section in content["sections"] for part in section["parts"]]
    assert all(seen in part["caption"] and unfinished in part["caption"] for part in parts)
    for path in (tmp_path / "out" / "tables").iterdir():
        assert (seen in path.read_text(), unfinished in path.read_text()) == (True, True), path
    rows = list(csv.DictReader((tmp_path / "out" / "tables" / "labels.csv").read_text().splitlines()))
    assert {row["system"] for row in rows if row["caveats"]} == {"LAMAE", "Joint"}
    page = (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8")
    assert page.count(seen) >= len(parts)
    assert not any(row["stars"] for row in rows)
