"""Patients of the cohort: their visits, the conditions each ECG shows, and the codes of the hospital."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from lamae.ecg.simulate.conditions import CONDITIONS, draw_age, probability
from lamae.ecg.simulate.ecg import Body, draw_body

NO_STAY_RATE = 0.40
"""Fraction of visits without a hospital stay: their ECGs have empty lists of diagnoses."""

MISCODED_RATE = 0.08
"""Fraction of stays that carry the code of a condition the patient does not have."""

ED_ONLY_CODED = 0.7
"""Fraction of a stay's codes that the emergency department records if the patient is not admitted."""

MAX_ECGS = 30

INCIDENTAL_CODES = ("R079", "R0602", "R55", "A419", "J189", "K219", "F329", "N179", "D649", "Z87891", "Z7901", "E039")
"""Codes unrelated to the simulated heart; each stay carries one to three."""


@dataclass(frozen=True, kw_only=True)
class PlannedEcg:
    """An ECG to be recorded.

    Attributes:
        taken_at: Start of the recording.
        conditions: Severity of each condition shown.
        visit: Index of the visit within the patient.
        number_within_stay: Index among the ECGs of the stay, -1 without a stay.
        in_ed: True if taken in the emergency department.
    """

    taken_at: datetime
    conditions: Mapping[str, float]
    visit: int
    number_within_stay: int
    in_ed: bool


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A visit, with or without a stay.

    Attributes:
        ed: True if there is an emergency department stay.
        hospital: True if the patient is admitted.
        ed_codes: ICD-10-CM codes of the emergency department.
        hospital_codes: ICD-10-CM codes of the discharge.
        conditions: Severity of each condition present, shown by an ECG or not.
    """

    ed: bool
    hospital: bool
    ed_codes: tuple[str, ...]
    hospital_codes: tuple[str, ...]
    conditions: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Patient:
    """A patient with all visits and ECGs."""

    age_years: float
    female: bool
    first_seen: datetime
    body: Body
    visits: tuple[Visit, ...]
    ecgs: tuple[PlannedEcg, ...]
    died_at: datetime | None


def draw_num_ecgs(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw the number of ECGs of each patient: 40 % have one, the others at least two (geometric, four on average).

    The first patients get the same numbers whatever ``size`` is.
    """
    alone, more = (1.0 - rng.random((size, 2))).T
    several = 2 + np.floor(np.log(more) / np.log(2.0 / 3.0)).astype(np.int64)
    return np.minimum(np.where(alone < 0.40, 1, several), MAX_ECGS)


def draw_patient(rng: np.random.Generator, *, num_ecgs: int) -> Patient:
    """Draw a patient with all visits and planned ECGs in this hospital."""
    age_years, female = draw_age(rng), bool(rng.random() < 0.48)
    chronic = _draw_conditions(rng, "chronic", age_years, female, {})
    own_codes = {name: _draw_code(rng, name) for name in chronic}
    body = draw_body(rng, age_years=age_years, female=female)
    first_seen = datetime(2110, 1, 1) + timedelta(
        days=int(rng.integers(0, 365 * 90)), minutes=int(rng.integers(0, 1440))
    )
    now, visits, ecgs = first_seen, [], []
    while len(ecgs) < num_ecgs:
        visit = _draw_visit(rng, age_years, female, chronic, own_codes)
        count = min(int(rng.geometric(0.6)), num_ecgs - len(ecgs))
        for place in range(count):
            in_ed = visit.ed and (place == 0 or not visit.hospital)
            number = place if visit.ed or visit.hospital else -1
            shown = _shown(rng, visit.conditions)
            ecgs.append(
                PlannedEcg(taken_at=now, conditions=shown, visit=len(visits), number_within_stay=number, in_ed=in_ed)
            )
            now += timedelta(minutes=int(rng.integers(20, 60 * 40)))
        visits.append(visit)
        now += timedelta(days=int(rng.exponential(200)) + 3)
    died_at = now + timedelta(days=int(rng.exponential(500))) if rng.random() < 0.25 else None
    return Patient(
        age_years=age_years,
        female=female,
        first_seen=first_seen,
        body=body,
        visits=tuple(visits),
        ecgs=tuple(ecgs),
        died_at=died_at,
    )


def _draw_conditions(
    rng: np.random.Generator, course: str, age_years: float, female: bool, present: Mapping[str, float]
) -> dict[str, float]:
    """Draw the conditions of one course with severities from 0.18 to 1, 0.62 on average."""
    found = dict(present)
    for name, condition in CONDITIONS.items():
        if condition.course != course:
            continue
        chance, severity = rng.random(), 0.18 + 0.82 * rng.beta(1.4, 1.2)
        if chance < probability(name, age_years=age_years, female=female, present=found):
            found[name] = float(severity)
    return found


def _shown(rng: np.random.Generator, conditions: Mapping[str, float]) -> dict[str, float]:
    """Draw the conditions that one ECG shows, with severities that vary slightly from ECG to ECG."""
    shown = {}
    for name, severity in conditions.items():
        if rng.random() < CONDITIONS[name].shown and not CONDITIONS[name].traceless:
            shown[name] = float(np.clip(severity + rng.normal(0.0, 0.08), 0.02, 1.0))
    return shown


def _draw_code(rng: np.random.Generator, name: str) -> str:
    codes = CONDITIONS[name].codes
    return str(rng.choice(list(codes), p=list(codes.values())))


def _draw_visit(
    rng: np.random.Generator, age_years: float, female: bool, chronic: Mapping[str, float], own_codes: Mapping[str, str]
) -> Visit:
    conditions = _draw_conditions(rng, "episode", age_years, female, chronic)
    if rng.random() < NO_STAY_RATE:
        return Visit(ed=False, hospital=False, ed_codes=(), hospital_codes=(), conditions=conditions)
    place = rng.random()
    ed, hospital = place < 0.75, place >= 0.20
    codes = _codes(rng, conditions, own_codes)
    if not hospital:
        kept = tuple(code for code in codes if rng.random() < ED_ONLY_CODED) or codes[:1]
        return Visit(ed=True, hospital=False, ed_codes=kept, hospital_codes=(), conditions=conditions)
    ed_codes = codes[: int(rng.integers(1, 4))] if ed else ()
    return Visit(ed=ed, hospital=True, ed_codes=ed_codes, hospital_codes=codes, conditions=conditions)


def _codes(rng: np.random.Generator, conditions: Mapping[str, float], own_codes: Mapping[str, str]) -> tuple[str, ...]:
    """Draw the codes of a stay, acute ones first: conditions coded, sometimes a wrong code, incidental codes."""
    acute_first = sorted(conditions, key=lambda name: CONDITIONS[name].course == "chronic")
    codes = [
        own_codes[name] if name in own_codes else _draw_code(rng, name)
        for name in acute_first
        if rng.random() < CONDITIONS[name].coded
    ]
    if rng.random() < MISCODED_RATE:
        names = [name for name in CONDITIONS if name not in conditions]
        weights = np.array([CONDITIONS[name].prevalence for name in names])
        codes.append(_draw_code(rng, str(rng.choice(names, p=weights / weights.sum()))))
    codes += [str(code) for code in rng.choice(INCIDENTAL_CODES, size=int(rng.integers(1, 4)), replace=False)]
    return tuple(dict.fromkeys(codes))
