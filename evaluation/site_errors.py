"""Where grades go wrong: bias and distance by site."""

from __future__ import annotations

import numpy as np

from evaluation import bootstrap, site_groups
from evaluation.agreement import named
from evaluation.bootstrap import ratio
from evaluation.raters import Raters
from evaluation.statistic import Statistic

SECTION = "errors"
Sites = dict[tuple[str, str, str], dict[str, Statistic]]  # (limb, joint, finding) -> {bias, mae}


def site_name(key: tuple[str, str, str]) -> str:
    """hand mcp 2 erosion."""
    return " ".join(key).replace("_", " ")


def by_site(raters: Raters, split: str, pair: tuple[str, str]) -> Sites:
    """Mean and mean size of the first rater's grade less the second's, in grades, left and right together."""
    rows = raters.of(split)
    draws = bootstrap.resample(rows.person)
    out = {}
    for key, sites in site_groups.BOTH_SIDES.items():
        off = rows.by[pair[0]].grades[:, sites] - rows.by[pair[1]].grades[:, sites]
        known = ~np.isnan(off)
        off = np.where(known, off, 0.0)
        n, bias, size = draws.sums(np.stack([known.sum(1), off.sum(1), np.abs(off).sum(1)], axis=1)).T
        common = {"split": split, "of": named(*pair), "scope": site_name(key), "n": int(n[0]), "unit": "sites", "digits": 2}
        out[key] = {
            name: Statistic(SECTION, name, value=v[0], low=v[1], high=v[2], **common)
            for name, v in (("bias", draws.estimate(ratio(bias, n))), ("mae", draws.estimate(ratio(size, n))))
        }
    return out
