"""The predictions on Ratingen's scale: a grade 0..5 for each of 34 joints, and the Rau score of all joints with its interval.

Ratingen grades a joint by the share of its surface that is eroded: 0 none, 1 up to 20 %, 2 up to 40 % and so on. If members of
stage 2 were trained on such grades, their predictions are used. Otherwise the SvdH erosion grades are converted. A joint's share
is 20 % per grade of a hand's site and 10 % per grade of a foot's site; the share of the wrist is the mean over its six sites. An
isotonic regression for each kind of joint (finger, wrist, toe) maps the share to reader 1's mean Ratingen grade; for a training
patient it is fitted on the other folds. If the set has no Ratingen grades, reader 1's SvdH grades are converted with the same
shares.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from evaluation import ratingen
from evaluation.raters import MODEL, READER1, Raters
from ra import clinical, paths
from ra.anatomy import SITES, WRIST, limb
from ra.clinical import RAU_FACTOR, RAU_MAX_GRADE, RAU_SITES
from ra.tables import LEVELS
from stage3_stack.uncertainty import conformal

PER_GRADE = {"hand": 20.0, "foot": 10.0}  # percent of surface per SvdH grade, as in the synthetic cohort
KINDS = np.array([WRIST if joint == WRIST else {"hand": "finger", "foot": "toe"}[limb(part)] for part, joint in RAU_SITES])
MAXIMUM = float(RAU_FACTOR * RAU_MAX_GRADE)
GIVEN, CONVERTED = "given", "converted"  # where reader 1's grades come from


@dataclass(frozen=True)
class RatingenScores:
    """Ratingen grades of n sets of films.

    model, reader (n, 34): the model's expected and reader 1's whole grades in RAU_SITES order; NaN where not scored. runs: the
    members that predicted `model`; () if it was converted from SvdH grades. readers: GIVEN or CONVERTED, the origin of `reader`.
    low, high (n, levels): the interval of the model's Rau score at tables.LEVELS.
    """

    model: np.ndarray
    reader: np.ndarray
    runs: tuple[str, ...]
    readers: str
    low: np.ndarray
    high: np.ndarray

    @property
    def whole(self) -> np.ndarray:
        """(n, 34) the model's grades rounded to integers, as a reader writes them."""
        return np.floor(self.model + 0.5)


def scores(raters: Raters) -> RatingenScores | None:
    """The Ratingen grades of every patient; None if the run has neither SvdH erosion grades nor Ratingen members."""
    reader, readers = _reader(raters)
    runs = members(raters)
    model = _predictions(raters, runs) if runs else translate(converted(raters.by[MODEL].grades), reader, raters.fold)
    if np.isnan(model).all():
        return None
    low, high = intervals(rau(model), rau(reader), raters.person, raters.fold)
    return RatingenScores(model, reader, runs, readers, low, high)


def rau(grades: np.ndarray) -> np.ndarray:
    """(n,) Rau scores 0..190 of grades (n, 34): 38 x the mean of the scored joints (ra.clinical.rau); NaN if none is scored."""
    return np.array([clinical.rau(dict(zip(RAU_SITES, row, strict=True))).score for row in grades])


def converted(grades: np.ndarray) -> np.ndarray:
    """(n, 34) eroded percent of the surface for SvdH grades (n, 86); NaN if more than half of a joint's sites lack a grade."""
    percent, n_scored = np.zeros((2, len(grades), len(RAU_SITES)))
    n_sites = np.zeros(len(RAU_SITES))
    for grade, site in zip(grades.T, SITES, strict=True):
        if site.finding == "erosion":
            joint = RAU_SITES.index((site.part, WRIST if site.joint.startswith(WRIST) else site.joint))
            n_sites[joint] += 1
            n_scored[:, joint] += ~np.isnan(grade)
            percent[:, joint] += np.nan_to_num(grade) * PER_GRADE[limb(site.part)]
    return np.where(2 * n_scored < n_sites, np.nan, percent / np.maximum(n_scored, 1))


def translate(percent: np.ndarray, reader: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """(n, 34) expected grades for percentages (n, 34), from a fit to reader 1's grades (n, 34) of the other folds.

    fold (n,) is -1 for test patients, whose fit uses all training patients. NaN for a kind of joint without training grades.
    """
    from sklearn.isotonic import IsotonicRegression

    out = np.full(percent.shape, np.nan)
    for k in np.unique(fold):
        others = (fold >= 0) & (fold != k)
        for kind in np.unique(KINDS):
            joints = kind == KINDS
            x, y = percent[np.ix_(others, joints)], reader[np.ix_(others, joints)]
            both = ~(np.isnan(x) | np.isnan(y))
            if not both.any():
                continue
            curve = IsotonicRegression(y_min=0, y_max=RAU_MAX_GRADE, out_of_bounds="clip").fit(x[both], y[both])
            held_out = np.ix_(fold == k, joints)
            share = percent[held_out]
            grade = curve.predict(np.nan_to_num(share).ravel()).reshape(share.shape)
            out[held_out] = np.where(np.isnan(share), np.nan, grade)
    return out


def intervals(model: np.ndarray, reader: np.ndarray, person: np.ndarray, fold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Conformal low, high (n, levels) of Rau scores (n,), from the other folds' residuals; their spread depends on the score."""
    if np.isnan(model).all() or np.isnan(reader).all():
        return tuple(np.full((2, len(model), len(LEVELS)), np.nan))
    column = model[:, None]
    stratum = conformal.Stratum("rau", column, reader[:, None], np.array([MAXIMUM]), np.log1p(column)[..., None])
    low, high, _ = conformal.cross_fitted(stratum, person, fold)
    return low[:, 0], high[:, 0]


def members(raters: Raters) -> tuple[str, ...]:
    """The run's Ratingen members if it has any, else the set's best finished member out of fold, else ()."""
    if raters.ratingen:
        return raters.ratingen
    records = paths.run_dir(raters.data, 2, "*").parent.glob("*/run.json")
    finished = sorted(path.parent.name for path in records if _is_ratingen(path))
    if not finished:
        return ()
    best = ratingen.Study(raters.data, finished, ratingen.readings(raters.data, None)).best()
    return (best,) if best else ()


def _is_ratingen(record: Path) -> bool:
    """Whether a finished run of stage 2 is a Ratingen member."""
    saved = record.with_name("config.yaml")
    return saved.is_file() and (yaml.safe_load(saved.read_text()) or {}).get("kind") == "ratingen"


def _predictions(raters: Raters, runs: tuple[str, ...]) -> np.ndarray:
    """(n, 34) the most probable grades of the members' mean distribution."""
    out = np.full((len(raters.patients), len(RAU_SITES)), np.nan)
    for split in np.unique(raters.split):
        rows = np.flatnonzero(raters.split == split)
        keys = [(patient, *site) for patient in raters.patients[rows] for site in RAU_SITES]
        index = pd.MultiIndex.from_tuples(keys, names=ratingen.KEY)
        out[rows] = ratingen.predict(raters.data, runs, split, index).grade.reshape(len(rows), -1)
    return out


def _reader(raters: Raters) -> tuple[np.ndarray, str]:
    """(n, 34) reader 1's grades, and where they come from."""
    readings = ratingen.readings(raters.data, None)
    if not readings:
        return clinical.percents2grades(converted(raters.by[READER1].whole)), CONVERTED
    column_of = {site: j for j, site in enumerate(RAU_SITES)}
    out, patients = np.full((len(raters.patients), len(RAU_SITES)), np.nan), pd.Index(raters.patients)
    for reading in readings.values():
        patient, part, joint = (reading.reader1.index.get_level_values(name) for name in ratingen.KEY)
        row, column = patients.get_indexer(patient), np.array([column_of[key] for key in zip(part, joint, strict=True)])
        in_set = row >= 0
        out[row[in_set], column[in_set]] = reading.reader1.grade.to_numpy()[in_set]
    return out, GIVEN
