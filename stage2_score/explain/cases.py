"""Which pictures are explained: true and false positives and negatives, by the reader's score and the network's error.

After Bo, Coates, Papiez 2024 (section 2.6), who explained healthy and severe pairs of hands with a small error, and pairs with
a large error. Sizes are shares of the largest score, so that a joint's grade and a hand's total follow one rule (no torch here).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

CASES = {
    "tp": "correct, damaged",
    "tn": "correct, undamaged",
    "fp": "scored too high",
    "fn": "scored too low",
}


@dataclass(frozen=True)
class Rule:
    """Thresholds as shares of the largest score: healthy (at most), severe (at least), small error (at most), large error (at
    least); and the number of cases of each type."""

    healthy: float
    severe: float
    small: float
    large: float
    each: int

    @property
    def sentence(self) -> str:
        """The rule in words, for the report."""
        healthy, severe, small, large = (f"{100 * share:.2g} %" for share in (self.healthy, self.severe, self.small, self.large))
        no_damage = f"at most {healthy}" if self.healthy else "0"
        return (
            f"Percentages are of the largest score. Correct, damaged: the reader gave at least {severe}, and the network's error "
            f"is at most {small}. Correct, undamaged: the reader gave {no_damage}, with the same small error. Scored too high or "
            f"too low: the error is at least {large}. Shown are the clearest cases of each type, one per patient."
        )


def case_type(rows: pd.DataFrame, rule: Rule) -> np.ndarray:
    """(n,) key of CASES for each row (target, pred, max_score); an empty string if none applies or a value is NaN."""
    target, error = rows.target / rows.max_score, (rows.pred - rows.target) / rows.max_score
    small = error.abs() <= rule.small
    tests = {
        "tp": (target >= rule.severe) & small,
        "tn": (target <= rule.healthy) & small,
        "fp": error >= rule.large,
        "fn": error <= -rule.large,
    }
    return np.select(list(tests.values()), list(tests), default="")


def choose(rows: pd.DataFrame, rule: Rule, seed: int = 0) -> pd.DataFrame:
    """The cases of each finding and type, at most one per patient: the most severe, random healthy ones, the largest errors.

    rows: patient_id, finding, target, pred, max_score and any other columns; returned with `case`, the clearest first.
    """
    rows = rows.assign(case=case_type(rows, rule)).sample(frac=1, random_state=seed)
    error = (rows.pred - rows.target).abs() / rows.max_score
    clearness = np.select([rows.case == "tp", rows.case == "tn"], [rows.target / rows.max_score, 0.0], default=error)
    ranked = rows.assign(clearness=clearness).sort_values("clearness", ascending=False, kind="stable")
    ranked = ranked[ranked.case != ""].drop_duplicates(["finding", "case", "patient_id"])
    shown = ranked.groupby(["finding", "case"], sort=False).head(rule.each).drop(columns="clearness")
    order = shown.case.map(list(CASES).index)
    return shown.assign(order=order).sort_values(["finding", "order"], kind="stable").drop(columns="order").reset_index(drop=True)
