"""Agreement of the model's Ratingen grades and Rau scores with reader 1's, and the table ratingen.csv for users."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pandas as pd

from evaluation import confusion, section_ids, svdh_to_ratingen
from evaluation.agreement import BALANCED, pair_name
from evaluation.bootstrap import Resamples, by_person, ratio, resample
from evaluation.disease_activity import pearson
from evaluation.raters import MODEL, READER1, Raters
from evaluation.statistic import Statistic
from evaluation.svdh_to_ratingen import RatingenScores, rau
from ra import agreement, atomic, clinical
from ra.anatomy import ID
from ra.clinical import RAU_SITES
from ra.tables import LEVELS

SECTION = section_ids.RATINGEN
PAIR = pair_name(MODEL, READER1)

Statistics = dict[tuple[str, str], Statistic]  # (name, split)


def measure(raters: Raters, scores: RatingenScores) -> Statistics:
    """Agreement of the model's grades and Rau scores with reader 1's per split, on the joints that both scored."""
    out = {}
    both = ~np.isnan(scores.reader).all(axis=1) & ~np.isnan(scores.model).all(axis=1)
    for split in dict.fromkeys(raters.split):
        rows = (raters.split == split) & both
        if rows.any():
            statistics = _of_grades(raters.person[rows], split, scores.whole[rows], scores.reader[rows])
            statistics += _of_rau(raters.person[rows], split, scores, rows)
            out |= {(statistic.name, split): statistic for statistic in statistics}
    return out


def _of_grades(person: np.ndarray, split: str, model: np.ndarray, reader: np.ndarray) -> list[Statistic]:
    counts, draws = confusion.count(model, reader), resample(person)
    table, persons = draws.sums(counts), by_person(person, counts)
    measures = {"exact": draws.estimate(confusion.agreement(table)), "kappa": draws.estimate(confusion.quadratic_kappa(table))}
    measures |= {name: astuple(confusion.balanced(persons, within)) for name, within in BALANCED.items()}
    return [
        Statistic(SECTION, name, split, PAIR, "joint grades", *values, n=int(counts.sum()), unit="joints", digits=2)
        for name, values in measures.items()
    ]


def _of_rau(person: np.ndarray, split: str, scores: RatingenScores, rows: np.ndarray) -> list[Statistic]:
    lacking = np.isnan(scores.model[rows]) | np.isnan(scores.reader[rows])
    model, reader = (rau(np.where(lacking, np.nan, grades[rows])) for grades in (scores.model, scores.reader))
    is_known = ~np.isnan(model)
    model, reader, low, high = (values[is_known] for values in (model, reader, scores.low[rows], scores.high[rows]))
    draws, n = resample(person[is_known]), int(is_known.sum())
    icc = agreement.icc(np.stack([model, reader], axis=1), "ICC(A,1)")
    measures = {  # name -> (value and interval, decimals)
        "bias": (draws.estimate(_mean(model - reader, draws)), 1),
        "mae": (draws.estimate(_mean(np.abs(model - reader), draws)), 1),
        "icc_2_1": ((icc.value, icc.low, icc.high), 3),
        "pearson": (draws.estimate(pearson(model, reader, draws)), 3),
    }
    for i, level in enumerate(LEVELS):
        has_interval = ~np.isnan(low[:, i])
        inside = np.where(has_interval, (reader >= low[:, i] - 1e-9) & (reader <= high[:, i] + 1e-9), 0.0)
        measures[f"coverage_{level}"] = (draws.estimate(ratio(draws.sums(inside), draws.sums(has_interval))), 2)
        width = float(np.median((high - low)[has_interval, i])) if has_interval.any() else float("nan")
        measures[f"width_{level}"] = ((width,), 1)
    return [Statistic(SECTION, name, split, PAIR, "rau", *values, n=n, digits=d) for name, (values, d) in measures.items()]


def _mean(values: np.ndarray, draws: Resamples) -> np.ndarray:
    return ratio(draws.sums(values), draws.sums(np.ones(len(values))))


def joints_scored(scores: RatingenScores) -> list[Statistic]:
    """The number of joints, of 34, from which a Rau score is computed: the median and the smallest over the sets of films."""
    count = (~np.isnan(scores.model)).sum(axis=1)
    n = len(count)
    return [
        Statistic(SECTION, name, "all", MODEL, "joints scored", float(value), n=n, unit="sets of films", digits=0)
        for name, value in {"median": np.median(count), "fewest": np.min(count)}.items()
    ]


def table(raters: Raters, scores: RatingenScores) -> pd.DataFrame:
    """A row per set of films: each joint's grade, the number of scored joints, their Rau score, the bounds that it would have if
    all other joints were healthy or all were destroyed, and its interval."""
    raus = [clinical.rau(dict(zip(RAU_SITES, row, strict=True))) for row in scores.model]
    who = {ID: raters.patients, "person_id": raters.person, "visit": raters.visit, "split": raters.split}
    grades = {f"{part}_{joint}_grade": scores.whole[:, j] for j, (part, joint) in enumerate(RAU_SITES)}
    score = {"n_scored": [s.n_scored for s in raus], "rau": [s.score for s in raus]}
    score |= {f"rau_{end}": [s.bounds[i] for s in raus] for i, end in enumerate(("lowest", "highest"))}
    interval = {}
    for i, level in enumerate(LEVELS):
        interval |= {f"rau_low{level}": scores.low[:, i], f"rau_high{level}": scores.high[:, i]}
    out = pd.DataFrame(who | grades | score | interval).round(1)
    return out.astype(dict.fromkeys(grades, "Int64"))


def write(raters: Raters, path: Path) -> None:
    """Write the table as CSV; without Ratingen grades an older file is deleted."""
    scores = svdh_to_ratingen.scores(raters)
    if scores is None:
        path.unlink(missing_ok=True)
    else:
        atomic.write_table(path, table(raters, scores))
