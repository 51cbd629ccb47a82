"""Raters against raters on one split: every figure of the page's agreement section, by name.

`of` is a pair, "A against B", whose second is the reference (of sensitivity, of balanced accuracy; a difference is A - B), or
"all three". Intervals are over persons, but for the ICC of totals, which has its classical one (pingouin).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np

from evaluation import bootstrap, confusion, site_groups, total_agreement
from evaluation.raters import MODEL, READER1, READER2, TRUTH, Raters
from evaluation.statistic import Statistic
from ra import agreement as readers
from ra.anatomy import SITES
from stage3_stack.cohort import TARGETS

SECTION = "agreement"
FORMS = {"icc_2_1": "ICC(A,1)", "icc_2_k": "ICC(A,k)"}  # Shrout & Fleiss's names: ra.agreement's
BALANCED = {"balanced": 0, "balanced_within_one": 1}
LIMITS = {"bias": 1, "lower": 1, "upper": 1, "slope": 3, "distance": 1}  # name -> decimals
# what is compared between the model and the readers -> decimals, scope
GAPS = {"icc": (3, "total"), "kappa": (2, site_groups.EVERYTHING), "exact": (2, site_groups.EVERYTHING), "distance": (1, "total")}
COLLECTED = "all three"
GAP = "model with readers less readers with each other"

Found = dict[tuple[str, str, str], Statistic]  # (name, of, scope)


def named(first: str, second: str) -> str:
    return f"{first} against {second}"


def pairs(names: list[str]) -> list[tuple[str, str]]:
    """Each two of the raters compared; the truth behind synthetic readers is nobody's colleague and is left out."""
    return list(combinations([name for name in names if name != TRUTH], 2))


def measure(raters: Raters, split: str) -> Found:
    """Every figure of a split's patients."""
    rows = raters.of(split)
    draws = bootstrap.resample(rows.person)
    found: list[Statistic] = []
    for pair in pairs(rows.names):
        found += _grades(rows, split, pair, site_groups.GROUPS, draws) + _totals(rows, split, pair)
        found += _icc_of_grades(rows, split, list(pair), named(*pair), draws)
    for name in rows.names:
        if TRUTH in rows.names and name != TRUTH:
            found += _grades(rows, split, (name, TRUTH), site_groups.ALL, draws) + _totals(rows, split, (name, TRUTH))
    found += _three(rows, split, draws) + _gaps(rows, split, draws)
    return {(one.name, one.of, one.scope): one for one in found}


def _grades(
    rows: Raters, split: str, pair: tuple[str, str], groups: dict[str, np.ndarray], draws: bootstrap.Resamples
) -> list[Statistic]:
    first, second = (rows.by[name].whole for name in pair)
    out = []
    for scope, sites in groups.items():
        counts = confusion.count(first[:, sites], second[:, sites])
        n, tables, persons = int(counts.sum()), draws.sums(counts), bootstrap.by_person(rows.person, counts)

        def one(name: str, *values: float, scope: str = scope, n: int = n) -> Statistic:
            return Statistic(SECTION, name, split, named(*pair), scope, *values, n=n, unit="sites", digits=2)

        out += [one(name, *draws.estimate(fn(tables))) for name, fn in confusion.MEASURES.items()]
        out += [one(name, *vars(confusion.balanced(persons, within)).values()) for name, within in BALANCED.items()]
        if scope in site_groups.LIMB_FINDINGS:  # confusion_<grade by the second>_<by the first>: how many sites
            top = max(s.max_grade for s, used in zip(SITES, sites, strict=True) if used) + 1
            cells = np.ndenumerate(counts.sum(axis=0)[:top, :top])
            out += [replace(one(f"confusion_{row}_{column}", float(n_cell)), digits=0) for (row, column), n_cell in cells]
    return out


def _totals(rows: Raters, split: str, pair: tuple[str, str]) -> list[Statistic]:
    out = []
    for column, scope in enumerate(TARGETS):
        both = np.stack([rows.by[name].totals[:, column] for name in pair], axis=1)
        known = ~np.isnan(both).any(axis=1)
        some, n = bootstrap.resample(rows.person[known]), int(known.sum())
        out += _icc(both[known], split, named(*pair), scope)
        spread = total_agreement.bland_altman(*both[known].T, some)
        for name, digits in LIMITS.items():
            values = some.estimate(spread[name])
            out.append(Statistic(SECTION, name, split, named(*pair), scope, *values, n=n, digits=digits))
    return out


def _icc(ratings: np.ndarray, split: str, of: str, scope: str) -> list[Statistic]:
    n = int((~np.isnan(ratings).any(axis=1)).sum())
    forms = readers.iccs(ratings)
    found = {name: forms[form] for name, form in FORMS.items()}
    return [Statistic(SECTION, name, split, of, scope, i.value, i.low, i.high, n) for name, i in found.items()]


def _three(rows: Raters, split: str, draws: bootstrap.Resamples) -> list[Statistic]:
    """The three raters at once: of totals, and of all grades of all patients."""
    names = [name for name in rows.names if name != TRUTH]
    if len(names) < 3:
        return []
    out = []
    for column, scope in enumerate(TARGETS):
        out += _icc(np.stack([rows.by[name].totals[:, column] for name in names], axis=1), split, COLLECTED, scope)
    return out + _icc_of_grades(rows, split, names, COLLECTED, draws)


def _icc_of_grades(rows: Raters, split: str, names: list[str], of: str, draws: bootstrap.Resamples) -> list[Statistic]:
    grades = np.stack([rows.by[name].whole for name in names], axis=2)
    n, forms = int((~np.isnan(grades).any(axis=2)).sum()), total_agreement.icc(grades, draws)
    found = {name: draws.estimate(forms[form]) for name, form in FORMS.items()}
    return [Statistic(SECTION, name, split, of, site_groups.EVERYTHING, *v, n=n, unit="sites") for name, v in found.items()]


def _gaps(rows: Raters, split: str, draws: bootstrap.Resamples) -> list[Statistic]:
    """The model's mean agreement with two readers less the readers' with each other, on what all three scored."""
    trio = (MODEL, READER1, READER2)
    if not set(trio) <= set(rows.names):
        return []
    parts = {pair: _compared(rows, trio, pair, draws) for pair in combinations(trio, 2)}
    (one, two, own), out = parts.values(), []
    both = np.stack([np.concatenate([rows.by[name].totals[:, :1], rows.by[name].grades], axis=1) for name in trio])
    known = ~np.isnan(both).any(axis=0)
    n = {"total": int(known[:, 0].sum()), site_groups.EVERYTHING: int(known[:, 1:].any(axis=1).sum())}
    for name, (digits, scope) in GAPS.items():
        values = draws.estimate((one[name] + two[name]) / 2 - own[name])
        out.append(Statistic(SECTION, f"{name}_gap", split, GAP, scope, *values, n=n[scope], digits=digits))
    return out


def _compared(rows: Raters, trio: tuple[str, ...], pair: tuple[str, str], draws: bootstrap.Resamples) -> dict[str, np.ndarray]:
    sites = np.isnan(np.stack([rows.by[name].grades for name in trio])).any(axis=0)
    people = np.isnan(np.stack([rows.by[name].totals[:, 0] for name in trio])).any(axis=0)
    first, second = (np.where(sites, np.nan, rows.by[name].whole) for name in pair)
    a, b = (np.where(people, np.nan, rows.by[name].totals[:, 0]) for name in pair)
    tables = draws.sums(confusion.count(first, second))
    known = ~people
    return {
        "icc": total_agreement.icc(np.stack([a, b], axis=1), draws)["ICC(A,1)"],
        "kappa": confusion.quadratic_kappa(tables),
        "exact": confusion.agreement(tables),
        "distance": total_agreement.bland_altman(a[known], b[known], draws.of(known))["distance"],
    }
