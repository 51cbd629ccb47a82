"""The eroded percentage of a joint's surface as a distribution: its losses, and what is read from it.

Thesis: J. Rohrbach, section 4.4. A distribution is its CDF at whole percents, F_k = P(percentage <= k), k = 0..100.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import isotonic_regression
from torch import Tensor

from ra.anatomy import RATINGEN_STEPS_PERCENT


def crps(out: dict[str, Tensor], batch: dict[str, Tensor]) -> Tensor:
    """Discrete continuous ranked probability score: (1 / (101 N)) sum_n w_n sum_k (F_k - [k >= percent_n])^2.

    out: cdf (N, 101) within 0..1; batch: percent (N,), NaN where not scored, and weight (N,).
    """
    known = ~torch.isnan(batch["percent"])
    k = torch.arange(out["cdf"].shape[1], device=out["cdf"].device)
    step = (k >= batch["percent"].nan_to_num(0.0)[:, None]).to(out["cdf"].dtype)
    square = ((out["cdf"] - step) ** 2).mean(1)
    return (square * batch["weight"] * known).sum() / known.sum().clamp_min(1)


def percent_mse(out: dict[str, Tensor], batch: dict[str, Tensor]) -> Tensor:
    """Mean squared error of the percentage / 100."""
    known = ~torch.isnan(batch["percent"])
    square = ((out["percent"] - batch["percent"].nan_to_num(0.0)) / 100) ** 2
    return (square * batch["weight"] * known).sum() / known.sum().clamp_min(1)


def monotone(cdf: np.ndarray) -> np.ndarray:
    """The nearest rising CDFs (n, 101) to outputs that each went their own way; the last value is 1.

    Isotonic regression, not a running maximum: it is the projection onto the rising functions, and since the truth is one of
    them no CRPS becomes larger; one high outlier does not lift all that follows.
    """
    rising = np.array([isotonic_regression(row).x for row in cdf]).reshape(cdf.shape).clip(0, 1)
    rising[:, -1:] = 1.0
    return rising


def cdf_mean(cdf: np.ndarray) -> np.ndarray:
    """Mean percentage (n,) of CDFs (n, 101): the sum of 1 - F_k over k = 0..99."""
    return (1 - cdf[:, :-1]).sum(1)


def cdf_median(cdf: np.ndarray) -> np.ndarray:
    """Median percentage (n,) of CDFs (n, 101): the first k with F_k >= 1/2."""
    return (cdf >= 0.5).argmax(1).astype(float)


def cdf_grades(cdf: np.ndarray) -> np.ndarray:
    """(n, 6) probabilities of the Ratingen grades of CDFs (n, 101): grade 0 is 0 %, then steps of 20 %."""
    edges = cdf[:, list(RATINGEN_STEPS_PERCENT)]
    return np.diff(edges, axis=1, prepend=0.0, append=1.0)


def percent_grades(percent: np.ndarray) -> np.ndarray:
    """Ratingen grades (n,) of predicted percentages, taken as readers give them, in whole percents; NaN stays NaN."""
    above = np.rint(percent)[..., None] > np.array(RATINGEN_STEPS_PERCENT)
    return np.where(np.isnan(percent), np.nan, above.sum(-1))
