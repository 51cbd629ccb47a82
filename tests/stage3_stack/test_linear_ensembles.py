"""The linear maps of Bo's ensembles against independent fits."""

import numpy as np
import pytest
from scipy.optimize import check_grad
from sklearn.linear_model import LinearRegression, LogisticRegression

from stage3_stack import linear_ensembles

BOUNDS = np.array([10.0, 20.0])


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """300 patients, two classifiers of three classes (n, 2, 3), and totals whose class they predict with errors."""
    rng = np.random.default_rng(0)
    total = rng.uniform(0, 30, 300)
    level = np.digitize(total, BOUNDS)
    logits = np.eye(3)[level][:, None] * [[1.5], [0.8]] + rng.normal(0, 1, (300, 2, 3))
    p = np.exp(logits)
    return p / p.sum(axis=2, keepdims=True), total


def test_linear_map_is_least_squares():
    rng = np.random.default_rng(0)
    x, total = rng.uniform(0, 200, (50, 3, 1)), rng.uniform(0, 280, 50)
    fitted = linear_ensembles.Linear(1e-9, np.empty(0)).fit(x, total)
    free = LinearRegression().fit(x[..., 0], total)
    np.testing.assert_allclose(fitted.weights, free.coef_, atol=1e-5)
    np.testing.assert_allclose(fitted.predict(x)[:, 0], free.predict(x[..., 0]).clip(0, 280), atol=1e-3)
    penalised = linear_ensembles.Linear(1e9, np.empty(0)).fit(x, total)
    np.testing.assert_allclose(penalised.weights, 1 / 3, atol=1e-6)


def test_all_classes_is_multinomial_regression(drawn):
    x, total = drawn
    pred = linear_ensembles.Classes(1e-7, BOUNDS).fit(x, total).predict(x)
    flat = linear_ensembles.log_outputs(x).reshape(300, -1)
    free = LogisticRegression(C=1e6, max_iter=5000, tol=1e-8).fit(flat, np.digitize(total, BOUNDS)).predict_proba(flat)
    np.testing.assert_allclose(pred, free, atol=2e-3)


def test_single_class_uses_the_outputs_for_that_class_alone(drawn):
    x, total = drawn
    fitted = linear_ensembles.SingleClass(0.01, BOUNDS).fit(x, total)
    for k in range(3):
        assert (np.delete(fitted.weights[k], k, axis=1) == 0).all() and (fitted.weights[k][:, k] > 0).all()
    assert (fitted.weights[:, 0].sum(), fitted.weights[:, 1].sum()) > (0, 0)
    truth, out = np.eye(3)[np.digitize(total, BOUNDS)], linear_ensembles.log_outputs(x)
    mask = fitted.connected(2)
    prior, theta = mask / 2, np.random.default_rng(1).normal(size=3 + mask.size)
    more = (out, truth, prior, mask)
    assert check_grad(lambda t: fitted.loss(t, *more)[0], lambda t: fitted.loss(t, *more)[1], theta) < 1e-5


def test_a_map_with_a_large_penalty_is_the_members_mean(drawn):
    x, total = drawn
    pred = linear_ensembles.Classes(1e6, BOUNDS).fit(x, total).predict(x)
    product = np.sqrt(x.prod(axis=1))  # the mean of the logs, by hand
    np.testing.assert_allclose(pred, product / product.sum(axis=1, keepdims=True), atol=1e-4)


def test_totals_become_classes_at_the_bounds():
    mapped = linear_ensembles.TotalToClass(1e9, BOUNDS)
    mapped.weights, mapped.intercept = np.array([1.0]), 0.0
    p = mapped.predict(np.array([9.9, 10.0, 19.9, 20.0, np.nan])[:, None, None])
    assert linear_ensembles.likeliest(p)[:4].tolist() == [0, 1, 1, 2] and np.isnan(p[4]).all()
