"""Intervals by resampling persons: the joints and visits of one person are drawn together.

There are three paired bootstraps of a difference, for three forms of a measure:

    Resamples (here)                      measures written on weighted sums; all resamples in one call; used by the report
    paired_difference (here)              any function of the drawn rows, such as balanced accuracy
    ra.challenge_scores.paired_bootstrap  the challenge's scores over patients, as evaluation.score and the terminal give them

They draw different random numbers. Their intervals therefore differ in the last digits, but the difference itself is always the
same (tests/evaluation/test_bootstrap.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ra.agreement import Interval, Z
from ra.challenge_scores import SEED

TIMES = 1000
MIN_PERSONS = 5  # with fewer persons there is no interval
DEFINED = 0.9  # a measure gets an interval if it is defined in at least this share of the resamples
UNDEFINED = Interval(*[float("nan")] * 3)


@dataclass(frozen=True)
class Resamples:
    """weight (1 + times, n): how often each of n rows counts. Row 0 is the data themselves, every other row one resample.

    A measure that is computed from `resamples.sums(values)` has its value first, followed by its bootstrap distribution.
    """

    weight: np.ndarray
    n_persons: int

    def sums(self, values: np.ndarray) -> np.ndarray:
        """(1 + times, ...) weighted sums over the rows of values (n, ...), which must hold no NaN."""
        flat = np.asarray(values, float).reshape(self.weight.shape[1], int(np.prod(np.shape(values)[1:])))
        return (self.weight @ flat).reshape(len(self.weight), *np.shape(values)[1:])

    def take(self, rows: np.ndarray) -> Resamples:
        """The same resamples restricted to some rows (a mask)."""
        return Resamples(self.weight[:, rows], self.n_persons)

    def estimate(self, samples: np.ndarray) -> tuple[float, float, float]:
        """(value, low, high) of (1 + times,) samples; low and high are the 2.5 and 97.5 percentiles, NaN without an interval."""
        drawn = samples[1:][~np.isnan(samples[1:])]
        if np.isnan(samples[0]) or self.n_persons < MIN_PERSONS or len(drawn) < max(1, DEFINED * (len(samples) - 1)):
            return float(samples[0]), float("nan"), float("nan")
        return float(samples[0]), *(float(end) for end in np.quantile(drawn, [0.025, 0.975]))


def resample(person: np.ndarray, times: int = TIMES, seed: int = SEED) -> Resamples:
    """Resamples of whole persons for rows that belong to person (n,)."""
    names, row = np.unique(np.asarray(person).astype(str), return_inverse=True)
    n = len(names)
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / max(n, 1)), size=times) if n else np.ones((times, 0))
    return Resamples(np.concatenate([np.ones((1, n)), drawn])[:, row], n)


def paired_difference(
    measure: Callable[[np.ndarray, np.ndarray], float],
    target: np.ndarray,
    pred: np.ndarray,
    other: np.ndarray,
    patient: np.ndarray,
    times: int = TIMES,
) -> Interval:
    """measure(target, pred) - measure(target, other) and its 95 % interval over resampled patients; NaN rows are dropped."""
    complete = ~np.isnan(np.stack([target, pred, other])).any(axis=0)
    target, pred, other, patient = target[complete], pred[complete], other[complete], patient[complete]

    def difference(rows: np.ndarray) -> float:
        return measure(target[rows], pred[rows]) - measure(target[rows], other[rows])

    rows_of = [np.flatnonzero(patient == name) for name in np.unique(patient)]
    n = len(rows_of)
    if not n:
        return UNDEFINED
    rng = np.random.default_rng(SEED)
    samples = [difference(np.concatenate([rows_of[i] for i in rng.integers(0, n, n)])) for _ in range(times)]
    low, high = np.nanquantile(samples, [0.025, 0.975])
    return Interval(difference(np.arange(len(target))), float(low), float(high))


def verdict(low: float, high: float, *, higher_is_better: bool = False) -> str:
    """`better` or `worse` if the 95 % interval of a difference lies on one side of 0, else `no significant difference`."""
    if low > 0:
        return "better" if higher_is_better else "worse"
    if high < 0:
        return "worse" if higher_is_better else "better"
    return "no significant difference"


def difference_text(difference: float, low: float, high: float, *, higher_is_better: bool = False) -> str:
    """A difference with its interval over patients and its verdict, as the terminal shows it."""
    interval = f"{difference:+.4f}, 95 % interval over patients [{low:+.4f}, {high:+.4f}]"
    return f"{interval}: {verdict(low, high, higher_is_better=higher_is_better)}"


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator; NaN where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator != 0)


def wilson(hit: np.ndarray, person: np.ndarray) -> Interval:
    """Share of hits (n,) with Wilson's interval for the effective sample size, as the rows of one person are not independent.

    The effective size is p (1 - p) / v, where v is the variance of the share over whole persons (Korn & Graubard, Survey
    Methodology 1998;24:193; with Wilson's interval: Dean & Pagano, J Surv Stat Methodol 2015;3:484). If all rows are hits, or if
    none is, the effective size is the number of persons.
    """
    if not len(hit):
        return UNDEFINED
    p = float(np.mean(hit))
    residual = by_person(person, np.asarray(hit, float) - p)
    v = np.square(residual).sum() / len(hit) ** 2
    n = min(p * (1 - p) / v, len(hit)) if v > 1e-12 else len(residual)
    centre, half = p + Z**2 / (2 * n), Z * np.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    low, high = ((centre + sign * half) / (1 + Z**2 / n) for sign in (-1, 1))
    return Interval(p, float(np.clip(low, 0, p)), float(np.clip(high, p, 1)))


def by_person(person: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(persons, ...) sums of values (n, ...) over the rows of each person."""
    _, row = np.unique(np.asarray(person).astype(str), return_inverse=True)
    out = np.zeros((row.max(initial=-1) + 1, *values.shape[1:]))
    np.add.at(out, row, values)
    return out
