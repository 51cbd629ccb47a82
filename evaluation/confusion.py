"""Confusion tables of two raters' grades, and the measures computed from them.

A table is (..., K, K) counts: a row per grade of the second rater, the reference; a column per grade of the first. Every measure
takes tables of any leading shape, so that a thousand resamples are one call; a measure that is not defined is NaN. Kappa and
balanced accuracy are therefore implemented here too: ra.agreement computes them from two columns of grades, with the papers'
intervals, and gives the same values (tests/evaluation/test_confusion.py).
"""

from __future__ import annotations

import numpy as np

from evaluation.bootstrap import MIN_PERSONS, UNDEFINED, ratio
from ra.agreement import Interval, Z
from ra.anatomy import N_GRADES

GRADE = np.arange(N_GRADES)
PENALTY = np.square(np.subtract.outer(GRADE, GRADE))


def near(within: int) -> np.ndarray:
    """(K, K) whether two grades differ by at most `within`."""
    return np.abs(np.subtract.outer(GRADE, GRADE)) <= within


def count(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n, K, K) tables, one per row of whole grades (n, sites); sites that either rater did not score are not counted."""
    both = ~(np.isnan(first) | np.isnan(second))
    row = np.broadcast_to(np.arange(len(first))[:, None], first.shape)[both]
    cell = (row * N_GRADES + second[both].astype(int)) * N_GRADES + first[both].astype(int)
    return np.bincount(cell, minlength=len(first) * N_GRADES**2).reshape(-1, N_GRADES, N_GRADES).astype(float)


def quadratic_kappa(table: np.ndarray) -> np.ndarray:
    """1 - observed / expected mean squared difference (Cohen 1968); 0 if one rater never varies, NaN if neither does."""
    rows, columns, n = table.sum(-1), table.sum(-2), table.sum((-2, -1))
    observed = (table * PENALTY).sum((-2, -1))
    expected = ratio(np.einsum("...i,ij,...j->...", rows, PENALTY, columns), n)
    neither_varies = (np.count_nonzero(rows, axis=-1) == 1) & (np.count_nonzero(columns, axis=-1) == 1)
    return np.where(neither_varies, np.nan, 1 - ratio(observed, expected))


def agreement(table: np.ndarray, within: int = 0) -> np.ndarray:
    """Share of sites whose grades differ by at most `within`."""
    return ratio((table * near(within)).sum((-2, -1)), table.sum((-2, -1)))


def within_one(table: np.ndarray) -> np.ndarray:
    """Share of sites whose grades differ by at most 1."""
    return agreement(table, 1)


def sensitivity(table: np.ndarray) -> np.ndarray:
    """Among the sites that the reference grades above 0, the share that the first rater grades above 0 too."""
    return ratio(table[..., 1:, 1:].sum((-2, -1)), table[..., 1:, :].sum((-2, -1)))


def specificity(table: np.ndarray) -> np.ndarray:
    """Among the sites that the reference grades 0, the share that the first rater grades 0 too."""
    return ratio(table[..., 0, 0], table[..., 0, :].sum(-1))


def balanced(tables: np.ndarray, within: int = 0) -> Interval:
    """Balanced accuracy of (persons, K, K) tables with a Wald interval: the mean of the recalls r_k over the grades k that the
    reference gave; a grade is right if it differs by at most `within`.

    The P persons are the units: if person p has a_pk hits among the n_pk sites of grade k, the variance is
    P / (P - 1) sum_p u_p^2, where u_p is the mean over k of (a_pk - r_k n_pk) / n_k. If each person has one site, it is the
    variance of ra.agreement.balanced_accuracy times P / (P - 1).
    """
    hit, n = (tables * near(within)).sum(-1), tables.sum(-1)
    occurs = n.sum(0) > 0
    if not occurs.any():
        return UNDEFINED
    hit, n = hit[:, occurs], n[:, occurs]
    recall = hit.sum(0) / n.sum(0)
    persons = int(n.any(axis=1).sum())
    share = ((hit - recall * n) / n.sum(0)).mean(1)
    half = Z * np.sqrt(np.square(share).sum() * persons / (persons - 1)) if persons >= MIN_PERSONS else np.nan
    low, high = np.clip([recall.mean() - half, recall.mean() + half], 0.0, 1.0)
    return Interval(float(recall.mean()), float(low), float(high))


MEASURES = {
    "kappa": quadratic_kappa,
    "exact": agreement,
    "within_one": within_one,
    "sensitivity": sensitivity,
    "specificity": specificity,
}
