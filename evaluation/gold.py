"""Scores that only the evaluation opens: the test patients' gold scores, a second reader's, the truth behind a synthetic reader.

The Ratingen grades of test patients (ratingen_gold.parquet) are read by the Ratingen evaluation in the same way: None, or an
empty result, for a set that has no such table.
"""

from __future__ import annotations

import pandas as pd

from ra import paths
from stage3_stack import submission
from stage3_stack.ensemble import given_totals


def reader_scores(data: str, name: str) -> pd.DataFrame | None:
    """Scores in the challenge's columns by Patient_ID; name: gold, reader2 or truth. None if the set has no such table."""
    path = paths.reader(data, name)
    return submission.read_numbers(path) if path.is_file() else None


def hand_totals(data: str) -> pd.Series | None:
    """Gold totals of the hands by patient, of a set whose readers gave totals alone; None if the set has no such table."""
    path = paths.work(data) / "gold.parquet"
    return given_totals(path) if path.is_file() else None
