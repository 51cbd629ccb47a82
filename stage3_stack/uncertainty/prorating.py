"""Pro-rated totals from the sites that could be scored, with bounds; a total is missing if more than half of its sites are.

A site that cannot be scored has a state, never the value 0. Let T be the stack's total, S a sum of its grades (imputed ones
included) and M a sum of maximum grades. Both sums are taken over all sites of a total (S_all, M_all) and over the scored sites:

    scored share = T S_scored / S_all            the part of the total that was seen; T M_scored / M_all where S_all is 0
    lowest       = scored share                  if every site that was not scored were 0
    highest      = scored share + M_all - M_scored
    value        = scored share M_all / M_scored

A part's total is the patient's total divided in proportion to the sums of grades, so that the parts' scored shares add up to the
patient's. As is usual in trials, a total has no value if more than half of its sites, by number, were not scored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ProratedTotal:
    """A total, or a single site as a total of one site, of n patients; arrays are (n,).

    submitted: T, or the part's portion of it; share: the scored share; ratio: value / share; n_scored of n_sites sites were
    scored; maximum: the largest possible total; state: one of tables.STATES.
    """

    submitted: np.ndarray
    share: np.ndarray
    ratio: np.ndarray
    value: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    n_scored: np.ndarray
    n_sites: int
    maximum: float
    state: np.ndarray


def prorate(
    whole: np.ndarray, grades: np.ndarray, scored: np.ndarray, maxima: np.ndarray, sites: np.ndarray, within: np.ndarray
) -> ProratedTotal:
    """The total of some sites, as a portion of the total `whole` (n,) of more sites.

    sites (86,): those of the total; within (86,): those that `whole` sums up. grades (n, 86) of the stack, imputed ones included;
    scored (n, 86); maxima (86,).
    """
    filled = np.nan_to_num(grades)
    sums, maximum_within = filled[:, within].sum(axis=1), float(maxima[within].sum())

    def portion(mask: np.ndarray) -> np.ndarray:
        """(n,) of `whole`, in proportion to the grades of the masked sites (n, 86), or to their maxima if all grades are 0."""
        by_maxima = (mask * maxima).sum(axis=1) / maximum_within
        return whole * np.divide((mask * filled).sum(axis=1), sums, out=by_maxima, where=sums > 0)

    seen = scored & sites
    maximum, n_sites, n_scored = float(maxima[sites].sum()), int(sites.sum()), seen.sum(axis=1)
    maximum_scored = (seen * maxima).sum(axis=1)
    share = np.minimum(portion(seen), maximum_scored)
    enough = 2 * n_scored >= n_sites
    ratio = np.divide(maximum, maximum_scored, out=np.full(len(whole), np.nan), where=enough)
    state = np.select([n_scored == n_sites, enough], ["scored", "partial"], "missing").astype(object)
    return ProratedTotal(
        submitted=portion(np.broadcast_to(sites, seen.shape)),
        share=share,
        ratio=ratio,
        value=share * ratio,
        lowest=share,
        highest=share + maximum - maximum_scored,
        n_scored=n_scored,
        n_sites=n_sites,
        maximum=maximum,
        state=state,
    )


def single(state: np.ndarray, grade: np.ndarray, maximum: float) -> ProratedTotal:
    """One grade (n,) as a total of one site: its value where the state (n,) is `scored`, else NaN with bounds 0 and maximum."""
    scored = state == "scored"
    value = np.where(scored, grade, np.nan)
    return ProratedTotal(
        submitted=grade,
        share=value,
        ratio=np.where(scored, 1.0, np.nan),
        value=value,
        lowest=np.where(scored, grade, 0.0),
        highest=np.where(scored, grade, float(maximum)),
        n_scored=scored.astype(int),
        n_sites=1,
        maximum=float(maximum),
        state=state,
    )
