"""Means of values, some of which are missing (NaN)."""

from __future__ import annotations

import numpy as np


def nan_mean(values: np.ndarray, axis: int, otherwise: float | np.ndarray = np.nan) -> np.ndarray:
    """Mean over an axis without NaN values; `otherwise` (a number, or an array of the result's shape) where all are NaN."""
    return ratio(np.nansum(values, axis=axis), np.sum(~np.isnan(values), axis=axis), otherwise)


def ratio(total: np.ndarray, count: np.ndarray, otherwise: float | np.ndarray = np.nan) -> np.ndarray:
    """total / count, and `otherwise` where count is 0."""
    out = np.array(np.broadcast_to(otherwise, np.shape(count)), dtype=float)
    return np.divide(total, count, out=out, where=np.asarray(count) > 0)
