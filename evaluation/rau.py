"""How the model's Ratingen grades and Rau scores agree with reader 1's, and both as a table for users."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from evaluation import confusion, svdh_to_ratingen
from evaluation.bootstrap import Resamples, by_person, ratio, resample
from evaluation.disease_activity import pearson
from evaluation.raters import MODEL, READER1, Raters
from evaluation.statistic import Statistic
from evaluation.svdh_to_ratingen import Eroded, rau
from ra import agreement, clinical
from ra.anatomy import ID
from ra.clinical import RAU_SITES
from ra.tables import LEVELS

SECTION = "ratingen"
AGAINST = f"{MODEL} against {READER1}"

Found = dict[tuple[str, str], Statistic]  # (name, split)


def measure(raters: Raters, found: Eroded) -> Found:
    """Per split how the model's grades and Rau scores agree with reader 1's, on the joints that both scored."""
    out = {}
    for split in dict.fromkeys(raters.split):
        rows = (raters.split == split) & ~np.isnan(found.reader).all(axis=1) & ~np.isnan(found.model).all(axis=1)
        if rows.any():
            of_grades = _of_grades(raters.person[rows], split, found.whole[rows], found.reader[rows])
            of_rau = _of_rau(raters.person[rows], split, found, rows)
            out |= {(one.name, split): one for one in of_grades + of_rau}
    return out


def _of_grades(person: np.ndarray, split: str, model: np.ndarray, reader: np.ndarray) -> list[Statistic]:
    counts, draws = confusion.count(model, reader), resample(person)
    table, persons = draws.sums(counts), by_person(person, counts)
    figures = {"exact": draws.estimate(confusion.agreement(table)), "kappa": draws.estimate(confusion.quadratic_kappa(table))}
    for name, within in {"balanced": 0, "balanced_within_one": 1}.items():
        figures[name] = tuple(vars(confusion.balanced(persons, within)).values())
    return [
        Statistic(SECTION, name, split, AGAINST, "joint grades", *values, n=int(counts.sum()), unit="joints", digits=2)
        for name, values in figures.items()
    ]


def _of_rau(person: np.ndarray, split: str, found: Eroded, rows: np.ndarray) -> list[Statistic]:
    both = np.isnan(found.model[rows]) | np.isnan(found.reader[rows])
    model, reader = (rau(np.where(both, np.nan, grades[rows])) for grades in (found.model, found.reader))
    known = ~np.isnan(model)
    model, reader, low, high = (values[known] for values in (model, reader, found.low[rows], found.high[rows]))
    draws, n = resample(person[known]), int(known.sum())
    mean = {"bias": model - reader, "mae": np.abs(model - reader)}
    figures = {name: (draws.estimate(_mean(values, draws)), 1) for name, values in mean.items()}
    icc = agreement.icc(np.stack([model, reader], axis=1), "ICC(A,1)")
    figures |= {"icc_2_1": ((icc.value, icc.low, icc.high), 3), "pearson": (draws.estimate(pearson(model, reader, draws)), 3)}
    for i, level in enumerate(LEVELS):
        bounded = ~np.isnan(low[:, i])
        held = np.where(bounded, (reader >= low[:, i] - 1e-9) & (reader <= high[:, i] + 1e-9), 0.0)
        share = ratio(draws.sums(held), draws.sums(bounded))
        figures[f"coverage_{level}"] = (draws.estimate(share), 2)
        wide = float(np.median((high - low)[bounded, i])) if bounded.any() else float("nan")
        figures[f"width_{level}"] = ((wide,), 1)
    return [Statistic(SECTION, name, split, AGAINST, "rau", *values, n=n, digits=d) for name, (values, d) in figures.items()]


def _mean(values: np.ndarray, draws: Resamples) -> np.ndarray:
    return ratio(draws.sums(values), draws.sums(np.ones(len(values))))


def scored(found: Eroded) -> list[Statistic]:
    """How many of the 34 joints the Rau scores are made of: the fewest and the median over the sets of films."""
    count = (~np.isnan(found.model)).sum(axis=1)
    n = len(count)
    return [
        Statistic(SECTION, name, "all", MODEL, "joints scored", float(fn(count)), n=n, unit="sets of films", digits=0)
        for name, fn in {"median": np.median, "fewest": np.min}.items()
    ]


def table(raters: Raters, found: Eroded) -> pd.DataFrame:
    """For users, a row per set of films: each joint's grade, the joints scored, the Rau score of these, its bounds if the others
    were all healthy or all destroyed, and its interval."""
    scores = [clinical.rau(dict(zip(RAU_SITES, row, strict=True))) for row in found.model]
    who = {ID: raters.patients, "person_id": raters.person, "visit": raters.visit, "split": raters.split}
    grades = {f"{part}_{joint}_grade": found.whole[:, j] for j, (part, joint) in enumerate(RAU_SITES)}
    score = {"n_scored": [s.n_scored for s in scores], "rau": [s.score for s in scores]}
    score |= {f"rau_{end}": [s.bounds[i] for s in scores] for i, end in enumerate(("lowest", "highest"))}
    bounds = {"low": found.low, "high": found.high}
    ends = {f"rau_{end}{level}": own[:, i] for i, level in enumerate(LEVELS) for end, own in bounds.items()}
    out = pd.DataFrame(who | grades | score | ends).round(1)
    return out.astype(dict.fromkeys(grades, "Int64"))


def write(raters: Raters, path: Path) -> None:
    """The table as a CSV; no file where nobody tells Ratingen grades."""
    found = svdh_to_ratingen.read(raters)
    path.unlink(missing_ok=True)
    if found is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        table(raters, found).to_csv(temporary, index=False)
        temporary.replace(path)
