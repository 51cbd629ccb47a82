"""Runs of kind hand_totals: a linear ensemble of members that read both hands at once (Bo et al. 2024, section 2.5).

The ensemble predicts a total, or one of ten ordered classes of the total; intervals and submissions exist for totals only.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ra import atomic, paths, tables
from ra.anatomy import BOTH_HANDS, ID, MAX_BOTH_HANDS, TOTAL
from ra.config import UserError
from stage3_stack import cohort as cohorts
from stage3_stack import ensemble, linear_ensembles
from stage3_stack.config import HandTotals
from stage3_stack.kinds.base import Kind, Submission, Trained
from stage3_stack.predictions import load_member
from stage3_stack.uncertainty import difficulty, prorating
from stage3_stack.uncertainty.prediction_table import Column, Predictions


class HandTotalsKind(Kind[HandTotals]):
    """Totals of both hands, or classes of such totals."""

    def inputs(self, data: str, config: HandTotals) -> list[Path]:
        """Targets, folds, the members' runs and the classifier that gives the bounds."""
        runs = [name for name in (*config.members, config.bounds_of) if name]
        return [paths.sites(data), paths.folds(data), *(paths.run_dir(data, 2, name) for name in runs)]

    def train(self, data: str, config: HandTotals, folder: Path) -> Trained:
        """Fit the map for each fold on the other folds, and for the test patients on all training patients."""
        cohort = cohorts.load(data, config.members, joints=False)
        outputs, total = ensemble.member_outputs(cohort, config), ensemble.hand_totals(data, cohort)
        bounds = ensemble.bounds_of(data, config)
        pred, refit = ensemble.cross_fit(config, cohort, outputs, total, bounds)
        target = np.where(np.isnan(total), np.nan, np.digitize(total, bounds)) if len(bounds) else total
        files = [folder / name for name in ("oof.parquet", "test.parquet", "weights.json")]
        for path, split in zip(files, ("oof", "test"), strict=False):
            tables.SCORES.write(ensemble.scores_table(folder.name, cohort, split, pred, target), path)
        atomic.write_json(files[-1], refit.describe(config.members))
        metrics = linear_ensembles.figures(target, pred[cohort.train])
        summary = ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())
        return Trained(files, metrics, {"ensemble": metrics}, summary)

    def predictions(self, data: str, folder: Path, config: HandTotals) -> Predictions:
        """The total of both hands; its state is `missing` if a hand has no film."""
        _refuse_classes(folder.name, config, "have no intervals")
        cohort = cohorts.load(data, config.members, joints=False)
        total = load_member(data, folder.name, pd.Index(cohort.patients), cohort.n_train, stage=3).hands
        state = np.where(np.isnan(total), "missing", "scored").astype(object)
        pred = prorating.single(state, total, MAX_BOTH_HANDS)
        no_target = np.full(len(cohort.test), np.nan)
        target = np.r_[ensemble.hand_totals(data, cohort), no_target]
        column = Column(BOTH_HANDS, TOTAL, TOTAL, pred, target, difficulty.of_hands(total, cohort.members))
        person = [cohorts.person_ids(data, cohort.patients[rows]) for rows in (cohort.train, cohort.test)]
        fold = np.r_[cohort.fold, np.full(len(cohort.test), -1)]
        return Predictions(cohort.patients, cohort.visit, np.concatenate(person), fold, [column])

    def submission_inputs(self, data: str, config: HandTotals) -> list[Path]:  # noqa: ARG002
        """[]: the run's tables are enough."""
        return []

    def submission(self, data: str, folder: Path, config: HandTotals) -> Submission:  # noqa: ARG002
        """Patient_ID and total of the test patients, or of the training patients out of fold for a set without test rows.

        The cell is empty for a patient who has no readable film of a hand.
        """
        _refuse_classes(folder.name, config, "cannot be submitted")
        split = "test" if len(tables.SCORES.read(folder / "test.parquet")) else "oof"
        scores = tables.SCORES.read(folder / f"{split}.parquet")
        table = scores.sort_values("patient_id").rename(columns={"patient_id": ID, "pred": TOTAL})[[ID, TOTAL]].round(2)
        patients = "test patients" if split == "test" else "training patients, out of fold: the set has no test rows"
        empty = int(table[TOTAL].isna().sum())
        note = f"; {empty} of them empty because a hand has no film" if empty else ""
        return Submission(table, split, f"totals of {len(table)} {patients}{note}", interval_columns=[TOTAL])


def _refuse_classes(run: str, config: HandTotals, refusal: str) -> None:
    """UserError for an ensemble that predicts classes."""
    if config.combine != "linear":
        raise UserError(f"{run} predicts classes (combine: {config.combine}), which {refusal}; name a run of totals with --run")
