"""A measured number with its interval and its id, as the page shows it and numbers.csv and numbers.json list it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

NAN = float("nan")


@dataclass(frozen=True)
class Statistic:
    """One measured number. The first five fields make its id.

    section   part of the evaluation, one of evaluation.section_ids
    name      what is measured: icc_2_1, coverage_95, sc1
    split     the patients: oof (out of fold), test, or all
    of        the pair of raters, the system or the run to which the number belongs
    scope     the part of the scores that is measured: total, hand erosion, all sites
    value     not rounded; NaN where it is not defined
    low, high its 95 % interval; NaN without an interval
    n         size of the sample
    unit      what n counts
    digits    decimals shown on the page

    For example Statistic("agreement", "icc_2_1", "oof", "model against reader 1", "total", 0.91, 0.85, 0.94, n=100, digits=2)
    has the id agreement/icc_2_1/oof/model-against-reader-1/total and is shown as 0.91 (0.85 to 0.94).
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
        """The id; it is unique within a report, and the same statistic has the same id in every report."""
        words = (self.section, self.name, self.split, self.of, self.scope)
        return "/".join(re.sub(r"[^a-z0-9_.+-]+", "-", word.lower()).strip("-") for word in words)

    @property
    def text(self) -> str:
        """The value with its interval, rounded to `digits`; a dash if the value is not defined."""
        if np.isnan(self.value):
            return "–"
        shown = self._rounded(self.value)
        if np.isnan(self.low) or np.isnan(self.high):
            return shown
        return f"{shown} ({self._rounded(self.low)} to {self._rounded(self.high)})"

    def _rounded(self, value: float) -> str:
        return f"{value:z.{self.digits}f}"  # z: a value that rounds to 0 has no sign


COLUMNS = ("id", "section", "name", "split", "of", "scope", "value", "low", "high", "n", "unit")


def table(statistics: list[Statistic]) -> pd.DataFrame:
    """A row per statistic with COLUMNS; equal statistics are listed once. ValueError if two different ones share an id."""
    by_id: dict[str, Statistic] = {}
    for statistic in statistics:
        if repr(by_id.setdefault(statistic.id, statistic)) != repr(statistic):
            raise ValueError(f"two different statistics have the id {statistic.id}")
    rows = [[getattr(statistic, column) for column in COLUMNS] for statistic in by_id.values()]
    return pd.DataFrame(rows, columns=list(COLUMNS))
