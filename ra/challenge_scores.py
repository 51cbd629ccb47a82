"""The RA2-DREAM scores and what is asked of a difference between two submissions.

Formulas: Sun et al., JAMA Netw Open 2022;5(8):e2227423 and the organisers' published analysis (ra2-analysis, MIT). All of them
are one formula over a set of columns, sum_i w_i r_i / sum_i w_i with r_i = sqrt(mean_j (L(g_ij) - L(p_ij))^2) and
L(v) = log2(v + 1): with one column r_i is the absolute error. Lower is better; the weights come from the *gold* Overall_Tol.

Submissions are data frames indexed by Patient_ID with the columns of anatomy.COLUMNS_A (any order, grades as numbers).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ra.anatomy import ID, OVERALL, SITES, limb

# (lowest, highest gold Overall_Tol, weight), whole numbers; what lies in a gap, such as 3.5, weighs 0.
WEIGHTS = (
    (0, 0, 1.0),
    (1, 1, 2.0),
    (2, 3, 2.143547),
    (4, 7, 3.863745),
    (8, 20, 8.0),
    (21, 55, 16.0),
    (56, 148, 32.0),
    (149, np.inf, 64.0),
)
SEED = 98109  # the organisers'
TIE = 3.0  # a Bayes factor K up to this is a tie


@dataclass(frozen=True)
class Metric:
    """fn(pred, gold) -> number of two aligned submissions; `best` is the value of a perfect one."""

    name: str
    fn: Callable[[pd.DataFrame, pd.DataFrame], float]
    best: float
    lower_is_better: bool


def _columns(finding: str, limbs: tuple[str, ...] = ("hand", "foot")) -> tuple[str, ...]:
    return tuple(s.column for s in SITES if s.finding == finding and limb(s.part) in limbs)


# SC1 total, SC2 narrowing, SC3 erosion: the columns that each of the nine published numbers looks at.
COLUMNS = {
    "sc1": (OVERALL["total"],),
    "sc2": _columns("narrowing"),
    "sc2_hand": _columns("narrowing", ("hand",)),
    "sc2_foot": _columns("narrowing", ("foot",)),
    "sc2_total": (OVERALL["narrowing"],),
    "sc3": _columns("erosion"),
    "sc3_hand": _columns("erosion", ("hand",)),
    "sc3_foot": _columns("erosion", ("foot",)),
    "sc3_total": (OVERALL["erosion"],),
}


def log_score(value: np.ndarray) -> np.ndarray:
    """L(v) = log2(v + 1); below 0 counts as 0, nothing is cut off above."""
    return np.log2(np.maximum(value, 0.0) + 1.0)


def unlog_score(log_value: np.ndarray) -> np.ndarray:
    """The inverse of L."""
    return np.exp2(log_value) - 1.0


def patient_weight(total: np.ndarray) -> np.ndarray:
    """Weight of patients by their gold Overall_Tol (any shape); NaN and the gaps between the bands weigh 0."""
    total = np.asarray(total, dtype=float)
    weight = np.zeros_like(total)
    for low, high, value in WEIGHTS:
        weight[(total >= low) & (total <= high)] = value
    return weight


def gold_weight(gold: pd.DataFrame) -> np.ndarray:
    """Weight of gold's patients, by Overall_Tol; by the sum of his grades for one without, of whom some sites are scored."""
    total = gold[OVERALL["total"]]
    return patient_weight(total.where(total.notna(), gold[[s.column for s in SITES]].sum(axis=1, min_count=1)))


def root_mean_square(difference: np.ndarray) -> np.ndarray:
    """Root mean square over the last axis of what is not NaN; NaN where nothing is."""
    count = np.sum(~np.isnan(difference), axis=-1)
    square = np.nansum(np.square(difference), axis=-1)
    return np.sqrt(np.divide(square, count, out=np.full(square.shape, np.nan), where=count > 0))


def weighted_mean(error: np.ndarray, weight: np.ndarray) -> float:
    """sum(w r) / sum(w) over the patients whose error is known; NaN when none is."""
    known = ~np.isnan(error)
    total = weight[known].sum()
    return float((weight[known] * error[known]).sum() / total) if total > 0 else float("nan")


def patient_error(pred: pd.DataFrame, gold: pd.DataFrame, name: str) -> np.ndarray:
    """r_i of each patient, in gold's order. A NaN in gold is not looked at, a NaN in pred makes that patient NaN."""
    columns = list(COLUMNS[name])
    g = gold[columns].to_numpy(float)
    p = pred.loc[gold.index, columns].to_numpy(float)
    error = root_mean_square(log_score(g) - log_score(p))
    return np.where((np.isnan(p) & ~np.isnan(g)).any(axis=1), np.nan, error)


def ra2_score(pred: pd.DataFrame, gold: pd.DataFrame, name: str) -> float:
    """One of the nine scores; NaN when a cell is missing that gold has, as in the challenge."""
    error = patient_error(pred, gold, name)
    scored = gold[list(COLUMNS[name])].notna().any(axis=1).to_numpy()
    if np.isnan(error[scored]).any():
        return float("nan")
    return weighted_mean(error, gold_weight(gold))


def _metric(name: str) -> Metric:
    return Metric(name, lambda pred, gold: ra2_score(pred, gold, name), best=0.0, lower_is_better=True)


RA2 = {name: _metric(name) for name in COLUMNS}


def ra2_scores(pred: pd.DataFrame, gold: pd.DataFrame) -> dict[str, float]:
    """The nine numbers, without the challenge's refusals (see `refusals`)."""
    return {name: metric.fn(pred, gold) for name, metric in RA2.items()}


def scored(gold: pd.DataFrame) -> list[str]:
    """The scores whose columns gold has: all nine of the challenge's gold, fewer of a set that scores some sites alone."""
    return [name for name, columns in COLUMNS.items() if gold[list(columns)].notna().any(axis=None)]


def refusals(pred: pd.DataFrame, gold: pd.DataFrame) -> dict[str, str]:
    """Why a score is NA: {score name: reason}. A missing or an extra id refuses all; an empty, non-numeric or infinite
    cell the scores that read it; a submission of zeros in everything but Overall_Tol refuses SC2 and SC3. A gold that lacks
    whole columns is none of the challenge's: what it lacks is not looked at."""
    for reason, ids in (
        ("Patient_ID twice in the submission", pred.index[pred.index.duplicated()]),
        ("Patient_ID twice in the gold table", gold.index[gold.index.duplicated()]),
        ("Patient_ID missing from the submission", gold.index.difference(pred.index)),
        ("Patient_ID not in the gold table", pred.index.difference(gold.index)),
    ):
        if len(ids):
            return {name: f"{reason}: {ids[0]} ({len(ids)} in all)" for name in RA2}
    out: dict[str, str] = {}
    if not gold_weight(gold).sum():
        return dict.fromkeys(RA2, "no gold Overall_Tol has a weight")
    columns_all = [*OVERALL.values(), *(s.column for s in SITES)]
    looked_at = gold[columns_all].notna() | gold[columns_all].notna().any().all()
    for name, columns in COLUMNS.items():
        for what, table in (("submission", pred), ("gold table", gold)):
            bad = ~np.isfinite(table.loc[gold.index, list(columns)]) & looked_at[list(columns)]
            if bad.to_numpy().any():
                column = bad.any().idxmax()
                out[name] = f"{what}: {column} of {bad[column].idxmax()} is empty or not a number"
    rest = pred[[c for c in pred.columns if c not in (ID, OVERALL["total"]) and (c not in looked_at or looked_at[c].any())]]
    if (rest == 0).all(axis=None):
        out |= dict.fromkeys([name for name in RA2 if name != "sc1"], "every predicted value except Overall_Tol is 0")
    return out


def _draws(n: int, times: int, seed: int) -> np.ndarray:
    """(times, n) how often each of n rows is drawn in each bootstrap."""
    rng = np.random.default_rng(seed)
    return np.stack([np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(times)])


def bootstrap_scores(
    preds: list[pd.DataFrame], gold: pd.DataFrame, name: str, *, times: int = 1000, seed: int = SEED
) -> np.ndarray:
    """(times, len(preds)) scores on the same resamples of patient x column rows (for a single column: of patients).

    The organisers draw rows, not patients, for SC2 and SC3; a patient that is not drawn does not count.
    """
    columns = list(COLUMNS[name])
    g = log_score(gold[columns].to_numpy(float))
    squares = [np.square(g - log_score(p.loc[gold.index, columns].to_numpy(float))) for p in preds]
    known = ~np.isnan(g)
    squares = [np.where(known, square, 0.0) for square in squares]
    weight = gold_weight(gold)
    out = np.empty((times, len(preds)))
    rng = np.random.default_rng(seed)
    for b in range(times):
        count = np.bincount(rng.integers(0, g.size, g.size), minlength=g.size).reshape(g.shape) * known
        drawn = count.sum(axis=1)
        # drawn once per row of one column: a patient drawn twice counts twice; over many columns it counts once
        times_counted = drawn if len(columns) == 1 else drawn > 0
        for i, square in enumerate(squares):
            error = np.sqrt((count * square).sum(axis=1) / np.maximum(drawn, 1))
            out[b, i] = (times_counted * weight * error).sum() / (times_counted * weight).sum()
    return out


def tie_test(pred: pd.DataFrame, other: pd.DataFrame, gold: pd.DataFrame, name: str, *, times: int = 1000) -> dict[str, object]:
    """The challenge's tie rule: d = score(other) - score(pred) on paired resamples, K = #(d >= 0) / #(d < 0), inverted if
    not above 1, and a tie if K <= 3. `better` is the mean's verdict: pred, other or equal."""
    scores = bootstrap_scores([pred, other], gold, name, times=times)
    d = scores[:, 1] - scores[:, 0]
    above, below = int((d >= 0).sum()), int((d < 0).sum())
    k = above / below if below else np.inf
    if k <= 1:
        k = below / above if above else np.inf
    if (d == 0).all():
        k = 1.0  # the same numbers: nothing tells them apart
    better = "equal" if d.mean() == 0 else "pred" if d.mean() > 0 else "other"
    return {"k": float(min(k, times)), "tie": bool(k <= TIE), "better": better}


def paired_bootstrap(
    pred: pd.DataFrame, other: pd.DataFrame, gold: pd.DataFrame, name: str, *, times: int = 1000, seed: int = SEED
) -> tuple[float, float, float]:
    """score(pred) - score(other) and its 95 % interval over resampled *patients*: (difference, low, high); negative is better."""
    weight = gold_weight(gold)
    difference = patient_error(pred, gold, name) - patient_error(other, gold, name)
    known = ~np.isnan(difference) & (weight > 0)
    weight, difference = weight[known], difference[known]
    if not len(weight):
        return (float("nan"),) * 3
    drawn = _draws(len(weight), times, seed)
    samples = drawn @ (weight * difference) / (drawn @ weight)
    low, high = np.quantile(samples, [0.025, 0.975])
    return float((weight * difference).sum() / weight.sum()), float(low), float(high)
