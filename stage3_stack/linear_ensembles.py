"""Linear maps of the outputs of m members for n patients: fit(x, total), predict(x) (Bo et al. 2024, section 2.5).

x is (n, m, 1) totals or (n, m, 10) class probabilities; `fit` takes no NaN. `predict` gives (n, 1) totals or (n, 10)
probabilities, NaN where an input is NaN. `alpha` penalises the distance from the plain mean of the members, so that a map fitted
on few patients stays near that mean.

    linear          regressors' totals -> total
    all_classes     every class's output of every classifier -> every class
    single_class    the members' outputs for a class -> that class
    total_to_class  linear, then the class whose bounds contain the total
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ra import agreement
from ra.anatomy import MAX_BOTH_HANDS

SMALLEST_P = 1e-4  # probabilities are raised to this before their logarithm


class Map(Protocol):
    """width: number of outputs, which is 1 for totals and else the number of classes."""

    width: int

    def fit(self, x: np.ndarray, total: np.ndarray) -> Map: ...
    def predict(self, x: np.ndarray) -> np.ndarray: ...
    def describe(self, members: tuple[str, ...]) -> dict: ...


class Linear:
    """total = w x + b by least squares, with a ridge penalty on the distance of w from 1/m; totals are in units of their SD."""

    width = 1

    def __init__(self, alpha: float, bounds: np.ndarray):
        self.alpha, self.bounds = alpha, bounds

    def fit(self, x: np.ndarray, total: np.ndarray) -> Linear:
        from sklearn.linear_model import Ridge

        flat = x[..., 0]
        self.scale = max(float(total.std()), 1e-9)
        model = Ridge(alpha=self.alpha * len(x)).fit(flat / self.scale, (total - flat.mean(axis=1)) / self.scale)
        self.weights = model.coef_ + 1 / x.shape[1]
        self.intercept = float(model.intercept_) * self.scale
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.clip(x[..., 0] @ self.weights + self.intercept, 0, MAX_BOTH_HANDS)[:, None]

    def describe(self, members: tuple[str, ...]) -> dict:
        weights = dict(zip(members, np.round(self.weights, 5).tolist(), strict=True))
        return {"intercept": round(self.intercept, 4), "weights": weights}


class TotalToClass(Linear):
    """The linear map's total, divided into classes by the bounds: one class has probability 1."""

    def __init__(self, alpha: float, bounds: np.ndarray):
        super().__init__(alpha, bounds)
        self.width = len(bounds) + 1

    def predict(self, x: np.ndarray) -> np.ndarray:
        total = super().predict(x)
        return np.where(np.isnan(total), np.nan, np.eye(self.width)[np.digitize(total[:, 0], self.bounds)])


class Classes:
    """softmax(W o + b) of the members' log probabilities o, fitted by cross-entropy.

    A penalty on the distance of W from equal weights of the members keeps it near their mean. `connected` (classes out, members,
    classes in) marks the free weights; the others stay 0. The loss is convex.
    """

    def __init__(self, alpha: float, bounds: np.ndarray):
        self.alpha, self.bounds, self.width = alpha, bounds, len(bounds) + 1

    def connected(self, m: int) -> np.ndarray:
        """1 for every free weight of m members, else 0."""
        return np.ones((self.width, m, self.width))

    def fit(self, x: np.ndarray, total: np.ndarray) -> Classes:
        from scipy.optimize import minimize

        truth, out = np.eye(self.width)[np.digitize(total, self.bounds)], log_outputs(x)
        mask = self.connected(x.shape[1])
        prior = np.broadcast_to(np.eye(self.width)[:, None], mask.shape) / x.shape[1]
        start = np.r_[np.zeros(self.width), prior.ravel()]
        arguments, options = (out, truth, prior, mask), {"maxiter": 1000}
        theta = minimize(self.loss, start, arguments, jac=True, method="L-BFGS-B", options=options).x
        self.intercept, self.weights = theta[: self.width], theta[self.width :].reshape(mask.shape) * mask
        return self

    def loss(self, theta: np.ndarray, out: np.ndarray, truth: np.ndarray, prior: np.ndarray, mask: np.ndarray):
        """Mean cross-entropy plus penalty at theta = (b, W), and its gradient."""
        b, w = theta[: self.width], theta[self.width :].reshape(mask.shape) * mask
        p = self._softmax(out, w, b)
        deviation, error = (w - prior) * mask, (p - truth) / len(out)
        value = -np.log(np.maximum((p * truth).sum(axis=1), 1e-300)).mean()
        value += self.alpha / 2 * (np.square(deviation).sum() + np.square(b).sum())
        slope = (np.einsum("nk,nmj->kmj", error, out) + self.alpha * deviation) * mask
        return value, np.r_[error.sum(axis=0) + self.alpha * b, slope.ravel()]

    @staticmethod
    def _softmax(out: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
        from scipy.special import softmax

        return softmax(np.einsum("kmj,nmj->nk", w, out) + b, axis=1)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self._softmax(log_outputs(x), self.weights, self.intercept)

    def describe(self, members: tuple[str, ...]) -> dict:
        """Intercepts, and for each output class and member the weights of its input classes."""
        weights = [dict(zip(members, np.round(w, 4).tolist(), strict=True)) for w in self.weights]
        return {"intercept": np.round(self.intercept, 4).tolist(), "weights": weights}


class SingleClass(Classes):
    """The logit of a class is a weighted sum of the members' outputs for that class alone."""

    def connected(self, m: int) -> np.ndarray:
        return np.broadcast_to(np.eye(self.width)[:, None], (self.width, m, self.width))


MAPS = {"linear": Linear, "all_classes": Classes, "single_class": SingleClass, "total_to_class": TotalToClass}


def log_outputs(x: np.ndarray) -> np.ndarray:
    """Class probabilities (n, m, k) -> the network's outputs before its softmax, up to a constant: logarithms with mean 0."""
    logs = np.log(np.maximum(x, SMALLEST_P))
    return logs - logs.mean(axis=-1, keepdims=True)


def figures(target: np.ndarray, pred: np.ndarray) -> dict[str, float]:
    """The paper's metrics (section 2.7) for totals (n, 1), or for the most probable class, from probabilities (n, k)."""
    if pred.shape[1] == 1:
        return regression_figures(target, pred[:, 0])
    chosen = likeliest(pred)
    accuracies = {
        "accuracy": agreement.accuracy(target, chosen, pred.shape[1]).value,
        "balanced_accuracy": agreement.balanced_accuracy(target, chosen, pred.shape[1]).value,
    }
    return accuracies | regression_figures(target, chosen)


def likeliest(p: np.ndarray) -> np.ndarray:
    """(n, k) -> (n,) the class of the highest probability; NaN where probabilities are missing."""
    return np.where(np.isnan(p).any(axis=1), np.nan, np.nan_to_num(p).argmax(axis=1))


def regression_figures(target: np.ndarray, pred: np.ndarray) -> dict[str, float]:
    """PCC, MAE and RMSE of predicted totals or classes."""
    return {name: getattr(agreement, name)(target, pred) for name in ("pcc", "mae", "rmse")}
