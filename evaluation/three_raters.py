"""Shares of sites to which three raters, or two of them, gave the same grade: the diagram of Rohrbach et al. 2019, figure 8."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np

from evaluation import bootstrap, confusion, site_groups
from evaluation.agreement import BALANCED, COLLECTED, SECTION, pair_name
from evaluation.raters import Raters
from evaluation.statistic import Statistic
from ra import agreement as readers
from ra.agreement import rescoring_set
from ra.challenge_scores import SEED

PER_GRADE = 50  # as in the paper: 308 joints of six grades
RESCORED = "equal numbers of each grade"
SCOPES = (site_groups.EVERYTHING, RESCORED)


def chosen(rows: Raters, names: list[str]) -> dict[str, np.ndarray]:
    """{scope: (n, 86) mask}: the sites that all three scored, and among them PER_GRADE sites of each grade of the middle rater.

    The middle one of (model, reader 1, reader 2) is the reader who gave the targets; the paper also drew its set by these grades.
    """
    grades = np.stack([rows.by[name].whole for name in names])
    complete = ~np.isnan(grades).any(axis=0)
    drawn = rescoring_set(np.where(complete, grades[1], np.nan).ravel(), np.random.default_rng(SEED), PER_GRADE)
    sample = np.zeros(complete.size, bool)
    sample[drawn] = True
    return {site_groups.EVERYTHING: complete, RESCORED: sample.reshape(complete.shape)}


def regions(first: np.ndarray, second: np.ndarray, third: np.ndarray) -> np.ndarray:
    """(..., 8) masks: all equal; only 1 = 2; only 1 = 3; only 2 = 3; all different; 1 unlike both others; 2 unlike; 3 unlike."""
    ab, ac, bc = first == second, first == third, second == third
    return np.stack([ab & bc, ab & ~bc, ac & ~bc, bc & ~ab, ~(ab | ac | bc), ~(ab | ac), ~(ab | bc), ~(ac | bc)], axis=-1)


def labels(names: list[str]) -> list[str]:
    """Names of the regions, which are the field `of` of the statistics same_grade."""
    a, b, c = names
    return [COLLECTED, *(f"only {x} and {y}" for x, y in ((a, b), (a, c), (b, c))), "none", *(f"{x} like neither" for x in names)]


def measure(raters: Raters, split: str, names: list[str]) -> list[Statistic]:
    """Shares of the regions on SCOPES; on the drawn set also the paper's other measures: ICC(1,1) of the three raters, and each
    pair's kappa and accuracies."""
    rows = raters.in_split(split)
    draws = bootstrap.resample(rows.person)
    out = []
    for scope, sites in chosen(rows, names).items():
        held = regions(*(rows.by[name].whole for name in names)) & sites[..., None]
        shares = bootstrap.ratio(draws.sums(held.sum(axis=1)), draws.sums(sites.sum(axis=1))[:, None])
        n = int(sites.sum())
        for k, label in enumerate(labels(names)):
            values = draws.estimate(shares[:, k])
            out.append(Statistic(SECTION, "same_grade", split, label, scope, *values, n=n, unit="sites", digits=2))
        if scope == RESCORED:
            out += _rescored(rows, split, names, sites)
    return out


def _rescored(rows: Raters, split: str, names: list[str], sites: np.ndarray) -> list[Statistic]:
    """The paper's measures on its re-scoring set; the ICC's interval takes joints as independent, as the paper does."""
    grades = [np.where(sites, rows.by[name].whole, np.nan) for name in names]
    icc = readers.icc(np.stack([g[sites] for g in grades], axis=1), "ICC(1,1)")
    n, draws = int(sites.sum()), bootstrap.resample(rows.person)
    out = [Statistic(SECTION, "icc_1_1", split, COLLECTED, RESCORED, icc.value, icc.low, icc.high, n, "sites")]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        counts = confusion.count(grades[i], grades[j])
        pair, tables = pair_name(names[i], names[j]), draws.sums(counts)
        values = {name: draws.estimate(confusion.MEASURES[name](tables)) for name in ("kappa", "exact", "within_one")}
        persons = bootstrap.by_person(rows.person, counts)
        values |= {name: astuple(confusion.balanced(persons, within)) for name, within in BALANCED.items()}
        out += [Statistic(SECTION, name, split, pair, RESCORED, *v, n=n, unit="sites", digits=2) for name, v in values.items()]
    return out
