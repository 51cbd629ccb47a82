"""Everything that is known of a set's patients, rater by rater: what all evidence is computed from.

Raters are the model (the run's reading: out of fold for training patients; what could not be scored is NaN), reader 1 (the
targets; of test patients the set's gold.csv), reader 2 (reader2.csv) and the truth behind a synthetic reader (truth.csv).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ra import folds, paths, tables
from ra.anatomy import ALL_PARTS, BOTH_HANDS, SITES, TOTAL, limb
from ra.config import UserError
from stage3_stack import submission
from stage3_stack.cohort import TARGETS
from stage3_stack.predictions import SITE_OF, load_member

MODEL, READER1, READER2, TRUTH = "model", "reader 1", "reader 2", "truth"
SPLITS = {"oof": "out of fold", "test": "test"}  # and how the page calls them


@dataclass(frozen=True)
class Rater:
    """grades (n, 86) in anatomy.SITES order and totals (n, 3: total, erosion, narrowing); NaN where not scored."""

    grades: np.ndarray
    totals: np.ndarray

    def take(self, rows: np.ndarray) -> Rater:
        return Rater(self.grades[rows], self.totals[rows])

    @property
    def whole(self) -> np.ndarray:
        """(n, 86) integer grades, as a reader would write them down: half a grade is rounded up; NaN stays NaN."""
        return np.floor(self.grades + 0.5)


@dataclass(frozen=True)
class Raters:
    """n sets of films, training patients first. `by` has a Rater per name above, of the same n rows; all NaN rows where a rater
    did not see a patient. belief (n, 86, 11): mean over the joint members of their distributions over grades, NaN where none saw
    the joint; None without joint members. reading: the PREDICTION_INTERVALS rows of all of them (tables.PREDICTION_INTERVALS). ratingen: of a set that is
    scored joint by joint the runs of stage 2 whose Ratingen grades are its answers; nobody of it has SvdH grades.
    """

    data: str
    run: str
    patients: np.ndarray
    person: np.ndarray
    visit: np.ndarray
    split: np.ndarray
    fold: np.ndarray
    by: dict[str, Rater]
    belief: np.ndarray | None = None
    reading: pd.DataFrame = field(default_factory=pd.DataFrame)
    ratingen: tuple[str, ...] = ()

    def take(self, rows: np.ndarray) -> Raters:
        """The same of some rows (indices or a mask), in that order."""
        keep = np.arange(len(self.patients))[rows]
        arrays = {name: getattr(self, name)[keep] for name in ("patients", "person", "visit", "split", "fold")}
        arrays["belief"] = None if self.belief is None else self.belief[keep]
        reading = self.reading
        if len(reading):
            reading = reading[reading.patient_id.isin(arrays["patients"])].reset_index(drop=True)
        return replace(self, **arrays, by={name: rater.take(keep) for name, rater in self.by.items()}, reading=reading)

    def of(self, split: str) -> Raters:
        """The rows of a split; `all` keeps every row."""
        return self if split == "all" else self.take(self.split == split)

    @property
    def splits(self) -> list[str]:
        """The splits in which reader 1 scored anybody."""
        known = ~np.isnan(np.concatenate([self.by[READER1].grades, self.by[READER1].totals], axis=1)).all(axis=1)
        return [split for split in SPLITS if known[self.split == split].any()]

    @property
    def names(self) -> list[str]:
        """The raters who scored anything, in the order above."""
        return [name for name, rater in self.by.items() if not (np.isnan(rater.grades).all() and np.isnan(rater.totals).all())]

    def with_model(self, grades: np.ndarray, totals: np.ndarray) -> Raters:
        """The same patients and readers with another model's answers: what a broken one looks like."""
        return replace(self, by=self.by | {MODEL: Rater(grades, totals)})


def load(data: str, run: str) -> Raters:
    """Of a finished run of stage 3 and its reading (stage3_stack.intervals)."""
    reading = pd.concat(
        [tables.PREDICTION_INTERVALS.read(paths.prediction_intervals(data, run, split)) for split in SPLITS], ignore_index=True
    )
    if reading.empty:
        raise UserError(f"{paths.prediction_intervals(data, run, 'oof')} is empty; run stage3_stack.intervals again")
    people = reading.drop_duplicates("patient_id")
    patients = pd.Index(people.patient_id)
    first = _targets(data, patients)
    read = set(zip(reading.part, reading.site, strict=True))  # of an applied run, all that is known of what is scored
    scored = ~np.isnan(first.grades).all(axis=0) | np.array([(s.part, s.site) in read for s in SITES])
    train, gold = (people.split == "oof").to_numpy()[:, None], _csv(paths.reader(data, "gold"), patients, scored)
    first = Rater(np.where(train, first.grades, gold.grades), np.where(train, first.totals, gold.totals))
    by = {MODEL: _model(reading, patients), READER1: first}
    by |= {name: _csv(paths.reader(data, file), patients, scored) for name, file in ((READER2, "reader2"), (TRUTH, "truth"))}
    if (reading.part == BOTH_HANDS).any():
        by |= {name: _of_hands(rater) for name, rater in by.items() if name != MODEL}
        of_train, of_test = (_given(path, patients) for path in (paths.sites(data), paths.work(data) / "gold.parquet"))
        totals = by[READER1].totals  # the sums of his grades, else what the set gives
        totals[:, 0] = np.where(np.isnan(totals[:, 0]), np.where(train[:, 0], of_train, of_test), totals[:, 0])
    n_train = int(train.sum())
    return Raters(
        data,
        run,
        *(people[column].to_numpy() for column in ("patient_id", "person_id", "visit", "split", "fold")),
        by,
        _belief(data, run, patients, n_train),
        reading,
    )


def of_crops(data: str, name: str, runs: tuple[str, ...]) -> Raters:
    """Of a set of joint crops and its Ratingen runs of stage 2 (stage3_stack.visits); `name` is the report's."""
    people = tables.SITES.read(paths.sites(data)).drop_duplicates("patient_id")
    people = people.sort_values(["split", "patient_id"], ascending=[False, True])
    fold = people.patient_id.map(folds.load(data)).fillna(-1).astype(int).to_numpy()
    n = len(people)
    nobody = Rater(np.full((n, len(SITES)), np.nan), np.full((n, len(TARGETS)), np.nan))
    columns = (people[column].to_numpy() for column in ("patient_id", "person_id", "visit"))
    split = np.where(people.split == "test", "test", "oof").astype(object)
    return Raters(data, name, *columns, split, fold, dict.fromkeys((MODEL, READER1, READER2, TRUTH), nobody), ratingen=runs)


def _of_hands(rater: Rater) -> Rater:
    """The same reader beside a run that reads both hands alone: totals of the hands' sites, NaN where one is not scored."""
    erosion, hands = np.array([[s.finding == "erosion", limb(s.part) == "hand"] for s in SITES]).T
    own = (hands, hands & erosion, hands & ~erosion)
    return Rater(rater.grades, np.stack([rater.grades[:, sites].sum(axis=1) for sites in own], axis=1))


def _given(path: Path, patients: pd.Index) -> np.ndarray:
    """(n,) totals of hands that a sites table gives as a whole; NaN without the table."""
    from stage3_stack.ensemble import given_totals

    return given_totals(path).reindex(patients).to_numpy(float) if path.is_file() else np.full(len(patients), np.nan)


def _model(reading: pd.DataFrame, patients: pd.Index) -> Rater:
    grades, totals = np.full((len(patients), len(SITES)), np.nan), np.full((len(patients), len(TARGETS)), np.nan)
    row = patients.get_indexer(reading.patient_id)
    column = np.array([SITE_OF.get(key, -1) for key in zip(reading.part, reading.site, strict=True)])
    site = column >= 0
    grades[row[site], column[site]] = reading.value.to_numpy()[site]
    total = reading.part.isin([ALL_PARTS, BOTH_HANDS]).to_numpy() & (reading.site == TOTAL).to_numpy()
    column = np.array([TARGETS.index(finding) for finding in reading.finding])
    totals[row[total], column[total]] = reading.value.to_numpy()[total]
    return Rater(grades, totals)


def _targets(data: str, patients: pd.Index) -> Rater:
    """Reader 1 of the training patients; totals that he did not give are sums, as the stack learned them."""
    from stage3_stack.cohort import targets

    return Rater(*targets(tables.SITES.read(paths.sites(data)), patients))


def _csv(path: Path, patients: pd.Index, scored: np.ndarray) -> Rater:
    """A reader's table, in the patients' order; all NaN when there is none."""
    if not path.is_file():
        return Rater(np.full((len(patients), len(SITES)), np.nan), np.full((len(patients), len(TARGETS)), np.nan))
    return of_table(submission.read_numbers(path).reindex(patients), scored)


def of_table(table: pd.DataFrame, scored: np.ndarray) -> Rater:
    """A rater of a table in the challenge's columns. A total that he did not give is the sum of his grades at the sites that are
    scored (86,), NaN where one of them is missing."""
    grades, totals = submission.split(table)
    erosion = np.array([s.finding == "erosion" for s in SITES])
    own = (scored, scored & erosion, scored & ~erosion)
    sums = np.stack([np.where(use.any(), grades[:, use].sum(axis=1), np.nan) for use in own], axis=1)
    return Rater(grades, np.where(np.isnan(totals), sums, totals))


def _belief(data: str, run: str, patients: pd.Index, n_train: int) -> np.ndarray | None:
    from ra import config
    from stage3_stack.config import JointStack

    saved = paths.run_dir(data, 3, run) / "config.yaml"
    if "site_learners" not in saved.read_text():
        return None
    members = [load_member(data, name, patients, n_train) for name in config.load(JointStack, saved).members]
    found = [member.probabilities for member in members if member.probabilities is not None]
    if not found:
        return None
    beliefs = np.stack(found)
    seen = (~np.isnan(beliefs)).sum(axis=0)
    return np.where(seen > 0, np.nansum(beliefs, axis=0) / np.maximum(seen, 1), np.nan)
