"""The report in a real browser: it opens without a network, nothing sticks out, ECG paper stays square."""

import json
import re
import shutil
import subprocess

import pytest
from report_fakes import write_demo

from lamae.files import write_json
from lamae.report import write_report

pytestmark = pytest.mark.browser

PROBE = """<script>
addEventListener("load", () => {
  const paper = document.querySelector(".paper svg");
  const box = paper.getBoundingClientRect(), view = paper.viewBox.baseVal;
  const report = {
    width: document.documentElement.scrollWidth,
    window: innerWidth,
    ratio: box.width / box.height / (view.width / view.height),
    sections: [...document.querySelectorAll("h2")].map(h => h.textContent),
    interval: document.querySelector(".results td.chart svg").getBoundingClientRect().width,
    requests: performance.getEntriesByType("resource").length,
  };
  document.title = JSON.stringify(report);
});
</script>"""


@pytest.fixture(scope="module")
def chromium():
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium on this machine")
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    folders = write_demo(folder)
    for told in folder.glob("*/result.json"):  # as many columns as a real result has
        info = json.loads(told.read_text())
        for name in ("f1", "brier", "ece"):
            info["metrics"][f"macro_{name}"] = info["metrics"]["macro_auprc"]
        write_json(told, info)
    return write_report(folders, folder / "report.html")


def measure(chromium, page, folder, width):
    """Return what the page says about itself in a frame of the given width (a window is never narrower than 500)."""
    probed = folder / "probed.html"
    probed.write_text(page.read_text(encoding="utf-8").replace("</body>", PROBE + "</body>"), encoding="utf-8")
    frame = folder / "frame.html"
    frame.write_text(
        f'<iframe id="f" src="{probed.as_uri()}" style="width:{width}px;height:900px;border:0"></iframe>'
        '<p id="told"></p>'
        '<script>addEventListener("load", () => setTimeout(() => { document.getElementById("told").textContent ='
        ' document.getElementById("f").contentDocument.title; }, 300));</script>'
    )
    command = [
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
    ]
    command += ["--allow-file-access-from-files", f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=3000"]
    done = subprocess.run([*command, "--dump-dom", frame.as_uri()], capture_output=True, text=True, timeout=120)
    found = re.search(r'<p id="told">(\{.*?\})</p>', done.stdout)
    assert found, done.stderr[-2000:]
    return json.loads(found[1])


@pytest.mark.parametrize("width", [1280, 1000, 390])
def test_page_fits_its_window_and_paper_keeps_its_shape(chromium, page, tmp_path, width):
    told = measure(chromium, page, tmp_path, width)
    assert told["window"] == width
    assert told["width"] <= width
    assert told["ratio"] == pytest.approx(1, abs=0.01)
    assert told["interval"] >= 100, "intervals are drawn too narrow to compare"
    assert told["requests"] == 0
    assert told["sections"][:4] == ["Results", "By label", "Training", "Reconstruction"]
