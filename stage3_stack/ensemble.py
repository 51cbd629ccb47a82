"""An ensemble of both-hands members: the members' outputs, the targets, the cross-fitted map and its Scores table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from ra import paths, tables
from ra.anatomy import BOTH_HANDS, MAX_BOTH_HANDS, SEVERITY, TOTAL
from ra.config import UserError
from ra.tables import PROBABILITIES
from stage3_stack import linear_ensembles
from stage3_stack.cohort import Cohort
from stage3_stack.config import HandTotals
from stage3_stack.features import HANDS


def hand_totals(data: str, cohort: Cohort) -> np.ndarray:
    """(n_train,) sums of the hands' grades; where a site is not scored, the total that the set itself gives."""
    sums = cohort.grades[:, HANDS].sum(axis=1)
    given = given_totals(paths.sites(data)).reindex(cohort.patients[cohort.train]).to_numpy()
    return np.where(np.isnan(sums), given, sums)


def given_totals(sites: Path) -> pd.Series:
    """The totals of whole hands in a sites table, by patient: of both hands, or of the only hand that the film shows."""
    table = tables.SITES.read(sites)
    is_total = (table.site == TOTAL) & (table.finding == TOTAL) & table.part.isin(("LH", "RH", BOTH_HANDS))
    return table[is_total].groupby("patient_id").target.max()  # a patient has a total for only one of the three parts


def member_outputs(cohort: Cohort, config: HandTotals) -> np.ndarray:
    """(n, members, 1) totals or (n, members, 10) class probabilities; UserError for a member without the kind that is needed."""
    kind = "severity" if config.combine in ("all_classes", "single_class") else "hands"
    for m in cohort.members:
        if getattr(m, kind) is None:
            lacking = "no severity classes" if kind == "severity" else "no total of both hands"
            raise UserError(f"combine {config.combine}: member {m.name} predicts {lacking}; name another run")
    return np.stack([getattr(m, kind).reshape(len(cohort.patients), -1) for m in cohort.members], axis=1)


def class_bounds(data: str, run_name: str) -> np.ndarray:
    """(9,) totals at which classes 1..9 begin, from the classifier's config."""
    path: Path = paths.run_dir(data, 2, run_name) / "config.yaml"
    saved = yaml.safe_load(path.read_text()) if path.is_file() else {}
    bounds = saved.get("head", {}).get("params", {}).get("bounds")
    if not bounds:
        raise UserError(f"{path} has no head.params.bounds; name a trained severity classifier")
    return np.array(bounds, dtype=float)


def bounds_of(data: str, config: HandTotals) -> np.ndarray:
    """The bounds of the classes that the ensemble predicts; empty for one that predicts totals."""
    return np.empty(0) if config.combine == "linear" else class_bounds(data, config.bounds_of or config.members[0])


def fit(config: HandTotals, x: np.ndarray, total: np.ndarray, bounds: np.ndarray) -> linear_ensembles.Map:
    """The map fitted on the patients whose outputs x (n, members, k) and total (n,) are known."""
    known = ~np.isnan(total) & ~np.isnan(x).any(axis=(1, 2))
    if not known.any():
        raise UserError("no training patient outside a fold has both a prediction and a total of the hands; make fewer folds")
    return linear_ensembles.MAPS[config.combine](config.alpha, bounds).fit(x[known], total[known])


def cross_fit(
    config: HandTotals, cohort: Cohort, x: np.ndarray, total: np.ndarray, bounds: np.ndarray
) -> tuple[np.ndarray, linear_ensembles.Map]:
    """(n, 1 or 10) predictions of all patients, and the map fitted on all training patients.

    Fold k is predicted by a map fitted on the other folds, the test patients by the map fitted on all training patients.
    """
    refit = fit(config, x[cohort.train], total, bounds)
    pred = np.full((len(x), refit.width), np.nan)
    pred[cohort.test] = refit.predict(x[cohort.test])
    for k in np.unique(cohort.fold):
        rows, others = cohort.train[cohort.fold == k], cohort.train[cohort.fold != k]
        pred[rows] = fit(config, x[others], total[others], bounds).predict(x[rows])
    return pred, refit


def scores_table(run: str, cohort: Cohort, split: str, pred: np.ndarray, target: np.ndarray) -> pd.DataFrame:
    """The Scores rows of a split. pred: (n, 1) totals or (n, 10) class probabilities of all patients; target: (n_train,)."""
    oof, width = split == "oof", pred.shape[1]
    rows = cohort.train if oof else cohort.test
    values = pred[rows]
    if width > 1:
        site, maximum, expected = SEVERITY, width - 1, values @ np.arange(width)
    else:
        site, maximum, expected = TOTAL, MAX_BOTH_HANDS, values[:, 0]
    probabilities = {column: values[:, k] if 1 < width > k else np.nan for k, column in enumerate(PROBABILITIES)}
    return pd.DataFrame(
        {"run": run, "split": split, "fold": cohort.fold if oof else -1, "seed": 0}
        | {"patient_id": cohort.patients[rows], "visit": cohort.visit[rows], "part": BOTH_HANDS, "site": site, "finding": TOTAL}
        | {"target": target if oof else np.nan, "pred": expected, **probabilities, "max_score": maximum, "box_source": None}
    )
