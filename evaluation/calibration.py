"""Calibration of the joint members' probabilities: whether damage, and each grade, occurs as often as predicted."""

from __future__ import annotations

import numpy as np

from evaluation import bootstrap, section_ids, site_groups
from evaluation.bootstrap import Resamples, ratio
from evaluation.raters import MODEL, READER1, Raters
from evaluation.statistic import Statistic
from ra.anatomy import SITES

SECTION = section_ids.ERRORS
BINS = 10  # number of bins of the predicted probability, each a tenth wide
OF = f"{MODEL}'s probabilities against {READER1}"
HIGHEST = np.array([site.max_grade for site in SITES])


def measure(raters: Raters, split: str) -> dict[tuple[str, str], Statistic]:
    """Statistics by (name, scope), where a scope is `hand erosion`, `hand erosion, grade k`, `hand erosion, bin k` and so on.

    expected, observed: shares of sites with damage (any grade above 0), or with the grade; excess: expected - observed; ece:
    expected calibration error of the probability of damage, the mean over BINS of |expected - observed|. The ece has no interval,
    because its bias would make an interval misleading. The result is {} without probabilities.
    """
    rows = raters.in_split(split)
    if rows.probabilities is None:
        return {}
    both = ~(np.isnan(rows.by[READER1].grades) | np.isnan(rows.probabilities[..., 0]))
    draws, out = bootstrap.resample(rows.person), {}
    for scope, sites in site_groups.LIMB_FINDINGS.items():
        used = both & sites
        if used.any():
            statistics = _of_sites(rows, split, scope, used, draws)
            out |= {(statistic.name, statistic.scope): statistic for statistic in statistics}
    return out


def _of_sites(rows: Raters, split: str, scope: str, used: np.ndarray, draws: Resamples) -> list[Statistic]:
    """Statistics of the sites used (n, 86)."""
    grade, probabilities = rows.by[READER1].whole, np.where(used[..., None], rows.probabilities, 0.0)
    damage = np.where(used, 1 - probabilities[..., 0], 0.0)
    out = _shares(draws, split, scope, damage, (grade > 0) & used, used, excess=True)
    for k in range(int(HIGHEST[used.any(axis=0)].max()) + 1):
        out += _shares(draws, split, f"{scope}, grade {k}", probabilities[..., k], (grade == k) & used, used)
    distance, n = 0.0, int(used.sum())
    bin_of = np.minimum((damage * BINS).astype(int), BINS - 1)
    for k in range(BINS):
        inside = used & (bin_of == k)
        if inside.any():
            observed_damage = (grade > 0) & inside
            expected, observed = _shares(draws, split, f"{scope}, bin {k}", np.where(inside, damage, 0), observed_damage, inside)
            out += [expected, observed]
            distance += abs(expected.value - observed.value) * inside.sum()
    return [*out, Statistic(SECTION, "ece", split, OF, scope, distance / n, n=n, unit="sites")]


def _shares(
    draws: Resamples,
    split: str,
    scope: str,
    expected: np.ndarray,
    observed: np.ndarray,
    used: np.ndarray,
    *,
    excess: bool = False,
) -> list[Statistic]:
    """Expected and observed share among the sites used, and with `excess` their difference; all arrays (n, 86)."""
    e, o, c = draws.sums(np.stack([expected.sum(1), observed.sum(1), used.sum(1)], axis=1)).T
    samples = {"expected": ratio(e, c), "observed": ratio(o, c)} | ({"excess": ratio(e - o, c)} if excess else {})
    n = int(used.sum())
    return [
        Statistic(SECTION, name, split, OF, scope, *draws.estimate(values), n=n, unit="sites") for name, values in samples.items()
    ]
