"""Disease activity and joint damage: the distribution of the DAS28, and its correlation with the damage.

A doctor measures the activity (tables.ACTIVITY); it is never predicted from a film. Intervals come from resampled persons.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from evaluation import section_ids
from evaluation.bootstrap import Resamples, ratio, resample
from evaluation.raters import Raters
from evaluation.statistic import Statistic
from ra import clinical, paths, tables

SECTION = section_ids.RATINGEN
INDICES = {"das28_esr": "DAS28-ESR", "das28_crp": "DAS28-CRP"}
BANDS = ("remission", "low", "moderate", "high")
SMOOTH = 2 / 3  # share of the visits used for a point of the LOESS line, Cleveland's default


def load(raters: Raters) -> pd.DataFrame | None:
    """The columns INDICES of ACTIVITY in the order of the patients; None if the set has no value."""
    if not paths.activity(raters.data).is_file():
        return None
    table = tables.ACTIVITY.read(paths.activity(raters.data)).set_index("patient_id")
    indices = table.reindex(raters.patients)[list(INDICES)]
    return indices if indices.notna().any(axis=None) else None


def bands(values: np.ndarray, person: np.ndarray, index: str) -> list[Statistic]:
    """Median of an index, and the share of visits in each of BANDS, 0..1; values, person (n,)."""
    is_known = ~np.isnan(values)
    values, draws, n = values[is_known], resample(person[is_known]), int(is_known.sum())
    band = np.array([clinical.das28_band(value) for value in values])
    median = float(np.median(values)) if n else float("nan")
    out = [Statistic(SECTION, "median", "all", "doctor", index, median, n=n, unit="visits", digits=1)]
    for name in BANDS:
        share = draws.estimate(ratio(draws.sums(band == name), draws.sums(np.ones(n))))
        out.append(Statistic(SECTION, f"share_{name}", "all", "doctor", index, *share, n=n, unit="visits", digits=2))
    return out


def correlations(damage: np.ndarray, values: np.ndarray, person: np.ndarray, pair: str, scope: str) -> list[Statistic]:
    """Pearson and Spearman correlation of damage and values (n,); visits with a NaN are dropped. pair is the statistics' `of`."""
    both = ~(np.isnan(damage) | np.isnan(values))
    draws = resample(person[both])
    out = []
    for name, correlation in {"pearson": pearson, "spearman": spearman}.items():
        interval = draws.estimate(correlation(damage[both], values[both], draws))
        out.append(Statistic(SECTION, name, "all", pair, scope, *interval, n=int(both.sum()), unit="visits", digits=2))
    return out


def pearson(x: np.ndarray, y: np.ndarray, draws: Resamples) -> np.ndarray:
    """(1 + times,) correlations of x and y (n,) over the data and its resamples."""
    return _correlation(np.broadcast_to(x, draws.weight.shape), np.broadcast_to(y, draws.weight.shape), draws.weight)


def spearman(x: np.ndarray, y: np.ndarray, draws: Resamples) -> np.ndarray:
    """(1 + times,) correlations of the ranks within each resample."""
    return _correlation(_ranks(x, draws.weight), _ranks(y, draws.weight), draws.weight)


def _correlation(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(b,) weighted correlations of x and y (b, n); NaN where either does not vary."""
    total = weight.sum(axis=1, keepdims=True)
    x, y = (values - (weight * values).sum(axis=1, keepdims=True) / np.maximum(total, 1) for values in (x, y))
    xx, yy, xy = ((weight * product).sum(axis=1) for product in (x * x, y * y, x * y))
    varies = (xx > 1e-12) & (yy > 1e-12)
    return ratio(xy, np.where(varies, np.sqrt(xx * yy), 0))


def _ranks(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(b, n) mid-ranks of values (n,) in samples that contain each value weight (b, n) times."""
    _, distinct = np.unique(values, return_inverse=True)
    count = np.zeros((len(weight), distinct.max(initial=-1) + 1))
    np.add.at(count.T, distinct, weight.T)
    return (np.cumsum(count, axis=1) - (count - 1) / 2)[:, distinct]


def trend(damage: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(m, 2) points of the LOESS line of values against damage (Cleveland 1979, statsmodels), at the m distinct values of damage.

    Empty for fewer than 10 visits, or if the damage does not vary.
    """
    from statsmodels.nonparametric.smoothers_lowess import lowess

    both = ~(np.isnan(damage) | np.isnan(values))
    if both.sum() < 10 or np.ptp(damage[both]) == 0:
        return np.empty((0, 2))
    line = lowess(values[both], damage[both], frac=SMOOTH)
    return line[np.isfinite(line).all(axis=1) & np.r_[True, np.diff(line[:, 0]) > 0]]
