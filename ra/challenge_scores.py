"""The RA2-DREAM scores, and tests of the difference between two submissions.

Formulas: Sun et al., JAMA Netw Open 2022;5(8):e2227423 and the organisers' published analysis (ra2-analysis, MIT). Every score is
sum_i w_i r_i / sum_i w_i over patients i, with r_i = sqrt(mean_j (L(g_ij) - L(p_ij))^2) over a set of columns j and
L(v) = log2(v + 1); with one column r_i is the absolute error. Lower is better; the weights come from the *gold* Overall_Tol.

Submissions are data frames indexed by Patient_ID with the columns of anatomy.COLUMNS_A (any order, grades as numbers).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ra.anatomy import ID, OVERALL, SITES, limb

# (lowest, highest gold Overall_Tol, weight) in whole numbers; a total in a gap, such as 3.5, has weight 0.
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
SEED = 98109  # of the organisers' bootstrap
TIE = 3.0  # two submissions with a Bayes factor K up to this are tied


@dataclass(frozen=True)
class Metric:
    """A score of a submission: fn(pred, gold) -> number; `best` is its value for a perfect submission."""

    name: str
    fn: Callable[[pd.DataFrame, pd.DataFrame], float]
    best: float
    lower_is_better: bool


def _columns(finding: str, limbs: tuple[str, ...] = ("hand", "foot")) -> tuple[str, ...]:
    return tuple(s.column for s in SITES if s.finding == finding and limb(s.part) in limbs)


# The columns of each of the nine published scores: SC1 total, SC2 narrowing, SC3 erosion.
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
    """L(v) = log2(v + 1); negative values count as 0, there is no upper limit."""
    return np.log2(np.maximum(value, 0.0) + 1.0)


def unlog_score(log_value: np.ndarray) -> np.ndarray:
    """The inverse of log_score: 2^L - 1."""
    return np.exp2(log_value) - 1.0


def patient_weight(total: np.ndarray) -> np.ndarray:
    """Weight of patients by their gold Overall_Tol (any shape); 0 for NaN and in the gaps between the bands."""
    total = np.asarray(total, dtype=float)
    weight = np.zeros_like(total)
    for low, high, value in WEIGHTS:
        weight[(total >= low) & (total <= high)] = value
    return weight


def gold_weight(gold: pd.DataFrame) -> np.ndarray:
    """Patient weights from Overall_Tol; if it is missing, from the sum of the patient's scored sites."""
    total = gold[OVERALL["total"]]
    return patient_weight(total.where(total.notna(), gold[[s.column for s in SITES]].sum(axis=1, min_count=1)))


def root_mean_square(difference: np.ndarray) -> np.ndarray:
    """Root mean square over the last axis, ignoring NaN; NaN where all are NaN."""
    count = np.sum(~np.isnan(difference), axis=-1)
    square = np.nansum(np.square(difference), axis=-1)
    return np.sqrt(np.divide(square, count, out=np.full(square.shape, np.nan), where=count > 0))


def weighted_mean(error: np.ndarray, weight: np.ndarray) -> float:
    """sum(w r) / sum(w) over the patients with an error; NaN if their weights sum to 0."""
    is_known = ~np.isnan(error)
    total = weight[is_known].sum()
    return float((weight[is_known] * error[is_known]).sum() / total) if total > 0 else float("nan")


def patient_error(pred: pd.DataFrame, gold: pd.DataFrame, name: str) -> np.ndarray:
    """r_i of each patient, in gold's order. Cells that are NaN in gold are ignored; r_i is NaN if pred is NaN in another."""
    columns = list(COLUMNS[name])
    g = gold[columns].to_numpy(float)
    p = pred.loc[gold.index, columns].to_numpy(float)
    error = root_mean_square(log_score(g) - log_score(p))
    return np.where((np.isnan(p) & ~np.isnan(g)).any(axis=1), np.nan, error)


def ra2_score(pred: pd.DataFrame, gold: pd.DataFrame, name: str) -> float:
    """One of the nine scores; NaN when pred lacks a cell that gold has, as in the challenge."""
    error = patient_error(pred, gold, name)
    scored = gold[list(COLUMNS[name])].notna().any(axis=1).to_numpy()
    if np.isnan(error[scored]).any():
        return float("nan")
    return weighted_mean(error, gold_weight(gold))


def _metric(name: str) -> Metric:
    return Metric(name, lambda pred, gold: ra2_score(pred, gold, name), best=0.0, lower_is_better=True)


RA2 = {name: _metric(name) for name in COLUMNS}


def ra2_scores(pred: pd.DataFrame, gold: pd.DataFrame) -> dict[str, float]:
    """The nine scores, without the challenge's refusals (see `refusals`)."""
    return {name: metric.fn(pred, gold) for name, metric in RA2.items()}


def scored(gold: pd.DataFrame) -> list[str]:
    """The scores for which gold has columns: all nine in the challenge, fewer in a set where only some sites are scored."""
    return [name for name, columns in COLUMNS.items() if gold[list(columns)].notna().any(axis=None)]


def refusals(pred: pd.DataFrame, gold: pd.DataFrame) -> dict[str, str]:
    """The scores that the challenge would refuse (NA), and why: {score name: reason}.

    A missing or extra id refuses all scores; an empty, non-numeric or infinite cell refuses the scores that use it; zeros in all
    columns except Overall_Tol refuse SC2 and SC3. Columns that are empty in the whole gold table, as can be in sets other than
    the challenge's, are ignored.
    """
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
    is_used = gold[columns_all].notna() | gold[columns_all].notna().any().all()
    for name, columns in COLUMNS.items():
        for table_name, table in (("submission", pred), ("gold table", gold)):
            bad = ~np.isfinite(table.loc[gold.index, list(columns)]) & is_used[list(columns)]
            if bad.to_numpy().any():
                column = bad.any().idxmax()
                out[name] = f"{table_name}: {column} of {bad[column].idxmax()} is empty or not a number"
    others = [c for c in pred.columns if c not in (ID, OVERALL["total"]) and (c not in is_used or is_used[c].any())]
    if (pred[others] == 0).all(axis=None):
        out |= dict.fromkeys([name for name in RA2 if name != "sc1"], "every predicted value except Overall_Tol is 0")
    return out


def _draws(n: int, times: int, seed: int) -> np.ndarray:
    """How often each of n rows is drawn in each of `times` bootstrap samples: (times, n)."""
    rng = np.random.default_rng(seed)
    return np.stack([np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(times)])


def bootstrap_scores(
    preds: list[pd.DataFrame], gold: pd.DataFrame, name: str, *, times: int = 1000, seed: int = SEED
) -> np.ndarray:
    """(times, len(preds)): scores of all preds on the same bootstrap samples of (patient, column) cells.

    As in the organisers' analysis, cells, not patients, are drawn for SC2 and SC3; a patient without a drawn cell does not count.
    A score of one column has one cell per patient.
    """
    columns = list(COLUMNS[name])
    g = log_score(gold[columns].to_numpy(float))
    squares = [np.square(g - log_score(p.loc[gold.index, columns].to_numpy(float))) for p in preds]
    is_known = ~np.isnan(g)
    squares = [np.where(is_known, square, 0.0) for square in squares]
    weight = gold_weight(gold)
    out = np.empty((times, len(preds)))
    rng = np.random.default_rng(seed)
    for b in range(times):
        count = np.bincount(rng.integers(0, g.size, g.size), minlength=g.size).reshape(g.shape) * is_known
        drawn = count.sum(axis=1)
        # with one column a patient drawn twice counts twice; with several columns, once
        times_counted = drawn if len(columns) == 1 else drawn > 0
        for i, square in enumerate(squares):
            error = np.sqrt((count * square).sum(axis=1) / np.maximum(drawn, 1))
            out[b, i] = (times_counted * weight * error).sum() / (times_counted * weight).sum()
    return out


def tie_test(pred: pd.DataFrame, other: pd.DataFrame, gold: pd.DataFrame, name: str, *, times: int = 1000) -> dict[str, object]:
    """The challenge's tie rule: {k, tie, better}.

    With d = score(other) - score(pred) on paired bootstrap samples, k = #(d >= 0) / #(d < 0), inverted if not above 1; a tie if
    k <= TIE. better: pred, other or equal, by the mean of d.
    """
    scores = bootstrap_scores([pred, other], gold, name, times=times)
    d = scores[:, 1] - scores[:, 0]
    above, below = int((d >= 0).sum()), int((d < 0).sum())
    k = above / below if below else np.inf
    if k <= 1:
        k = below / above if above else np.inf
    if (d == 0).all():
        k = 1.0  # equal scores on every sample
    better = "pred" if d.mean() > 0 else "other"
    if d.mean() == 0:
        better = "equal"
    return {"k": float(min(k, times)), "tie": bool(k <= TIE), "better": better}


def paired_bootstrap(
    pred: pd.DataFrame, other: pd.DataFrame, gold: pd.DataFrame, name: str, *, times: int = 1000, seed: int = SEED
) -> tuple[float, float, float]:
    """score(pred) - score(other) and its 95 % interval over resampled *patients*: (difference, low, high); negative is better."""
    weight = gold_weight(gold)
    difference = patient_error(pred, gold, name) - patient_error(other, gold, name)
    is_used = ~np.isnan(difference) & (weight > 0)
    weight, difference = weight[is_used], difference[is_used]
    if not len(weight):
        return (float("nan"),) * 3
    drawn = _draws(len(weight), times, seed)
    samples = drawn @ (weight * difference) / (drawn @ weight)
    low, high = np.quantile(samples, [0.025, 0.975])
    return float((weight * difference).sum() / weight.sum()), float(low), float(high)
