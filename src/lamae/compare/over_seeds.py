"""One figure over several pretraining seeds: mean, spread, and an interval for the choice of seeds and of patients.

With one seed the interval is the percentile interval over patients. With several it is the one of
`lamae.metrics.combine`, whose variance is that over draws of patients plus that between seeds divided by their number.
"""

from dataclasses import dataclass

import numpy as np

from lamae.metrics import combine, paired_seeds, smallest_detectable
from lamae.metrics.bootstrap import deviation

_NAN = float("nan")


@dataclass(frozen=True, kw_only=True)
class OverSeeds:
    """A figure, or a difference of figures, over the seeds.

    Attributes:
        value: Mean over the seeds, NaN where undefined.
        low: Lower end of the interval.
        high: Upper end.
        sd: Standard deviation between the seeds, NaN with fewer than two.
        num_seeds: Number of seeds.
        standard_error: Of the mean, over patients and seeds.
        p_value: Two-sided, that the true value is 0; of use for differences only.
        p_seeds: The t test over the seeds alone, NaN with fewer than two.
        smallest_detectable: The difference that a test at 5 % would have found with 80 % power.
    """

    value: float
    low: float
    high: float
    sd: float
    num_seeds: int
    standard_error: float = _NAN
    p_value: float = _NAN
    p_seeds: float = _NAN
    smallest_detectable: float = _NAN


def over_seeds(points: np.ndarray, drawn: np.ndarray, *, num_patients: int, level: float) -> OverSeeds:
    """Sum up ``[seeds]`` values and their ``[seeds, draws]`` values in the draws of ``num_patients`` patients."""
    num, value = len(points), float(points.mean())
    sd = float(points.std(ddof=1)) if num > 1 else _NAN
    in_draws = drawn.mean(axis=0, dtype=np.float64)
    of_patients = float(deviation(in_draws))
    if np.isnan(value) or np.isnan(of_patients):
        return OverSeeds(value=value, low=_NAN, high=_NAN, sd=sd, num_seeds=num)
    found = combine(points, of_patients, num_patients, level=level)
    low, high = found.low, found.high
    if num == 1:
        low, high = np.nanquantile(in_draws, [(1 - level) / 2, (1 + level) / 2])
    return OverSeeds(
        value=value,
        low=float(low),
        high=float(high),
        sd=sd,
        num_seeds=num,
        standard_error=found.standard_error,
        p_value=found.p_value,
        p_seeds=paired_seeds(points, np.zeros(num), level=level).p_value if num > 1 else _NAN,
        smallest_detectable=smallest_detectable(
            found.standard_error, alpha=1 - level, df=found.df if np.isfinite(found.df) else None
        ),
    )
