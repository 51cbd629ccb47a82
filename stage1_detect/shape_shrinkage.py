"""A limb's shape learned from a few films, held towards the one that ships: the fewer the films, the closer.

The shipped shape counts as PRIOR films. Mean, covariance and box sides are those of both groups of films taken together, so what
few films cannot show (a bent finger) stays possible, and what they do show (other proportions) is learned.
"""

from __future__ import annotations

import numpy as np

from stage1_detect.shape_model import Shape, similarity

PRIOR = 4  # films that the shipped shape is worth
KEPT = 0.985  # share of the variance in the modes, as of the shipped shape


def towards(shipped: Shape, own: Shape, films: int) -> Shape:
    """The shape of `films` films together with PRIOR films of the shipped shape."""
    matrix, _ = similarity(own.mean, shipped.mean, np.ones(len(own.mean)))
    turn = matrix / np.sqrt(np.linalg.det(matrix))
    mean_own = own.mean @ turn.T
    weight = films / (films + PRIOR)
    mean = weight * mean_own + (1 - weight) * shipped.mean
    apart = (mean_own - shipped.mean).ravel()
    together = weight * _covariance(own, turn) + (1 - weight) * _covariance(shipped, np.eye(2))
    together += weight * (1 - weight) * np.outer(apart, apart)
    size = np.sqrt((mean**2).sum(1).mean())
    box = np.exp(weight * np.log(own.box) + (1 - weight) * np.log(shipped.box)) / size
    return _modes(shipped.limb, mean / size, together / size**2, box)


def _covariance(shape: Shape, turn: np.ndarray) -> np.ndarray:
    """(2J, 2J) of the points around their mean, after a turn."""
    modes = (shape.modes @ turn.T).reshape(len(shape.modes), -1)
    return (modes.T * shape.variance) @ modes + np.diag(np.repeat(shape.rest**2, 2))


def _modes(limb: str, mean: np.ndarray, covariance: np.ndarray, box: np.ndarray) -> Shape:
    variance, vectors = np.linalg.eigh(covariance)
    variance, vectors = variance[::-1], vectors[:, ::-1]
    n = int(np.searchsorted(variance.cumsum() / variance.sum(), KEPT)) + 1
    left = (vectors[:, n:] ** 2 * np.maximum(variance[n:], 0)).sum(1).reshape(-1, 2)
    return Shape(limb, mean, vectors[:, :n].T.reshape(n, -1, 2), variance[:n], np.sqrt(left.mean(1)), box)
