"""The numbers of the ECG way are those before echo came: equal to the bit on one machine, near on another."""

import json
from pathlib import Path

import numpy as np
from ecg_figures import figures

GOLDEN = json.loads((Path(__file__).parent / "ecg.json").read_text())


def test_a_small_ecg_job_gives_the_golden_figures(tmp_path):
    found = figures(tmp_path)
    assert found.keys() == GOLDEN.keys()
    np.testing.assert_allclose(found["samples"], GOLDEN["samples"], rtol=1e-4)
    np.testing.assert_allclose(found["first_samples"], GOLDEN["first_samples"], atol=1)
    np.testing.assert_allclose(found["losses"], GOLDEN["losses"], rtol=2e-3)
    np.testing.assert_allclose(found["validation_losses"], GOLDEN["validation_losses"], rtol=2e-3)
    np.testing.assert_allclose(found["features"], GOLDEN["features"], atol=0.02)
    assert found["scores"].keys() == GOLDEN["scores"].keys()
    for name, scores in GOLDEN["scores"].items():
        np.testing.assert_allclose(found["scores"][name], scores, atol=0.02)
