"""The smallest difference that data could show, from the standard error that they gave."""

from lamae.errors import DataError


def smallest_detectable(
    standard_error: float, *, alpha: float = 0.05, power: float = 0.8, df: float | None = None
) -> float:
    """Return the true difference that a two-sided test at ``alpha`` would find with probability ``power``.

    (z_{1 - alpha / 2} + z_power) * standard error: 2.80 standard errors by default (Bloom 1995, "Minimum detectable
    effects"). It says what a study of this size could have shown, from the spread of the data alone; it is no test, and
    a smaller observed difference can still be significant, by luck.

    Args:
        standard_error: Of the difference, not negative; NaN gives NaN.
        alpha: Chance of calling a difference where there is none; divide by the number of codes to correct.
        power: Chance of finding it.
        df: Degrees of freedom; quantiles of Student's t replace the normal ones, which matters with few seeds.

    Raises:
        DataError: The standard error is negative.
    """
    from scipy.stats import norm, t

    if not 0 < alpha < 1 or not 0 < power < 1:
        raise ValueError(f"alpha and power must lie between 0 and 1, found {alpha} and {power}")
    if standard_error < 0:
        raise DataError(f"a standard error is not negative, found {standard_error:g}", reason="wrong-standard-error")
    quantile = norm.ppf if df is None else t(df).ppf
    return float((quantile(1 - alpha / 2) + quantile(power)) * standard_error)
