"""A set's patients and the readers' targets as arrays: patients x 86 sites, in anatomy.SITES order.

Axis 0 is always all patients of the set, training patients first; targets exist for the training patients alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ra import folds, paths, tables
from ra.anatomy import ALL_PARTS, FINDINGS, PARTS, SITES
from ra.challenge_scores import patient_weight
from ra.config import UserError
from stage3_stack.predictions import SITE_OF, MemberPredictions, concatenate, load_member

TARGETS = ("total", *FINDINGS)  # the three Overall columns, as OVERALL orders them
MAX_GRADES = np.array([s.max_grade for s in SITES], dtype=float)
FINDING_SITES = {f: np.array([j for j, s in enumerate(SITES) if s.finding == f]) for f in FINDINGS}


@dataclass
class Cohort:
    """n patients, of whom the first n_train have targets.

    patients and visit are (n,), person and fold (n_train,). grades (n_train, 86) and totals (n_train, 3: total, erosion,
    narrowing) are NaN where not scored. weight (n_train,) is the challenge's patient weight; without a total it is computed from
    the sum of the patient's scored sites.
    """

    patients: np.ndarray
    visit: np.ndarray
    person: np.ndarray
    fold: np.ndarray
    grades: np.ndarray
    totals: np.ndarray
    weight: np.ndarray
    members: list[MemberPredictions]

    @property
    def n_train(self) -> int:
        """Number of training patients."""
        return len(self.fold)

    @property
    def scored(self) -> np.ndarray:
        """(86,) True for a site that the set scores, which means that a training patient has a target there."""
        return ~np.isnan(self.grades).all(axis=0)

    @property
    def train(self) -> np.ndarray:
        """Indices of the training patients."""
        return np.arange(self.n_train)

    @property
    def test(self) -> np.ndarray:
        """Indices of the test patients."""
        return np.arange(self.n_train, len(self.patients))


def load(data: str, members: tuple[str, ...], *, joints: bool = True) -> Cohort:
    """Read a prepared set and the tables of its members; a UserError or ContractError names what is missing.

    With `joints`, at least one member must score joints, because other members alone cannot be stacked.
    """
    sites, fold = tables.SITES.read(paths.sites(data)), folds.load(data)
    people = sites.drop_duplicates("patient_id").set_index("patient_id").sort_index()
    train = people.index[people.split == "train"]
    lacking = train.difference(fold.index)
    if len(lacking):
        raise UserError(f"{paths.folds(data)} lacks training patient {lacking[0]}; make the folds of {data} again")
    patients = train.append(people.index[people.split == "test"])
    grades, totals = targets(sites, train)
    loaded = [load_member(data, name, patients, len(train)) for name in members]
    if joints and all(m.moments is None for m in loaded):
        raise UserError(f"none of the members {', '.join(members)} scores joints; add a joint member of stage 2 to the config")
    return Cohort(
        patients=patients.to_numpy(),
        visit=people.visit.loc[patients].to_numpy(),
        person=people.person_id.loc[train].to_numpy(),
        fold=fold.loc[train].to_numpy(),
        grades=grades,
        totals=totals,
        weight=patient_weight(np.round(np.where(np.isnan(totals[:, 0]), _sums(grades)[:, 0], totals[:, 0]))),
        members=loaded,
    )


def person_ids(data: str, patients: np.ndarray) -> np.ndarray:
    """(n,) person_id of patients of a prepared set."""
    people = tables.SITES.read(paths.sites(data)).drop_duplicates("patient_id").set_index("patient_id").person_id
    return people.loc[patients].to_numpy()


def trained_on(folder: Path) -> str | None:
    """The set on which a run was trained, for the folder of a run that was applied to another set; else None."""
    record = folder / "run.json"
    return json.loads(record.read_text()).get("trained") if record.is_file() else None


def with_patients_of(cohort: Cohort, data: str) -> Cohort:
    """A cohort with the same training patients, but with all patients of another prepared set as its test patients.

    Only the other set's list of patients and its members' test.parquet are read, never its targets.
    """
    sites = tables.SITES.read(paths.sites(data))
    people = sites.drop_duplicates("patient_id").set_index("patient_id").sort_index()
    n = cohort.n_train
    applied = [load_member(data, m.name, people.index, 0, m.stage) for m in cohort.members]
    return replace(
        cohort,
        patients=np.concatenate([cohort.patients[:n], people.index.to_numpy()]),
        visit=np.concatenate([cohort.visit[:n], people.visit.to_numpy()]),
        members=[concatenate(member, n, other) for member, other in zip(cohort.members, applied, strict=True)],
    )


def targets(sites: pd.DataFrame, train: pd.Index) -> tuple[np.ndarray, np.ndarray]:
    """grades (n, 86) and totals (n, 3) of the training patients.

    If the reader gave no total, it is the sum of the given grades. It stays NaN for a patient who lacks all sites of a part and
    finding that other patients have, because films of the hands alone do not give a total of hands and feet.
    """
    row = train.get_indexer(sites.patient_id)
    grades, totals = np.full((len(train), len(SITES)), np.nan), np.full((len(train), len(TARGETS)), np.nan)
    site_column = np.array([SITE_OF.get(key, -1) for key in zip(sites.part, sites.site, strict=True)])
    total_column = np.array([TARGETS.index(finding) for finding in sites.finding])
    is_total = (sites.part == ALL_PARTS).to_numpy()
    for array, wanted, column in ((grades, ~is_total & (site_column >= 0), site_column), (totals, is_total, total_column)):
        use = wanted & (row >= 0)
        array[row[use], column[use]] = sites.target.to_numpy()[use]
    known = ~np.isnan(grades)
    groups = [np.array([s.part == part and s.finding == finding for s in SITES]) for part in PARTS for finding in FINDINGS]
    lacking = np.any([known[:, group].any() & ~known[:, group].any(axis=1) for group in groups], axis=0)
    return grades, np.where(np.isnan(totals), np.where(lacking[:, None], np.nan, _sums(grades)), totals)


def _sums(grades: np.ndarray) -> np.ndarray:
    """(n, 3) total, erosion and narrowing of the given grades; NaN where none is given."""
    sums = pd.DataFrame({f: pd.DataFrame(grades[:, sites]).sum(axis=1, min_count=1) for f, sites in FINDING_SITES.items()})
    sums.insert(0, "total", sums.sum(axis=1, min_count=1))
    return sums.to_numpy()
