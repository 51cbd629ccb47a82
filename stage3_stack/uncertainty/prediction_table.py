"""A run's table of predictions: for every site and total its state, value, bounds and prediction intervals.

The kind of run provides the columns (joint_columns.py, kinds/hand_totals.py); this module calibrates them and makes the rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ra import tables
from ra.anatomy import ALL_PARTS, BOTH_HANDS, TOTAL, limb
from stage3_stack.uncertainty import conformal
from stage3_stack.uncertainty.conformal import Stratum
from stage3_stack.uncertainty.prorating import ProratedTotal


@dataclass
class Column:
    """One site or total of n patients: its prediction, its target (n,) and its difficulty (n, c)."""

    part: str
    site: str
    finding: str
    pred: ProratedTotal
    target: np.ndarray
    difficulty: np.ndarray

    @property
    def stratum(self) -> str:
        """Name that columns share if they are calibrated together, such as those of the left and the right side."""
        if self.part in (ALL_PARTS, BOTH_HANDS):
            return TOTAL
        return f"{limb(self.part)} {self.finding} {'part' if self.site == TOTAL else 'site'}"


@dataclass(frozen=True)
class Predictions:
    """All columns of a run that get an interval, for n patients.

    patient, visit, person and fold are (n,); fold is -1 for test patients. splits: the splits whose rows are written; if the run
    was applied to another set, its training patients serve for the calibration only.
    """

    patient: np.ndarray
    visit: np.ndarray
    person: np.ndarray
    fold: np.ndarray
    columns: list[Column]
    splits: tuple[str, ...] = ("oof", "test")


def make(predictions: Predictions) -> tuple[dict[str, pd.DataFrame], dict]:
    """PREDICTION_INTERVALS rows by split, and a description of each stratum's calibration."""
    intervals, calibration = calibrate(predictions)
    rows = pd.concat([_rows(predictions, *pair) for pair in zip(predictions.columns, intervals, strict=True)])
    rows = rows.sort_index(kind="stable")  # all columns of the first patient, then of the second
    written = rows[rows.split.isin(predictions.splits)]
    return {split: written[written.split == split].reset_index(drop=True) for split in ("oof", "test")}, calibration


def calibrate(predictions: Predictions) -> tuple[list[tuple[np.ndarray, np.ndarray]], dict]:
    """For each column its (low, high), each (n, levels), and a description of each stratum's calibration."""
    intervals: list = [None] * len(predictions.columns)
    descriptions = {}
    for name in dict.fromkeys(column.stratum for column in predictions.columns):
        members = [i for i, column in enumerate(predictions.columns) if column.stratum == name]
        low, high, descriptions[name] = conformal.cross_fitted(stratum(predictions, name), predictions.person, predictions.fold)
        for j, i in enumerate(members):
            pred = predictions.columns[i].pred
            intervals[i] = tuple(np.clip(pred.ratio[:, None] * end[:, j], 0, pred.maximum) for end in (low, high))
    return intervals, descriptions


def stratum(predictions: Predictions, name: str) -> Stratum:
    """The columns of one stratum together.

    Intervals are computed for the scored share and pro-rated together with it; the target is scaled down to the share likewise.
    """
    columns = [column for column in predictions.columns if column.stratum == name]
    share = [np.where(np.isnan(column.pred.ratio), np.nan, column.pred.share) for column in columns]
    return Stratum(
        name=name,
        value=np.stack(share, axis=1),
        target=np.stack([column.target / column.pred.ratio for column in columns], axis=1),
        maximum=np.array([column.pred.maximum for column in columns]),
        difficulty=np.stack([column.difficulty for column in columns], axis=1),
        whole=columns[0].site != TOTAL,
    )


def _rows(predictions: Predictions, column: Column, interval: tuple[np.ndarray, np.ndarray]) -> pd.DataFrame:
    """PREDICTION_INTERVALS rows of one column, one per patient."""
    pred, ends = column.pred, {}
    for name, values in zip(("low", "high"), interval, strict=True):
        ends |= {f"{name}{level}": values[:, i] for i, level in enumerate(tables.LEVELS)}
    return pd.DataFrame(
        {"patient_id": predictions.patient, "person_id": predictions.person, "visit": predictions.visit}
        | {"fold": predictions.fold, "split": np.where(predictions.fold >= 0, "oof", "test")}
        | {"part": column.part, "site": column.site, "finding": column.finding, "state": pred.state}
        | {"target": column.target, "value": pred.value, "imputed": pred.submitted, "max_score": int(pred.maximum)}
        | {"n_scored": pred.n_scored, "n_sites": pred.n_sites, "lowest": pred.lowest, "highest": pred.highest}
        | ends
    )


def summary(by_split: dict[str, pd.DataFrame]) -> str:
    """One line: how many sites could be scored, and how wide the intervals of the total are."""
    table = pd.concat(by_split.values())
    site, whole = table.site != TOTAL, table.part.isin((ALL_PARTS, BOTH_HANDS)) & (table.finding == TOTAL)
    width = (table.high95 - table.low95)[whole].median()
    scored = f"{int((table.state[site] == 'scored').sum())} of {int(site.sum())} sites scored, " if site.any() else ""
    return f"{scored}95 % interval of the total: median width {width:.1f}"
