"""Two visits of a person: the change per joint and per total, its interval, and whether that is progression.

Columns of an array (n, 89) are the three totals (total, erosion, narrowing) and then the 86 sites.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from evaluation.raters import MODEL, READER1, Rater, Raters, load
from ra import paths
from ra.anatomy import ALL_PARTS, BOTH_HANDS, TOTAL
from ra.tables import LEVELS
from stage3_stack import cohort as cohorts
from stage3_stack.cohort import TARGETS
from stage3_stack.predictions import SITE_OF
from stage3_stack.uncertainty import conformal

MEASURES = {**{name: slice(j, j + 1) for j, name in enumerate(TARGETS)}, "joint sites": slice(len(TARGETS), None)}
N_COLUMNS = len(TARGETS) + len(SITE_OF)
VERDICTS = ("progressed", "cannot tell", "not progressed")
LEAST = 0.5  # a reader writes whole grades: no visit's interval reaches less far, and no error is divided by 0


@dataclass(frozen=True)
class Pairs:
    """n pairs of visits: rows of `raters` before and after, (n,) indices."""

    raters: Raters
    before: np.ndarray
    after: np.ndarray

    def __len__(self) -> int:
        return len(self.before)

    @property
    def person(self) -> np.ndarray:
        return self.raters.person[self.before]

    @property
    def split(self) -> np.ndarray:
        return self.raters.split[self.before]

    @property
    def fold(self) -> np.ndarray:
        return self.raters.fold[self.before]

    def change(self, name: str) -> np.ndarray:
        """(n, 89) later less earlier of one rater; NaN where either is not scored."""
        scores = columns(self.raters.by[name])
        return scores[self.after] - scores[self.before]


def columns(rater: Rater) -> np.ndarray:
    """(n, 89) of a rater's totals and grades."""
    return np.concatenate([rater.totals, rater.grades], axis=1)


def successive(raters: Raters) -> Pairs:
    """Every visit with the same person's next one; a person's visits in two splits are not compared."""
    rows = _in_order(raters)
    return Pairs(raters, *_joined(raters, rows[:-1], rows[1:]))


def first_to_last(raters: Raters) -> Pairs:
    """Each person once: his first visit with his last."""
    rows = _in_order(raters)
    people = pd.DataFrame({"who": raters.person[rows].astype(str), "split": raters.split[rows], "row": rows})
    ends = people.groupby(["who", "split"], sort=False).row.agg(["first", "last"]).to_numpy()
    return Pairs(raters, *_joined(raters, ends[:, 0], ends[:, 1]))


def _in_order(raters: Raters) -> np.ndarray:
    return np.lexsort((raters.visit, raters.person.astype(str), raters.split.astype(str)))


def _joined(raters: Raters, before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Only what is one person's, in one split, at two visits."""
    same = (raters.person[before] == raters.person[after]) & (raters.split[before] == raters.split[after])
    keep = same & (raters.visit[before] < raters.visit[after])
    return before[keep], after[keep]


def arms(raters: Raters, level: int) -> tuple[np.ndarray, np.ndarray]:
    """Two (n, 89): how far each reading's interval reaches down and up from its value, LEAST or more; NaN without one."""
    down, up = np.full((2, len(raters.patients), N_COLUMNS), np.nan)
    rows = raters.reading
    if rows.empty:
        return down, up
    site = np.array([SITE_OF.get(key, -1) for key in zip(rows.part, rows.site, strict=True)])
    total = rows.part.isin([ALL_PARTS, BOTH_HANDS]).to_numpy() & (rows.site == TOTAL).to_numpy()
    place = np.where(total, [TARGETS.index(finding) for finding in rows.finding], site + len(TARGETS))
    patient, use = pd.Index(raters.patients).get_indexer(rows.patient_id), total | (site >= 0)
    for out, arm in ((down, rows.value - rows[f"low{level}"]), (up, rows[f"high{level}"] - rows.value)):
        out[patient[use], place[use]] = np.maximum(arm.to_numpy()[use], LEAST)
    return down, up


@dataclass(frozen=True)
class Bounds:
    """Intervals of the model's change, low and high (n, 89), at a level in percent.

    factor: per measure what the width was multiplied by for the test pairs (for training pairs it is cross-fitted), 1 where the
    persons were too few to learn it. persons: from how many it was learned.
    """

    level: int
    low: np.ndarray
    high: np.ndarray
    factor: dict[str, float]
    persons: int


def taught(raters: Raters) -> Pairs:
    """The training pairs that intervals of change are calibrated on: the set's own; of an applied run those of the set it was
    trained on, as far as that reading is on disk."""
    trained = cohorts.trained_on(paths.run_dir(raters.data, 3, raters.run))
    if trained is None or not paths.prediction_intervals(trained, raters.run, "oof").is_file():
        return successive(raters.of("oof"))
    return successive(load(trained, raters.run).of("oof"))


def bounds(pairs: Pairs, level: int, teachers: Pairs | None = None) -> Bounds:
    """Split conformal intervals of the change, cross-fitted by the folds of persons.

    Two readings of intervals v1 (l1, u1) and v2 (l2, u2) whose errors are independent differ by v2 - v1 within
    - sqrt((v2 - l2)^2 + (u1 - v1)^2) and + sqrt((u2 - v2)^2 + (v1 - l1)^2) (Zou & Donner, Stat Med 2008;27:1693). Both arms are
    multiplied by q, the conformal quantile of reader 1's change's distance from the model's, in such arms, over the training
    pairs of other folds: those of `teachers`, of the pairs themselves without. NaN where either visit has no interval.
    """
    teachers = successive(pairs.raters.of("oof")) if teachers is None else teachers
    below, above = _reach(pairs, level)
    down, up = _reach(teachers, level)
    error = teachers.change(READER1) - teachers.change(MODEL)
    score, q, factor = np.abs(error) / np.where(error < 0, down, up), np.full(below.shape, np.nan), {}
    for name, use in MEASURES.items():
        factor[name] = _quantile(score[:, use], teachers.person, level)
        q[:, use] = factor[name]
        for fold in np.unique(pairs.fold[pairs.split == "oof"]):
            others, own = teachers.fold != fold, (pairs.split == "oof") & (pairs.fold == fold)
            q[own, use] = _quantile(score[others, use], teachers.person[others], level)
    model = pairs.change(MODEL)
    return Bounds(level, model - q * below, model + q * above, factor, len(np.unique(teachers.person.astype(str))))


def _reach(pairs: Pairs, level: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, 89) twice: the arms of the change, down and up, of visits whose errors are independent."""
    down, up = arms(pairs.raters, level)
    return np.hypot(down[pairs.after], up[pairs.before]), np.hypot(up[pairs.after], down[pairs.before])


def nested(pairs: Pairs, teachers: Pairs | None = None) -> dict[int, Bounds]:
    """The intervals of LEVELS, each holding the one below: a factor that could not be learned must not make it the shorter."""
    out: dict[int, Bounds] = {}
    for level in LEVELS:
        made, inner = bounds(pairs, level, teachers), list(out.values())[-1:]
        for within in inner:
            made = replace(made, low=np.fmin(made.low, within.low), high=np.fmax(made.high, within.high))
        out[level] = made
    return out


def enough(persons: int, level: int) -> bool:
    """Whether so many persons can tell a quantile of that level at all: n >= 1 / alpha - 1."""
    return (persons + 1) * (100 - level) >= 100


def _quantile(score: np.ndarray, person: np.ndarray, level: int) -> float:
    """The conformal quantile of scores (n, m) over persons; 1 where they are too few: the errors of the two visits are then taken
    as independent."""
    known = ~np.isnan(score)
    found = conformal.quantile(score[known], person[np.nonzero(known)[0]].astype(str), level / 100)
    return found if np.isfinite(found) else 1.0


def verdicts(limits: Bounds, sdc: float) -> np.ndarray:
    """(n,) of VERDICTS for the total: progressed if the interval lies above 0, not progressed if it ends below the smallest
    detectable change, else (or without an interval) cannot tell."""
    low, high = limits.low[:, 0], limits.high[:, 0]
    return np.select([low > 0, high < sdc], [VERDICTS[0], VERDICTS[2]], VERDICTS[1])
