"""The worked example of docs/adding-a-data-set.md works as it stands there."""

import re
from pathlib import Path

import numpy as np

from lamae.labels import make_labels

PAGE = Path(__file__).parents[2] / "docs/adding-a-data-set.md"


def test_the_worked_example(tmp_path):
    (tmp_path / "signals").mkdir()
    microvolts = np.repeat(np.arange(12, dtype=np.float32)[None] * 100, 5003, axis=0)
    for exam in ("11", "13"):
        np.save(tmp_path / f"signals/{exam}.npy", microvolts)
    (tmp_path / "exams.csv").write_text(
        "exam,person,taken,sex,diagnoses,file\n"
        "11,a,2026-01-02 03:04:05,f,I48.0|E11.9,signals/11.npy\n"
        "13,b,2026-01-02 03:04:05,m,,signals/13.npy\n"
        "17,b,2026-01-02 03:04:05,x,I10,signals/17.npy\n"
    )
    (example,) = re.findall(r"```python\n(from dataclasses.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    namespace = {"__name__": "example"}
    exec(compile(example, str(PAGE), "exec"), namespace)
    cohort = namespace["OurArchive"](root=tmp_path)
    table = cohort.table()
    assert table["study_id"].to_pylist() == ["11", "13"]
    assert table["sex"].to_pylist() == ["female", "male"]
    assert table["codes_icd10cm"].to_pylist() == [["I48.0", "E11.9"], []]
    assert make_labels(None, table, "icd10-3char", train_rows=np.arange(2), min_count=1).names == ("E11", "I48")
    study = cohort.read(table["path"].to_pylist()[0])
    np.testing.assert_allclose(study.views["aVF"].values, 0.5)
    assert study.views["aVF"].rate_hz == 500
