"""Prediction of leads from other leads at the same instant: limb-lead equations, and the best linear prediction.

Three electrodes give six limb leads, so any two visible ones determine the other four exactly (Einthoven 1912,
Goldberger 1942; equations in `lamae.ecg.preprocess.lead_identity`). Beyond that, leads are correlated because they see
one heart: the best linear prediction from the visible leads is the conditional mean of a Gaussian with the covariance
of the leads. A *pattern* is the set of leads visible at an instant; everything is computed once per pattern.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from lamae.ecg.preprocess.lead_identity import EXPECTED, LARGEST_RESIDUAL, SWAPPED_AVF_AVL, check_leads
from lamae.errors import ConfigError

LIMB_ROWS: Mapping[str, tuple[float, float]] = {"I": (1.0, 0.0), "II": (0.0, 1.0), **EXPECTED, "-aVR": (0.5, 0.5)}
"""Each limb lead as coefficients of I and II."""

EIGHT_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
"""The linearly independent leads of the standard twelve."""

_MOST_LEADS = 62
_SMALLEST_DIFFERENCE = 1e-9


def distinct_patterns(visible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct patterns among many instants, and the index of each instant's pattern.

    Args:
        visible: ``[instants, leads]`` bool.

    Returns:
        ``[patterns, leads]`` bool and ``[instants]`` int64.

    Raises:
        ConfigError: There are more leads than bits in an integer.
    """
    num_leads = visible.shape[1]
    if num_leads > _MOST_LEADS:
        raise ConfigError(f"patterns of at most {_MOST_LEADS} leads can be told apart, found {num_leads}")
    bits = np.int64(1) << np.arange(num_leads, dtype=np.int64)
    codes, which = np.unique(visible @ bits, return_inverse=True)
    return (codes[:, None] & bits) > 0, which


def einthoven_weights(names: Sequence[str], patterns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weights for the hidden leads that follow exactly from visible ones.

    A hidden limb lead follows if its row of ``LIMB_ROWS`` lies in the span of the visible limb leads' rows; if more
    than two are visible, the least-squares solution is used, which also averages rounding.

    Args:
        names: Canonical names of the leads; only limb leads can follow from others.
        patterns: ``[patterns, leads]`` bool.

    Returns:
        ``[patterns, leads]`` bool, False for visible leads; ``[patterns, leads, leads]`` float64 such that
        ``weights @ values`` gives the hidden leads that follow, and 0 for all others.
    """
    limb = [place for place, name in enumerate(names) if name in LIMB_ROWS]
    solvable = np.zeros(patterns.shape, dtype=bool)
    weights = np.zeros((*patterns.shape, patterns.shape[1]))
    if not limb:
        return solvable, weights
    rows = np.array([LIMB_ROWS[names[place]] for place in limb])
    seen = patterns[:, limb]
    visible_rows = np.where(seen[:, :, None], rows, 0.0)
    factors = rows @ np.linalg.pinv(visible_rows, rcond=1e-9)  # [patterns, limb, limb]
    follows = np.abs(factors @ visible_rows - rows).max(axis=2) < _SMALLEST_DIFFERENCE
    solvable[:, limb] = follows & ~seen
    inner = np.where((follows & ~seen)[:, :, None] & seen[:, None, :], factors, 0.0)
    weights[np.ix_(range(len(patterns)), limb, limb)] = inner
    return solvable, weights


def linear_weights(
    covariance: np.ndarray, patterns: np.ndarray, *, ridge: float = 1e-6
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best linear predictor of each hidden lead from the visible ones, for each pattern.

    Args:
        covariance: ``[leads, leads]`` second moments of the leads.
        patterns: ``[patterns, leads]`` bool.
        ridge: Added to the diagonal, as a fraction of its mean, since twelve leads have only eight dimensions.

    Returns:
        ``[patterns, leads, leads]`` weights, 0 in the rows of visible leads; ``[patterns, leads]`` fraction of a
        hidden lead's variance explained under this covariance, 0 for visible leads.
    """
    num_leads = len(covariance)
    loading = ridge * max(float(np.trace(covariance)) / num_leads, np.finfo(float).tiny)
    both = patterns[:, :, None] & patterns[:, None, :]
    gram = np.where(both, covariance + loading * np.eye(num_leads), np.eye(num_leads))
    across = np.where(patterns[:, :, None] & ~patterns[:, None, :], covariance, 0.0)  # [patterns, visible, hidden]
    weights = np.linalg.solve(gram, across).swapaxes(1, 2)
    power = np.maximum(np.diag(covariance), np.finfo(float).tiny)
    explained = np.einsum("phv,pvh->ph", weights, across) / power
    return weights, explained.clip(0.0, 1.0)


def covariance_of(values: np.ndarray, recorded: np.ndarray) -> np.ndarray:
    """Return second moments of leads, each from the instants at which both leads of the pair were recorded.

    Args:
        values: ``[instants, leads]``; values where nothing was recorded are ignored.
        recorded: ``[instants, leads]`` bool.

    Returns:
        ``[leads, leads]`` float64, positive semi-definite; 0 for pairs never recorded together.
    """
    known = np.where(recorded, values, 0.0).astype(np.float64)
    counts = recorded.astype(np.float64)
    moments = (known.T @ known) / np.maximum(counts.T @ counts, 1.0)
    sizes, axes = np.linalg.eigh((moments + moments.T) / 2)
    return (axes * sizes.clip(0.0)) @ axes.T


def labels_put_right(leads: Mapping[str, np.ndarray]) -> tuple[dict[str, str], tuple[str, ...], tuple[str, ...]]:
    """Find limb leads of a recording that violate their equations.

    Args:
        leads: ``[samples]`` in mV by canonical name, without NaN.

    Returns:
        True name by recorded label where labels were exchanged; flags; leads that deviate from their equation by more
        than `lamae.ecg.preprocess.lead_identity.LARGEST_RESIDUAL`.
    """
    identity = check_leads(leads)
    broken = tuple(name for name, residual in identity.residuals.items() if residual > LARGEST_RESIDUAL)
    exchanged = SWAPPED_AVF_AVL in identity.study_flags
    true_names = {label: name for name, (label, _) in identity.correction.items()} if exchanged else {}
    return true_names, identity.study_flags, broken
