"""The same reading on Ratingen's scale: a grade 0..5 for each of 34 joints, and their sum, the Rau score, with its interval.

Ratingen grades a joint by the share of its surface that is eroded: 0 none, 1 up to 20 %, 2 up to 40 % and so on. Where members of
stage 2 learned such grades they answer. Otherwise the erosion grades of the SvdH reading are translated: a joint's share is
20 % per grade of a hand's site and 10 % of a foot's, the wrist's the mean of its six sites, and an isotonic regression for each
kind of joint (finger, wrist, toe) takes that share to reader 1's mean Ratingen grade. It is cross-fitted: of a training patient
it knows the other folds alone. Where the set has no Ratingen grades, reader 1's are his SvdH grades by that same share.
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

PER_GRADE = {"hand": 20.0, "foot": 10.0}  # percent of surface, as the synthetic cohort has it too
KINDS = np.array([WRIST if joint == WRIST else {"hand": "finger", "foot": "toe"}[limb(part)] for part, joint in RAU_SITES])
MAXIMUM = float(RAU_FACTOR * RAU_MAX_GRADE)
GIVEN, CONVERTED = "given", "converted"  # where reader 1's grades come from


@dataclass(frozen=True)
class Eroded:
    """n sets of films. model, reader (n, 34): Ratingen grades in RAU_SITES order, the model's expected ones, reader 1's whole;
    NaN where not scored. runs: whose answers the model's are, () if translated. readers: GIVEN or CONVERTED. low, high
    (n, levels): the interval of the model's Rau score at tables.LEVELS."""

    model: np.ndarray
    reader: np.ndarray
    runs: tuple[str, ...]
    readers: str
    low: np.ndarray
    high: np.ndarray

    @property
    def whole(self) -> np.ndarray:
        """(n, 34) the model's grades as a reader would write them down."""
        return np.floor(self.model + 0.5)


def read(raters: Raters) -> Eroded | None:
    """Of every patient of a set; None where neither SvdH erosion grades nor Ratingen members tell anything."""
    reader, readers = _reader(raters)
    runs = members(raters)
    model = _answers(raters, runs) if runs else translate(converted(raters.by[MODEL].grades), reader, raters.fold)
    if np.isnan(model).all():
        return None
    low, high = intervals(rau(model), rau(reader), raters.person, raters.fold)
    return Eroded(model, reader, runs, readers, low, high)


def rau(grades: np.ndarray) -> np.ndarray:
    """(n,) Rau scores 0..190 of grades (n, 34): 38 x the mean of those scored (ra.clinical.rau); NaN where none is."""
    return np.array([clinical.rau(dict(zip(RAU_SITES, row, strict=True))).score for row in grades])


def converted(grades: np.ndarray) -> np.ndarray:
    """(n, 34) percent of surface of SvdH grades (n, 86); NaN where more than half of a joint's sites have no grade."""
    percent, count = np.zeros((2, len(grades), len(RAU_SITES)))
    sites = np.zeros(len(RAU_SITES))
    for own, site in zip(grades.T, SITES, strict=True):
        if site.finding == "erosion":
            joint = RAU_SITES.index((site.part, WRIST if site.joint.startswith(WRIST) else site.joint))
            sites[joint] += 1
            count[:, joint] += ~np.isnan(own)
            percent[:, joint] += np.nan_to_num(own) * PER_GRADE[limb(site.part)]
    return np.where(2 * count < sites, np.nan, percent / np.maximum(count, 1))


def translate(percent: np.ndarray, reader: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """(n, 34) expected grades of percentages (n, 34), as fitted to reader 1's grades (n, 34) of the other folds; fold (n,) is -1
    of test patients, for whom all training patients teach. NaN for a kind of joint that nobody taught."""
    from sklearn.isotonic import IsotonicRegression

    out = np.full(percent.shape, np.nan)
    for k in np.unique(fold):
        others = (fold >= 0) & (fold != k)
        for kind in np.unique(KINDS):
            joints = kind == KINDS
            x, y = percent[np.ix_(others, joints)], reader[np.ix_(others, joints)]
            known = ~(np.isnan(x) | np.isnan(y))
            if not known.any():
                continue
            curve = IsotonicRegression(y_min=0, y_max=RAU_MAX_GRADE, out_of_bounds="clip").fit(x[known], y[known])
            own = np.ix_(fold == k, joints)
            seen = ~np.isnan(percent[own])
            out[own] = np.where(seen, curve.predict(np.nan_to_num(percent[own]).ravel()).reshape(seen.shape), np.nan)
    return out


def intervals(model: np.ndarray, reader: np.ndarray, person: np.ndarray, fold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """low, high (n, levels) of Rau scores (n,): conformal, the residuals of the other folds over a spread that grows with it."""
    if np.isnan(model).all() or np.isnan(reader).all():
        return tuple(np.full((2, len(model), len(LEVELS)), np.nan))
    column = model[:, None]
    stratum = conformal.Stratum("rau", column, reader[:, None], np.array([MAXIMUM]), np.log1p(column)[..., None])
    low, high, _ = conformal.cross_fitted(stratum, person, fold)
    return low[:, 0], high[:, 0]


def members(raters: Raters) -> tuple[str, ...]:
    """The run's own Ratingen members if it names them, else the best of the set's finished ones out of fold, else nobody."""
    if raters.ratingen:
        return raters.ratingen
    found = sorted(path.parent.name for path in paths.run_dir(raters.data, 2, "*").parent.glob("*/run.json") if _grades(path))
    if not found:
        return ()
    best = ratingen.Study(raters.data, found, ratingen.readings(raters.data, None)).best()
    return (best,) if best else ()


def _grades(record: Path) -> bool:
    """Whether a finished run of stage 2 is a Ratingen member."""
    saved = record.with_name("config.yaml")
    return saved.is_file() and (yaml.safe_load(saved.read_text()) or {}).get("kind") == "ratingen"


def _answers(raters: Raters, runs: tuple[str, ...]) -> np.ndarray:
    """(n, 34) the likeliest grades of Ratingen members, their distributions averaged."""
    out = np.full((len(raters.patients), len(RAU_SITES)), np.nan)
    for split in np.unique(raters.split):
        rows = np.flatnonzero(raters.split == split)
        places = [(patient, *site) for patient in raters.patients[rows] for site in RAU_SITES]
        index = pd.MultiIndex.from_tuples(places, names=ratingen.KEY)
        out[rows] = ratingen.predict(raters.data, runs, split, index).grade.reshape(len(rows), -1)
    return out


def _reader(raters: Raters) -> tuple[np.ndarray, str]:
    """(n, 34) reader 1's grades, and where they come from."""
    found = ratingen.readings(raters.data, None)
    if not found:
        return clinical.percents2grades(converted(raters.by[READER1].whole)), CONVERTED
    column = {site: j for j, site in enumerate(RAU_SITES)}
    out, rows = np.full((len(raters.patients), len(RAU_SITES)), np.nan), pd.Index(raters.patients)
    for own in found.values():
        patient, part, joint = (own.reader1.index.get_level_values(name) for name in ratingen.KEY)
        row, place = rows.get_indexer(patient), np.array([column[key] for key in zip(part, joint, strict=True)])
        known = row >= 0
        out[row[known], place[known]] = own.reader1.grade.to_numpy()[known]
    return out, GIVEN
