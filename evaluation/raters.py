"""All scores of a set's patients, by rater: the input of every evaluation.

The raters are the model (out-of-fold predictions of training patients; NaN where a joint could not be scored), reader 1 (the
training targets, and gold.csv of test patients), reader 2 (reader2.csv) and the truth behind a synthetic reader (truth.csv).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from evaluation import gold
from ra import folds, paths, tables
from ra.anatomy import ALL_PARTS, BOTH_HANDS, SITES, TOTAL, limb
from ra.config import UserError
from stage3_stack import config as stack_config
from stage3_stack import submission
from stage3_stack.cohort import TARGETS, targets
from stage3_stack.config import JointStack, JointVisits
from stage3_stack.ensemble import given_totals
from stage3_stack.nan_mean import nan_mean
from stage3_stack.predictions import SITE_OF, load_member

MODEL, READER1, READER2, TRUTH = "model", "reader 1", "reader 2", "truth"
SPLITS = {"oof": "out of fold", "test": "test"}  # split -> its name on the page
EROSION = np.array([s.finding == "erosion" for s in SITES])


@dataclass(frozen=True)
class Rater:
    """grades (n, 86) in anatomy.SITES order and totals (n, 3: total, erosion, narrowing); NaN where not scored."""

    grades: np.ndarray
    totals: np.ndarray

    def take(self, rows: np.ndarray) -> Rater:
        """The scores of some patients (indices or a mask)."""
        return Rater(self.grades[rows], self.totals[rows])

    @property
    def whole(self) -> np.ndarray:
        """(n, 86) grades rounded to integers, as a reader writes them; half a grade is rounded up, NaN stays NaN."""
        return np.floor(self.grades + 0.5)

    @classmethod
    def blank(cls, n: int) -> Rater:
        """A rater who scored none of the n patients."""
        return cls(np.full((n, len(SITES)), np.nan), np.full((n, len(TARGETS)), np.nan))


@dataclass(frozen=True)
class Raters:
    """Scores of n patients (sets of films), training patients first.

    by maps a rater's name to a Rater over the same n rows, NaN where the rater did not see the patient. person, visit, split and
    fold are (n,); fold is -1 for test patients. probabilities (n, 86, 11) is the mean of the joint members' distributions over
    grades, NaN where no member saw the joint; None without joint members. intervals has the rows of tables.PREDICTION_INTERVALS.
    ratingen names the Ratingen runs of stage 2 whose mean is the model, for a set that is scored joint by joint; such a set has
    no SvdH grades.
    """

    data: str
    run: str
    patients: np.ndarray
    person: np.ndarray
    visit: np.ndarray
    split: np.ndarray
    fold: np.ndarray
    by: dict[str, Rater]
    probabilities: np.ndarray | None = None
    intervals: pd.DataFrame = field(default_factory=pd.DataFrame)
    ratingen: tuple[str, ...] = ()

    def take(self, rows: np.ndarray) -> Raters:
        """A subset of the patients (indices or a mask), in the order given."""
        keep = np.arange(len(self.patients))[rows]
        arrays = {name: getattr(self, name)[keep] for name in ("patients", "person", "visit", "split", "fold")}
        arrays["probabilities"] = None if self.probabilities is None else self.probabilities[keep]
        intervals = self.intervals
        if len(intervals):
            intervals = intervals[intervals.patient_id.isin(arrays["patients"])].reset_index(drop=True)
        return replace(self, **arrays, by={name: rater.take(keep) for name, rater in self.by.items()}, intervals=intervals)

    def in_split(self, split: str) -> Raters:
        """The patients of a split; `all` keeps every patient."""
        return self if split == "all" else self.take(self.split == split)

    @property
    def splits(self) -> list[str]:
        """The splits in which reader 1 scored at least one patient."""
        first = self.by[READER1]
        is_scored = ~np.isnan(np.concatenate([first.grades, first.totals], axis=1)).all(axis=1)
        return [split for split in SPLITS if is_scored[self.split == split].any()]

    @property
    def names(self) -> list[str]:
        """The raters who scored anything, in the order of `by`."""
        return [name for name, rater in self.by.items() if not (np.isnan(rater.grades).all() and np.isnan(rater.totals).all())]

    def with_model(self, grades: np.ndarray, totals: np.ndarray) -> Raters:
        """The same patients and readers with other predictions in place of the model's."""
        return replace(self, by=self.by | {MODEL: Rater(grades, totals)})


def load(data: str, run: str) -> Raters:
    """The raters of a finished run of stage 3, by the run's kind. Joint stacks and hand totals need stage3_stack.intervals."""
    config = stack_config.saved(paths.run_dir(data, 3, run))
    if isinstance(config, JointVisits):
        return of_crops(data, run, config.members)
    intervals = _read_intervals(data, run)
    people = intervals.drop_duplicates("patient_id")
    patients, is_train = pd.Index(people.patient_id), (people.split == "oof").to_numpy()
    n_train = int(is_train.sum())
    by = {MODEL: _model(intervals, patients)} | _readers(data, patients, is_train, intervals)
    return Raters(
        data,
        run,
        *(people[column].to_numpy() for column in ("patient_id", "person_id", "visit", "split", "fold")),
        by,
        _probabilities(data, config.members, patients, n_train) if isinstance(config, JointStack) else None,
        intervals,
    )


def _read_intervals(data: str, run: str) -> pd.DataFrame:
    files = [paths.prediction_intervals(data, run, split) for split in SPLITS]
    intervals = pd.concat([tables.PREDICTION_INTERVALS.read(file) for file in files], ignore_index=True)
    if intervals.empty:
        raise UserError(f"{files[0]} is empty; run stage3_stack.intervals again")
    return intervals


def of_crops(data: str, name: str, members: tuple[str, ...]) -> Raters:
    """The raters of a set of joint crops and its Ratingen members (runs of stage 2); `name` is the run of stage 3."""
    people = tables.SITES.read(paths.sites(data)).drop_duplicates("patient_id")
    people = people.sort_values(["split", "patient_id"], ascending=[False, True])
    fold = people.patient_id.map(folds.load(data)).fillna(-1).astype(int).to_numpy()
    by = dict.fromkeys((MODEL, READER1, READER2, TRUTH), Rater.blank(len(people)))
    columns = (people[column].to_numpy() for column in ("patient_id", "person_id", "visit"))
    split = np.where(people.split == "test", "test", "oof").astype(object)
    return Raters(data, name, *columns, split, fold, by, ratingen=members)


def _model(intervals: pd.DataFrame, patients: pd.Index) -> Rater:
    """The predictions in the rows of PREDICTION_INTERVALS."""
    model, row = Rater.blank(len(patients)), patients.get_indexer(intervals.patient_id)
    column = np.array([SITE_OF.get(key, -1) for key in zip(intervals.part, intervals.site, strict=True)])
    is_site, value = column >= 0, intervals.value.to_numpy()
    model.grades[row[is_site], column[is_site]] = value[is_site]
    is_total = intervals.part.isin([ALL_PARTS, BOTH_HANDS]).to_numpy() & (intervals.site == TOTAL).to_numpy()
    column = np.array([TARGETS.index(finding) for finding in intervals.finding])
    model.totals[row[is_total], column[is_total]] = value[is_total]
    return model


def _readers(data: str, patients: pd.Index, is_train: np.ndarray, intervals: pd.DataFrame) -> dict[str, Rater]:
    """Reader 1, reader 2 and the truth; for a run that scores only hands, with totals of the hands only."""
    targets_of_train = Rater(*targets(tables.SITES.read(paths.sites(data)), patients))
    # A run that was applied to another set has no targets there: the sites that it predicts count as scored.
    predicted = set(zip(intervals.part, intervals.site, strict=True))
    is_scored = ~np.isnan(targets_of_train.grades).all(axis=0) | np.array([(s.part, s.site) in predicted for s in SITES])
    files = {READER1: "gold", READER2: "reader2", TRUTH: "truth"}
    by = {name: _from_csv(gold.reader_scores(data, file), patients, is_scored) for name, file in files.items()}
    train = is_train[:, None]
    grades = np.where(train, targets_of_train.grades, by[READER1].grades)
    by[READER1] = Rater(grades, np.where(train, targets_of_train.totals, by[READER1].totals))
    if not (intervals.part == BOTH_HANDS).any():
        return by
    by = {name: _hands_only(rater) for name, rater in by.items()}
    total = by[READER1].totals[:, 0]
    given = np.where(is_train, _in_order(_train_hand_totals(data), patients), _in_order(gold.hand_totals(data), patients))
    total[:] = np.where(np.isnan(total), given, total)  # a set may give the totals of hands without their grades
    return by


def _from_csv(table: pd.DataFrame | None, patients: pd.Index, is_scored: np.ndarray) -> Rater:
    return Rater.blank(len(patients)) if table is None else of_table(table.reindex(patients), is_scored)


def of_table(table: pd.DataFrame, is_scored: np.ndarray) -> Rater:
    """The rater of a table in the challenge's columns.

    A total that the table does not give is the sum of the grades at the sites that the set scores (is_scored, (86,)); NaN if one
    of them is missing.
    """
    grades, totals = submission.split(table)
    groups = (is_scored, is_scored & EROSION, is_scored & ~EROSION)
    sums = np.stack([np.where(sites.any(), grades[:, sites].sum(axis=1), np.nan) for sites in groups], axis=1)
    return Rater(grades, np.where(np.isnan(totals), sums, totals))


def _hands_only(rater: Rater) -> Rater:
    """The same grades with totals over the hands' sites; NaN where one of them is not scored."""
    hands = np.array([limb(s.part) == "hand" for s in SITES])
    groups = (hands, hands & EROSION, hands & ~EROSION)
    return Rater(rater.grades, np.stack([rater.grades[:, sites].sum(axis=1) for sites in groups], axis=1))


def _train_hand_totals(data: str) -> pd.Series | None:
    return given_totals(paths.sites(data)) if paths.sites(data).is_file() else None


def _in_order(totals: pd.Series | None, patients: pd.Index) -> np.ndarray:
    return np.full(len(patients), np.nan) if totals is None else totals.reindex(patients).to_numpy(float)


def _probabilities(data: str, members: tuple[str, ...], patients: pd.Index, n_train: int) -> np.ndarray | None:
    """(n, 86, 11) mean of the joint members' distributions over grades."""
    loaded = [load_member(data, name, patients, n_train) for name in members]
    distributions = [member.probabilities for member in loaded if member.probabilities is not None]
    return nan_mean(np.stack(distributions), axis=0) if distributions else None
