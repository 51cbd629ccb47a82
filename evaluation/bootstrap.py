"""Intervals by resampling persons: what one person's joints and visits have in common stays together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ra.agreement import Interval, Z
from ra.challenge_scores import SEED

TIMES = 1000
FEWEST = 5  # persons; of fewer a resample says nothing
DEFINED = 0.9  # share of the resamples in which a figure must be defined to be given an interval


@dataclass(frozen=True)
class Resamples:
    """weight (1 + times, n): how often each of n rows counts. Row 0 is the data as they are, each other row one resample.

    A statistic written on weighted sums, `resamples.sums(values)`, is so computed once: its first element is the value, the
    rest is its bootstrap distribution.
    """

    weight: np.ndarray
    n_persons: int

    def sums(self, values: np.ndarray) -> np.ndarray:
        """(1 + times, ...) weighted sums over the rows of values (n, ...); no NaN among them."""
        flat = np.asarray(values, float).reshape(self.weight.shape[1], int(np.prod(np.shape(values)[1:])))
        return (self.weight @ flat).reshape(len(self.weight), *np.shape(values)[1:])

    def of(self, rows: np.ndarray) -> Resamples:
        """The same resamples of the persons, of some rows (a mask)."""
        return Resamples(self.weight[:, rows], self.n_persons)

    def estimate(self, samples: np.ndarray) -> tuple[float, float, float]:
        """(value, low, high) of (1 + times,) samples: the 2.5 and 97.5 percentiles; NaN without an interval."""
        drawn = samples[1:][~np.isnan(samples[1:])]
        if np.isnan(samples[0]) or self.n_persons < FEWEST or len(drawn) < max(1, DEFINED * (len(samples) - 1)):
            return float(samples[0]), float("nan"), float("nan")
        return float(samples[0]), *(float(end) for end in np.quantile(drawn, [0.025, 0.975]))


def resample(person: np.ndarray, times: int = TIMES, seed: int = SEED) -> Resamples:
    """Of rows that belong to the persons named in person (n,)."""
    people, row = np.unique(np.asarray(person).astype(str), return_inverse=True)
    n = len(people)
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / max(n, 1)), size=times) if n else np.ones((times, 0))
    return Resamples(np.concatenate([np.ones((1, n)), drawn])[:, row], n)


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator, NaN where nothing was counted."""
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator != 0)


def wilson(hit: np.ndarray, person: np.ndarray) -> Interval:
    """Share of hits (n,) of rows that belong to persons, with Wilson's interval of the effective number: as many independent rows
    as would tell as much.

    It is p (1 - p) / v, v the variance of the share over whole persons (Korn & Graubard, Survey Methodology 1998;24:193; with
    Wilson's interval Dean & Pagano, J Surv Stat Methodol 2015;3:484); the number of persons where all are hits, or none is.
    """
    if not len(hit):
        return Interval(*[float("nan")] * 3)
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
