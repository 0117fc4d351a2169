"""Simulation of a single study in memory, for tests, examples and plots."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lamae.ecg.leads import LEADS
from lamae.ecg.simulate.ecg import draw_body, record
from lamae.ecg.simulate.heart import RATE_HZ
from lamae.studies import Study, View, Views


def simulate_study(
    seed: int,
    *,
    conditions: Mapping[str, float] | None = None,
    age_years: float = 60.0,
    female: bool = False,
    clean: bool = False,
) -> tuple[Study, dict[str, Any]]:
    """Simulate one 12-lead ECG of ten seconds at 500 Hz.

    Args:
        seed: Seed of the patient and of the recording.
        conditions: Severity (0 to 1) of each condition shown, by its name in ``CONDITIONS``; none by default.
        age_years: Age of the patient.
        female: Sex of the patient.
        clean: Simulate without noise, electrode faults and missing samples.

    Returns:
        The study, leads in mV in the order of ``LEADS``, and its ground truth (a row of the truth table).

    Raises:
        ConfigError: A condition is unknown, or a severity is not between 0 and 1.
    """
    rng = np.random.default_rng(seed)
    body = draw_body(rng, age_years=age_years, female=female)
    recording = record(body, conditions or {}, rng, leads=LEADS, clean=clean)
    views = [
        View(name=name, values=values, rate_hz=float(RATE_HZ))
        for name, values in zip(LEADS, recording.leads_mv, strict=True)
    ]
    metadata = {"source_format": "simulated", "age_years": age_years, "sex": "female" if female else "male"}
    return Study(study_id=f"simulated-{seed}", views=Views(views), metadata=metadata), recording.truth
