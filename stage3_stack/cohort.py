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
from stage3_stack.predictions import SITE_OF, Member, joined, load_member

TARGETS = ("total", *FINDINGS)  # the three Overall columns, as OVERALL orders them
MAX_GRADES = np.array([s.max_grade for s in SITES], dtype=float)
FINDING_SITES = {f: np.array([j for j, s in enumerate(SITES) if s.finding == f]) for f in FINDINGS}


@dataclass
class Cohort:
    """n patients, of whom the first n_train have targets. person and fold are (n_train,); grades (n_train, 86) and totals
    (n_train, 3: total, erosion, narrowing) are NaN where not scored; weight is the challenge's, of a patient without a total by
    the sum of the grades that he has."""

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
    def scored(self) -> np.ndarray:
        """(86,) whether the set scores the site: whether any training patient has a target there."""
        return ~np.isnan(self.grades).all(axis=0)

    @property
    def train(self) -> np.ndarray:
        return np.arange(self.n_train)

    @property
    def test(self) -> np.ndarray:
        return np.arange(self.n_train, len(self.patients))


def load(data: str, members: tuple[str, ...], *, joints: bool = True) -> Cohort:
    """Read a prepared set and the tables of its members; UserError or ContractError says what is missing.

    `joints` refuses members of whom none scores joints, without which there is nothing to stack.
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


def trained_on(folder: Path) -> str | None:
    """The set that a finished run of stage 3 was trained on, where it was applied to another; else None."""
    record = folder / "run.json"
    return json.loads(record.read_text()).get("trained") if record.is_file() else None


def with_others(cohort: Cohort, data: str) -> Cohort:
    """The same training patients, with every patient of another prepared set in place of the test patients.

    Of the other set are read who its patients are and what the members' runs, applied to it, say of them in test.parquet; its
    targets are not.
    """
    sites = tables.SITES.read(paths.sites(data))
    people = sites.drop_duplicates("patient_id").set_index("patient_id").sort_index()
    n = cohort.n_train
    loaded = [load_member(data, m.name, people.index, 0, m.stage) for m in cohort.members]
    return replace(
        cohort,
        patients=np.concatenate([cohort.patients[:n], people.index.to_numpy()]),
        visit=np.concatenate([cohort.visit[:n], people.visit.to_numpy()]),
        members=[joined(ours, n, theirs) for ours, theirs in zip(cohort.members, loaded, strict=True)],
    )


def targets(sites: pd.DataFrame, train: pd.Index) -> tuple[np.ndarray, np.ndarray]:
    """grades and totals; a total that the reader did not give is the sum of the grades given, NaN when a whole limb is without
    any that others have: films of hands alone tell no total of hands and feet."""
    place = train.get_indexer(sites.patient_id)
    wide, given = np.full((len(train), len(SITES)), np.nan), np.full((len(train), len(TARGETS)), np.nan)
    for array, part, column in (
        (wide, sites.part != ALL_PARTS, [SITE_OF.get(k, -1) for k in zip(sites.part, sites.site, strict=True)]),
        (given, sites.part == ALL_PARTS, [TARGETS.index(f) for f in sites.finding]),
    ):
        use = part.to_numpy() & (place >= 0) & (np.array(column) >= 0)
        array[place[use], np.array(column)[use]] = sites.target.to_numpy()[use]
    known = ~np.isnan(wide)
    limbs = [np.array([s.part == part and s.finding == f for s in SITES]) for part in PARTS for f in FINDINGS]
    lacking = np.any([known[:, own].any() & ~known[:, own].any(axis=1) for own in limbs], axis=0)
    return wide, np.where(np.isnan(given), np.where(lacking[:, None], np.nan, _sums(wide)), given)


def _sums(grades: np.ndarray) -> np.ndarray:
    """(n, 3) total, erosion and narrowing of the grades given; NaN where there is none."""
    sums = pd.DataFrame({f: pd.DataFrame(grades[:, own]).sum(axis=1, min_count=1) for f, own in FINDING_SITES.items()})
    sums.insert(0, "total", sums.sum(axis=1, min_count=1))
    return sums.to_numpy()
