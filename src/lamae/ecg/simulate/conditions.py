"""The table of conditions: prevalence, risk factors, codes, and effect on the ECG."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Literal

import numpy as np

from lamae.ecg.simulate import effects
from lamae.ecg.simulate.heart import Heart
from lamae.errors import ConfigError, check_choice

Effect = Callable[[Heart, float, np.random.Generator], Heart]


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A diagnosis.

    Attributes:
        codes: ICD-10-CM codes without dots, each with its probability; a patient keeps the code drawn.
        course: ``"chronic"`` conditions are drawn once per patient, ``"episode"`` ones once per visit.
        prevalence: Fraction of patients (chronic) or of visits (episode).
        shown: Probability that an ECG shows the condition if the patient has it (below 1 if paroxysmal).
        coded: Probability that a hospital stay carries the code if the patient has the condition.
        per_decade: Change in log-odds per ten years of age.
        male: Change in log-odds for men.
        raised_by: Change in log-odds due to conditions earlier in the table.
        effect: Effect on the beat; ``None`` with ``rhythm=False`` leaves no trace.
        rhythm: True if it acts through the rhythm.
        sinus_rate_bpm: Change in sinus rate at severity 1.
    """

    codes: Mapping[str, float]
    course: Literal["chronic", "episode"] = "chronic"
    prevalence: float
    shown: float = 1.0
    coded: float = 0.8
    per_decade: float = 0.0
    male: float = 0.0
    raised_by: Mapping[str, float] = field(default_factory=dict)
    effect: Effect | None = None
    rhythm: bool = False
    sinus_rate_bpm: float = 0.0

    @property
    def traceless(self) -> bool:
        """True if no ECG can show the condition."""
        return self.effect is None and not self.rhythm and not self.sinus_rate_bpm


def _chronic(prevalence: float, codes: str, **options: object) -> Condition:
    return Condition(prevalence=prevalence, codes=_shares(codes), **options)  # type: ignore[arg-type]


def _episode(prevalence: float, codes: str, **options: object) -> Condition:
    return _chronic(prevalence, codes, course="episode", **options)


def _old(prevalence: float, injury: np.ndarray, *, q: tuple[float, float, float], shown: float) -> Condition:
    raised_by = {"coronary_disease": 2.0}
    effect = partial(effects.old_infarction, injury=injury, q=np.array(q))
    return _chronic(prevalence, "I252", per_decade=0.3, raised_by=raised_by, shown=shown, effect=effect)


def _acute(prevalence: float, codes: str, injury: np.ndarray, *, shown: float) -> Condition:
    raised_by = {"coronary_disease": 1.0}
    effect = partial(effects.acute_infarction, injury=injury)
    return _episode(prevalence, codes, male=0.5, raised_by=raised_by, shown=shown, coded=0.9, effect=effect)


def _shares(codes: str) -> dict[str, float]:
    """Parse ``"I480:2 I4891"`` into probabilities that sum to 1."""
    pairs = [text.partition(":")[::2] for text in codes.split()]
    weights = {code: float(weight or 1) for code, weight in pairs}
    return {code: weight / sum(weights.values()) for code, weight in weights.items()}


CONDITIONS: Mapping[str, Condition] = {
    # with a weak trace, before the conditions it causes
    "hypertension": _chronic(0.45, "I10", per_decade=0.40, coded=0.80, effect=effects.hypertension),
    # without a trace on the ECG
    "hyperlipidaemia": _chronic(0.38, "E785", per_decade=0.30, coded=0.75, raised_by={"hypertension": 0.5}),
    "diabetes": _chronic(0.26, "E119", per_decade=0.15, raised_by={"hypertension": 0.5}),
    "chronic_kidney_disease": _chronic(0.17, "N189:2 N1830", per_decade=0.35, raised_by={"diabetes": 0.6}),
    "copd": _chronic(0.12, "J449", per_decade=0.30),
    "peripheral_vascular_disease": _chronic(0.06, "I739", per_decade=0.35, raised_by={"diabetes": 0.6}, coded=0.7),
    "stroke": _episode(0.03, "I639", per_decade=0.25),
    "hypotension": _episode(0.07, "I959", per_decade=0.15, sinus_rate_bpm=30.0),
    # with a weak trace
    "obesity": _chronic(0.14, "E669", coded=0.5, effect=effects.low_voltage),
    "coronary_disease": _chronic(
        0.25, "I2510", per_decade=0.40, male=0.6, raised_by={"hyperlipidaemia": 0.7}, effect=effects.coronary_disease
    ),
    "aortic_stenosis": _chronic(0.05, "I350", per_decade=0.60, effect=effects.aortic_stenosis),
    "mitral_disease": _chronic(0.05, "I340", per_decade=0.35, effect=effects.mitral_disease),
    "heart_failure": _chronic(
        0.18,
        "I5022 I5032 I509:2",
        per_decade=0.40,
        raised_by={"coronary_disease": 0.9, "hypertension": 0.4, "aortic_stenosis": 0.8},
        effect=effects.heart_failure,
        sinus_rate_bpm=16.0,
    ),
    "cardiomyopathy": _chronic(
        0.05, "I420 I428 I429", male=0.4, raised_by={"heart_failure": 2.0}, effect=effects.cardiomyopathy
    ),
    # chambers
    "left_ventricular_hypertrophy": _chronic(
        0.12,
        "I119:2 I517",
        per_decade=0.20,
        raised_by={"hypertension": 0.9, "aortic_stenosis": 1.6},
        coded=0.6,
        shown=0.95,
        effect=effects.left_ventricular_hypertrophy,
    ),
    "right_ventricular_hypertrophy": _chronic(
        0.05,
        "I2720:3 I2781 I270",
        raised_by={"copd": 1.2, "mitral_disease": 0.8},
        coded=0.75,
        shown=0.95,
        effect=effects.right_ventricular_hypertrophy,
    ),
    # old infarction
    "old_anterior_infarction": _old(0.05, effects.ANTERIOR, q=(-0.20, 0.02, 0.55), shown=0.9),
    "old_inferior_infarction": _old(0.06, effects.INFERIOR, q=(0.02, -0.62, 0.0), shown=0.85),
    "old_lateral_infarction": _old(0.025, effects.LATERAL, q=(-0.52, 0.10, -0.12), shown=0.9),
    # conduction
    "left_bundle_branch_block": _chronic(
        0.035,
        "I447",
        per_decade=0.5,
        raised_by={"heart_failure": 0.9, "cardiomyopathy": 0.8},
        coded=0.75,
        shown=0.96,
        effect=effects.left_bundle_branch_block,
    ),
    "right_bundle_branch_block": _chronic(
        0.06, "I4510", per_decade=0.5, male=0.5, coded=0.65, shown=0.96, effect=effects.right_bundle_branch_block
    ),
    "left_anterior_fascicular_block": _chronic(
        0.045, "I444", per_decade=0.5, coded=0.6, shown=0.95, effect=effects.left_anterior_fascicular_block
    ),
    "intraventricular_delay": _chronic(
        0.03, "I454", raised_by={"heart_failure": 0.8}, coded=0.5, shown=0.9, effect=effects.intraventricular_delay
    ),
    "first_degree_av_block": _chronic(
        0.07, "I440", per_decade=0.45, coded=0.7, shown=0.9, effect=effects.first_degree_block
    ),
    "long_qt": _chronic(0.025, "I4581", coded=0.75, shown=0.85, effect=effects.long_qt),
    # rhythm
    "sick_sinus": _chronic(0.03, "I495", per_decade=0.5, shown=0.85, rhythm=True, sinus_rate_bpm=-28.0),
    "atrial_fibrillation": _chronic(
        0.16,
        "I4891:4 I480:3 I4819 I4820 I4821",
        per_decade=0.55,
        raised_by={"heart_failure": 0.7, "mitral_disease": 0.9},
        coded=0.9,
        shown=0.80,
        rhythm=True,
    ),
    "atrial_flutter": _chronic(0.03, "I4892:3 I483", per_decade=0.3, male=0.5, shown=0.85, coded=0.85, rhythm=True),
    "paced": _chronic(
        0.04,
        "Z950",
        per_decade=0.6,
        raised_by={"sick_sinus": 2.5},
        shown=0.85,
        coded=0.92,
        rhythm=True,
        effect=effects.ventricular_pacing,
    ),
    "premature_ventricular_beats": _chronic(
        0.09, "I493", per_decade=0.25, raised_by={"heart_failure": 0.7}, shown=0.85, coded=0.6, rhythm=True
    ),
    "premature_atrial_beats": _chronic(0.06, "I491", per_decade=0.35, shown=0.8, coded=0.5, rhythm=True),
    "supraventricular_tachycardia": _episode(0.020, "I471", shown=0.85, rhythm=True),
    "second_degree_av_block": _episode(0.012, "I441", per_decade=0.4, shown=0.85, rhythm=True),
    "complete_av_block": _episode(0.012, "I442", per_decade=0.5, shown=0.85, coded=0.92, rhythm=True),
    "sinus_tachycardia": _episode(0.13, "R000", coded=0.35, per_decade=-0.15, shown=0.9, sinus_rate_bpm=58.0),
    "sinus_bradycardia": _episode(0.10, "R001", coded=0.35, shown=0.9, sinus_rate_bpm=-30.0),
    # acute illness
    "acute_anterior_infarction": _acute(0.018, "I2102:2 I2109", effects.ANTERIOR, shown=0.85),
    "acute_inferior_infarction": _acute(0.022, "I2119:2 I2111", effects.INFERIOR, shown=0.85),
    "acute_lateral_infarction": _acute(0.010, "I2129 I2121", effects.LATERAL, shown=0.8),
    "subendocardial_infarction": _episode(
        0.045,
        "I214",
        per_decade=0.25,
        raised_by={"coronary_disease": 1.2},
        shown=0.85,
        coded=0.9,
        effect=effects.ischaemia,
    ),
    "unstable_angina": _episode(0.02, "I200", raised_by={"coronary_disease": 1.5}, shown=0.8, effect=effects.ischaemia),
    "pericarditis": _episode(0.012, "I309:2 I319", per_decade=-0.3, male=0.5, shown=0.8, effect=effects.pericarditis),
    "pericardial_effusion": _episode(
        0.015, "I313", shown=0.85, effect=effects.pericardial_effusion, sinus_rate_bpm=18.0
    ),
    "pulmonary_embolism": _episode(
        0.022, "I2699", shown=0.85, coded=0.9, effect=effects.pulmonary_embolism, sinus_rate_bpm=35.0
    ),
    "hyperkalaemia": _episode(
        0.03, "E875", raised_by={"chronic_kidney_disease": 1.3}, shown=0.8, effect=effects.hyperkalaemia
    ),
    "hypokalaemia": _episode(0.04, "E876", shown=0.8, effect=effects.hypokalaemia),
}
"""All conditions, causes before effects."""

MEAN_AGE_YEARS, AGE_SPREAD_YEARS = 63.0, 17.0


def check_names(names: Mapping[str, float]) -> None:
    """Check that all conditions are in the table and all severities lie between 0 and 1.

    Raises:
        ConfigError: A name or a severity is wrong.
    """
    for name, severity in names.items():
        check_choice("condition", name, tuple(CONDITIONS))
        if not 0.0 <= severity <= 1.0:
            raise ConfigError(f"condition {name!r}: severity must be between 0 and 1, found {severity}")


def draw_age(rng: np.random.Generator) -> float:
    """Draw the age of an adult hospital patient, 18 to 91 years."""
    age = rng.normal(MEAN_AGE_YEARS, AGE_SPREAD_YEARS)
    return float(age) if 18 <= age <= 91 else float(rng.uniform(40, 85))


def probability(name: str, *, age_years: float, female: bool, present: Mapping[str, float]) -> float:
    """Return the probability of a condition in a patient (or visit), given the conditions already present."""
    condition = CONDITIONS[name]
    odds = intercept(name) + condition.per_decade * (age_years - MEAN_AGE_YEARS) / 10.0
    odds += condition.male * (0.5 - female)
    for cause, change in condition.raised_by.items():
        odds += change * ((cause in present) - CONDITIONS[cause].prevalence)
    return 1.0 / (1.0 + float(np.exp(-odds)))


@cache
def intercept(name: str) -> float:
    """Return the intercept (log-odds) at which the condition has its stated prevalence over ages, sexes and causes.

    Causes are assumed independent, which is accurate enough.
    """
    condition = CONDITIONS[name]
    ages = np.linspace(18, 91, 74)
    weight = np.exp(-0.5 * ((ages - MEAN_AGE_YEARS) / AGE_SPREAD_YEARS) ** 2)
    logits, weights = condition.per_decade * (ages - MEAN_AGE_YEARS) / 10.0, weight / weight.sum()
    for change, share in [(condition.male, 0.5)] + [
        (c, CONDITIONS[n].prevalence) for n, c in condition.raised_by.items()
    ]:
        logits = np.concatenate([logits - change * share, logits + change * (1 - share)])
        weights = np.concatenate([weights * (1 - share), weights * share])
    low, high = -12.0, 6.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        mean = float((weights / (1.0 + np.exp(-(logits + middle)))).sum())
        low, high = (middle, high) if mean < condition.prevalence else (low, middle)
    return 0.5 * (low + high)
