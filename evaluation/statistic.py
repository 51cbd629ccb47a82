"""One number of the evidence with its interval and its name: what the page shows and what numbers.csv and numbers.json hold."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

NAN = float("nan")


@dataclass(frozen=True)
class Statistic:
    """`name` (icc_a1, coverage_95 ...) of whom (`of`: a pair of raters, a system) over what (`scope`: total, hand erosion ...).

    split: oof, test, or all. low, high: its 95 % interval, NaN without one. n: how many patients (or what `unit` says) it rests
    on. digits: decimals on the page. Numbers are kept whole; the page rounds.
    """

    section: str
    name: str
    split: str
    of: str
    scope: str
    value: float
    low: float = NAN
    high: float = NAN
    n: int = 0
    unit: str = "patients"
    digits: int = 3

    @property
    def id(self) -> str:
        """Unique within a report; stable from run to run."""
        words = (self.section, self.name, self.split, self.of, self.scope)
        return "/".join(re.sub(r"[^a-z0-9_.+-]+", "-", word.lower()).strip("-") for word in words)

    @property
    def text(self) -> str:
        """The value and its interval as the page shows them; a dash where there is none."""
        if np.isnan(self.value):
            return "–"
        shown = self._rounded(self.value)
        if np.isnan(self.low) or np.isnan(self.high):
            return shown
        return f"{shown} ({self._rounded(self.low)} to {self._rounded(self.high)})"

    def _rounded(self, value: float) -> str:
        return f"{value:z.{self.digits}f}"  # z: what rounds to 0 has no sign


COLUMNS = ("id", "section", "name", "split", "of", "scope", "value", "low", "high", "n", "unit")


def table(statistics: list[Statistic]) -> pd.DataFrame:
    """A row per statistic, COLUMNS; ValueError when two different ones share an id."""
    rows: dict[str, Statistic] = {}
    for one in statistics:
        if one.id in rows and repr(rows[one.id]) != repr(one):
            raise ValueError(f"two different statistics are called {one.id}")
        rows[one.id] = one
    return pd.DataFrame([[getattr(one, column) for column in COLUMNS] for one in rows.values()], columns=list(COLUMNS))
