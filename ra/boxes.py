"""Reduce the joint boxes of several fold models to one per joint, and compare boxes with those that came with a set."""

from __future__ import annotations

import numpy as np
import pandas as pd


def reduce_folds(boxes: pd.DataFrame) -> pd.DataFrame:
    """One box per film and joint from the boxes of one or more fold models (table Boxes, all folds concatenated).

    Position and sides are medians, conf is the mean. source: `model` if at least half of the models detected the joint, else the
    most frequent other source, and conf is NaN. fold: the highest; a caller that pools folds sets -1.
    """
    grouped = boxes.groupby(["film_id", "joint"], sort=False)
    out = grouped[["x_px", "y_px", "w_px", "h_px"]].median().assign(fold=grouped.fold.max(), conf=grouped.conf.mean())
    out["source"] = grouped.source.agg(_majority_source)
    out.loc[out.source != "model", "conf"] = np.nan
    return out.reset_index()


def _majority_source(sources: pd.Series) -> str:
    if (sources == "model").mean() >= 0.5:
        return "model"
    return sources[sources != "model"].mode().iloc[-1]


def error_frac(boxes: pd.DataFrame, truth: pd.DataFrame, films: pd.DataFrame) -> pd.Series:
    """Distance of each joint's centre from the true one, as a fraction of its film's long side."""
    both = boxes.merge(truth, on=["film_id", "joint"], suffixes=("", "_true"))
    both = both.merge(films[["film_id", "width_px", "height_px"]], on="film_id")
    return np.hypot(both.x_px - both.x_px_true, both.y_px - both.y_px_true) / both[["width_px", "height_px"]].max(axis=1)


def error_summary(boxes: pd.DataFrame, truth: pd.DataFrame, films: pd.DataFrame) -> dict[str, float]:
    """Median error, and the share of joints within 2 % of the film's long side."""
    error = error_frac(boxes, truth, films)
    return {"median_error_frac": float(error.median()), "within_2_percent": float((error < 0.02).mean())}
