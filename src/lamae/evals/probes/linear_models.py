"""Linear models on frozen features: logistic regression for every label at once, and ridge regression (numpy).

Both are one-vs-rest with the same L2 penalty for all labels. Features are standardised on the training rows and turned
to their principal axes, which changes neither the model nor the penalty, but makes the problem nearly round:
Newton-like steps then need only a diagonal.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from lamae.errors import DataError
from lamae.evals.settings import L2_GRID
from lamae.metrics import sigmoid

_Problem = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Gives loss ``[labels]`` and gradient ``[axes + 1, labels]`` of parameters ``[axes + 1, labels]``."""

_MAX_STEPS = 200
_TOLERANCE = 1e-5
_MEMORY = 8


@dataclass(frozen=True, kw_only=True)
class Standardiser:
    """Centre, scale and principal axes of the training features.

    Attributes:
        mean: ``[features]``.
        rotation: ``[features, axes]``; scales by the standard deviation, then turns. Constant features have no part.
        variance: ``[axes]`` of the turned training features.
    """

    mean: np.ndarray
    rotation: np.ndarray
    variance: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return ``[rows, axes]`` of ``[rows, features]``."""
        return (features - self.mean) @ self.rotation


@dataclass(frozen=True, kw_only=True)
class LinearModel:
    """One line a label: ``scores = standardiser(features) @ weights + bias``.

    Attributes:
        l2: Penalty that it was fitted with.
        weights: ``[axes, labels]``.
        bias: ``[labels]``.
        converged: True if the gradient became small, and for a closed form.
    """

    l2: float
    weights: np.ndarray
    bias: np.ndarray
    converged: bool

    def scores(self, turned: np.ndarray) -> np.ndarray:
        """Return ``[rows, labels]`` of ``[rows, axes]`` that the standardiser gave: logits, or values for ridge."""
        return turned @ self.weights + self.bias


def standardise(features: np.ndarray) -> Standardiser:
    """Learn centre, scale and axes from training features ``[rows, features]``.

    Raises:
        DataError: A feature is not finite, or there are fewer than two rows.
    """
    check_finite(features)
    if len(features) < 2:
        raise DataError(f"a probe needs at least two training studies, found {len(features)}", reason="too-few-studies")
    features = np.asarray(features, dtype=np.float64)
    mean, inverse = mean_and_inverse(features)
    scaled = (features - mean) * inverse
    if len(scaled) >= scaled.shape[1]:
        variance, axes = np.linalg.eigh(scaled.T @ scaled / len(scaled))
        axes, variance = axes[:, ::-1], variance[::-1]
    else:
        _, singular, transposed = np.linalg.svd(scaled, full_matrices=False)
        axes, variance = transposed.T, singular**2 / len(scaled)
    kept = variance > 1e-10 * max(float(variance.max()), 1e-300)
    rotation = inverse[:, None] * axes[:, kept]
    return Standardiser(mean=mean, rotation=rotation, variance=variance[kept])


def mean_and_inverse(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``[features]`` mean and 1 / standard deviation of float64 rows; 0 for a feature that does not vary."""
    mean, std = features.mean(axis=0), features.std(axis=0)
    varies = std > 1e-8 * np.maximum(np.abs(mean), 1e-8)
    return mean, np.where(varies, 1 / np.where(varies, std, 1), 0)


def check_finite(features: np.ndarray) -> None:
    """Raise `DataError` when a feature is NaN or infinite."""
    bad = ~np.isfinite(features)
    if bad.any():
        raise DataError(
            f"{bad.any(axis=1).sum()} of {len(features)} studies have features that are not finite: the encoder has "
            "diverged, or the features were not imputed",
            reason="non-finite-feature",
        )


def fit_logistic(
    turned: np.ndarray, targets: np.ndarray, variance: np.ndarray, grid: Sequence[float] = L2_GRID
) -> Iterator[LinearModel]:
    """Yield a logistic regression for each penalty, from the highest to the lowest, each started from the one before.

    Minimises, for each label, the mean log loss over its known rows + ``l2 / 2`` times the squared weights (the bias
    is free), by L-BFGS with a step length and a memory of its own for each label.

    Args:
        turned: ``[rows, axes]`` standardised training features.
        targets: ``[rows, labels]`` of 0, 1 or NaN (unknown), each label with both classes.
        variance: ``[axes]`` of the training features.
        grid: Penalties.
    """
    problem = _Logistic(turned, targets)
    prevalence = problem.prevalence
    start = np.zeros((turned.shape[1] + 1, targets.shape[1]))
    start[-1] = np.log(prevalence / (1 - prevalence))
    for l2 in sorted(grid, reverse=True):
        curvature = np.maximum(prevalence * (1 - prevalence), 0.01)
        scale = np.sqrt(1 / np.vstack([variance[:, None] * curvature + l2, curvature[None]]))
        solution, converged = _lbfgs(partial(problem, scale=scale, l2=l2), start / scale)
        start = solution * scale
        yield LinearModel(l2=l2, weights=start[:-1], bias=start[-1], converged=converged)


def fit_ridge(
    turned: np.ndarray, targets: np.ndarray, variance: np.ndarray, grid: Sequence[float] = L2_GRID
) -> Iterator[LinearModel]:
    """Yield a ridge regression for each penalty, from the highest to the lowest, in the units of the targets.

    Minimises, for each label, half the mean squared error over its known rows + ``l2 / 2`` times the squared weights
    (the bias is free). Arguments as in `fit_logistic`, with real targets.
    """
    del variance
    fits = [_ridge_system(turned[known], targets[known, label]) for label, known in enumerate(~np.isnan(targets.T))]
    for l2 in sorted(grid, reverse=True):
        columns = [np.linalg.solve(gram + l2 * np.eye(len(gram)), moment) for gram, moment, _, _ in fits]
        weights = np.stack(columns, axis=1)
        means = np.stack([centre for _, _, centre, _ in fits], axis=1)
        bias = np.array([mean for *_, mean in fits]) - (means * weights).sum(axis=0)
        yield LinearModel(l2=l2, weights=weights, bias=bias, converged=True)


def _ridge_system(turned: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    centre, mean = turned.mean(axis=0), float(targets.mean())
    moved = turned - centre
    return moved.T @ moved / len(moved), moved.T @ (targets - mean) / len(moved), centre, mean


class _Logistic:
    """Loss and gradient of every label; unknown rows have no weight."""

    def __init__(self, turned: np.ndarray, targets: np.ndarray) -> None:
        self.turned = turned
        known = ~np.isnan(targets)
        self.targets = np.where(known, targets, 0.0)
        self.weight = known / known.sum(axis=0)
        self.prevalence = (self.targets * self.weight).sum(axis=0)

    def __call__(self, scaled: np.ndarray, *, scale: np.ndarray, l2: float) -> tuple[np.ndarray, np.ndarray]:
        """Return loss ``[labels]`` and gradient ``[axes + 1, labels]`` in coordinates ``parameters / scale``."""
        parameters = scaled * scale
        weights = parameters[:-1]
        logits = self.turned @ weights + parameters[-1]
        loss = (self.weight * (np.logaddexp(0, logits) - self.targets * logits)).sum(axis=0)
        residual = self.weight * (sigmoid(logits) - self.targets)
        gradient = np.vstack([self.turned.T @ residual + l2 * weights, residual.sum(axis=0)])
        return loss + 0.5 * l2 * (weights**2).sum(axis=0), gradient * scale


def _lbfgs(problem: _Problem, start: np.ndarray) -> tuple[np.ndarray, bool]:
    """Minimise all labels at once; return the parameters, and True if they converged."""
    here = start
    loss, gradient = problem(here)
    history: list[tuple[np.ndarray, np.ndarray]] = []
    small = _TOLERANCE * np.maximum(1.0, np.abs(gradient).max(axis=0))
    for _ in range(_MAX_STEPS):
        if (np.abs(gradient).max(axis=0) <= small).all():
            return here, True
        direction = -_two_loops(gradient, history)
        slope = (direction * gradient).sum(axis=0)
        direction = np.where(slope < 0, direction, -gradient)
        slope = np.where(slope < 0, slope, -(gradient**2).sum(axis=0))
        moved, new_loss, new_gradient = _search(problem, here, loss, gradient, direction, slope)
        if moved is here:
            break
        history = [*history[-(_MEMORY - 1) :], (moved - here, new_gradient - gradient)]
        here, loss, gradient = moved, new_loss, new_gradient
    return here, False


def _two_loops(gradient: np.ndarray, history: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Apply the inverse Hessian that the last steps suggest, label by label (Nocedal 1980)."""
    result, used = gradient.copy(), []
    for step, change in reversed(history):
        product = (step * change).sum(axis=0)
        rho = np.where(product > 1e-18, 1 / np.where(product > 1e-18, product, 1), 0)
        alpha = rho * (step * result).sum(axis=0)
        result -= alpha * change
        used.append((step, change, rho, alpha))
    for step, change, rho, alpha in reversed(used):
        result += step * (alpha - rho * (change * result).sum(axis=0))
    return result


def _search(
    of: _Problem, here: np.ndarray, loss: np.ndarray, gradient: np.ndarray, direction: np.ndarray, slope: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Halve the step of each label until its loss falls enough; a label that cannot fall stays where it is."""
    length = np.ones(len(loss))
    for halvings in range(31):
        moved = here + length * direction
        new_loss, new_gradient = of(moved)
        enough = new_loss <= loss + 1e-4 * length * slope + 1e-14 * np.abs(loss)
        if enough.all():
            return moved, new_loss, new_gradient
        length = np.where(enough, length, length / 2 if halvings < 29 else 0.0)
        if not length.any():
            break
    return here, loss, gradient
