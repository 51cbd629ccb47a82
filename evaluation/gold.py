"""Scores that only the evaluation opens: gold scores of the test patients, a second reader's scores, the truth behind a reader.

The truth exists for synthetic readers only. The Ratingen evaluation reads the Ratingen grades of test patients
(ratingen_gold.parquet) in the same way. Without such a table, the result is None or empty.
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
