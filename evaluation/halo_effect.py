"""The known bias of readers' labels: a healthy joint is scored worse in a patient whose other joints are damaged.

A site is healthy by the truth behind synthetic readers where there is one, else by reader 2. Of those, the mean grade that
each of the others gave, by how damaged the patient's other sites are. A second reader errs too, so that some of his healthy sites
are not: then part of a slope is his error.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd

from evaluation import bootstrap
from evaluation.bootstrap import ratio
from evaluation.raters import READER2, SPLITS, TRUTH, Rater, Raters
from evaluation.statistic import Statistic
from ra import paths
from ra.schema import ContractError
from stage3_stack.predictions import MOMENTS, load_member

SECTION = "errors"
BANDS = (0, 10, 40, 100, np.inf)  # points at the patient's other sites; a healthy site adds none to its own patient
RISE = "third band less first"  # the last is too thin in a set of mild patients
OWN, OWN_NAME = "own", "model, each joint alone"  # run (configs/PROFILE/own.yaml) whose learners see a site's own joint only


def with_own(raters: Raters) -> Raters:
    """And the run OWN of the same set beside the model, where it is finished."""
    if raters.run == OWN or not all(paths.scores(raters.data, 3, OWN, split).is_file() for split in SPLITS):
        return raters
    training = raters.split == "oof"
    order = np.argsort(~training, kind="stable")
    try:
        moments = load_member(raters.data, OWN, pd.Index(raters.patients[order]), int(training.sum()), stage=3).moments
    except ContractError:  # of other patients: an older preparation of the set
        return raters
    grades = np.empty((len(order), moments.shape[1]))
    grades[order] = moments[..., MOMENTS.index("grade")]
    return replace(raters, by=raters.by | {OWN_NAME: Rater(grades, np.full((len(order), 3), np.nan))})


def reference(rows: Raters) -> str | None:
    """Who says what is healthy."""
    return next((name for name in (TRUTH, READER2) if name in rows.names), None)


def called(judge: str) -> str:
    """In a sentence."""
    return f"the {judge}" if judge == TRUTH else judge


def band_names() -> list[str]:
    return [f"{low:g} to {high:g}" if np.isfinite(high) else f"above {low:g}" for low, high in pairwise(BANDS)]


def measure(raters: Raters, split: str) -> dict[tuple[str, str, str], Statistic]:
    """By (name, of, scope): mean_at_healthy per rater and band; rise_at_healthy, RISE."""
    rows = raters.of(split)
    judge = reference(rows)
    if judge is None:
        return {}
    draws = bootstrap.resample(rows.person)
    points = np.nansum(rows.by[judge].grades, axis=1)
    bands = [(points >= low) & (points < high) for low, high in pairwise(BANDS)]
    out: list[Statistic] = []
    for name in rows.names:
        if name != judge:
            out += _of_rater(rows, split, judge, name, bands, draws)
    return {(one.name, one.of, one.scope): one for one in out}


def _of_rater(
    rows: Raters, split: str, judge: str, name: str, bands: list[np.ndarray], draws: bootstrap.Resamples
) -> list[Statistic]:
    grades = rows.by[name].grades
    seen, means, out = (rows.by[judge].grades == 0) & ~np.isnan(grades), [], []
    for band, scope in zip(bands, band_names(), strict=True):
        here = seen & band[:, None]
        n, total = draws.sums(np.stack([here.sum(1), np.where(here, grades, 0).sum(1)], axis=1)).T
        means.append(ratio(total, n))
        values = draws.estimate(means[-1])
        out.append(Statistic(SECTION, "mean_at_healthy", split, name, scope, *values, n=int(n[0]), unit="sites"))
    rise = draws.estimate(means[-2] - means[0])
    return [*out, Statistic(SECTION, "rise_at_healthy", split, name, RISE, *rise, n=int(seen.sum()), unit="sites")]
