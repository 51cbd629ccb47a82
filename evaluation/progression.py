"""Whether a change is more than error: smallest detectable change, ICC of status and of progression, who progressed.

Everything is over persons: rows of one person are drawn together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from evaluation import total_agreement
from evaluation.bootstrap import resample, wilson
from evaluation.change import Bounds, Pairs, nested, taught, verdicts
from evaluation.raters import MODEL, READER1, READER2, Raters
from ra.agreement import Interval, Z

Z80 = 1.281552  # of a two-sided 80 % interval
LEAST_ROWS = 3
NONE = Interval(*[float("nan")] * 3)


def sdc(a: np.ndarray, b: np.ndarray, person: np.ndarray, k: int = 2, *, z: float = Z) -> Interval:
    """Smallest detectable change of the mean of k readers: z SD(d) / (sqrt 2 sqrt k), d = a - b the difference of two readers'
    change scores (n,), in units of the score.

    z 1.96 is the 95 % version, Z80 the 80 % one (Navarro-Compan et al., Ann Rheum Dis 2014;73:1067). For paired films
    (Bruynesteyn et al., Ann Rheum Dis 2005;64:179).
    """
    d, use = _paired(a, b)
    if use.sum() < LEAST_ROWS:
        return NONE
    moments = np.stack([np.ones_like(d), d - d.mean(), np.square(d - d.mean())], axis=1)
    drawn = resample(person[use])
    return Interval(*drawn.estimate(z * _sd(drawn.sums(moments)) / np.sqrt(2 * k)))


def sdd(a: np.ndarray, b: np.ndarray, person: np.ndarray, k: int = 2) -> Interval:
    """Smallest detectable difference: limits of agreement of the two readers' change scores, 1.96 SD(d) / sqrt k, which is
    sqrt 2 SDC (Lassere et al., J Rheumatol 1999;26:731; Bruynesteyn et al. 2005)."""
    return sdc(a, b, person, k, z=Z * np.sqrt(2))


def _paired(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    use = ~(np.isnan(a) | np.isnan(b))
    return (a - b)[use], use


def _sd(sums: np.ndarray) -> np.ndarray:
    """Of sums of 1, d, d^2."""
    n, first, second = np.moveaxis(sums, -1, 0)
    return np.sqrt(np.maximum(second - first**2 / n, 0) / np.where(n > 1, n - 1, np.nan))


def icc(ratings: np.ndarray, person: np.ndarray, *, mean: bool = False) -> Interval:
    """ICC(2,1), with `mean` ICC(2,k), of ratings (n, k); rows with a NaN dropped. The interval is by bootstrap over persons."""
    use = ~np.isnan(ratings).any(axis=1)
    if use.sum() < LEAST_ROWS:
        return NONE
    drawn = resample(person[use])
    return Interval(*drawn.estimate(total_agreement.icc(ratings[use], drawn)["ICC(A,k)" if mean else "ICC(A,1)"]))


def share(hit: np.ndarray, known: np.ndarray, person: np.ndarray) -> Interval:
    """Share, 0..1, of hits among what is known, hit and known (n,) or (n, m) bool of n rows."""
    return wilson(hit[known], person[np.nonzero(known)[0]])


def above(change: np.ndarray, person: np.ndarray, threshold: float) -> Interval:
    """Share of changes, (n,) or (n, m), above a threshold; undefined where the threshold is."""
    return NONE if np.isnan(threshold) else share(change > threshold, ~np.isnan(change), person)


@dataclass(frozen=True)
class Study:
    """Successive visits and what their changes are held against."""

    pairs: Pairs

    @property
    def raters(self) -> Raters:
        return self.pairs.raters

    @cached_property
    def names(self) -> list[str]:
        """The raters who scored both visits of some pair."""
        return [name for name in self.raters.names if len(self.pairs) and not np.isnan(self.pairs.change(name)).all()]

    @property
    def told(self) -> bool:
        """Whether anything can be said of change."""
        return {MODEL, READER1} <= set(self.names)

    @cached_property
    def bounds(self) -> dict[int, Bounds]:
        """The model's intervals by level."""
        return nested(self.pairs, taught(self.raters))

    @property
    def judges(self) -> tuple[str, str]:
        """The two raters whose disagreement is the error that a change must exceed: the readers, else the model and a reader."""
        return (READER1, READER2) if READER2 in self.names else (MODEL, READER1)

    def sdc(self, level: int) -> Interval:
        """Smallest detectable change of the total, one reader."""
        a, b = (self.pairs.change(name)[:, 0] for name in self.judges)
        return sdc(a, b, self.pairs.person, 1, z={95: Z, 80: Z80}[level])

    def verdicts(self, level: int) -> np.ndarray:
        """(n,) of change.VERDICTS."""
        return verdicts(self.bounds[level], self.sdc(level).value)
