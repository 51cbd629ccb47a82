"""Whether a change exceeds the measurement error: smallest detectable change, ICC of status and of change, progression.

All intervals are computed from resampled persons: the rows of one person are drawn together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from evaluation import total_agreement
from evaluation.bootstrap import UNDEFINED, resample, wilson
from evaluation.raters import MODEL, READER1, READER2, Raters
from evaluation.visit_pairs import Bounds, Pairs, calibration_pairs, nested_bounds, verdicts
from ra.agreement import Interval, Z

Z80 = 1.281552  # normal quantile of a two-sided 80 % interval
MIN_ROWS = 3


def sdc(a: np.ndarray, b: np.ndarray, person: np.ndarray, k: int = 2, *, z: float = Z) -> Interval:
    """Smallest detectable change of the mean of k readers: z SD(d) / (sqrt 2 sqrt k), in units of the score.

    d = a - b is the difference of two readers' change scores (n,). z = 1.96 gives the 95 % version, Z80 the 80 % one
    (Navarro-Compan et al., Ann Rheum Dis 2014;73:1067). It is for films read in pairs (Bruynesteyn et al., Ann Rheum Dis
    2005;64:179).
    """
    both = ~(np.isnan(a) | np.isnan(b))
    if both.sum() < MIN_ROWS:
        return UNDEFINED
    d = (a - b)[both]
    moments = np.stack([np.ones_like(d), d - d.mean(), np.square(d - d.mean())], axis=1)
    draws = resample(person[both])
    return Interval(*draws.estimate(z * _sd(draws.sums(moments)) / np.sqrt(2 * k)))


def sdd(a: np.ndarray, b: np.ndarray, person: np.ndarray, k: int = 2) -> Interval:
    """Smallest detectable difference: limits of agreement of the two readers' change scores, 1.96 SD(d) / sqrt k.

    It is sqrt 2 SDC (Lassere et al., J Rheumatol 1999;26:731; Bruynesteyn et al. 2005).
    """
    return sdc(a, b, person, k, z=Z * np.sqrt(2))


def _sd(sums: np.ndarray) -> np.ndarray:
    """Standard deviation from the sums of 1, d, d^2."""
    n, first, second = np.moveaxis(sums, -1, 0)
    return np.sqrt(np.maximum(second - first**2 / n, 0) / np.where(n > 1, n - 1, np.nan))


def icc(ratings: np.ndarray, person: np.ndarray, *, mean: bool = False) -> Interval:
    """ICC(2,1), or ICC(2,k) if `mean`, of ratings (n, k), with a bootstrap interval over persons; rows with NaN are dropped."""
    complete = ~np.isnan(ratings).any(axis=1)
    if complete.sum() < MIN_ROWS:
        return UNDEFINED
    draws = resample(person[complete])
    forms = total_agreement.icc(ratings[complete], draws)
    return Interval(*draws.estimate(forms["ICC(A,k)" if mean else "ICC(A,1)"]))


def share(hit: np.ndarray, is_known: np.ndarray, person: np.ndarray) -> Interval:
    """Share, 0..1, of hits among the known cells; hit and is_known (n,) or (n, m) bool, person (n,)."""
    return wilson(hit[is_known], person[np.nonzero(is_known)[0]])


def above(change: np.ndarray, person: np.ndarray, threshold: float) -> Interval:
    """Share of changes, (n,) or (n, m), above a threshold; undefined for a threshold of NaN."""
    return UNDEFINED if np.isnan(threshold) else share(change > threshold, ~np.isnan(change), person)


@dataclass(frozen=True)
class Study:
    """Successive visits, and the measurement error with which a change is compared."""

    pairs: Pairs

    @property
    def raters(self) -> Raters:
        """The raters of these visits."""
        return self.pairs.raters

    @cached_property
    def names(self) -> list[str]:
        """The raters who scored both visits of at least one pair."""
        return [name for name in self.raters.names if len(self.pairs) and not np.isnan(self.pairs.change(name)).all()]

    @property
    def has_change(self) -> bool:
        """Whether both the model and reader 1 scored both visits of a pair."""
        return {MODEL, READER1} <= set(self.names)

    @cached_property
    def bounds(self) -> dict[int, Bounds]:
        """The model's intervals by level."""
        return nested_bounds(self.pairs, calibration_pairs(self.raters))

    @property
    def judges(self) -> tuple[str, str]:
        """The two raters whose disagreement is the error that a change must exceed: the readers, else the model and reader 1."""
        return (READER1, READER2) if READER2 in self.names else (MODEL, READER1)

    def sdc(self, level: int) -> Interval:
        """Smallest detectable change of one reader's total."""
        a, b = (self.pairs.change(name)[:, 0] for name in self.judges)
        return sdc(a, b, self.pairs.person, 1, z={95: Z, 80: Z80}[level])

    def verdicts(self, level: int) -> np.ndarray:
        """(n,) verdicts on the total (visit_pairs.VERDICTS)."""
        return verdicts(self.bounds[level], self.sdc(level).value)
