"""Forecasts of a person's next total from earlier visits: a ridge regression compared with naive forecasts.

A case is a visit with at least one earlier visit. The features of a case use no scores of that visit, and a training person's
forecasts come from a regression that was not fitted on that person.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass, replace

import numpy as np

from evaluation import bootstrap, section_ids
from evaluation.bootstrap import UNDEFINED, resample
from evaluation.statistic import Statistic
from ra.agreement import Interval
from ra.anatomy import MAX_TOTAL
from ra.challenge_scores import SEED

SECTION = section_ids.PROGNOSIS
# "no change" forecasts the last total. "same slope" continues the last rise per year. "average change" adds the mean rise of the
# other persons to the last total, and uses no other part of the person's history.
RIDGE, SAME, SLOPE, AVERAGE = "ridge", "no change", "same slope", "average change"
FORECASTS = (RIDGE, SAME, SLOPE, AVERAGE)
FEATURES = (
    *("last total", "last erosion", "last narrowing", "damaged sites"),
    *("slope so far", "slope known", "visits so far", "time to the next"),
)
FOLDS = 5
MIN_PERSONS = 10  # with fewer training persons who have a case, nothing is fitted
ALPHAS = np.logspace(-1, 4, 16)  # penalties tried, on scaled features
YEAR_DAYS = 365.25
VERDICTS = {"better": "beats", "worse": "does worse than", "no significant difference": "does not differ significantly from"}


@dataclass(frozen=True)
class Visits:
    """n sets of films: person and visit (n,); day (n,) days since the person's first visit, NaN if not known; totals (n, 3):
    total, erosion, narrowing; damaged (n,) number of sites above 0; outcome (n,) the total that is to be forecast."""

    person: np.ndarray
    visit: np.ndarray
    totals: np.ndarray
    damaged: np.ndarray
    outcome: np.ndarray
    day: np.ndarray


@dataclass(frozen=True)
class Cases:
    """c visits to be forecast.

    row (c,) index into the Visits; features (c, FEATURES); naive (c, 2): no change and same slope, the latter NaN with a single
    earlier visit; outcome (c,); is_train (c,): whether the case may be used for fitting.
    """

    row: np.ndarray
    person: np.ndarray
    features: np.ndarray
    naive: np.ndarray
    outcome: np.ndarray
    is_train: np.ndarray

    def take(self, rows: np.ndarray) -> Cases:
        """Some cases (indices or a mask)."""
        return replace(self, **{name: value[rows] for name, value in vars(self).items()})

    @property
    def persons(self) -> int:
        """Number of persons."""
        return len(set(self.person.tolist()))


def cases(visits: Visits, is_train: np.ndarray | None = None) -> Cases:
    """Every visit that has a scored visit before it and a known outcome.

    Time is in years if the person's days are known and increase, else in visits. is_train: (n,) the visits that may be used for
    fitting, by default all.
    """
    rows, features, naive = [], [], []
    is_scored, names = ~np.isnan(visits.totals).any(axis=1), visits.person.astype(str)
    for person in np.unique(names):
        of_person = np.flatnonzero(names == person)
        of_person = of_person[np.argsort(visits.visit[of_person], kind="stable")]
        for i, row in enumerate(of_person):
            earlier = of_person[:i][is_scored[of_person[:i]]]
            if not len(earlier) or np.isnan(visits.outcome[row]):
                continue
            time = _time(visits, np.r_[earlier, row])
            case_features, case_naive = _history(visits.totals[earlier], visits.damaged[earlier[-1]], time)
            rows.append(row)
            features.append(case_features)
            naive.append(case_naive)
    row = np.array(rows, dtype=int)
    return Cases(
        row,
        visits.person[row],
        np.array(features, float).reshape(len(rows), len(FEATURES)),
        np.array(naive, float).reshape(len(rows), 2),
        visits.outcome[row],
        (np.ones(len(names), bool) if is_train is None else is_train)[row],
    )


def _time(visits: Visits, rows: np.ndarray) -> np.ndarray:
    years = visits.day[rows] / YEAR_DAYS
    return years if (np.diff(years) > 0).all() else visits.visit[rows].astype(float)


def _history(totals: np.ndarray, damaged: float, time: np.ndarray) -> tuple[list[float], list[float]]:
    """Features and naive forecasts of the visit at time[-1] from totals (t, 3) at time[:-1].

    With a single earlier visit the slope is not known: the features for the slope and for `slope known` are then 0.
    """
    last, step, is_known = totals[-1], time[-1] - time[-2], len(totals) > 1
    slope = (last[0] - totals[0, 0]) / (time[-2] - time[0]) if is_known else 0.0
    recent = (last[0] - totals[-2, 0]) / (time[-2] - time[-3]) if is_known else np.nan
    return [*last, damaged, slope, float(is_known), len(totals), step], [last[0], _on_scale(last[0] + recent * step)]


def _on_scale(total: np.ndarray) -> np.ndarray:
    return np.clip(total, 0, MAX_TOTAL["total"])


def forecast(all_cases: Cases) -> np.ndarray:
    """(c, 4) forecasts in the order of FORECASTS.

    The ridge predicts the change to the next visit; its penalty is chosen by leave-one-out among the cases on which it is fitted.
    Training persons are forecast by cross-fitting, the others by one fit on all training persons.
    """
    names = np.unique(all_cases.person[all_cases.is_train].astype(str))
    fold_of_name = np.random.default_rng(SEED).permutation(len(names)) % FOLDS
    fold_of = dict(zip(names.tolist(), fold_of_name.tolist(), strict=True))
    fold = np.array([fold_of.get(str(name), -1) for name in all_cases.person], dtype=int)
    change = np.full((len(fold), 2), np.nan)
    for k in np.unique(fold):
        train, held_out = all_cases.take(all_cases.is_train & (fold != k)), fold == k
        average = np.full(held_out.sum(), _rise(train).mean())
        change[held_out] = np.column_stack([_ridge(train, all_cases.features[held_out]), average])
    total = _on_scale(all_cases.features[:, :1] + change)
    return np.column_stack([total[:, 0], all_cases.naive, total[:, 1]])


def _rise(train: Cases) -> np.ndarray:
    return train.outcome - train.features[:, 0]


def _ridge(train: Cases, features: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), RidgeCV(ALPHAS))
    return model.fit(train.features, _rise(train)).predict(features)


def _root_mean(n: np.ndarray, sums: np.ndarray) -> np.ndarray:
    return np.sqrt(sums / n)


# measure -> (function of an error that gives its size, function of the count and the summed sizes that gives the average)
MEASURES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray, np.ndarray], np.ndarray]]] = {
    "rmse": (np.square, _root_mean),
    "mae": (np.abs, lambda n, sums: sums / n),
}


def error(all_cases: Cases, forecasts: np.ndarray, name: str, measure: str) -> Interval:
    """The rmse or mae of one forecast, in points of the total, over the cases that have it; bootstrap interval over persons."""
    errors = [forecasts[:, FORECASTS.index(name)] - all_cases.outcome]
    return _estimate(all_cases, errors, measure, lambda first: first)


def difference(all_cases: Cases, forecasts: np.ndarray, other: str, measure: str) -> Interval:
    """The ridge's error minus that of another forecast, on the same cases and resamples; below 0 the ridge is better."""
    errors = [forecasts[:, FORECASTS.index(name)] - all_cases.outcome for name in (RIDGE, other)]
    return _estimate(all_cases, errors, measure, lambda ridge, theirs: ridge - theirs)


def _estimate(all_cases: Cases, errors: list[np.ndarray], measure: str, combine: Callable[..., np.ndarray]) -> Interval:
    """combine(mean error of each forecast), with its interval, on the cases for which all forecasts are known."""
    size, mean = MEASURES[measure]
    sizes = np.stack([np.ones(len(all_cases.row)), *(size(e) for e in errors)], axis=1)
    complete = ~np.isnan(sizes).any(axis=1)
    if not complete.any():
        return UNDEFINED
    draws = resample(all_cases.person[complete])
    n, *sums = draws.sums(sizes[complete]).T
    return Interval(*draws.estimate(combine(*(mean(n, column) for column in sums))))


@dataclass(frozen=True)
class Prognosis:
    """Forecasts (c, FORECASTS) of the cases from the earlier scores of one rater (`source`), and their errors."""

    source: str
    cases: Cases
    forecasts: np.ndarray

    def error(self, name: str, measure: str) -> Statistic:
        """The rmse or mae of one forecast."""
        return self._statistic(measure, name, error(self.cases, self.forecasts, name, measure))

    def difference(self, other: str, measure: str) -> Statistic:
        """The ridge's error minus that of `other`."""
        return self._statistic(f"{measure}_less", other, difference(self.cases, self.forecasts, other, measure))

    @property
    def verdicts(self) -> str:
        """How the ridge compares with every other forecast, by RMSE."""
        differences = {name: self.difference(name, "rmse") for name in FORECASTS[1:]}
        compared = [f"{verdict(statistic)} {name}" for name, statistic in differences.items() if statistic.n]
        unknown = [name for name, statistic in differences.items() if not statistic.n]
        return ", ".join(compared + [f"cannot be compared with {name}, which needs two earlier visits" for name in unknown])

    def _statistic(self, measure: str, name: str, interval: Interval) -> Statistic:
        n = int((~np.isnan(self.forecasts[:, FORECASTS.index(name)])).sum())
        return Statistic(SECTION, measure, "all", f"from {self.source}", name, *astuple(interval), n=n, unit="visits", digits=2)


def prognosis(source: str, visits: Visits, is_train: np.ndarray | None = None) -> Prognosis | None:
    """The forecasts from one rater's scores; None if fewer than MIN_PERSONS training persons have a case."""
    all_cases = cases(visits, is_train)
    enough = all_cases.take(all_cases.is_train).persons >= MIN_PERSONS
    return Prognosis(source, all_cases, forecast(all_cases)) if enough else None


def learnable(source: str, visits: Visits, is_train: np.ndarray | None = None) -> Statistic:
    """How many training persons have a case."""
    all_cases = cases(visits, is_train)
    n = all_cases.take(all_cases.is_train).persons
    return Statistic(SECTION, "persons_to_learn_from", "all", f"from {source}", "forecast", n, n=n, unit="persons", digits=0)


def verdict(difference_of_errors: Statistic) -> str:
    """The verb of VERDICTS that follows from the interval of the difference, or `cannot be compared with`."""
    low, high = difference_of_errors.low, difference_of_errors.high
    return "cannot be compared with" if np.isnan(low) else VERDICTS[bootstrap.verdict(low, high)]
