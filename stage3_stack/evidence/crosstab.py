"""Grades of one rater against another's, counted, and what follows from the counts.

A table is (..., K, K): a row per grade of the second rater, the reference; a column per grade of the first. Every measure takes
tables of any leading shape, so that a thousand resamples are one call; what is not defined is NaN.
"""

from __future__ import annotations

import numpy as np

from ra.anatomy import N_GRADES
from stage3_stack.evidence.bootstrap import ratio

GRADE = np.arange(N_GRADES)
APART = np.abs(GRADE[:, None] - GRADE)


def count(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n, K, K) tables of each row of whole grades (n, sites); sites that either did not score are not counted."""
    known = ~(np.isnan(first) | np.isnan(second))
    row = np.broadcast_to(np.arange(len(first))[:, None], first.shape)[known]
    cell = (row * N_GRADES + second[known].astype(int)) * N_GRADES + first[known].astype(int)
    return np.bincount(cell, minlength=len(first) * N_GRADES**2).reshape(-1, N_GRADES, N_GRADES).astype(float)


def quadratic_kappa(table: np.ndarray) -> np.ndarray:
    """1 - observed / expected mean squared distance (Cohen 1968); 0 of a rater who never varies, NaN if both never do."""
    rows, columns, n = table.sum(-1), table.sum(-2), table.sum((-2, -1))
    observed = (table * APART**2).sum((-2, -1))
    expected = ratio(np.einsum("...i,ij,...j->...", rows, APART**2, columns), n)
    same = (np.count_nonzero(rows, axis=-1) == 1) & (np.count_nonzero(columns, axis=-1) == 1)
    return np.where(same, np.nan, 1 - ratio(observed, expected))


def agreement(table: np.ndarray, within: int = 0) -> np.ndarray:
    """Share of grades at most `within` apart."""
    return ratio((table * (APART <= within)).sum((-2, -1)), table.sum((-2, -1)))


def within_one(table: np.ndarray) -> np.ndarray:
    return agreement(table, 1)


def sensitivity(table: np.ndarray) -> np.ndarray:
    """Of the sites that the reference calls damaged (above 0), the share that the first rater does."""
    return ratio(table[..., 1:, 1:].sum((-2, -1)), table[..., 1:, :].sum((-2, -1)))


def specificity(table: np.ndarray) -> np.ndarray:
    """Of the sites that the reference calls healthy, the share that the first rater does."""
    return ratio(table[..., 0, 0], table[..., 0, :].sum(-1))


def balanced(table: np.ndarray, within: int = 0) -> np.ndarray:
    """Balanced accuracy: the mean, over the reference's grades that occur, of the share at most `within` away."""
    recall = ratio((table * (APART <= within)).sum(-1), table.sum(-1))
    occurs = ~np.isnan(recall)
    return ratio(np.where(occurs, recall, 0).sum(-1), occurs.sum(-1))


def balanced_within_one(table: np.ndarray) -> np.ndarray:
    return balanced(table, 1)


MEASURES = {
    "kappa": quadratic_kappa,
    "exact": agreement,
    "within_one": within_one,
    "sensitivity": sensitivity,
    "specificity": specificity,
    "balanced": balanced,
    "balanced_within_one": balanced_within_one,
}
