"""Agreement of two readers, human or machine, on grades, percentages and totals.

From Rohrbach et al. 2019, section 3.3 (grades), the thesis that the paper is based on, section 4.4 (CRPS), and Bo et al. 2024,
section 2.7 (totals and severity classes). Arrays are paired, shape (N,), target first; pairs with a NaN are dropped; a statistic
that is not defined for the remaining pairs is NaN. The intervals assume independent joints, as the papers do; intervals over
patients are wider.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from ra.config import UserError

N_RATINGEN_GRADES = 6  # Ratingen 0..5
N_PERCENT = 101  # a CDF over 0, 1, ..., 100 %
Z = 1.959964  # standard normal quantile of a two-sided 95 % interval
ICC_FORMS = ("ICC(1,1)", "ICC(A,1)", "ICC(C,1)", "ICC(1,k)", "ICC(A,k)", "ICC(C,k)")  # McGraw & Wong 1996


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Tested(Interval):
    """An interval with the p-value of the hypothesis that the value is 0."""

    p: float


def pairs(target: np.ndarray, pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both arrays as floats (n,), without the pairs in which either is NaN."""
    target, pred = np.asarray(target, float), np.asarray(pred, float)
    if target.shape != pred.shape or target.ndim != 1:
        raise UserError(f"agreement: shapes {target.shape} and {pred.shape} are not pairs; give two columns of the same rows")
    is_known = ~(np.isnan(target) | np.isnan(pred))
    return target[is_known], pred[is_known]


def classes(target: np.ndarray, pred: np.ndarray, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """The pairs as integers 0..n_classes-1; UserError for values that are not, such as expected grades."""
    both = pairs(target, pred)
    for name, values in zip(("target", "pred"), both, strict=True):
        invalid = values[(values != np.round(values)) | (values < 0) | (values >= n_classes)]
        if len(invalid):
            raise UserError(
                f"agreement: {name} {invalid[0]:g} is not a class 0..{n_classes - 1}; round, or use the likeliest class"
            )
    return both[0].astype(int), both[1].astype(int)


def confusion(target: np.ndarray, pred: np.ndarray, n_classes: int = N_RATINGEN_GRADES, *, normalise: bool = False) -> np.ndarray:
    """(K, K) counts, one row per target class; normalised: shares 0..1 of the row, NaN in the row of an empty class."""
    t, p = classes(target, pred, n_classes)
    table = np.bincount(t * n_classes + p, minlength=n_classes**2).reshape(n_classes, n_classes)
    if not normalise:
        return table
    rows = table.sum(1, keepdims=True)
    return np.divide(table, rows, out=np.full(table.shape, np.nan), where=rows > 0)


def _wald(value: float, variance: float, lowest: float = 0.0) -> Interval:
    """The interval value +- 1.96 standard errors, clipped to lowest..1."""
    half = Z * np.sqrt(variance)
    return Interval(float(value), *(float(b) for b in np.clip([value - half, value + half], lowest, 1.0)))


_UNDEFINED = Interval(*[float("nan")] * 3)


def accuracy(target: np.ndarray, pred: np.ndarray, n_classes: int = N_RATINGEN_GRADES) -> Interval:
    """Share of equal pairs, 0..1, with the Wald interval of a proportion."""
    t, p = classes(target, pred, n_classes)
    if not len(t):
        return _UNDEFINED
    share = float(np.mean(t == p))
    return _wald(share, share * (1 - share) / len(t))


def balanced_accuracy(target: np.ndarray, pred: np.ndarray, n_classes: int = N_RATINGEN_GRADES, *, within: int = 0) -> Interval:
    """Mean recall, 0..1, of the K classes present in target; a hit is a pair at most `within` apart.

    Interval: the recalls r_k are K independent proportions of n_k pairs, so the variance is sum_k r_k (1 - r_k) / n_k / K^2. The
    paper only states that the interval is Wald's; with the paper's class sizes this formula gives its half-width, 2 points.
    """
    t, p = classes(target, pred, n_classes)
    hits = [np.abs(t - p)[t == k] <= within for k in np.unique(t)]
    if not hits:
        return _UNDEFINED
    recall, count = np.array([h.mean() for h in hits]), np.array([len(h) for h in hits])
    return _wald(recall.mean(), np.sum(recall * (1 - recall) / count) / len(hits) ** 2)


def within_one_balanced_accuracy(target: np.ndarray, pred: np.ndarray, n_classes: int = N_RATINGEN_GRADES) -> Interval:
    """Balanced accuracy that counts a neighbouring class as correct."""
    return balanced_accuracy(target, pred, n_classes, within=1)


def quadratic_kappa(target: np.ndarray, pred: np.ndarray, n_classes: int = N_RATINGEN_GRADES) -> Interval:
    """Cohen's kappa with quadratic weights (i - j)^2, -1..1, and its large-sample interval (Fleiss, Cohen & Everitt 1969)."""
    from statsmodels.stats.inter_rater import cohens_kappa

    table = confusion(target, pred, n_classes)
    if len(np.union1d(*map(np.unique, np.nonzero(table)))) < 2:  # one class only: chance agreement is complete
        return _UNDEFINED
    with np.errstate(invalid="ignore", divide="ignore"):  # a constant rater leaves a variance of 0 or just below
        result = cohens_kappa(table, wt="quadratic")
    return _wald(result.kappa, max(result.var_kappa, 0.0), -1.0)


def icc(ratings: np.ndarray, form: str = "ICC(1,1)") -> Tested:
    """Intraclass correlation of k raters: ratings (N, k), rows with a NaN dropped; `form` is one of ICC_FORMS.

    ICC(1,1), one-way random, is Rohrbach's form: the definition by permuted scores (section 3.3.3) is equivalent to it, and the
    published figures agree (0.601 for 308 x 3 ratings: interval 0.543 to 0.656, p = 2e-72). ICC(A,1), two-way random with
    absolute agreement (ICC(2,1) of Shrout & Fleiss), is usual for the readers of a trial.
    """
    if form not in ICC_FORMS:
        raise UserError(f"ICC form {form!r} is not known; take one of {', '.join(ICC_FORMS)}")
    return iccs(ratings)[form]


def iccs(ratings: np.ndarray) -> dict[str, Tested]:
    """Intraclass correlations of k raters in every form of ICC_FORMS: ratings (N, k), rows with a NaN dropped.

    All NaN with fewer than 3 rows or 2 raters, or when all ratings are equal.
    """
    ratings = np.asarray(ratings, float)
    ratings = ratings[~np.isnan(ratings).any(axis=1)]
    n, k = ratings.shape
    if n < 3 or k < 2 or np.ptp(ratings) == 0:
        return dict.fromkeys(ICC_FORMS, Tested(*[float("nan")] * 4))
    import pandas as pd
    import pingouin

    pingouin.options["round.column.CI95"] = None  # by default it rounds to two decimals
    long = pd.DataFrame({"joint": np.repeat(np.arange(n), k), "reader": np.tile(np.arange(k), n), "grade": ratings.ravel()})
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", DeprecationWarning)  # pingouin uses deprecated functions of pandas
        rows = pingouin.intraclass_corr(long, "joint", "reader", "grade").set_index("Type")
    return {form: Tested(float(row["ICC"]), *map(float, row["CI95"]), float(row["pval"])) for form, row in rows.iterrows()}


def crps(cdf: np.ndarray, percent: np.ndarray) -> float:
    """Continuous ranked probability score, 0..1, lower is better: cdf (N, 101) is P(R <= k %), k = 0..100, percent (N,) is R.

    1/(101 N) sum_n sum_k (P_k - H(k - R_n))^2 with H(0) = 1. Thesis, section 4.4, with two corrections: its P(y >= k) must be
    P(y <= k), because H rises with k, and its k up to 101 must end at 100, because there are 101 values.
    """
    cdf, percent = np.asarray(cdf, float), np.asarray(percent, float)
    if cdf.shape != (len(percent), N_PERCENT):
        raise UserError(f"CRPS: a CDF of shape {cdf.shape} for {len(percent)} percentages; it needs a row each and 101 columns")
    is_known = ~(np.isnan(percent) | np.isnan(cdf).any(axis=1))
    step = np.arange(N_PERCENT) >= percent[is_known, None]
    return _mean(np.square(cdf[is_known] - step))


def _mean(values: np.ndarray) -> float:
    """The mean, NaN for no values."""
    return float(values.mean()) if values.size else float("nan")


def mse(target: np.ndarray, pred: np.ndarray) -> float:
    """Mean squared error, in squared units of the target."""
    return _mean(np.square(np.subtract(*pairs(target, pred))))


def mae(target: np.ndarray, pred: np.ndarray) -> float:
    """Mean absolute error, in units of the target (Bo, formula 4)."""
    return _mean(np.abs(np.subtract(*pairs(target, pred))))


def rmse(target: np.ndarray, pred: np.ndarray) -> float:
    """Root mean squared error, in units of the target (Bo, formula 5)."""
    return float(np.sqrt(mse(target, pred)))


def pcc(target: np.ndarray, pred: np.ndarray) -> float:
    """Pearson correlation, -1..1 (Bo, formula 3); NaN if target or pred is constant."""
    t, p = pairs(target, pred)
    return float(np.corrcoef(t, p)[0, 1]) if len(t) > 1 and np.ptp(t) and np.ptp(p) else float("nan")


def class_weights(counts: np.ndarray) -> np.ndarray:
    """Weights (K,) w_k = N / (K n_k) from the class counts n_k (Rohrbach, section 3.3.2); infinite for an empty class."""
    counts = np.asarray(counts, float)
    return np.divide(counts.sum() / len(counts), counts, out=np.full(len(counts), np.inf), where=counts > 0)


def rescoring_set(grades: np.ndarray, rng: np.random.Generator, per_class: int) -> np.ndarray:
    """Sorted indices of a random subset for a second reader: `per_class` of each grade, or all if there are fewer; never NaN."""
    grades = np.asarray(grades, float)
    drawn = [rng.permutation(np.flatnonzero(grades == g))[:per_class] for g in np.unique(grades[~np.isnan(grades)])]
    return np.sort(np.concatenate(drawn)) if drawn else np.empty(0, int)
