"""The page of a comparison in a real browser: nothing sticks out of the window, nothing is loaded."""

import json
import re
import shutil
import subprocess

import pytest
from compare_fakes import NINE, write_many

from lamae.compare import Settings, compare

pytestmark = pytest.mark.browser

PROBE = """<script>
addEventListener("load", () => {
  document.title = JSON.stringify({
    width: document.documentElement.scrollWidth,
    window: innerWidth,
    charts: [...document.querySelectorAll(".compared-chart svg")].map(c => c.getBoundingClientRect().right),
    requests: performance.getEntriesByType("resource").length,
  });
});
</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    results = write_many(folder / "r", NINE, seeds=(0, 1), fractions=(0.25, 1.0), studies=61, draws=7)
    compare(results, folder / "out", settings=Settings(permutations=0))
    return folder / "out" / "comparison.html"


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_sticks_out(page, tmp_path, width):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    probed, frame = tmp_path / "probed.html", tmp_path / "frame.html"
    probed.write_text(page.read_text(encoding="utf-8").replace("</body>", PROBE + "</body>"), encoding="utf-8")
    frame.write_text(
        f'<iframe id="f" src="{probed.as_uri()}" style="width:{width}px;height:900px;border:0"></iframe>'
        '<p id="told"></p>'
        '<script>addEventListener("load", () => setTimeout(() => { document.getElementById("told").textContent ='
        ' document.getElementById("f").contentDocument.title; }, 300));</script>'
    )
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += ["--disable-background-networking", "--allow-file-access-from-files"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=3000", "--dump-dom", frame.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r'<p id="told">(\{.*?\})</p>', done.stdout)
    assert found, done.stderr[-2000:]
    told = json.loads(found[1])
    assert told["window"] == width
    assert told["width"] <= width
    assert told["charts"]
    assert max(told["charts"]) <= width
    assert told["requests"] == 0
