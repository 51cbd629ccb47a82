"""Rows of the leaderboard: floors, members, learners, stacks and readers, each as a submission in the challenge's columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from evaluation import gold
from evaluation.raters import MODEL, READER1, READER2, TRUTH, Raters
from ra.anatomy import ID, SITES
from ra.challenge_scores import unlog_score
from stage3_stack import outputs, submission
from stage3_stack.cohort import FINDING_SITES, TARGETS, Cohort
from stage3_stack.features import film_sums
from stage3_stack.predictions import MOMENTS, MemberPredictions

Key = tuple[str, str]  # (kind of row, name)
Tables = dict[str, pd.DataFrame]  # split -> submission
Rows = dict[Key, Tables]

KINDS = ("floor", "member", "learner", "stack", "blend", "noise floor")  # the order of the rows
NULL_MEMBER = "sitemean"  # a member that uses no films, shown among the floors
FLOOR = ("floor", "column mean")  # the row with which all others are compared
NOISE = (("noise floor", TRUTH), ("noise floor", READER2))  # the first of these in a set is the best score one can expect


def in_order(rows: Rows) -> Rows:
    """The rows sorted by kind, in the order of KINDS."""
    return dict(sorted(rows.items(), key=lambda row: KINDS.index(row[0][0])))


def column_means(train: pd.DataFrame, fold: np.ndarray, test: pd.Index) -> Tables:
    """The mean of each column as a submission, for a training patient without the patient's fold; 0 for a column without scores.

    train holds the targets, fold (n_train,) their folds, test the ids of the test patients.
    """
    out_of_fold = train.copy()
    for k in np.unique(fold):
        out_of_fold.loc[fold == k] = train[fold != k].mean().to_numpy()
    mean = np.tile(train.mean().to_numpy(), (len(test), 1))
    tables = {"oof": out_of_fold, "test": pd.DataFrame(mean, index=pd.Index(test, name=ID), columns=train.columns)}
    return {split: table.fillna(0.0) for split, table in tables.items()}


def of_cohort(cohort: Cohort) -> Rows:
    """The floors, and every member that predicts sites or a patient's total."""
    floor = column_means(outputs.gold_of(cohort), cohort.fold, cohort.patients[cohort.test])
    rows = {("floor", "all zero"): {split: table * 0.0 for split, table in floor.items()}, FLOOR: floor}
    for member in cohort.members:
        if member.moments is not None or member.films is not None:
            rows["floor" if member.name == NULL_MEMBER else "member", member.name] = member_tables(cohort, member, floor)
    return rows


def member_tables(cohort: Cohort, member: MemberPredictions, floor: Tables) -> Tables:
    """A member as a submission: 2^E[log2(y + 1)] - 1 for a site of grade y, the sum of expected grades for a total; the joints of
    a missing film get the column mean."""
    out = {}
    for split, rows in (("oof", cohort.train), ("test", cohort.test)):
        mean, _ = submission.split(floor[split])
        grades, totals = np.full((len(rows), len(SITES)), np.nan), np.full((len(rows), len(TARGETS)), np.nan)
        if member.moments is not None:
            decoded, expected = unlog_score(member.moments[rows, :, 0]), member.moments[rows][..., MOMENTS.index("grade")]
            grades = np.where(np.isnan(decoded), mean, decoded)
            expected = np.where(np.isnan(expected), mean, expected)
            sums = {finding: expected[:, sites].sum(axis=1) for finding, sites in FINDING_SITES.items()}
            totals = np.stack([sum(sums.values()), *sums.values()], axis=1)
        elif member.films is not None:
            totals = np.stack(list(film_sums(member.films[rows], mean).values()), axis=1)
        out[split] = submission.frame(cohort.patients[rows], grades, totals)
    return out


def learners(folder: Path, prefix: str = "") -> Rows:
    """A stack's learners, from its learners.parquet; their names begin with `prefix`."""
    rows: Rows = {}
    for (name, split), table in outputs.read_learners(folder / "learners.parquet").items():
        rows.setdefault(("learner", f"{prefix}{name}"), {})[split] = table
    return rows


def stack_tables(folder: Path) -> Tables:
    """The submission of a finished stack."""
    return {split: outputs.read_scores(folder / f"{split}.parquet") for split in ("oof", "test")}


def truth(data: str, cohort: Cohort) -> Rows:
    """The noise floor of a synthetic set, which is the truth behind its reader; {} for a set without it."""
    table = gold.reader_scores(data, "truth")
    if table is None:
        return {}
    patients = {"oof": cohort.patients[cohort.train], "test": cohort.patients[cohort.test]}
    by_split = {split: table.loc[table.index.intersection(ids)] for split, ids in patients.items()}
    known = {split: rows for split, rows in by_split.items() if len(rows)}
    return {NOISE[0]: known} if known else {}


def of_raters(raters: Raters) -> tuple[Rows, Tables]:
    """Rows of the raters themselves, and reader 1's scores as gold per split."""
    frames = {name: submission.frame(raters.patients, r.grades, r.totals) for name, r in raters.by.items()}
    is_scored = frames[READER1].notna().any(axis=1).to_numpy()
    gold_of = {split: frames[READER1][is_scored & (raters.split == split)] for split in raters.splits}
    patients = {split: raters.patients[raters.split == split] for split in gold_of}
    rows: Rows = {("blend", raters.run): {split: frames[MODEL].loc[ids] for split, ids in patients.items()}}
    if "oof" in gold_of:
        fold = pd.Series(raters.fold, index=raters.patients).loc[gold_of["oof"].index].to_numpy()
        means = column_means(gold_of["oof"], fold, pd.Index(patients.get("test", [])))
        rows[FLOOR] = {split: means[split] for split in gold_of}
    for key in NOISE:
        tables = {split: frames[key[1]].loc[ids] for split, ids in patients.items()}
        known = {split: table for split, table in tables.items() if table.loc[gold_of[split].index].notna().any(axis=None)}
        rows |= {key: known} if known else {}
    return rows, gold_of
