"""Which pictures to look at: true and false positives and negatives of a reading, by what the reader gave and what was missed.

After Bo, Coates, Papiez 2024 (section 2.6), who looked at healthy and severe pairs of hands with a small error, and at those with
a large one. Sizes are shares of the largest score, so that a joint's grade and a hand's total follow one rule (no torch here).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

CASES = {
    "tp": "damage seen",
    "tn": "no damage, none seen",
    "fp": "called too high",
    "fn": "called too low",
}


@dataclass(frozen=True)
class Rule:
    """Shares of the largest score: what is healthy (at most), severe (at least), a small error (at most), a large one (at
    least); and how many cases of each sort are shown."""

    healthy: float
    severe: float
    small: float
    large: float
    each: int

    @property
    def sentence(self) -> str:
        """The rule as the page tells it."""
        healthy, severe, small, large = (f"{100 * share:.2g} %" for share in (self.healthy, self.severe, self.small, self.large))
        none = f"at most {healthy} of the largest score" if self.healthy else "0"
        return (
            f"Damage seen: the reader gave at least {severe} of the largest score and the network was off by at most {small} of "
            f"it. No damage, none seen: the reader gave {none}, with the same small error. Called too high, too low: off by at "
            f"least {large} of the largest score. Of each sort the clearest, one per patient."
        )


def sort_of(rows: pd.DataFrame, rule: Rule) -> np.ndarray:
    """(n,) which of CASES each row (target, pred, max_score) is; empty text for none, also where something is NaN."""
    target, error = rows.target / rows.max_score, (rows.pred - rows.target) / rows.max_score
    near = error.abs() <= rule.small
    tests = {
        "tp": (target >= rule.severe) & near,
        "tn": (target <= rule.healthy) & near,
        "fp": error >= rule.large,
        "fn": error <= -rule.large,
    }
    return np.select(list(tests.values()), list(tests), default="")


def choose(rows: pd.DataFrame, rule: Rule, seed: int = 0) -> pd.DataFrame:
    """The cases of each finding and sort, at most one per patient: the most severe, any healthy ones, the largest errors.

    rows: patient_id, finding, target, pred, max_score and whatever else; returned with `case`, the clearest first.
    """
    rows = rows.assign(case=sort_of(rows, rule)).sample(frac=1, random_state=seed)
    error = (rows.pred - rows.target).abs() / rows.max_score
    clear = np.where(rows.case == "tp", rows.target / rows.max_score, np.where(rows.case == "tn", 0.0, error))
    ranked = rows.assign(clear=clear).sort_values("clear", ascending=False, kind="stable")
    ranked = ranked[ranked.case != ""].drop_duplicates(["finding", "case", "patient_id"])
    shown = ranked.groupby(["finding", "case"], sort=False).head(rule.each).drop(columns="clear")
    order = shown.case.map(list(CASES).index)
    return shown.assign(order=order).sort_values(["finding", "order"], kind="stable").drop(columns="order").reset_index(drop=True)
