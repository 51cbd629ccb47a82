"""Results of a run of kind joint_visits: Ratingen metrics of a null model, of each member and of their mean."""

from __future__ import annotations

import numpy as np
import pandas as pd

from evaluation.ratingen import readings
from ra import folds, paths
from ra.config import UserError
from ra.text_table import grid, number
from stage3_stack import config
from stage3_stack.config import JointVisits
from stage3_stack.ratingen import Figures, Prediction, certain, figures, predict

FLOOR, MEAN = "commonest grade, mean percent", "mean of the runs"
METRICS = {
    "accuracy": 3,
    "balanced_accuracy": 3,
    "within_one_balanced_accuracy": 3,
    "quadratic_kappa": 3,
    "percent_rmse": 1,
    "rau_pcc": 3,
    "rau_mae": 1,
}  # metric -> digits
HEAD = ["accuracy", "balanced", "+-1 balanced", "quadratic kappa", "percent RMSE", "Rau PCC", "Rau MAE"]


def text(data: str, run: str) -> str:
    """One table per split, as text."""
    parts = []
    for split, rows in measure(data, run).items():
        cells = []
        for name, metrics in rows.items():
            cells.append([name, *(number(metrics.get(metric), digits) for metric, digits in METRICS.items())])
        where = "out of fold" if split == "oof" else "test"
        title = f"Ratingen, {where}; 95 % intervals as in the paper, joints taken as independent"
        parts.append(f"{title}\n\n{grid(['run', *HEAD], cells)}")
    return "\n\n".join(parts)


def measure(data: str, run: str) -> dict[str, dict[str, Figures]]:
    """split -> name of the table's row -> metrics against reader 1."""
    experiment = config.saved(paths.run_dir(data, 3, run))
    if not isinstance(experiment, JointVisits):
        raise UserError(f"run {run} of {data} is of kind {experiment.kind}; name one of kind joint_visits")
    out = {}
    for split, readers in readings(data, None).items():
        target = readers.reader1
        rows = {FLOOR: commonest(data, split, target)}
        rows |= {member: predict(data, member, split, target.index) for member in experiment.members}
        if len(experiment.members) > 1:
            rows[MEAN] = predict(data, run, split, target.index, stage=3)
        out[split] = {}
        for name, pred in rows.items():
            metrics = figures(target, pred)
            out[split][name] = metrics | {"percent_rmse": float(np.sqrt(metrics.get("mse", np.nan)))}
    return out


def commonest(data: str, split: str, target: pd.DataFrame) -> Prediction:
    """The null model: the most common grade and the mean percent of the training joints; for a fold, of the other folds."""
    train, fold = readings(data, None)["oof"].reader1, folds.load(data)
    train_fold = train.index.get_level_values("patient_id").map(fold)
    target_fold = target.index.get_level_values("patient_id").map(fold) if split == "oof" else np.full(len(target), -1)
    grade, percent = {}, {}
    for k in np.unique(target_fold):
        others = train[train_fold != k]
        grade[k], percent[k] = others.grade.mode().iloc[0], others.percent.mean()
    return certain(np.array([grade[k] for k in target_fold]), np.array([percent[k] for k in target_fold]))
