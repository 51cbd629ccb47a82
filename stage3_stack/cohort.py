"""Members' tables and the readers' targets as arrays: patients x 86 sites, in anatomy.SITES order.

Axis 0 is always all patients of the set, training patients first; targets exist for the training patients alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ra import folds, paths, tables
from ra.anatomy import ALL_PARTS, FINDINGS, PARTS, SITES, TOTAL
from ra.config import UserError
from ra.metrics import log_score, patient_weight
from ra.tables import PROBABILITIES

TARGETS = ("total", *FINDINGS)  # the three Overall columns, as OVERALL orders them
MOMENTS = ("elog", "grade", "any", "spread")  # E[L(y)], E[y], P(y > 0), SD(y)
SITE_OF = {(s.part, s.site): j for j, s in enumerate(SITES)}
FILM_OF = {(part, finding): i for i, (part, finding) in enumerate((p, f) for p in PARTS for f in FINDINGS)}
MAX_GRADES = np.array([s.max_grade for s in SITES], dtype=float)
FINDING_SITES = {f: np.array([j for j, s in enumerate(SITES) if s.finding == f]) for f in FINDINGS}


@dataclass
class Member:
    """moments (n, 86, 4) and template (n, 86; the box was the template's) of a joint member; films (n, 8) part totals of a
    whole-film member, NaN where a film is missing. What a member does not predict is None."""

    name: str
    moments: np.ndarray | None
    template: np.ndarray | None
    films: np.ndarray | None


@dataclass
class Cohort:
    """n patients, of whom the first n_train have targets. person and fold are (n_train,); grades (n_train, 86) and totals
    (n_train, 3: total, erosion, narrowing) are NaN where not scored; weight is the challenge's."""

    patients: np.ndarray
    visit: np.ndarray
    person: np.ndarray
    fold: np.ndarray
    grades: np.ndarray
    totals: np.ndarray
    weight: np.ndarray
    members: list[Member]

    @property
    def n_train(self) -> int:
        return len(self.fold)

    @property
    def train(self) -> np.ndarray:
        return np.arange(self.n_train)

    @property
    def test(self) -> np.ndarray:
        return np.arange(self.n_train, len(self.patients))


def load(data: str, members: tuple[str, ...]) -> Cohort:
    """Read a prepared set and the tables of its members; UserError or ContractError says what is missing."""
    sites, fold = tables.SITES.read(paths.sites(data)), folds.load(data)
    people = sites.drop_duplicates("patient_id").set_index("patient_id").sort_index()
    train = people.index[people.split == "train"]
    lacking = train.difference(fold.index)
    if len(lacking):
        raise UserError(f"{paths.folds(data)} lacks training patient {lacking[0]}; make the folds of {data} again")
    patients = train.append(people.index[people.split == "test"])
    grades, totals = _targets(sites, train)
    loaded = [load_member(data, name, patients, len(train)) for name in members]
    if all(m.moments is None for m in loaded):
        raise UserError(f"none of the members {', '.join(members)} scores joints; add a joint member of stage 2 to the config")
    return Cohort(
        patients=patients.to_numpy(),
        visit=people.visit.loc[patients].to_numpy(),
        person=people.person_id.loc[train].to_numpy(),
        fold=fold.loc[train].to_numpy(),
        grades=grades,
        totals=totals,
        weight=patient_weight(np.round(totals[:, 0])),
        members=loaded,
    )


def _targets(sites: pd.DataFrame, train: pd.Index) -> tuple[np.ndarray, np.ndarray]:
    """grades and totals; a total that the reader did not give is the sum of the grades given (NaN when there is none)."""
    place = train.get_indexer(sites.patient_id)
    wide, given = np.full((len(train), len(SITES)), np.nan), np.full((len(train), len(TARGETS)), np.nan)
    for array, part, column in (
        (wide, sites.part != ALL_PARTS, [SITE_OF.get(k, -1) for k in zip(sites.part, sites.site, strict=True)]),
        (given, sites.part == ALL_PARTS, [TARGETS.index(f) for f in sites.finding]),
    ):
        use = part.to_numpy() & (place >= 0) & (np.array(column) >= 0)
        array[place[use], np.array(column)[use]] = sites.target.to_numpy()[use]
    sums = pd.DataFrame({f: pd.DataFrame(wide[:, s]).sum(axis=1, min_count=1) for f, s in FINDING_SITES.items()})
    sums.insert(0, "total", sums.sum(axis=1, min_count=1))
    return wide, np.where(np.isnan(given), sums.to_numpy(), given)


def load_member(data: str, run: str, patients: pd.Index, n_train: int) -> Member:
    """Out-of-fold rows of the training patients, and the mean over fold models of the test rows."""
    parts = []
    for split, wanted in (("oof", patients[:n_train]), ("test", patients[n_train:])):
        path = paths.scores(data, 2, run, split)
        table = tables.SCORES.read(path)
        lacking = wanted.difference(table.patient_id.unique())
        if len(lacking):
            raise tables.ContractError(f"{path}: {len(lacking)} patients have no row, the first is {lacking[0]}; predict again")
        if split == "oof":
            key = ["patient_id", "part", "site", "finding"]
            tables.check_coverage(table, table.loc[table.patient_id.isin(wanted), key], str(path))
        parts.append(table[table.patient_id.isin(patients)])
    table = pd.concat(parts)
    row = patients.get_indexer(table.patient_id)
    film = (table.site == TOTAL).to_numpy() & (table.part != ALL_PARTS).to_numpy()
    site = (table.site != TOTAL).to_numpy()
    moments = template = films = None
    if site.any():
        column = np.array([SITE_OF[k] for k in zip(table.part[site], table.site[site], strict=True)])
        moments, template = _site_arrays(table[site], row[site], column, len(patients))
    if film.any():
        column = np.array([FILM_OF[k] for k in zip(table.part[film], table.finding[film], strict=True)])
        films = _mean(table.pred.to_numpy()[film, None], row[film], column, (len(patients), len(FILM_OF)))[..., 0]
    return Member(run, moments, template, films)


def _site_arrays(table: pd.DataFrame, row: np.ndarray, column: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    shape = (n, len(SITES))
    values = table[["pred", *PROBABILITIES]].to_numpy()
    mean = _mean(values, row, column, shape)
    source = (table.box_source == "template").to_numpy(float)[:, None]
    return moments_of(mean[..., 0], mean[..., 1:]), _mean(source, row, column, shape)[..., 0]


def _mean(values: np.ndarray, row: np.ndarray, column: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(rows, v) scattered to (*shape, v), the mean over repeated cells (fold models) of what is not NaN."""
    flat = row * shape[1] + column
    total, count = (np.zeros((shape[0] * shape[1], values.shape[1])) for _ in range(2))
    np.add.at(total, flat, np.nan_to_num(values))
    np.add.at(count, flat, ~np.isnan(values))
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0).reshape(*shape, -1)


def moments_of(pred: np.ndarray, p: np.ndarray) -> np.ndarray:
    """(n, 86, 4) MOMENTS of distributions p (n, 86, 11); a member without distributions gives L(pred) and pred alone."""
    grade = np.arange(p.shape[-1])
    known = ~np.isnan(p[..., 0])
    q = np.where(known[..., None], np.nan_to_num(p), np.nan)
    elog, mean = q @ log_score(grade), q @ grade
    spread = np.sqrt(np.maximum(q @ np.square(grade) - np.square(mean), 0))
    return np.stack([np.where(known, elog, log_score(pred)), np.where(known, mean, pred), 1 - p[..., 0], spread], axis=-1)
