"""Columns of a joint stack's table of predictions: the scored sites, the parts' totals and the patient's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ra import paths
from ra.anatomy import ALL_PARTS, FINDINGS, PARTS, SITES, TOTAL
from stage3_stack import cohort as cohorts
from stage3_stack import outputs, submission
from stage3_stack.cohort import MAX_GRADES, TARGETS, Cohort
from stage3_stack.config import JointStack
from stage3_stack.uncertainty import difficulty, prorating, scorability
from stage3_stack.uncertainty.prediction_table import Column, Predictions

PART, FINDING = np.array([s.part for s in SITES]), np.array([s.finding for s in SITES])


@dataclass(frozen=True)
class Group:
    """Consecutive patients of the cohort, from one split of one prepared set; seen (n, 86): a joint member predicts the site."""

    split: str
    data: str
    patients: np.ndarray
    seen: np.ndarray

    def scores(self, run: str) -> pd.DataFrame:
        """The run's predictions for these patients, in the challenge's columns."""
        table = outputs.read_scores(paths.scores(self.data, 3, run, self.split))
        return table.reindex(index=self.patients, columns=list(submission.COLUMNS_A[1:]))


def load(data: str, folder: Path, config: JointStack) -> Predictions:
    """Predictions of a finished run with their states, targets and difficulties.

    A run that was applied to another set (stage3_stack.predict) is calibrated on the patients on whom it was trained.
    """
    trained = cohorts.trained_on(folder) or data
    cohort = cohorts.load(trained, config.members)
    cohort = cohort if trained == data else cohorts.with_patients_of(cohort, data)
    groups = [
        Group(split, owner, cohort.patients[rows], outputs.sources(cohort, rows) != "none")
        for split, owner, rows in (("oof", trained, cohort.train), ("test", data, cohort.test))
    ]
    return Predictions(
        patient=cohort.patients,
        visit=cohort.visit,
        person=np.concatenate([cohorts.person_ids(group.data, group.patients) for group in groups]),
        fold=np.r_[cohort.fold, np.full(len(cohort.test), -1)],
        columns=_columns(folder.name, cohort, groups, config.members),
        splits=tuple(group.split for group in groups if group.data == data),
    )


def _columns(run: str, cohort: Cohort, groups: list[Group], members: tuple[str, ...]) -> list[Column]:
    """Columns of the sites that the set scores, then of the totals."""
    grades, totals = submission.split(pd.concat([group.scores(run) for group in groups]))
    by_group = [scorability.states(group.data, pd.Index(group.patients), members, group.seen) for group in groups]
    state = np.concatenate(by_group)
    return _site_columns(cohort, grades, totals, state) + _total_columns(cohort, grades, totals, state == "scored")


def _site_columns(cohort: Cohort, grades: np.ndarray, totals: np.ndarray, state: np.ndarray) -> list[Column]:
    """One column per scored site. grades, state (n, 86); totals (n, 3)."""
    whole = np.where(np.isnan(totals[:, 0]), np.nansum(grades, axis=1), totals[:, 0])
    difficulties, targets = difficulty.of_sites(grades, whole, cohort.members), _with_test(cohort, cohort.grades)
    columns = []
    for j in np.flatnonzero(cohort.scored):
        site, pred = SITES[j], prorating.single(state[:, j], grades[:, j], SITES[j].max_grade)
        columns.append(Column(site.part, site.site, site.finding, pred, targets[:, j], difficulties[:, j]))
    return columns


def _total_columns(cohort: Cohort, grades: np.ndarray, totals: np.ndarray, scored: np.ndarray) -> list[Column]:
    """Totals of every part and of the patient, for each finding and for both, if the set scores at least one of their sites."""
    site_targets, total_targets = _with_test(cohort, cohort.grades), _with_test(cohort, cohort.totals)
    columns = []
    for part in (*PARTS, ALL_PARTS):
        for finding in TARGETS if part == ALL_PARTS else (*FINDINGS, TOTAL):
            within = cohort.scored if finding == TOTAL else cohort.scored & (finding == FINDING)
            sites = within if part == ALL_PARTS else within & (part == PART)
            whole = totals[:, TARGETS.index(finding)]
            if not sites.any() or np.isnan(whole).all():
                continue
            pred = prorating.prorate(whole, grades, scored, MAX_GRADES, sites, within)
            in_part = site_targets[:, sites].sum(axis=1)
            target = total_targets[:, TARGETS.index(finding)] if part == ALL_PARTS else in_part
            difficulties = difficulty.of_total(pred.value, grades, sites, finding, cohort.members)
            columns.append(Column(part, TOTAL, finding, pred, target, difficulties))
    return columns


def _with_test(cohort: Cohort, values: np.ndarray) -> np.ndarray:
    """The training patients' targets, followed by NaN for the test patients."""
    return np.concatenate([values, np.full((len(cohort.test), values.shape[1]), np.nan)])
