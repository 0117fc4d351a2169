"""The page: whole, closed in itself, honest about simulation, silent about people."""

import errno
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_fakes import LABELS, write_demo, write_result, write_run

from lamae.errors import ConfigError
from lamae.files import write_json
from lamae.report import write_report
from lamae.report.folders import Result
from lamae.report.page import render
from lamae.report.results import LABELS_IN_CHART

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Outline(HTMLParser):
    """Checks nesting and collects ids, links and tags."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.tags = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("href", "src", "xlink:href"):
                self.links.append(value)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    return write_report(write_demo(folder), folder / "new/report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def outline(page):
    found = Outline()
    found.feed(page)
    assert found.open == []
    return found


def test_page_loads_nothing_and_stays_small(page, outline):
    assert all(link.startswith("#") for link in outline.links)
    assert not {"script", "link", "iframe", "object", "img"} & set(outline.tags)
    assert not re.search(r"url\((?!#)|@import", page)
    assert len(page.encode()) < 5e6


def test_ids_are_unique_and_each_entry_of_the_contents_leads_somewhere(outline):
    assert len(outline.ids) == len(set(outline.ids))
    assert set(outline.links) <= {f"#{name}" for name in outline.ids}


def test_same_input_gives_the_same_page(tmp_path):
    inputs = [write_run(tmp_path / "run", steps=31), write_result(tmp_path / "result", studies=53)]
    assert render(inputs) == render(inputs)


def test_headline_says_what_was_trained_on_what_and_how_good_it_is(page):
    text = " ".join(re.sub(r"<[^>]*>", "", page[page.index("<h1>") : page.index("<nav")]).split())
    assert "ecg-lamae-tiny (747,264 parameters) was pretrained on 1,249 studies of mimic-iv-ecg simulated-1" in text
    assert re.search(r"LAMAE on icd10-chapter-ix, .* macro AUROC 0\.\d{3} \(0\.\d{3} to 0\.\d{3}\)", text)
    assert re.search(r"difference to “Random init \(frozen\)” \+0\.\d{3} \(\+0\.\d{3} to \+0\.\d{3}\)", text)


def test_table_names_every_system_label_and_what_was_left_out(page):
    for words in ("Independent leads", "Scratch (supervised)", "Hand-made features", *LABELS):
        assert words in page
    assert "Labels with no positives among the test studies: I97." in page
    assert "199 draws of patients" in page
    assert (
        "Selection, LAMAE and Independent leads and Random init (frozen): L2 10 by macro AUROC on the validation"
        in page
    )
    assert (
        "Selection, Scratch (supervised): early stopping by macro AUROC on the validation studies, best epoch 7."
        in page
    )
    assert "Hand-made features: the chosen L2 lies at the edge of its grid (1 of the fits)." in page
    assert "Labelled studies for training: 1,249 of 811 patients." in page


def test_refused_files_and_flags_are_counted(page):
    assert "Refused files: 16" in page
    for slug in ("too-few-leads", "truncated-file", "limb-leads-reversed"):
        assert slug in page


def test_pack_of_two_runs_has_one_card(page):
    assert page.count("used by ecg-lamae-tiny, ecg-independent-tiny") == 2  # Data and Quality


def test_people_and_machines_are_not_named(page):
    assert "ward-7-pc" not in page
    assert "jane" not in page
    assert not re.search(r"study_hash|patient_hash", page)


def test_simulation_is_said_at_the_top_and_at_each_place(page):
    assert page.index("Simulated data.") < page.index("<h1>")
    assert page.count('<span class="tag">simulated</span>') >= 7


def test_real_data_carries_no_such_mark(tmp_path):
    inputs = [write_run(tmp_path / "run", simulated=False), write_result(tmp_path / "r", simulated=False, studies=53)]
    text = render(inputs)
    assert "Simulated data." not in text
    assert '<span class="tag">' not in text


def test_mixture_marks_the_simulated_part_only(tmp_path):
    text = render([write_run(tmp_path / "run", steps=31), write_result(tmp_path / "r", simulated=False, studies=53)])
    assert "Parts of this page rest on studies that come from a simulator" in text


def test_run_alone_is_shown(tmp_path):
    text = render([write_run(tmp_path / "run", steps=31, examples=False, attention=False)])
    assert "This run left no reconstructed example." in text
    assert "This run left no attention example" in text
    assert 'id="results"' not in text


def test_result_alone_is_shown_and_says_that_its_control_is_absent(tmp_path):
    text = render([write_result(tmp_path / "r", studies=53)], title="A & B")
    assert "<h1>A &amp; B</h1>" in text
    assert "this table does not say what pretraining adds" in text
    assert 'id="training"' not in text


def test_pair_that_does_not_match_is_said(tmp_path):
    ours = write_result(tmp_path / "a", studies=53)
    text = render([ours, write_result(tmp_path / "b", system="Random init (frozen)", studies=59)])
    assert "no paired difference to Random init (frozen), because the two results were tested on different" in text


def test_text_of_the_files_is_escaped(tmp_path):
    text = render([write_result(tmp_path / "r", system="<script>alert(1)</script>", studies=53)])
    assert "<script>" not in text


def test_many_labels_are_charted_in_part_and_listed_in_full(tmp_path):
    labels = tuple(f"X{index:02d}" for index in range(LABELS_IN_CHART + 7))
    text = render([write_result(tmp_path / "r", labels=labels, studies=307)])
    assert f"{LABELS_IN_CHART} of {len(labels)} labels: those with the most positives" in text


def test_regression_has_a_table_without_a_ranking_chart(tmp_path):
    folder = write_result(tmp_path / "r", studies=53)
    content = json.loads((folder / "result.json").read_text())
    content["labels"] |= {"kind": "regression", "set": "column:age_years"}
    content["metrics"] = {"macro_mae": {"value": 7.25, "low": 6.5, "high": 8.0}}
    content["per_label"] = [{"label": "age_years", "studies": 53, "mae": {"value": 7.25, "low": 6.5, "high": 8.0}}]
    write_json(folder / "result.json", content)
    text = render([folder])
    assert "macro MAE 7.250 (6.500 to 8.000)" in text


def test_undefined_values_become_dashes(tmp_path):
    folder = write_result(tmp_path / "r", studies=53)
    content = json.loads((folder / "result.json").read_text())
    content["per_label"][0]["auroc"] = {"value": None, "low": None, "high": None}
    content["per_label"][1]["auroc"] = {"value": float("nan"), "low": float("nan"), "high": float("nan")}
    content["split"]["test"] = None
    write_json(folder / "result.json", content)
    assert '<td class="num">–</td>' in render([folder])


def test_older_page_stays_when_the_new_one_cannot_be_made(tmp_path):
    out = tmp_path / "report.html"
    out.write_text("older")
    with pytest.raises(ValueError, match="no such folder"):
        write_report([tmp_path / "nowhere"], out)
    assert out.read_text() == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_pretraining_on_test_patients_is_a_warning(tmp_path):
    folder = write_result(tmp_path / "r", studies=53)
    content = json.loads((folder / "result.json").read_text())
    content["leak"] = {"checked": True, "patients_pretrained_on": 3, "records_pretrained_on": 5, "allowed": True}
    content["split"] |= {"label_fraction": 0.1, "cross_validated_folds": 9}
    content["selection"]["converged"] = False
    write_json(folder / "result.json", content)
    text = render([folder])
    words = "was trained on 3 tested patients and 5 tested records: the figures flatter"
    assert f"LAMAE, 10 % of the labels {words}." in text
    assert f'<small class="caveat">{words}</small></th>' in text
    assert f'<strong class="caveat">It {words}.</strong></p>' in text
    assert "LAMAE, 10 % of the labels: the probe did not converge everywhere." in text
    assert "(10 % of the training patients)" in text
    assert "Cross-validated over 9 folds by patient" in text


def test_unknown_pretraining_patients_are_a_warning(tmp_path):
    folder = write_result(tmp_path / "r", studies=53)
    content = json.loads((folder / "result.json").read_text())
    content["leak"] = {"checked": False, "allowed": True}
    write_json(folder / "result.json", content)
    assert "LAMAE was trained on patients that nobody knows: the figures flatter." in render([folder])


def test_an_unfinished_run_is_said_beside_its_figures(tmp_path):
    folder = write_result(tmp_path / "r", studies=53)
    content = json.loads((folder / "result.json").read_text())
    content["run"] |= {"finished": False, "step": 120, "card": {"steps": 500}}
    write_json(folder / "result.json", content)
    assert '<small class="caveat">had pretrained for 120 of 500 steps only</small></th>' in render([folder])


def test_a_control_that_did_not_see_the_patients_gives_no_difference(tmp_path):
    ours, random = write_result(tmp_path / "r", studies=53), write_result(tmp_path / "c", system="Random", studies=53)
    for folder, leak in ((ours, {"patients_pretrained_on": 3}), (random, None)):
        content = json.loads((folder / "result.json").read_text())
        weights = "random, seed 0" if folder == random else "pretrained"
        content["run"] |= {"weights": weights}
        write_json(folder / "result.json", content | {"leak": leak})
    text = render([ours, random])
    assert "no paired difference to Random, because it was trained on 3 tested patients and 0 tested records" in text
    assert "; difference to" not in text


def test_another_page_is_replaced_only_when_asked(tmp_path: Path) -> None:
    first, second = write_result(tmp_path / "a", studies=53), write_result(tmp_path / "b", system="Other", studies=53)
    page = write_report([first], tmp_path / "report.html").read_bytes()
    with pytest.raises(ConfigError, match=r"report\.html: another file is there already.*--overwrite"):
        write_report([second], tmp_path / "report.html")
    assert write_report([first], tmp_path / "report.html").read_bytes() == page
    assert write_report([second], tmp_path / "report.html", overwrite=True).read_bytes() != page


def test_a_folder_in_the_place_of_the_page(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is a folder; give the name of the HTML file to write"):
        write_report([tmp_path], tmp_path)


def test_a_full_disk_keeps_the_page_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    run = write_run(tmp_path / "run")
    out = tmp_path / "pages" / "report.html"
    before = write_report([run], out).read_bytes()
    monkeypatch.setattr("lamae.files.os.fsync", full)
    with pytest.raises(OSError, match=r"the disk is full; nothing half-written is kept.*report\.html"):
        write_report([run], out, title="Another", overwrite=True)
    assert out.read_bytes() == before
    assert list(out.parent.iterdir()) == [out]


def test_a_system_is_held_against_the_control_with_its_own_read_out(tmp_path):
    from lamae.report.folders import read_result
    from lamae.report.results import make_tasks

    folders = {
        "ours": write_result(tmp_path / "ours", skill=1.7, studies=89),
        "mean": write_result(tmp_path / "mean", system="Random init (frozen)", skill=0.5, studies=89),
        "concat": write_result(tmp_path / "concat", system="Random init (frozen)", skill=1.1, studies=89),
        "lost": write_result(tmp_path / "lost", system="Lost", skill=1.3, studies=89),
    }
    for name, readout in (("mean", "mean"), ("lost", "cls")):
        info = json.loads((folders[name] / "result.json").read_text())
        write_json(folders[name] / "result.json", info | {"readout": readout})
    results = {name: read_result(folder) for name, folder in folders.items()}
    (both,) = make_tasks(list(results.values()))
    (alone,) = make_tasks([results["ours"], results["concat"]])
    assert both.systems[0].difference == alone.systems[0].difference
    assert [system.difference for system in both.systems[1:]] == ["", "", ""]
    assert both.notes == ["Lost: no paired difference, because no random control has the read-out cls."]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"condition": {"name": "leads:I,II"}}, "LAMAE, leads:I,II"),
        ({"split": {"label_fraction": 0.05, "label_draw": 2}}, "LAMAE, 5 % of the labels, draw 2"),
        (
            {"split": {"label_fraction": 1.0, "label_count": 1700, "label_draw": 1}},
            "LAMAE, labels of 1,700 studies, draw 1",
        ),
        ({"split": {"label_fraction": 1.0, "label_count": None, "label_draw": 0}}, "LAMAE"),
    ],
)
def test_a_result_is_named_by_what_sets_it_apart(changes, name):
    assert Result(info={"system": "LAMAE", "condition": None, **changes}, evaluation=None).system == name
