"""Disease activity beside joint damage: how the DAS28 is distributed, and how little of it the damage tells.

Activity is measured by a doctor (tables.ACTIVITY), never read from a film. Intervals are percentiles of a bootstrap over persons.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from evaluation.bootstrap import Resamples, ratio, resample
from evaluation.raters import Raters
from evaluation.statistic import Statistic
from ra import clinical, paths, tables

SECTION = "ratingen"
INDICES = {"das28_esr": "DAS28-ESR", "das28_crp": "DAS28-CRP"}
BANDS = ("remission", "low", "moderate", "high")
SMOOTH = 2 / 3  # share of the visits that a point of the LOESS line rests on, Cleveland's default


def load(raters: Raters) -> pd.DataFrame | None:
    """The ACTIVITY columns INDICES of every patient, in their order; None where the set has none of them."""
    if not paths.activity(raters.data).is_file():
        return None
    table = tables.ACTIVITY.read(paths.activity(raters.data)).set_index("patient_id")
    found = table.reindex(raters.patients)[list(INDICES)]
    return found if found.notna().any(axis=None) else None


def bands(values: np.ndarray, person: np.ndarray, of: str) -> list[Statistic]:
    """Median of the index, and the share of the visits in each of BANDS, 0..1; values, person (n,)."""
    known = ~np.isnan(values)
    values, draws, n = values[known], resample(person[known]), int(known.sum())
    band = np.array([clinical.das28_band(value) for value in values])
    middle = float(np.median(values)) if n else float("nan")
    out = [Statistic(SECTION, "median", "all", "doctor", of, middle, n=n, unit="visits", digits=1)]
    for name in BANDS:
        share = draws.estimate(ratio(draws.sums(band == name), draws.sums(np.ones(n))))
        out.append(Statistic(SECTION, f"share_{name}", "all", "doctor", of, *share, n=n, unit="visits", digits=2))
    return out


def correlations(damage: np.ndarray, values: np.ndarray, person: np.ndarray, of: str, scope: str) -> list[Statistic]:
    """Pearson and Spearman correlation of damage and values (n,), pairs without a NaN."""
    known = ~(np.isnan(damage) | np.isnan(values))
    draws = resample(person[known])
    out = []
    for name, fn in {"pearson": pearson, "spearman": spearman}.items():
        found = draws.estimate(fn(damage[known], values[known], draws))
        out.append(Statistic(SECTION, name, "all", of, scope, *found, n=int(known.sum()), unit="visits", digits=2))
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
    """(b, n) mid-ranks of values (n,) in samples that hold each of them weight (b, n) times."""
    _, place = np.unique(values, return_inverse=True)
    held = np.zeros((len(weight), place.max(initial=-1) + 1))
    np.add.at(held.T, place, weight.T)
    return (np.cumsum(held, axis=1) - (held - 1) / 2)[:, place]


def trend(damage: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(m, 2) the LOESS line of values over damage (Cleveland 1979, statsmodels), m distinct damages; empty of fewer than 10."""
    from statsmodels.nonparametric.smoothers_lowess import lowess

    known = ~(np.isnan(damage) | np.isnan(values))
    if known.sum() < 10 or np.ptp(damage[known]) == 0:
        return np.empty((0, 2))
    line = lowess(values[known], damage[known], frac=SMOOTH)
    return line[np.isfinite(line).all(axis=1) & np.r_[True, np.diff(line[:, 0]) > 0]]
