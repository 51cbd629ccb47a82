"""The halo effect: raters score a healthy joint worse in a patient whose other joints are damaged.

A site is healthy if the truth behind a synthetic reader is 0 or, without that, if reader 2 graded it 0. For every other rater, we
measure the mean grade of such sites in bands of the patient's damage. Reader 2 makes errors too: some of these sites are damaged,
and then part of the rise is reader 2's error.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd

from evaluation import bootstrap, section_ids
from evaluation.bootstrap import ratio
from evaluation.raters import READER2, SPLITS, TRUTH, Rater, Raters
from evaluation.statistic import Statistic
from ra import paths
from ra.table_validation import ContractError
from stage3_stack.predictions import MOMENTS, load_member

SECTION = section_ids.ERRORS
BANDS = (0, 10, 40, 100, np.inf)  # limits of the sum of a patient's grades, to which a healthy site adds nothing
RISE = "third band less first"  # the last band has too few patients in a mild set
OWN_SITE_RUN = "own_site_only"  # in configs/papers/stack/ablations.yaml; its learners use only the features of the site itself
OWN_SITE_NAME = "model, each joint alone"


def with_own_site_run(raters: Raters) -> Raters:
    """The raters and, if it is finished, the run OWN_SITE_RUN of the same set as one more rater."""
    run = OWN_SITE_RUN
    if raters.run == run or not all(paths.scores(raters.data, 3, run, split).is_file() for split in SPLITS):
        return raters
    is_train = raters.split == "oof"
    order = np.argsort(~is_train, kind="stable")
    try:
        moments = load_member(raters.data, run, pd.Index(raters.patients[order]), int(is_train.sum()), stage=3).moments
    except ContractError:  # the run belongs to an earlier preparation of the set, with other patients
        return raters
    rater = Rater.blank(len(order))
    rater.grades[order] = moments[..., MOMENTS.index("grade")]
    return replace(raters, by=raters.by | {OWN_SITE_NAME: rater})


def reference(rows: Raters) -> str | None:
    """The rater who decides which sites are healthy: the truth, else reader 2; None if the set has neither."""
    return next((name for name in (TRUTH, READER2) if name in rows.names), None)


def called(rater: str) -> str:
    """A rater's name in a sentence."""
    return f"the {rater}" if rater == TRUTH else rater


def band_names() -> list[str]:
    """The names of BANDS: 0 to 10, ..., above 100."""
    return [f"{low:g} to {high:g}" if np.isfinite(high) else f"above {low:g}" for low, high in pairwise(BANDS)]


def measure(raters: Raters, split: str) -> dict[tuple[str, str, str], Statistic]:
    """Statistics by (name, of, scope): mean_at_healthy per rater and band; rise_at_healthy with scope RISE."""
    rows = raters.in_split(split)
    healthy_by = reference(rows)
    if healthy_by is None:
        return {}
    draws = bootstrap.resample(rows.person)
    points = np.nansum(rows.by[healthy_by].grades, axis=1)
    bands = [(points >= low) & (points < high) for low, high in pairwise(BANDS)]
    out: list[Statistic] = []
    for name in rows.names:
        if name != healthy_by:
            out += _of_rater(rows, split, healthy_by, name, bands, draws)
    return {(statistic.name, statistic.of, statistic.scope): statistic for statistic in out}


def _of_rater(
    rows: Raters, split: str, healthy_by: str, name: str, bands: list[np.ndarray], draws: bootstrap.Resamples
) -> list[Statistic]:
    """The mean grade of one rater at healthy sites, per band of patients, and its rise over the bands."""
    grades = rows.by[name].grades
    is_healthy, means, out = (rows.by[healthy_by].grades == 0) & ~np.isnan(grades), [], []
    for band, scope in zip(bands, band_names(), strict=True):
        used = is_healthy & band[:, None]
        n, total = draws.sums(np.stack([used.sum(1), np.where(used, grades, 0).sum(1)], axis=1)).T
        means.append(ratio(total, n))
        values = draws.estimate(means[-1])
        out.append(Statistic(SECTION, "mean_at_healthy", split, name, scope, *values, n=int(n[0]), unit="sites"))
    rise = draws.estimate(means[-2] - means[0])
    return [*out, Statistic(SECTION, "rise_at_healthy", split, name, RISE, *rise, n=int(is_healthy.sum()), unit="sites")]
