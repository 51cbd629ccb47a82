"""Results of a run of kind hand_totals: RMSE, MAE and PCC of the column mean, of each member and of the ensemble."""

from __future__ import annotations

import numpy as np
import pandas as pd

from evaluation import gold
from ra import paths
from ra.config import UserError
from ra.text_table import grid, number
from stage3_stack import cohort as cohorts
from stage3_stack import config
from stage3_stack.ensemble import hand_totals
from stage3_stack.linear_ensembles import regression_figures
from stage3_stack.predictions import load_member

FLOOR = "column mean"
METRICS = {"rmse": 2, "mae": 2, "pcc": 3}  # metric -> digits

Totals = dict[str, np.ndarray]  # split -> (n,) totals of its patients


def text(data: str, run: str) -> str:
    """The table as text, out of fold and, if the set's gold.parquet has the totals, on test."""
    truth, rows = load(data, run)
    lines = []
    for name, pred in rows.items():
        metrics = {split: regression_figures(truth[split], pred[split]) for split in truth}
        lines.append([name, *(number(metrics[split][metric], digits) for split in truth for metric, digits in METRICS.items())])
    head = ["totals of hands", *(f"{split} {metric.upper()}" for split in truth for metric in METRICS)]
    counts = ", ".join(f"{np.isfinite(values).sum()} patients {split}" for split, values in truth.items())
    return f"{grid(head, lines)}\n{counts}"


def load(data: str, run: str) -> tuple[Totals, dict[str, Totals]]:
    """The true totals by split, and the predictions by row of the table and split; without test if its totals are not known.

    The column mean is the mean over the training patients; for a fold, over the other folds.
    """
    experiment = config.saved(paths.run_dir(data, 3, run))
    if getattr(experiment, "combine", None) != "linear":
        raise UserError(f"run {run} of {data} does not predict totals of hands; name one of kind hand_totals, combine: linear")
    cohort = cohorts.load(data, experiment.members, joints=False)
    patients = pd.Index(cohort.patients)
    ensemble = load_member(data, run, patients, cohort.n_train, stage=3)
    target = hand_totals(data, cohort)
    truth, indices = {"oof": target}, {"oof": cohort.train, "test": cohort.test}
    test = gold.hand_totals(data)
    if test is not None:
        truth["test"] = test.reindex(patients[cohort.test]).to_numpy()
    mean = {"oof": np.array([np.nanmean(target[cohort.fold != k]) for k in cohort.fold])}
    mean["test"] = np.full(len(cohort.test), np.nanmean(target))
    rows = {m.name: {split: m.hands[indices[split]] for split in truth} for m in (*cohort.members, ensemble)}
    return truth, {FLOOR: mean, **rows}
