"""Errors by site: bias and mean absolute error of a rater's grades."""

from __future__ import annotations

import numpy as np

from evaluation import bootstrap, section_ids, site_groups
from evaluation.agreement import pair_name
from evaluation.bootstrap import ratio
from evaluation.raters import Raters
from evaluation.statistic import Statistic

SECTION = section_ids.ERRORS
Sites = dict[tuple[str, str, str], dict[str, Statistic]]  # (limb, joint, finding) -> {bias, mae}


def site_name(key: tuple[str, str, str]) -> str:
    """The name of a site without its side, such as: hand mcp 2 erosion."""
    return " ".join(key).replace("_", " ")


def by_site(raters: Raters, split: str, pair: tuple[str, str]) -> Sites:
    """Mean and mean absolute value of the first rater's grade minus the second's, for left and right sites together."""
    rows = raters.in_split(split)
    draws = bootstrap.resample(rows.person)
    out = {}
    for key, sites in site_groups.BOTH_SIDES.items():
        difference = rows.by[pair[0]].grades[:, sites] - rows.by[pair[1]].grades[:, sites]
        both = ~np.isnan(difference)
        difference = np.where(both, difference, 0.0)
        columns = np.stack([both.sum(1), difference.sum(1), np.abs(difference).sum(1)], axis=1)
        n, bias, size = draws.sums(columns).T
        common = {"split": split, "of": pair_name(*pair), "scope": site_name(key), "n": int(n[0]), "unit": "sites", "digits": 2}
        out[key] = {}
        for name, sums in (("bias", bias), ("mae", size)):
            value, low, high = draws.estimate(ratio(sums, n))
            out[key][name] = Statistic(SECTION, name, value=value, low=low, high=high, **common)
    return out
