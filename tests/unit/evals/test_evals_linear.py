"""The linear models against scikit-learn, with unknown targets and features of no use."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from lamae.errors import DataError
from lamae.evals.probes.linear_models import _lbfgs, _two_loops, fit_logistic, fit_ridge, standardise


def problem(num_rows: int = 211, num_features: int = 17, num_labels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    features = rng.normal(size=(num_rows, num_features)) @ rng.normal(size=(num_features, num_features))
    logits = 0.3 * features @ rng.normal(size=(num_features, num_labels)) - np.arange(num_labels)
    return features, (rng.random((num_rows, num_labels)) < 1 / (1 + np.exp(-logits))).astype(float)


@pytest.mark.parametrize("num_features", [17, 307])
def test_logistic_regression_is_that_of_scikit_learn(num_features: int):
    features, targets = problem(num_features=num_features)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    standardiser = standardise(features)
    turned = standardiser(features)
    for model in fit_logistic(turned, targets, standardiser.variance, (0.01, 0.1, 1.0)):
        assert model.converged
        for label in range(targets.shape[1]):
            reference = LogisticRegression(C=1 / (model.l2 * len(features)), tol=1e-10, max_iter=9973)
            expected = reference.fit(scaled, targets[:, label]).decision_function(scaled)
            np.testing.assert_allclose(model.scores(turned)[:, label], expected, atol=0.01)


def test_ridge_is_that_of_scikit_learn():
    features, _ = problem()
    targets = features[:, :2] * 3 + 41 + np.random.default_rng(0).normal(size=(211, 2))
    standardiser = standardise(features)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    for model in fit_ridge(standardiser(features), targets, standardiser.variance, (0.1, 1.0)):
        expected = Ridge(alpha=model.l2 * len(features)).fit(scaled, targets).predict(scaled)
        np.testing.assert_allclose(model.scores(standardiser(features)), expected, atol=1e-8)


@pytest.mark.parametrize("fit", [fit_logistic, fit_ridge])
def test_unknown_targets_have_no_say(fit):
    features, targets = problem(num_labels=2)
    targets[::3, 1] = np.nan
    known = ~np.isnan(targets[:, 1])
    standardiser = standardise(features)
    turned = standardiser(features)
    both = next(iter(fit(turned, targets, standardiser.variance, (0.1,))))
    alone = next(iter(fit(turned[known], targets[known, 1:], standardiser.variance, (0.1,))))
    np.testing.assert_allclose(both.scores(turned)[:, 1], alone.scores(turned)[:, 0], atol=1e-3)


def test_constant_and_repeated_features_do_no_harm():
    features, targets = problem(num_features=5)
    padded = np.hstack([features, features[:, :2], np.full((len(features), 1), 7.0)])
    standardiser = standardise(padded)
    assert standardiser.rotation.shape == (8, 5)
    assert np.isfinite(next(iter(fit_logistic(standardiser(padded), targets, standardiser.variance))).weights).all()


def test_features_that_are_not_finite_are_refused():
    features, _ = problem()
    features[13, 2] = np.nan
    with pytest.raises(DataError, match="1 of 211 studies have features that are not finite"):
        standardise(features)
    with pytest.raises(DataError, match="at least two training studies, found 1"):
        standardise(features[:1])


def test_the_minimiser_learns_the_curvature_from_its_steps():
    """Curvatures from 1 to 625 in one label, all 1 in the other: down the gradient alone it takes hundreds of steps."""
    curvature = np.array([[1.0, 1.0], [5.0, 1.0], [25.0, 1.0], [125.0, 1.0], [625.0, 1.0]])
    calls = []

    def problem(here: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        calls.append(here)
        return 0.5 * (curvature * (here - 3) ** 2).sum(axis=0), curvature * (here - 3)

    found, converged = _lbfgs(problem, np.zeros((5, 2)))
    assert converged
    np.testing.assert_allclose(found, 3.0, atol=0.02)  # the gradient has fallen to a hundred-thousandth
    assert len(calls) < 100


def test_two_loops_by_hand():
    """A step of 2 that changed the gradient by 8 says a curvature of 4; of a step without change nothing is known."""
    gradient = np.array([[12.0, 12.0]])
    history = [(np.array([[2.0, 2.0]]), np.array([[8.0, 0.0]]))]
    assert _two_loops(gradient, history).tolist() == [[3.0, 12.0]]
    assert _two_loops(gradient, []).tolist() == [[12.0, 12.0]]
    both = _two_loops(np.array([[6.0], [10.0]]), [(np.array([[1.0], [0.0]]), np.array([[2.0], [0.0]])),
                                                 (np.array([[0.0], [1.0]]), np.array([[0.0], [5.0]]))])  # fmt: skip
    assert both.tolist() == [[3.0], [2.0]]
