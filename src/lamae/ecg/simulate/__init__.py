"""Simulated ECGs and cohorts with known ground truth, as real files; results on them are results on simulated data."""

from lamae.ecg.simulate.cohort import SIMULATOR_VERSION, SimulationSummary, simulate_ecg_cohort
from lamae.ecg.simulate.conditions import CONDITIONS, Condition
from lamae.ecg.simulate.study import simulate_study

__all__ = [
    "CONDITIONS",
    "SIMULATOR_VERSION",
    "Condition",
    "SimulationSummary",
    "simulate_ecg_cohort",
    "simulate_study",
]
