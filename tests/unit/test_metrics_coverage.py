"""Do 95 % intervals hold the truth when patients have many ECGs? A smaller run of ``benchmarks/coverage.py``."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "coverage.py"


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lamae_coverage_benchmark", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_intervals_by_patient_cover_and_those_by_record_do_not(simulation: ModuleType):
    # With 250 samples a coverage of 0.95 has a standard error of 0.014.
    found = simulation.coverage(250, num_patients=300, draws=200, truth=simulation.truths(100_000))
    by_patient = {what: share for (what, unit), share in found.items() if unit == "patient"}
    by_record = {what: share for (what, unit), share in found.items() if unit == "record"}
    assert 0.92 < np.mean(list(by_patient.values())) < 0.98
    assert all(0.89 < share < 0.99 for share in by_patient.values()), by_patient
    assert all(share < 0.85 for share in by_record.values()), by_record
    assert len(by_patient) == len(by_record) == 10


def test_the_simulation_has_patients_with_many_alike_ecgs(simulation: ModuleType):
    sample = simulation.simulate(5003, seed=3)
    counts = np.bincount(sample.patients)
    assert counts.mean() == pytest.approx(6, abs=0.4)
    assert counts.max() > 30
    share = np.bincount(sample.patients, weights=sample.targets) / counts
    if_independent = np.sqrt(np.mean(0.25 / counts[counts > 5]))
    assert share[counts > 5].std() > 1.5 * if_independent
