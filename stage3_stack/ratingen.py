"""Ratingen grades and percentages of a run, joint by joint, and their metrics against a reader.

A run's grade is the most probable one or, without probabilities, the grade of its percentage. The absolute error is that of the
median of its percentage, the squared error that of the mean. The metrics follow Rohrbach et al. 2019, sections 3.3 and 4, and
the thesis behind it, sections 2.3 and 4.4. Only evaluation/ratingen.py opens readers' scores of test patients.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ra import agreement, clinical, paths, tables
from ra.agreement import Interval
from ra.anatomy import MEDIAN, PERCENT, RATINGEN
from ra.tables import PROBABILITIES

KEY = ["patient_id", "part", "joint"]
CDF = [f"c{k}" for k in range(agreement.N_PERCENT)]
PREFIXES = (RATINGEN, PERCENT, MEDIAN)  # site names in a Scores table start so: grade, mean and median of the percentage

Figures = dict[str, Interval | float]


@dataclass
class Prediction:
    """Predictions for n joints, NaN without a film: grade (n,), the median and the mean percentage (n,), cdf (n, 101).

    Percentages and CDF are None for a run that predicts grades alone.
    """

    grade: np.ndarray
    median: np.ndarray | None = None
    mean: np.ndarray | None = None
    cdf: np.ndarray | None = None


def predict(data: str, run: str | tuple[str, ...], split: str, index: pd.MultiIndex, stage: int = 2) -> Prediction:
    """Predictions of a run in the order of the index (KEY); several fold models, and several runs, are averaged first."""
    runs = (run,) if isinstance(run, str) else run
    table = pd.concat([tables.SCORES.read(paths.scores(data, stage, name, split)) for name in runs])
    by_prefix = {prefix: _by_joint(table, prefix).reindex(index) for prefix in PREFIXES}
    p = by_prefix[RATINGEN][list(PROBABILITIES[: agreement.N_RATINGEN_GRADES])].to_numpy()
    mean, median = by_prefix[PERCENT].pred.to_numpy(), by_prefix[MEDIAN].pred.to_numpy()
    grade_of_percent = clinical.percents2grades(np.rint(mean))  # for a run without grades: readers give whole percents
    likeliest = np.where(np.isnan(p).any(axis=1), grade_of_percent, np.nan_to_num(p).argmax(axis=1))
    if np.isnan(mean).all():
        return Prediction(likeliest)
    averaged = mean_cdf([paths.run_dir(data, stage, name) for name in runs], split)
    cdf = point(mean) if averaged is None else averaged.reindex(index).to_numpy(float)
    return Prediction(likeliest, np.where(np.isnan(median), mean, median), mean, cdf)


def _by_joint(table: pd.DataFrame, prefix: str) -> pd.DataFrame:
    """Mean prediction and probabilities by KEY of the rows whose site name starts with the prefix."""
    rows = table[table.site.str.startswith(prefix)]
    return rows.assign(joint=rows.site.str.removeprefix(prefix)).groupby(KEY)[["pred", *PROBABILITIES]].mean()


def mean_cdf(folders: list[Path], split: str) -> pd.DataFrame | None:
    """CDF of the percentage by KEY, averaged over fold models and runs; None if no run has one."""
    files = [folder / f"cdf_{split}.parquet" for folder in folders]
    cdfs = [pd.read_parquet(path) for path in files if path.is_file()]
    return pd.concat(cdfs).groupby(KEY)[CDF].mean() if cdfs else None


def point(percent: np.ndarray) -> np.ndarray:
    """(n, 101) CDF of a distribution with all its mass at the percentage (n,)."""
    return np.where(np.isnan(percent)[:, None], np.nan, np.arange(agreement.N_PERCENT) >= percent[:, None])


def certain(grade: np.ndarray, percent: np.ndarray) -> Prediction:
    """The prediction of a reader or of a null model: one grade and one percentage per joint, without uncertainty."""
    return Prediction(grade, percent, percent, point(percent))


def graded(percent: pd.Series, grade: pd.Series | None = None) -> pd.DataFrame:
    """Columns percent and grade, with the given index; where the percentage is known, the grade follows from it."""
    implied = clinical.percents2grades(percent.to_numpy())
    return pd.DataFrame({"percent": percent, "grade": implied if grade is None else np.where(np.isnan(implied), grade, implied)})


def training_targets(data: str) -> pd.DataFrame:
    """The training joints' percent and grade by KEY, without joints that are not scored."""
    table = tables.RATINGEN.read(paths.ratingen(data))
    return graded(table[table.split == "train"].set_index(KEY).percent).dropna(subset="grade")


def figures(target: pd.DataFrame, pred: Prediction) -> Figures:
    """The paper's and the thesis's metrics. target: percent and grade by KEY; the prediction is in the same order."""
    grade, percent = target.grade.to_numpy(), target.percent.to_numpy()
    names = ("accuracy", "balanced_accuracy", "within_one_balanced_accuracy", "quadratic_kappa")
    out: Figures = {name: getattr(agreement, name)(grade, pred.grade) for name in names}
    if pred.cdf is not None:
        out |= {"crps": agreement.crps(pred.cdf, percent), "mse": agreement.mse(percent, pred.mean)}
        out["mae"] = agreement.mae(percent, pred.median)
    scores = rau_scores(target.index, grade), rau_scores(target.index, np.where(np.isnan(grade), np.nan, pred.grade))
    return out | {"rau_pcc": agreement.pcc(*scores), "rau_mae": agreement.mae(*scores)}


def rau_scores(index: pd.MultiIndex, grade: np.ndarray) -> np.ndarray:
    """(patients,) Rau scores, 0..190, of grades by KEY, patients sorted."""
    wide = pd.Series(grade, index).unstack(["part", "joint"]).sort_index()  # noqa: PD010 - a pivot table drops NaN
    return np.array([clinical.rau(dict(zip(wide.columns, row, strict=True))).score for row in wide.to_numpy()])
