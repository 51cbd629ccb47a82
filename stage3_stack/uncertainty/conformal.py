"""Intervals that hold what they promise: split conformal prediction of grades and totals, patients kept whole.

A residual is divided by what the model itself knows of its likely size (its spread, upward and downward), so that a mild patient
gets a short interval; the quantile of these scores over the calibration persons, with the correction for their number, is what
makes a new person's intervals cover (Papadopoulos et al., ECML 2002; Lei et al., JASA 2018;113:1094). A person gives many scores
(joints, findings, visits), which are not exchangeable: every person has the same weight, shared among his scores, and the new one
stands at infinity (hierarchical conformal prediction: Lee, Barber & Willett, arXiv:2306.06342; CDF pooling: Dunn, Wasserman &
Ramdas, JASA 2023;118:2491).

Coverage is over persons and over the places of a stratum together, not for each place or each kind of patient: those are measured
(evidence/coverage.py). Most joints are healthy and seen to be, so that over all of them the interval [0, 0] covers much: grades
therefore have a quantile for each class of value, within which they keep their promise (Mondrian conformal prediction: Vovk,
Gammerman & Shafer, Algorithmic Learning in a Random World, 2005).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ra.tables import LEVELS

INNER_FOLDS = 5  # persons' splits that keep the spread from being judged on what it was fitted to
PENALTY = 0.05  # ridge of the log-linear spread, on standardised clues
FLOOR = 0.02  # of a spread, on the scale of the residuals: a place where nobody erred is not known to be free of error
SHARED = 0.5  # of a side's spread is that of both sides: an error that one side seldom shows is not one that it never makes
LOG: tuple[Callable, Callable] = (np.log1p, np.expm1)  # the scale of totals, whose errors grow with them, and back
CLASSES = (0.1, 0.5)  # grades: nothing seen below, damage from the second on, doubtful between
PLAIN: tuple[Callable, Callable] = (np.asarray, np.asarray)  # that of grades


def quantile(scores: np.ndarray, person: np.ndarray, level: float) -> float:
    """Smallest score that at least `level` of the persons' weight lies at or below; infinity when there are too few.

    scores, person (N,). The n persons and the one to come weigh 1 / (n + 1) each, the latter at infinity. With one score per
    person it is the ceil((n + 1) level)-th smallest.
    """
    names, own, count = np.unique(person, return_inverse=True, return_counts=True)
    order = np.argsort(scores, kind="stable")
    below = np.cumsum(1.0 / count[own[order]]) / (len(names) + 1)
    at = np.searchsorted(below, level - 1e-9)
    return float(scores[order[at]]) if at < len(order) else float("inf")


@dataclass(frozen=True)
class Stratum:
    """m places of one kind, of n patients: value, target (n, m; NaN where unknown), top (m,) their maxima, clues (n, m, c) what
    the model knows of its own error. whole: grades, whose interval is one of whole numbers around the rounded value."""

    name: str
    value: np.ndarray
    target: np.ndarray
    top: np.ndarray
    clues: np.ndarray
    whole: bool = False

    @property
    def scale(self) -> tuple[Callable, Callable]:
        """To the scale of the residuals, and back."""
        return PLAIN if self.whole else LOG

    @property
    def centre(self) -> np.ndarray:
        """(n, m) what an interval lies around: the value, on the scale of the residuals."""
        return self.scale[0](self.value)

    @property
    def kind(self) -> np.ndarray:
        """(n, m) class of a value, which has a quantile of its own; 0 of totals."""
        return np.digitize(self.value, CLASSES if self.whole else ())

    @property
    def residual(self) -> np.ndarray:
        """(n, m) target - value on that scale; 0 where the rounded value is the target, which no interval leaves out."""
        out = self.scale[0](self.target) - self.centre
        return np.where(np.floor(self.value + 0.5) == self.target, 0.0, out) if self.whole else out


@dataclass
class Spread:
    """Expected size of a residual upward and downward, each a log-linear function of the clues."""

    mean: np.ndarray = field(default_factory=lambda: np.empty(0))
    sd: np.ndarray = field(default_factory=lambda: np.empty(0))
    coefficients: dict[str, np.ndarray] = field(default_factory=dict)

    def fit(self, clues: np.ndarray, residual: np.ndarray) -> Spread:
        """clues (N, c), residual (N,)."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import PoissonRegressor

        self.mean, sd = np.nanmean(clues, axis=0), np.nanstd(clues, axis=0)
        self.sd = np.where(sd > 1e-9, sd, 1.0)
        for way, own in (("up", np.maximum(residual, 0)), ("down", np.maximum(-residual, 0))):
            size = FLOOR + SHARED * np.abs(residual) / 2 + (1 - SHARED) * own
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # of a handful of patients it goes on with another solver
                found = PoissonRegressor(alpha=PENALTY, solver="newton-cholesky").fit(self._standard(clues), size)
            self.coefficients[way] = np.r_[found.intercept_, found.coef_]
        return self

    def _standard(self, clues: np.ndarray) -> np.ndarray:
        """A clue that is not there says nothing: it has the mean."""
        return np.nan_to_num((clues - self.mean) / self.sd).clip(-4, 4)

    def predict(self, clues: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(downward, upward) of clues (..., c)."""
        x = self._standard(clues)
        return tuple(np.exp(self.coefficients[way][0] + x @ self.coefficients[way][1:]) for way in ("down", "up"))

    def scores(self, clues: np.ndarray, residual: np.ndarray) -> np.ndarray:
        """How many spreads a residual is away, whichever way it points."""
        down, up = self.predict(clues)
        return np.where(residual < 0, -residual / down, residual / up)


@dataclass
class Calibration:
    """The spread and the quantiles (level -> one per class of value) of one stratum, fitted on the patients `rows`: no target of
    any other patient is read."""

    spread: Spread
    quantiles: dict[int, np.ndarray]
    n_persons: int
    n_scores: int

    @classmethod
    def fit(cls, stratum: Stratum, person: np.ndarray, rows: np.ndarray, levels: tuple[int, ...] = LEVELS) -> Calibration | None:
        """None when fewer than two persons have a residual."""
        residual = stratum.residual[rows]
        known = ~np.isnan(residual)
        residual, clues = residual[known], stratum.clues[rows][known]
        of = np.broadcast_to(person[rows][:, None], known.shape)[known]
        names, own = np.unique(of, return_inverse=True)
        if len(names) < 2:
            return None
        part = own % min(INNER_FOLDS, len(names))
        scores = np.empty(len(residual))
        for k in np.unique(part):
            held = part == k
            scores[held] = Spread().fit(clues[~held], residual[~held]).scores(clues[held], residual[held])
        kind = stratum.kind[rows][known]
        kinds = [kind == k for k in range(len(CLASSES) + 1 if stratum.whole else 1)]
        found = {level: np.array([quantile(scores[own], of[own], level / 100) for own in kinds]) for level in levels}
        return cls(Spread().fit(clues, residual), found, len(names), len(scores))

    def interval(self, stratum: Stratum, rows: np.ndarray, level: int) -> tuple[np.ndarray, np.ndarray]:
        """(low, high), each (len(rows), m), within [0, top]; NaN where there is no value."""
        reach = self.quantiles[level][stratum.kind[rows]]
        down, up = (reach * spread for spread in self.spread.predict(stratum.clues[rows]))
        centre, (scale, back) = stratum.centre[rows], stratum.scale
        low = back(np.maximum(centre - down, 0.0))
        high = back(np.minimum(centre + up, scale(stratum.top)))
        if not stratum.whole:
            return low, high
        rounded = np.floor(stratum.value[rows] + 0.5)
        return np.minimum(np.ceil(low - 1e-9), rounded), np.maximum(np.floor(high + 1e-9), rounded)

    def describe(self) -> dict:
        """What intervals.json says of it."""
        return {
            "quantiles": {str(at): [v if np.isfinite(v) else None for v in own.tolist()] for at, own in self.quantiles.items()},
            "log_spread": {way: [round(float(c), 6) for c in values] for way, values in self.spread.coefficients.items()},
            "clues_mean": [round(float(v), 6) for v in self.spread.mean],
            "clues_sd": [round(float(v), 6) for v in self.spread.sd],
            "persons": self.n_persons,
            "residuals": self.n_scores,
        }


def cross_fitted(
    stratum: Stratum, person: np.ndarray, fold: np.ndarray, levels: tuple[int, ...] = LEVELS
) -> tuple[np.ndarray, np.ndarray, dict[str, dict]]:
    """low and high (n, m, levels) of every patient, and what each calibration was.

    fold (n,): of a training patient his fold, whose intervals rest on the other folds alone; -1 of a test patient, whose rest on
    all training patients.
    """
    shape = (*stratum.value.shape, len(levels))
    low, high, said = np.full(shape, np.nan), np.full(shape, np.nan), {}
    for k in np.unique(fold):
        made = Calibration.fit(stratum, person, np.flatnonzero((fold != k) & (fold >= 0)), levels)
        rows = np.flatnonzero(fold == k)
        if made is None:
            continue
        for i, level in enumerate(levels):
            low[rows, :, i], high[rows, :, i] = made.interval(stratum, rows, level)
        said["all" if k < 0 else f"fold_{k}"] = made.describe()
    return low, high, said
