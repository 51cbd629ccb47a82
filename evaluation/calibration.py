"""Whether the probabilities of the joint members hold: how often a grade comes as often as they say."""

from __future__ import annotations

import numpy as np

from evaluation import bootstrap, site_groups
from evaluation.bootstrap import ratio
from evaluation.raters import MODEL, READER1, Raters
from evaluation.statistic import Statistic
from ra.anatomy import SITES

SECTION = "errors"
BINS = 10  # of the predicted probability, a tenth each
OF = f"{MODEL}'s probabilities against {READER1}"
HIGHEST = np.array([site.max_grade for site in SITES])


def measure(raters: Raters, split: str) -> dict[tuple[str, str], Statistic]:
    """By (name, scope), scopes being hand erosion ... and `scope, grade k`, `scope, bin k`; empty without probabilities.

    expected, observed: of damage (any grade above 0), or of the grade; excess: expected - observed; ece: expected calibration
    error of the probability of damage, the mean over BINS of |expected - observed|, without an interval, which its bias would
    make misleading.
    """
    rows = raters.of(split)
    if rows.belief is None:
        return {}
    grades = rows.by[READER1].grades
    known = ~(np.isnan(grades) | np.isnan(rows.belief[..., 0]))
    draws, out = bootstrap.resample(rows.person), {}
    for scope, sites in site_groups.LIMB_FINDINGS.items():
        seen = known & sites
        if seen.any():
            out |= {(one.name, one.scope): one for one in _of_sites(rows, split, scope, seen, draws)}
    return out


def _of_sites(rows: Raters, split: str, scope: str, seen: np.ndarray, draws: bootstrap.Resamples) -> list[Statistic]:
    grade, belief = rows.by[READER1].whole, np.where(seen[..., None], rows.belief, 0.0)
    damage = np.where(seen, 1 - belief[..., 0], 0.0)
    out, n = [], int(seen.sum())

    def both(where: str, expected: np.ndarray, observed: np.ndarray, count: np.ndarray, excess: bool = False) -> None:
        e, o, c = draws.sums(np.stack([expected.sum(1), observed.sum(1), count.sum(1)], axis=1)).T
        shares = {"expected": ratio(e, c), "observed": ratio(o, c)} | ({"excess": ratio(e - o, c)} if excess else {})
        for name, values in shares.items():
            out.append(Statistic(SECTION, name, split, OF, where, *draws.estimate(values), n=int(count.sum()), unit="sites"))

    both(scope, damage, (grade > 0) & seen, seen, excess=True)
    for k in range(int(HIGHEST[seen.any(axis=0)].max()) + 1):
        both(f"{scope}, grade {k}", belief[..., k], (grade == k) & seen, seen)
    apart = 0.0
    place = np.minimum((damage * BINS).astype(int), BINS - 1)
    for k in range(BINS):
        inside = seen & (place == k)
        if inside.any():
            both(f"{scope}, bin {k}", np.where(inside, damage, 0), (grade > 0) & inside, inside)
            apart += abs(out[-2].value - out[-1].value) * inside.sum()
    return [*out, Statistic(SECTION, "ece", split, OF, scope, apart / n, n=n, unit="sites")]
