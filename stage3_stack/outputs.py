"""Files of a joint stack's run (Scores tables, the learners' predictions) and its out-of-fold scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ra import atomic, challenge_scores, tables
from ra.anatomy import ALL_PARTS, ID, MAX_TOTAL, OVERALL, SITES, TOTAL
from ra.tables import PROBABILITIES
from stage3_stack import submission
from stage3_stack.cohort import MAX_GRADES, TARGETS, Cohort
from stage3_stack.stack import StackPrediction

RANKED = ("sc1", "sc2", "sc3")


def gold_of(cohort: Cohort) -> pd.DataFrame:
    """The training patients' targets in the challenge's columns; NaN where not scored."""
    return submission.frame(cohort.patients[: cohort.n_train], cohort.grades, cohort.totals)


def scores(grades: np.ndarray, totals: np.ndarray, gold: pd.DataFrame) -> dict[str, float]:
    """The nine scores of grades (n, 86) and totals (n, 3), patients ordered as in gold; NaN for targets without predictions."""
    return challenge_scores.ra2_scores(submission.frame(gold.index, grades, totals), gold)


def learner_scores(cohort: Cohort, oof: StackPrediction) -> dict[str, dict[str, float]]:
    """The nine out-of-fold scores of the blend and of each learner."""
    gold = gold_of(cohort)
    pairs = {"blend": (oof.grades, oof.totals), **oof.learners}
    return {name: scores(*pair, gold) for name, pair in pairs.items()}


def write(folder: Path, cohort: Cohort, oof: StackPrediction, test: StackPrediction, seed: int) -> list[Path]:
    """Write oof.parquet, test.parquet and learners.parquet of a run."""
    paths = [write_scores(folder, split, cohort, pred, seed) for split, pred in (("oof", oof), ("test", test))]
    return [*paths, write_learners(cohort, oof, test, folder / "learners.parquet")]


def write_scores(folder: Path, split: str, cohort: Cohort, pred: StackPrediction, seed: int) -> Path:
    """Write the Scores table of one split: 86 sites and three totals per patient; the column `pred` holds the submitted number.

    box_source is `none` where no member has a prediction for the joint, and `template` where at least half of the boxes came from
    the template.
    """
    rows = cohort.train if split == "oof" else cohort.test
    n, width = len(rows), len(SITES) + len(TARGETS)
    targets = np.concatenate([cohort.grades, cohort.totals], axis=1) if split == "oof" else np.full((n, width), np.nan)
    keys = [(s.part, s.site, s.finding) for s in SITES] + [(ALL_PARTS, TOTAL, target) for target in TARGETS]
    table = pd.DataFrame(keys * n, columns=["part", "site", "finding"]).assign(
        run=folder.name,
        split=split,
        fold=np.repeat(cohort.fold, width) if split == "oof" else -1,
        seed=seed,
        patient_id=np.repeat(cohort.patients[rows], width),
        visit=np.repeat(cohort.visit[rows], width),
        target=targets.ravel(),
        pred=np.concatenate([pred.grades, pred.totals], axis=1).ravel(),
        max_score=np.tile([*MAX_GRADES.astype(int), *(MAX_TOTAL[target] for target in TARGETS)], n),
        box_source=np.concatenate([sources(cohort, rows), np.full((n, len(TARGETS)), None)], axis=1).ravel(),
        **dict.fromkeys(PROBABILITIES, np.nan),
    )
    tables.SCORES.write(table, folder / f"{split}.parquet")
    return folder / f"{split}.parquet"


def sources(cohort: Cohort, rows: np.ndarray) -> np.ndarray:
    """(n, 86) origin of the joint members' boxes: `none` if no member has the site, `template` for at least half, else None."""
    joint = [m for m in cohort.members if m.moments is not None]
    unseen = np.all([np.isnan(m.moments[rows, :, 0]) for m in joint], axis=0)
    template = np.mean([np.nan_to_num(m.template[rows]) for m in joint], axis=0) >= 0.5
    return np.where(unseen, "none", np.where(template, "template", None))


def write_learners(cohort: Cohort, oof: StackPrediction, test: StackPrediction, path: Path) -> Path:
    """Write every learner's grades and totals, with the columns learner, split, Patient_ID and those of the challenge."""
    parts = []
    for split, rows, pred in (("oof", cohort.train, oof), ("test", cohort.test, test)):
        for name, pair in pred.learners.items():
            table = submission.frame(cohort.patients[rows], *pair).reset_index()
            parts.append(table.assign(learner=name, split=split))
    atomic.write_table(path, pd.concat(parts))
    return path


def read_learners(path: Path) -> dict[tuple[str, str], pd.DataFrame]:
    """Read learners.parquet: (learner, split) -> submission table."""
    table = pd.read_parquet(path)
    groups = table.groupby(["learner", "split"], sort=False)
    return {key: rows.drop(columns=["learner", "split"]).set_index(ID) for key, rows in groups}


def read_scores(path: Path) -> pd.DataFrame:
    """A joint stack's Scores table as a submission, indexed by patient."""
    table = tables.SCORES.read(path)
    names = {(ALL_PARTS, TOTAL, target): OVERALL[target] for target in TARGETS}
    names |= {(s.part, s.site, s.finding): s.column for s in SITES}
    column = [names[key] for key in zip(table.part, table.site, table.finding, strict=True)]
    return table.assign(column=column).pivot_table("pred", "patient_id", "column", dropna=False).rename_axis(ID)
