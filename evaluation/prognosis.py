"""From a person's earlier visits to his next total: a ridge regression against the naive forecasts.

A case is a visit with at least one before it. Nothing of a case's own visit is among its features, and a training person's
forecasts are made by a regression that never saw him.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from evaluation.bootstrap import resample
from evaluation.statistic import Statistic
from ra.agreement import Interval
from ra.anatomy import MAX_TOTAL
from ra.challenge_scores import SEED

SECTION = "prognosis"
# average change: everybody's last total and the same on top, what the others rose by; it knows nothing of a person's history.
RIDGE, SAME, SLOPE, AVERAGE = "ridge", "no change", "same slope", "average change"
FORECASTS = (RIDGE, SAME, SLOPE, AVERAGE)
FEATURES = (
    *("last total", "last erosion", "last narrowing", "damaged sites"),
    *("slope so far", "slope known", "visits so far", "time to the next"),
)
FOLDS = 5
LEAST = 10  # persons with a case, below which nothing is fitted
ALPHAS = np.logspace(-1, 4, 16)  # of the ridge, on scaled features
YEAR_DAYS = 365.25
NONE = Interval(*[float("nan")] * 3)


@dataclass(frozen=True)
class Visits:
    """n sets of films: person and visit say whose and which, day (n,) days since the person's first, NaN where not known.
    totals (n, 3): total, erosion, narrowing; damaged (n,) sites above 0; outcome (n,) what is to be forecast of each visit."""

    person: np.ndarray
    visit: np.ndarray
    totals: np.ndarray
    damaged: np.ndarray
    outcome: np.ndarray
    day: np.ndarray


@dataclass(frozen=True)
class Cases:
    """c visits to be forecast: row (c,) which of the Visits; features (c, FEATURES); naive (c, 2): no change, same slope, the
    latter NaN where only one earlier visit is known; outcome (c,); learn (c,): whether it may be learned from."""

    row: np.ndarray
    person: np.ndarray
    features: np.ndarray
    naive: np.ndarray
    outcome: np.ndarray
    learn: np.ndarray

    def take(self, rows: np.ndarray) -> Cases:
        return replace(self, **{name: value[rows] for name, value in vars(self).items()})

    @property
    def persons(self) -> int:
        return len(set(self.person.tolist()))


def cases(visits: Visits, learn: np.ndarray | None = None) -> Cases:
    """Every visit that has a scored one before it and a known outcome.

    Time is in years where the days are known and rise, else in visits. learn: (n,) whether a visit may be learned from (the
    training split), by default all.
    """
    rows, features, naive = [], [], []
    scored, names = ~np.isnan(visits.totals).any(axis=1), visits.person.astype(str)
    for person in np.unique(names):
        own = np.flatnonzero(names == person)
        own = own[np.argsort(visits.visit[own], kind="stable")]
        for at, row in enumerate(own):
            earlier = own[:at][scored[own[:at]]]
            if not len(earlier) or np.isnan(visits.outcome[row]):
                continue
            known = _history(visits.totals[earlier], visits.damaged[earlier[-1]], _time(visits, np.r_[earlier, row]))
            for column, value in zip((rows, features, naive), (row, *known), strict=True):
                column.append(value)
    row, may = np.array(rows, dtype=int), np.ones(len(names), bool) if learn is None else learn
    made = [np.array(x, float).reshape(len(rows), width) for x, width in ((features, len(FEATURES)), (naive, 2))]
    return Cases(row, visits.person[row], *made, visits.outcome[row], may[row])


def _time(visits: Visits, own: np.ndarray) -> np.ndarray:
    years = visits.day[own] / YEAR_DAYS
    return years if (np.diff(years) > 0).all() else visits.visit[own].astype(float)


def _history(totals: np.ndarray, damaged: float, time: np.ndarray) -> tuple[list[float], list[float]]:
    """Features and naive forecasts of the visit at time[-1] from totals (t, 3) at time[:-1]. A slope that is not known is given
    as 0, with a feature that says so."""
    last, step, known = totals[-1], time[-1] - time[-2], len(totals) > 1
    slope = (last[0] - totals[0, 0]) / (time[-2] - time[0]) if known else 0.0
    recent = (last[0] - totals[-2, 0]) / (time[-2] - time[-3]) if known else np.nan
    return [*last, damaged, slope, float(known), len(totals), step], [last[0], _on_scale(last[0] + recent * step)]


def _on_scale(total: np.ndarray) -> np.ndarray:
    return np.clip(total, 0, MAX_TOTAL["total"])


def forecast(found: Cases) -> np.ndarray:
    """(c, 4) in the order of FORECASTS. The ridge learns the change to the next visit; its strength is chosen by leave-one-out
    within what it learns from. Persons that may be learned from are forecast by cross-fitting, the others by one fit of all."""
    names = np.unique(found.person[found.learn].astype(str))
    part = np.random.default_rng(SEED).permutation(len(names)) % FOLDS
    fold = dict(zip(names.tolist(), part.tolist(), strict=True))
    own = np.array([fold.get(str(who), -1) for who in found.person], dtype=int)
    change = np.full((len(own), 2), np.nan)
    for k in np.unique(own):
        learn, held = found.take(found.learn & (own != k)), own == k
        change[held] = np.column_stack([_ridge(learn, found.features[held]), np.full(held.sum(), _rise(learn).mean())])
    ahead = _on_scale(found.features[:, :1] + change)
    return np.column_stack([ahead[:, 0], found.naive, ahead[:, 1]])


def _rise(learn: Cases) -> np.ndarray:
    return learn.outcome - learn.features[:, 0]


def _ridge(learn: Cases, features: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), RidgeCV(ALPHAS))
    return model.fit(learn.features, _rise(learn)).predict(features)


ERRORS = {"rmse": lambda sums: np.sqrt(sums[..., 1] / sums[..., 0]), "mae": lambda sums: sums[..., 1] / sums[..., 0]}


def _size(error: np.ndarray, measure: str) -> np.ndarray:
    return np.square(error) if measure == "rmse" else np.abs(error)


def error(found: Cases, forecasts: np.ndarray, name: str, measure: str) -> Interval:
    """rmse or mae of one forecast, in units of the total, with its bootstrap interval over persons; of the cases that have it."""
    e = forecasts[:, FORECASTS.index(name)] - found.outcome
    return _estimate(found, [e], lambda sums: ERRORS[measure](sums[..., [0, 1]]), measure)


def difference(found: Cases, forecasts: np.ndarray, other: str, measure: str) -> Interval:
    """The ridge's error less another forecast's, on the same cases and the same resamples; below 0 the ridge is better."""
    errors = [forecasts[:, FORECASTS.index(name)] - found.outcome for name in (RIDGE, other)]
    of = ERRORS[measure]
    return _estimate(found, errors, lambda sums: of(sums[..., [0, 1]]) - of(sums[..., [0, 2]]), measure)


def _estimate(found: Cases, errors: list[np.ndarray], of: Callable[[np.ndarray], np.ndarray], measure: str) -> Interval:
    sizes = np.stack([np.ones(len(found.row)), *(_size(e, measure) for e in errors)], axis=1)
    known = ~np.isnan(sizes).any(axis=1)
    if not known.any():
        return NONE
    drawn = resample(found.person[known])
    return Interval(*drawn.estimate(of(drawn.sums(sizes[known]))))


@dataclass(frozen=True)
class Prognosis:
    """The forecasts (c, FORECASTS) of the cases, made of one rater's earlier scores (`source`), and what they were worth."""

    source: str
    found: Cases
    forecasts: np.ndarray

    def error(self, name: str, measure: str) -> Statistic:
        known = int((~np.isnan(self.forecasts[:, FORECASTS.index(name)])).sum())
        return self._statistic(measure, name, error(self.found, self.forecasts, name, measure), known)

    def difference(self, other: str, measure: str) -> Statistic:
        """The ridge's error less that of `other`."""
        known = int((~np.isnan(self.forecasts[:, FORECASTS.index(other)])).sum())
        return self._statistic(f"{measure}_less", other, difference(self.found, self.forecasts, other, measure), known)

    @property
    def verdicts(self) -> str:
        """What the ridge does beside each other forecast, by RMSE."""
        found = {name: self.difference(name, "rmse") for name in FORECASTS[1:]}
        said = [f"{verdict(one)} {name}" for name, one in found.items() if one.n]
        unknown = [name for name, one in found.items() if not one.n]
        return ", ".join(said + [f"cannot be compared with {name}, which takes two earlier visits" for name in unknown])

    def _statistic(self, name: str, scope: str, found: Interval, n: int) -> Statistic:
        return Statistic(SECTION, name, "all", f"from {self.source}", scope, *vars(found).values(), n=n, unit="visits", digits=2)


def prognosis(source: str, visits: Visits, learn: np.ndarray | None = None) -> Prognosis | None:
    """None where fewer than LEAST persons with a case may be learned from."""
    found = cases(visits, learn)
    return Prognosis(source, found, forecast(found)) if found.take(found.learn).persons >= LEAST else None


def learnable(source: str, visits: Visits, learn: np.ndarray | None = None) -> Statistic:
    """How many persons have a case to learn from."""
    found = cases(visits, learn)
    persons = found.take(found.learn).persons
    return Statistic(
        SECTION, "persons_to_learn_from", "all", f"from {source}", "forecast", persons, n=persons, unit="persons", digits=0
    )


def verdict(found: Statistic) -> str:
    """What a difference of errors says: its whole interval on one side of 0, or not."""
    if np.isnan(found.low):
        return "cannot be compared with"
    return "beats" if found.high < 0 else "does worse than" if found.low > 0 else "is not told apart from"
