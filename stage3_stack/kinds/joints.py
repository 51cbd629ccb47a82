"""Runs of kind joints: a stack of joint and whole-part members that predicts 86 sites and three totals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ra import atomic, paths, training_log
from ra.anatomy import ID
from ra.config import UserError
from stage3_stack import cohort as cohorts
from stage3_stack import outputs, submission
from stage3_stack.config import JointStack
from stage3_stack.kinds.base import Kind, Submission, Trained
from stage3_stack.stack import REFIT, Stack, StackPrediction
from stage3_stack.uncertainty import joint_columns
from stage3_stack.uncertainty.prediction_table import Predictions


def template_path(data: str) -> Path:
    """The submission template that came with the set, if any."""
    return paths.work(data) / "template.csv"


class JointsKind(Kind[JointStack]):
    """The challenge's kind: intervals for every site and total, a submission in the challenge's columns."""

    def inputs(self, data: str, config: JointStack) -> list[Path]:
        """Targets, folds and the members' runs."""
        return [paths.sites(data), paths.folds(data), *(paths.run_dir(data, 2, member) for member in config.members)]

    def train(self, data: str, config: JointStack, folder: Path) -> Trained:
        """Predict fold k with a stack fitted on the other folds, test patients with one fitted on all training patients."""
        cohort = cohorts.load(data, config.members)
        if not cohort.n_train:
            raise UserError(f"{data} has no training patients; use stage3_stack.predict to apply a stack of another set")
        stack, oof, test = Stack(cohort, config), StackPrediction.empty(cohort.n_train, config), None
        descriptions, files = {}, []
        for fold in training_log.progress([*sorted(set(cohort.fold.tolist())), REFIT], "stack: folds and refit"):
            rows = cohort.test if fold == REFIT else cohort.train[cohort.fold == fold]
            pred = stack.fit(np.setdiff1d(cohort.train, rows)).predict(rows)
            if fold == REFIT:
                test = pred
            else:
                oof.assign(rows, pred)
            descriptions[f"fold_{fold}"] = stack.describe()
            files += stack.export(folder / f"fold_{fold}")
        files += outputs.write(folder, cohort, oof, test, config.seed)
        atomic.write_json(folder / "weights.json", descriptions)
        metrics = outputs.learner_scores(cohort, oof)
        blend = metrics["blend"]
        summary = ", ".join(f"{name.upper()} {blend[name]:.4f}" for name in outputs.RANKED)
        return Trained([*files, folder / "weights.json"], blend, metrics, summary, config.seed)

    def predictions(self, data: str, folder: Path, config: JointStack) -> Predictions:
        """Sites, parts' totals and the patient's totals."""
        return joint_columns.load(data, folder, config)

    def submission_inputs(self, data: str, config: JointStack) -> list[Path]:  # noqa: ARG002
        """The template that came with the set."""
        return [template_path(data)]

    def submission(self, data: str, folder: Path, config: JointStack) -> Submission:  # noqa: ARG002
        """The test patients in the template's rows and columns; a joint without a film gets the number that the stack imputes.

        If the set came without a template, the columns are those of the challenge that the set scores.
        """
        table = outputs.read_scores(folder / "test.parquet")
        if table.empty:
            raise UserError(f"{folder} has no test patients, so there is nothing to submit; prepare the set with a test folder")
        template = _template(template_path(data), table, folder)
        arranged = submission.arranged(table, template)
        columns = [c for c in template.columns if c != ID]
        summary = f"{len(arranged)} patients, {len(columns) + 1} columns, no fault"
        return Submission(arranged, "test", summary, template, columns, ranked=True)


def _template(path: Path, table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The template's cells as text; UserError for a patient or a column that the run does not predict."""
    if path.is_file():
        template = submission.read_text(path)
    else:
        template = pd.DataFrame({ID: table.index}).reindex(columns=submission.columns(table))
    unknown = template[ID][~template[ID].isin(table.index)]
    if len(unknown):
        raise UserError(f"{path}: patient {unknown.iloc[0]} has no prediction in {folder}; prepare the set again")
    unscored = [c for c in template.columns if c != ID and (c not in table or table[c].isna().all())]
    if unscored:
        more = f" and {len(unscored) - 1} more" if len(unscored) > 1 else ""
        raise UserError(
            f"{path} asks for {unscored[0]}{more}, for which no training patient of the set has a score; "
            "delete the column, or train on a set that scores it"
        )
    return template
