"""Pairs of visits of one person: the change per site and per total, its interval, and the verdict on progression.

The columns of an (n, 89) array are the three totals (total, erosion, narrowing), then the 86 sites.
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
MIN_ARM = 0.5  # points; readers give whole grades, so no arm of an interval is shorter, and no error is divided by 0


@dataclass(frozen=True)
class Pairs:
    """n pairs of visits: before and after (n,) are rows of `raters`."""

    raters: Raters
    before: np.ndarray
    after: np.ndarray

    def __len__(self) -> int:
        return len(self.before)

    @property
    def person(self) -> np.ndarray:
        """(n,) the person of each pair."""
        return self.raters.person[self.before]

    @property
    def split(self) -> np.ndarray:
        """(n,) the split of each pair, oof or test."""
        return self.raters.split[self.before]

    @property
    def fold(self) -> np.ndarray:
        """(n,) fold of the person, -1 for test."""
        return self.raters.fold[self.before]

    def change(self, name: str) -> np.ndarray:
        """(n, 89) later minus earlier score of one rater; NaN where either is not scored."""
        scores = columns(self.raters.by[name])
        return scores[self.after] - scores[self.before]


def columns(rater: Rater) -> np.ndarray:
    """(n, 89) a rater's totals and grades."""
    return np.concatenate([rater.totals, rater.grades], axis=1)


def successive(raters: Raters) -> Pairs:
    """Every visit with the same person's next visit; visits in different splits are not paired."""
    rows = _in_order(raters)
    return Pairs(raters, *_paired(raters, rows[:-1], rows[1:]))


def first_to_last(raters: Raters) -> Pairs:
    """Each person's first visit with the same person's last visit."""
    rows = _in_order(raters)
    people = pd.DataFrame({"who": raters.person[rows].astype(str), "split": raters.split[rows], "row": rows})
    ends = people.groupby(["who", "split"], sort=False).row.agg(["first", "last"]).to_numpy()
    return Pairs(raters, *_paired(raters, ends[:, 0], ends[:, 1]))


def _in_order(raters: Raters) -> np.ndarray:
    return np.lexsort((raters.visit, raters.person.astype(str), raters.split.astype(str)))


def _paired(raters: Raters, before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of rows that are two visits of one person in one split."""
    same = (raters.person[before] == raters.person[after]) & (raters.split[before] == raters.split[after])
    keep = same & (raters.visit[before] < raters.visit[after])
    return before[keep], after[keep]


def arms(raters: Raters, level: int) -> tuple[np.ndarray, np.ndarray]:
    """Two (n, 89): distances from each prediction to the lower and the upper end of its interval, at least MIN_ARM; else NaN."""
    down, up = np.full((2, len(raters.patients), N_COLUMNS), np.nan)
    rows = raters.intervals
    if rows.empty:
        return down, up
    site = np.array([SITE_OF.get(key, -1) for key in zip(rows.part, rows.site, strict=True)])
    is_total = rows.part.isin([ALL_PARTS, BOTH_HANDS]).to_numpy() & (rows.site == TOTAL).to_numpy()
    column = np.where(is_total, [TARGETS.index(finding) for finding in rows.finding], site + len(TARGETS))
    patient, used = pd.Index(raters.patients).get_indexer(rows.patient_id), is_total | (site >= 0)
    for out, arm in ((down, rows.value - rows[f"low{level}"]), (up, rows[f"high{level}"] - rows.value)):
        out[patient[used], column[used]] = np.maximum(arm.to_numpy()[used], MIN_ARM)
    return down, up


@dataclass(frozen=True)
class Bounds:
    """Intervals of the model's change, low and high (n, 89), at a level in percent.

    factor: for each measure, the factor by which the width was multiplied for test pairs (for training pairs it is cross-fitted);
    1 if there were too few persons to estimate it. persons: the number of persons from whom it was estimated.
    """

    level: int
    low: np.ndarray
    high: np.ndarray
    factor: dict[str, float]
    persons: int


def calibration_pairs(raters: Raters) -> Pairs:
    """The training pairs on which intervals of change are calibrated.

    They belong to the set itself. For a run that was applied to another set, they belong to the set on which it was trained, if
    its intervals are on disk.
    """
    trained = cohorts.trained_on(paths.run_dir(raters.data, 3, raters.run))
    if trained is None or not paths.prediction_intervals(trained, raters.run, "oof").is_file():
        return successive(raters.in_split("oof"))
    return successive(load(trained, raters.run).in_split("oof"))


def bounds(pairs: Pairs, level: int, calibration: Pairs | None = None) -> Bounds:
    """Split conformal intervals of the change, cross-fitted by the folds of persons; NaN where either visit has no interval.

    If predictions v1 with interval (l1, u1) and v2 with (l2, u2) have independent errors, the interval of v2 - v1 extends
    sqrt((v2 - l2)^2 + (u1 - v1)^2) below and sqrt((u2 - v2)^2 + (v1 - l1)^2) above it (Zou & Donner, Stat Med 2008;27:1693). Both
    arms are multiplied by q, the conformal quantile of |reader 1's change - model's change| in units of the arm, over the
    calibration pairs of the other folds. By default, the calibration pairs are the training pairs among `pairs`.
    """
    calibration = successive(pairs.raters.in_split("oof")) if calibration is None else calibration
    below, above = _change_arms(pairs, level)
    down, up = _change_arms(calibration, level)
    error = calibration.change(READER1) - calibration.change(MODEL)
    score, q, factor = np.abs(error) / np.where(error < 0, down, up), np.full(below.shape, np.nan), {}
    for name, use in MEASURES.items():
        factor[name] = _quantile(score[:, use], calibration.person, level)
        q[:, use] = factor[name]
        for fold in np.unique(pairs.fold[pairs.split == "oof"]):
            others, held_out = calibration.fold != fold, (pairs.split == "oof") & (pairs.fold == fold)
            q[held_out, use] = _quantile(score[others, use], calibration.person[others], level)
    model = pairs.change(MODEL)
    return Bounds(level, model - q * below, model + q * above, factor, len(np.unique(calibration.person.astype(str))))


def _change_arms(pairs: Pairs, level: int) -> tuple[np.ndarray, np.ndarray]:
    """Two (n, 89): the lower and the upper arm of the change between visits whose errors are independent."""
    down, up = arms(pairs.raters, level)
    return np.hypot(down[pairs.after], up[pairs.before]), np.hypot(up[pairs.after], down[pairs.before])


def nested_bounds(pairs: Pairs, calibration: Pairs | None = None) -> dict[int, Bounds]:
    """The intervals of all LEVELS; each contains the interval of the level below.

    Otherwise a level whose factor could not be estimated could have a shorter interval than the level below.
    """
    out: dict[int, Bounds] = {}
    narrower: Bounds | None = None
    for level in LEVELS:
        made = bounds(pairs, level, calibration)
        if narrower is not None:
            made = replace(made, low=np.fmin(made.low, narrower.low), high=np.fmax(made.high, narrower.high))
        out[level] = narrower = made
    return out


def enough(persons: int, level: int) -> bool:
    """Whether n persons are enough to estimate a quantile at this level: n >= 1 / alpha - 1 with alpha = 1 - level / 100."""
    return (persons + 1) * (100 - level) >= 100


def _quantile(score: np.ndarray, person: np.ndarray, level: int) -> float:
    """The conformal quantile of scores (n, m) over persons; with too few, 1, which takes the visits' errors as independent."""
    is_known = ~np.isnan(score)
    quantile = conformal.quantile(score[is_known], person[np.nonzero(is_known)[0]].astype(str), level / 100)
    return quantile if np.isfinite(quantile) else 1.0


def verdicts(limits: Bounds, sdc: float) -> np.ndarray:
    """(n,) verdicts on the total, from VERDICTS.

    progressed: the interval lies above 0. not progressed: it ends below the smallest detectable change. cannot tell: all others,
    and pairs without an interval.
    """
    low, high = limits.low[:, 0], limits.high[:, 0]
    return np.select([low > 0, high < sdc], [VERDICTS[0], VERDICTS[2]], VERDICTS[1])
