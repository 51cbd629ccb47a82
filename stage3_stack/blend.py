"""The greedy blend: selection with replacement (Caruana et al., ICML 2004), bagged over patients, on the challenge's own score.

All grades and totals are on the log scale log2(x + 1): m candidates (m, n, s) and targets (n, s) for n patients with s columns
each. With one column the loss is that of SC1, with a finding's columns that of SC2 or SC3.
"""

from __future__ import annotations

import numpy as np

from ra.challenge_scores import log_score, root_mean_square, weighted_mean


def finish(log_grade: np.ndarray, maximum: np.ndarray, zero_below: float) -> np.ndarray:
    """Log grades clipped to [0, maximum], with 0 for a grade below the threshold. maximum (s,) is on the log scale."""
    clipped = np.clip(log_grade, 0.0, maximum)
    return np.where(clipped < log_score(zero_below), 0.0, clipped)


def loss(pred: np.ndarray, target: np.ndarray, weight: np.ndarray) -> float:
    """sum_i w_i r_i / sum_i w_i, where r_i is the RMSE of patient i over the log grades (n, s); NaN targets are left out."""
    return weighted_mean(root_mean_square(target - pred), weight)


def select(candidates: np.ndarray, target: np.ndarray, weight: np.ndarray, rounds: int) -> np.ndarray:
    """Greedy selection: (m,) weights with sum 1; each round adds the candidate that gives the smallest loss."""
    picked, total = np.zeros(len(candidates)), np.zeros_like(target)
    best, best_loss = picked, np.inf
    for size in range(1, rounds + 1):
        losses = [loss((total + candidate) / size, target, weight) for candidate in candidates]
        choice = int(np.argmin(losses))
        picked, total = picked + np.eye(len(candidates))[choice], total + candidates[choice]
        if losses[choice] < best_loss:
            best, best_loss = picked / size, losses[choice]
    return best


def weights(candidates: np.ndarray, target: np.ndarray, weight: np.ndarray, *, rounds: int, bags: int, seed: int) -> np.ndarray:
    """(m,) mean weights of greedy selections on `bags` resamples of the patients, so that a few patients do not decide them."""
    rng, n = np.random.default_rng(seed), len(target)
    draws = [np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(bags)] or [np.ones(n)]
    selections = [select(candidates, target, weight * draw, rounds) for draw in draws if (weight * draw).sum() > 0]
    return np.mean(selections, axis=0)


def threshold(pred: np.ndarray, target: np.ndarray, weight: np.ndarray, maximum: np.ndarray, options: tuple[float, ...]) -> float:
    """The option for `zero_below` that gives the smallest loss; in a tie, the smallest option."""
    return min(sorted(options), key=lambda option: loss(finish(pred, maximum, option), target, weight))
