"""Prediction intervals of grades and totals by split conformal prediction, with persons kept whole.

A score is a residual divided by the size that is expected in its direction, upward or downward (the spread). The spread is
estimated from difficulty.py, so a patient with little damage gets a short interval. The quantile of the scores over the
calibration persons, corrected for their number, gives a new person's intervals their coverage (Papadopoulos et al., ECML 2002;
Lei et al., JASA 2018;113:1094). A person has many scores (joints, findings, visits), which are not exchangeable. Every person
therefore has the same weight, divided among the person's scores, and the new person's score is taken to be infinite (hierarchical
conformal prediction: Lee, Barber & Willett, arXiv:2306.06342; CDF pooling: Dunn, Wasserman & Ramdas, JASA 2023;118:2491).

Coverage holds over persons and over all sites of a stratum together, not for each site or each kind of patient, for which it is
measured (evaluation/coverage.py). Most sites are healthy and predicted as healthy, so that the interval [0, 0] alone would cover
most sites. Grades therefore have one quantile per class of predicted value, and coverage holds within each class (Mondrian
conformal prediction: Vovk, Gammerman & Shafer, Algorithmic Learning in a Random World, 2005).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ra.tables import LEVELS

INNER_FOLDS = 5  # splits of the persons, so that a score is computed with a spread that was fitted on other persons
PENALTY = 0.05  # ridge of the log-linear spread, on standardised difficulties
SMALLEST_SPREAD = 0.02  # on the scale of the residuals; a site without errors in the training patients can still have one
POOLED_SHARE = 0.5  # share of each direction's spread that comes from errors in both directions, as those in one can be rare
CLASSES = (0.1, 0.5)  # limits of predicted grades: no damage below the first, damage from the second on, doubtful in between


class Scale(NamedTuple):
    """The scale on which residuals are taken, and the way back."""

    apply: Callable[[np.ndarray], np.ndarray]
    invert: Callable[[np.ndarray], np.ndarray]


LOG_SCALE = Scale(np.log1p, np.expm1)  # for totals, whose errors grow with the total
LINEAR_SCALE = Scale(np.asarray, np.asarray)  # for grades


def quantile(scores: np.ndarray, person: np.ndarray, level: float) -> float:
    """Smallest score at or below which at least `level` of the persons' weight lies; infinity if there are too few persons.

    scores, person (N,). Each of the n persons and the new person has weight 1 / (n + 1); the new person's score counts as
    infinite. With one score per person the result is the ceil((n + 1) level)-th smallest score.
    """
    names, index, count = np.unique(person, return_inverse=True, return_counts=True)
    order = np.argsort(scores, kind="stable")
    cumulative = np.cumsum(1.0 / count[index[order]]) / (len(names) + 1)
    position = np.searchsorted(cumulative, level - 1e-9)
    return float(scores[order[position]]) if position < len(order) else float("inf")


@dataclass(frozen=True)
class Stratum:
    """m sites or totals of n patients that are calibrated together.

    value, target (n, m; NaN where unknown); maximum (m,); difficulty (n, m, c): the columns of difficulty.py. whole: the values
    are grades, whose intervals begin and end at whole numbers and include the rounded value.
    """

    name: str
    value: np.ndarray
    target: np.ndarray
    maximum: np.ndarray
    difficulty: np.ndarray
    whole: bool = False

    @property
    def scale(self) -> Scale:
        """The scale of the residuals."""
        return LINEAR_SCALE if self.whole else LOG_SCALE

    @property
    def centre(self) -> np.ndarray:
        """(n, m) the value on the scale of the residuals: the point around which an interval lies."""
        return self.scale.apply(self.value)

    @property
    def value_class(self) -> np.ndarray:
        """(n, m) class of each value, 0 to 2; each class has its own quantiles. It is 0 for totals."""
        return np.digitize(self.value, CLASSES if self.whole else ())

    @property
    def residual(self) -> np.ndarray:
        """(n, m) target - value on the residuals' scale; 0 where the target is the rounded value, as every interval has it."""
        out = self.scale.apply(self.target) - self.centre
        return np.where(np.floor(self.value + 0.5) == self.target, 0.0, out) if self.whole else out


@dataclass
class Spread:
    """Expected size of a residual upward and downward, each a log-linear function of the difficulty."""

    mean: np.ndarray = field(default_factory=lambda: np.empty(0))
    sd: np.ndarray = field(default_factory=lambda: np.empty(0))
    coefficients: dict[str, np.ndarray] = field(default_factory=dict)

    def fit(self, difficulty: np.ndarray, residual: np.ndarray) -> Spread:
        """Fit both directions to residuals (N,) with difficulties (N, c)."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import PoissonRegressor

        self.mean, sd = np.nanmean(difficulty, axis=0), np.nanstd(difficulty, axis=0)
        self.sd = np.where(sd > 1e-9, sd, 1.0)
        for direction, size in (("up", np.maximum(residual, 0)), ("down", np.maximum(-residual, 0))):
            smoothed = SMALLEST_SPREAD + POOLED_SHARE * np.abs(residual) / 2 + (1 - POOLED_SHARE) * size
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # with few patients scikit-learn changes the solver
                model = PoissonRegressor(alpha=PENALTY, solver="newton-cholesky")
                model.fit(self._standardised(difficulty), smoothed)
            self.coefficients[direction] = np.r_[model.intercept_, model.coef_]
        return self

    def _standardised(self, difficulty: np.ndarray) -> np.ndarray:
        """z-scores, clipped; a missing difficulty gets the mean."""
        return np.nan_to_num((difficulty - self.mean) / self.sd).clip(-4, 4)

    def predict(self, difficulty: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(downward, upward) spread for difficulties (..., c)."""
        x = self._standardised(difficulty)
        down, up = (np.exp(self.coefficients[name][0] + x @ self.coefficients[name][1:]) for name in ("down", "up"))
        return down, up

    def scores(self, difficulty: np.ndarray, residual: np.ndarray) -> np.ndarray:
        """Size of each residual in units of the spread in its direction."""
        down, up = self.predict(difficulty)
        return np.where(residual < 0, -residual / down, residual / up)


@dataclass
class Calibration:
    """Spread and quantiles (level -> one per class of value) of one stratum; `fit` reads only the targets of its `rows`."""

    spread: Spread
    quantiles: dict[int, np.ndarray]
    n_persons: int
    n_scores: int

    @classmethod
    def fit(cls, stratum: Stratum, person: np.ndarray, rows: np.ndarray, levels: tuple[int, ...] = LEVELS) -> Calibration | None:
        """The calibration on the patients `rows`; None if fewer than two persons have a residual."""
        residual = stratum.residual[rows]
        known = ~np.isnan(residual)
        residual, difficulty = residual[known], stratum.difficulty[rows][known]
        score_person = np.broadcast_to(person[rows][:, None], known.shape)[known]
        names, person_index = np.unique(score_person, return_inverse=True)
        if len(names) < 2:
            return None
        inner_fold = person_index % min(INNER_FOLDS, len(names))
        scores = np.empty(len(residual))
        for k in np.unique(inner_fold):
            held_out = inner_fold == k
            spread = Spread().fit(difficulty[~held_out], residual[~held_out])
            scores[held_out] = spread.scores(difficulty[held_out], residual[held_out])
        value_class = stratum.value_class[rows][known]
        groups = [value_class == k for k in range(len(CLASSES) + 1 if stratum.whole else 1)]
        quantiles = {
            level: np.array([quantile(scores[group], score_person[group], level / 100) for group in groups]) for level in levels
        }
        return cls(Spread().fit(difficulty, residual), quantiles, len(names), len(scores))

    def interval(self, stratum: Stratum, rows: np.ndarray, level: int) -> tuple[np.ndarray, np.ndarray]:
        """(low, high), each (len(rows), m), within [0, maximum]; NaN where there is no value."""
        quantiles = self.quantiles[level][stratum.value_class[rows]]
        down, up = (quantiles * spread for spread in self.spread.predict(stratum.difficulty[rows]))
        centre, scale = stratum.centre[rows], stratum.scale
        low = scale.invert(np.maximum(centre - down, 0.0))
        high = scale.invert(np.minimum(centre + up, scale.apply(stratum.maximum)))
        if not stratum.whole:
            return low, high
        rounded = np.floor(stratum.value[rows] + 0.5)
        return np.minimum(np.ceil(low - 1e-9), rounded), np.maximum(np.floor(high + 1e-9), rounded)

    def describe(self) -> dict:
        """The numbers of the calibration, for intervals.json."""
        quantiles = {}
        for level, values in self.quantiles.items():
            quantiles[str(level)] = [v if np.isfinite(v) else None for v in values.tolist()]
        return {
            "quantiles": quantiles,
            "log_spread": {name: [round(float(c), 6) for c in values] for name, values in self.spread.coefficients.items()},
            "difficulty_mean": [round(float(v), 6) for v in self.spread.mean],
            "difficulty_sd": [round(float(v), 6) for v in self.spread.sd],
            "persons": self.n_persons,
            "residuals": self.n_scores,
        }


def cross_fitted(
    stratum: Stratum, person: np.ndarray, fold: np.ndarray, levels: tuple[int, ...] = LEVELS
) -> tuple[np.ndarray, np.ndarray, dict[str, dict]]:
    """low and high (n, m, levels) of every patient, and a description of each calibration.

    fold (n,): intervals of training patients are calibrated on the other folds only, those of test patients (fold -1) on all
    training patients.
    """
    shape = (*stratum.value.shape, len(levels))
    low, high, descriptions = np.full(shape, np.nan), np.full(shape, np.nan), {}
    for k in np.unique(fold):
        calibration = Calibration.fit(stratum, person, np.flatnonzero((fold != k) & (fold >= 0)), levels)
        rows = np.flatnonzero(fold == k)
        if calibration is None:
            continue
        for i, level in enumerate(levels):
            low[rows, :, i], high[rows, :, i] = calibration.interval(stratum, rows, level)
        descriptions["all" if k < 0 else f"fold_{k}"] = calibration.describe()
    return low, high, descriptions
