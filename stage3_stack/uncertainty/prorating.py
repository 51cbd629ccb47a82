"""Totals of what could be scored: pro-rated, with bounds, and missing where more than half of the places are.

A joint that cannot be scored is a state, never 0. With T the total of the stack, S the sums of its grades (those that it only
imputed included) and M the sums of the maxima, over all places of a total and over those that were scored:

    scored share = T S_scored / S_all            what of the total was seen; T M_scored / M_all where S_all is 0
    lowest       = scored share                  everything that was not scored is 0
    highest      = scored share + M_all - M_scored
    value        = scored share M_all / M_scored

A part's total is the patient's total shared out by the sums of grades, so that the parts' scored shares add up to the patient's.
A total of which more than half of the places, by number, were not scored has no value: the usual convention.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Total:
    """All (n,). share: what was scored; ratio: value / share; state: scored, partial or missing; submitted: T, shared out."""

    submitted: np.ndarray
    share: np.ndarray
    ratio: np.ndarray
    value: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    n_scored: np.ndarray
    n_sites: int
    top: float
    state: np.ndarray


def total(
    whole: np.ndarray, grades: np.ndarray, scored: np.ndarray, top: np.ndarray, own: np.ndarray, within: np.ndarray
) -> Total:
    """Of the places `own` (86,), as a part of the places `within` (86,) that `whole` (n,) is the total of.

    grades (n, 86) of the stack, imputed ones included; scored (n, 86); top (86,) maxima.
    """
    filled = np.nan_to_num(grades)
    sums, maxima = filled[:, within].sum(axis=1), float(top[within].sum())

    def part(places: np.ndarray) -> np.ndarray:
        by_maxima = (places * top).sum(axis=1) / maxima
        return whole * np.divide((places * filled).sum(axis=1), sums, out=by_maxima, where=sums > 0)

    seen = scored & own
    mine, n_sites, n_scored = float(top[own].sum()), int(own.sum()), seen.sum(axis=1)
    scored_top = (seen * top).sum(axis=1)
    share = np.minimum(part(seen), scored_top)
    ratio = np.divide(mine, scored_top, out=np.full(len(whole), np.nan), where=2 * n_scored >= n_sites)
    state = np.select([n_scored == n_sites, 2 * n_scored >= n_sites], ["scored", "partial"], "missing").astype(object)
    bounds = share, share + mine - scored_top
    return Total(part(np.broadcast_to(own, seen.shape)), share, ratio, share * ratio, *bounds, n_scored, n_sites, mine, state)
