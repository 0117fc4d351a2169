"""Who is in the cohort: patients, their visits, what each ECG shows and what the hospital coded."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from lamae.ecg.simulate.conditions import CONDITIONS, draw_age, probability
from lamae.ecg.simulate.ecg import Body, draw_body

NO_STAY_RATE = 0.40
"""Share of ECGs outside any hospital stay: their lists of diagnoses are empty."""

MISCODED_RATE = 0.08
"""Share of stays that carry the code of a condition which the patient does not have."""

ED_ONLY_CODED = 0.7
"""Share of the codes of a stay that an emergency department codes when nobody is admitted."""

MAX_ECGS = 30

INCIDENTAL_CODES = ("R079", "R0602", "R55", "A419", "J189", "K219", "F329", "N179", "D649", "Z87891", "Z7901", "E039")
"""Codes that have nothing to do with the heart here; each stay carries one to three."""


@dataclass(frozen=True, kw_only=True)
class PlannedEcg:
    """One ECG that is to be recorded.

    Attributes:
        taken_at: Start of the recording.
        conditions: Severity of what is to show in it.
        visit: Number of the visit within the patient.
        number_within_stay: Place among the ECGs of the stay, -1 without a stay.
        in_ed: Whether it was taken in the emergency department.
    """

    taken_at: datetime
    conditions: Mapping[str, float]
    visit: int
    number_within_stay: int
    in_ed: bool


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One visit, with a stay or without.

    Attributes:
        ed: Whether there is an emergency department stay.
        hospital: Whether there is an admission.
        ed_codes: ICD-10-CM codes of the emergency department.
        hospital_codes: ICD-10-CM codes of the discharge.
        conditions: What the patient has during it, with severity, shown by an ECG or not.
    """

    ed: bool
    hospital: bool
    ed_codes: tuple[str, ...]
    hospital_codes: tuple[str, ...]
    conditions: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Patient:
    """One patient with all visits and ECGs."""

    age_years: float
    female: bool
    first_seen: datetime
    body: Body
    visits: tuple[Visit, ...]
    ecgs: tuple[PlannedEcg, ...]
    died_at: datetime | None


def draw_num_ecgs(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw how many ECGs patients have: 40 % have one, the others two and more, geometrically, four on average.

    The first patients get the same numbers whatever ``size`` is.
    """
    alone, more = (1.0 - rng.random((size, 2))).T
    several = 2 + np.floor(np.log(more) / np.log(2.0 / 3.0)).astype(np.int64)
    return np.minimum(np.where(alone < 0.40, 1, several), MAX_ECGS)


def draw_patient(rng: np.random.Generator, *, num_ecgs: int) -> Patient:
    """Draw a patient with the ECGs of a lifetime in this hospital."""
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
    """Draw the conditions of one course with their severity: 0.18 to 1, 0.62 on average."""
    found = dict(present)
    for name, condition in CONDITIONS.items():
        if condition.course != course:
            continue
        chance, severity = rng.random(), 0.18 + 0.82 * rng.beta(1.4, 1.2)
        if chance < probability(name, age_years=age_years, female=female, present=found):
            found[name] = float(severity)
    return found


def _shown(rng: np.random.Generator, conditions: Mapping[str, float]) -> dict[str, float]:
    """Which conditions one ECG shows, and how much: severity changes a little from ECG to ECG."""
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
    """The codes of one stay, acute ones first: what was coded, something incidental, sometimes an error."""
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
