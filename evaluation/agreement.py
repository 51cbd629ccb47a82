"""Agreement of raters on one split: every number of the page's agreement section, by name.

A statistic's `of` is a pair, "A against B", or "all three". B is the reference, for example of sensitivity, and a difference is
A - B. Intervals are computed from resampled persons; only the ICC of totals has its classical interval (pingouin).
"""

from __future__ import annotations

from dataclasses import astuple
from itertools import combinations

import numpy as np

from evaluation import bootstrap, confusion, section_ids, site_groups, total_agreement
from evaluation.raters import MODEL, READER1, READER2, TRUTH, Raters
from evaluation.statistic import Statistic
from ra import agreement as readers
from ra.anatomy import SITES
from stage3_stack.cohort import TARGETS

SECTION = section_ids.AGREEMENT
FORMS = {"icc_2_1": "ICC(A,1)", "icc_2_k": "ICC(A,k)"}  # Shrout & Fleiss's names -> those of ra.agreement
BALANCED = {"balanced": 0, "balanced_within_one": 1}  # name -> largest difference that counts as right
LIMITS = {"bias": 1, "lower": 1, "upper": 1, "slope": 3, "distance": 1}  # name -> decimals
# measure -> (decimals, scope); for these the model's agreement with the readers is compared with that between the readers
GAPS = {"icc": (3, "total"), "kappa": (2, site_groups.EVERYTHING), "exact": (2, site_groups.EVERYTHING), "distance": (1, "total")}
COLLECTED = "all three"
GAP = "model with readers less readers with each other"

Statistics = dict[tuple[str, str, str], Statistic]  # (name, of, scope)


def pair_name(first: str, second: str) -> str:
    """The `of` of a pair of raters, the reference last."""
    return f"{first} against {second}"


def pairs(names: list[str]) -> list[tuple[str, str]]:
    """All pairs of raters; the truth behind a synthetic reader is excluded because it is not a reader."""
    return list(combinations([name for name in names if name != TRUTH], 2))


def measure(raters: Raters, split: str) -> Statistics:
    """Every statistic of the split's patients."""
    rows = raters.in_split(split)
    draws = bootstrap.resample(rows.person)
    out: list[Statistic] = []
    for pair in pairs(rows.names):
        out += _grades(rows, split, pair, site_groups.GROUPS, draws) + _totals(rows, split, pair)
        out += _icc_of_grades(rows, split, list(pair), pair_name(*pair), draws)
    for name in rows.names:
        if TRUTH in rows.names and name != TRUTH:
            out += _grades(rows, split, (name, TRUTH), site_groups.ALL, draws) + _totals(rows, split, (name, TRUTH))
    out += _three(rows, split, draws) + _gaps(rows, split, draws)
    return {(statistic.name, statistic.of, statistic.scope): statistic for statistic in out}


def _grades(
    rows: Raters, split: str, pair: tuple[str, str], groups: dict[str, np.ndarray], draws: bootstrap.Resamples
) -> list[Statistic]:
    """Agreement of a pair on the grades of every group of sites, and the confusion matrices of a limb's findings."""
    first, second = (rows.by[name].whole for name in pair)
    out = []
    for scope, sites in groups.items():
        counts = confusion.count(first[:, sites], second[:, sites])
        tables, persons = draws.sums(counts), bootstrap.by_person(rows.person, counts)
        common = {"split": split, "of": pair_name(*pair), "scope": scope, "n": int(counts.sum()), "unit": "sites", "digits": 2}
        values = {name: draws.estimate(measure_of(tables)) for name, measure_of in confusion.MEASURES.items()}
        values |= {name: astuple(confusion.balanced(persons, within)) for name, within in BALANCED.items()}
        out += [
            Statistic(SECTION, name, value=value, low=low, high=high, **common) for name, (value, low, high) in values.items()
        ]
        if scope in site_groups.LIMB_FINDINGS:
            n_grades = max(s.max_grade for s, used in zip(SITES, sites, strict=True) if used) + 1
            cells = np.ndenumerate(counts.sum(axis=0)[:n_grades, :n_grades])
            # confusion_<second rater's grade>_<first rater's grade> is a number of sites
            out += [
                Statistic(SECTION, f"confusion_{row}_{column}", value=float(n_cell), **common | {"digits": 0})
                for (row, column), n_cell in cells
            ]
    return out


def _totals(rows: Raters, split: str, pair: tuple[str, str]) -> list[Statistic]:
    """ICC and Bland and Altman's limits of a pair's totals."""
    out = []
    for column, scope in enumerate(TARGETS):
        totals = np.stack([rows.by[name].totals[:, column] for name in pair], axis=1)
        both = ~np.isnan(totals).any(axis=1)
        draws = bootstrap.resample(rows.person[both])
        out += _icc(totals[both], split, pair_name(*pair), scope)
        spread = total_agreement.bland_altman(*totals[both].T, draws)
        for name, digits in LIMITS.items():
            values = draws.estimate(spread[name])
            out.append(Statistic(SECTION, name, split, pair_name(*pair), scope, *values, n=int(both.sum()), digits=digits))
    return out


def _icc(ratings: np.ndarray, split: str, raters: str, scope: str) -> list[Statistic]:
    """The ICC of totals (n, k) with its classical interval."""
    n = int((~np.isnan(ratings).any(axis=1)).sum())
    forms = readers.iccs(ratings)
    out = []
    for name, form in FORMS.items():
        icc = forms[form]
        out.append(Statistic(SECTION, name, split, raters, scope, icc.value, icc.low, icc.high, n))
    return out


def _three(rows: Raters, split: str, draws: bootstrap.Resamples) -> list[Statistic]:
    """The ICC of three raters at once: of their totals, and of all grades of all patients."""
    names = [name for name in rows.names if name != TRUTH]
    if len(names) < 3:
        return []
    out = []
    for column, scope in enumerate(TARGETS):
        out += _icc(np.stack([rows.by[name].totals[:, column] for name in names], axis=1), split, COLLECTED, scope)
    return out + _icc_of_grades(rows, split, names, COLLECTED, draws)


def _icc_of_grades(rows: Raters, split: str, names: list[str], raters: str, draws: bootstrap.Resamples) -> list[Statistic]:
    """The ICC of the grades of all sites, with an interval over persons."""
    grades = np.stack([rows.by[name].whole for name in names], axis=2)
    n, forms = int((~np.isnan(grades).any(axis=2)).sum()), total_agreement.icc(grades, draws)
    values = {name: draws.estimate(forms[form]) for name, form in FORMS.items()}
    return [Statistic(SECTION, name, split, raters, site_groups.EVERYTHING, *v, n=n, unit="sites") for name, v in values.items()]


def _gaps(rows: Raters, split: str, draws: bootstrap.Resamples) -> list[Statistic]:
    """The model's mean agreement with two readers minus that between the readers, where all three scored the site or total."""
    trio = (MODEL, READER1, READER2)
    if not set(trio) <= set(rows.names):
        return []
    with_first, with_second, of_readers = (_compared(rows, trio, pair, draws) for pair in combinations(trio, 2))
    scores = np.stack([np.concatenate([rows.by[name].totals[:, :1], rows.by[name].grades], axis=1) for name in trio])
    complete = ~np.isnan(scores).any(axis=0)
    n = {"total": int(complete[:, 0].sum()), site_groups.EVERYTHING: int(complete[:, 1:].any(axis=1).sum())}
    out = []
    for name, (digits, scope) in GAPS.items():
        values = draws.estimate((with_first[name] + with_second[name]) / 2 - of_readers[name])
        out.append(Statistic(SECTION, f"{name}_gap", split, GAP, scope, *values, n=n[scope], digits=digits))
    return out


def _compared(rows: Raters, trio: tuple[str, ...], pair: tuple[str, str], draws: bootstrap.Resamples) -> dict[str, np.ndarray]:
    """(1 + times,) samples of the measures of GAPS for a pair, on the sites and totals that all of the trio scored."""
    no_grade = np.isnan(np.stack([rows.by[name].grades for name in trio])).any(axis=0)
    no_total = np.isnan(np.stack([rows.by[name].totals[:, 0] for name in trio])).any(axis=0)
    first, second = (np.where(no_grade, np.nan, rows.by[name].whole) for name in pair)
    a, b = (np.where(no_total, np.nan, rows.by[name].totals[:, 0]) for name in pair)
    tables = draws.sums(confusion.count(first, second))
    return {
        "icc": total_agreement.icc(np.stack([a, b], axis=1), draws)["ICC(A,1)"],
        "kappa": confusion.quadratic_kappa(tables),
        "exact": confusion.agreement(tables),
        "distance": total_agreement.bland_altman(a[~no_total], b[~no_total], draws.take(~no_total))["distance"],
    }
