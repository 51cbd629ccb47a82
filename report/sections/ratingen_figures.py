"""Figures of the model's Rau score against reader 1's, and of disease activity against damage."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from evaluation import disease_activity, svdh_to_ratingen
from evaluation.raters import SPLITS, Raters
from evaluation.svdh_to_ratingen import RatingenScores
from ra.tables import LEVELS
from report import plotting
from report.blocks import Picture

ROOT = (lambda values: np.sqrt(np.maximum(values, 0)), np.square)  # spreads the patients with little damage
TICKS = np.array([0, 2, 5, 10, 20, 50, 100, 200, 400])
CELLS = 16  # number of cells along each axis of a histogram
DAS28_BOUNDS = (2.6, 3.2, 5.1)  # bounds between remission, low, moderate and high activity


def scores(raters: Raters, scores: RatingenScores, splits: list[str]) -> Picture:
    """The model's Rau score, with its 95 % interval, against reader 1's; a panel per split."""
    model, reader = svdh_to_ratingen.rau(scores.model), svdh_to_ratingen.rau(scores.reader)
    level = LEVELS.index(95)
    end = np.nanmax(np.r_[model, reader, scores.high[:, level], 1]) * 1.02
    with plotting.figure(1, len(splits), width=3.6 * len(splits), height=3.5, squeeze=False, sharey=True) as (fig, axes):
        for ax, split in zip(axes[0], splits, strict=True):
            rows = (raters.split == split) & ~np.isnan(model) & ~np.isnan(reader)
            _root_axis(ax, "x", end)
            _root_axis(ax, "y", end)
            ax.plot([0, end], [0, end], color=plotting.INK, linewidth=0.8)
            ax.vlines(reader[rows], scores.low[rows, level], scores.high[rows, level], color=plotting.PALE, linewidth=1.2)
            ax.plot(reader[rows], model[rows], "o", markersize=3.5, alpha=0.8, markeredgewidth=0, clip_on=False)
            ax.set(title=SPLITS[split], xlabel="Rau score, reader 1")
        axes[0][0].set_ylabel("Rau score, model")
        title = "Rau score of the model and of reader 1"
        caption = "Each point is a set of films, its bar the 95 % interval; the dark line is equality. Axes are square roots."
        return plotting.picture(fig, title, caption, "Scatter of two raters' Rau scores around the line of equality.")


def activity(scale: str, damage: dict[tuple[str, str], np.ndarray], indices: dict[str, np.ndarray]) -> Picture:
    """Two-dimensional histograms of each activity index against each rater's damage on one scale, with LOESS lines."""
    raters = {rater: values for (damage_scale, rater), values in damage.items() if damage_scale == scale}
    grid = {"width": 3.7 * len(raters), "height": 2.6 * len(indices), "squeeze": False, "sharex": "col", "sharey": True}
    with plotting.figure(len(indices), len(raters), **grid) as (fig, axes):
        for row, (index, values) in zip(axes, indices.items(), strict=True):
            for ax, scores in zip(row, raters.values(), strict=True):
                _histogram(ax, scores, values)
            row[0].set_ylabel(index)
        for column, rater in zip(axes.T, raters, strict=True):
            column[0].set_title(rater)
            column[-1].set_xlabel(scale)
        title = f"Disease activity by damage: {scale}"
        caption = (
            "Darker cells contain more visits; the line is a LOESS fit (two thirds of the visits at each point). The damage axes "
            "are square roots; dashed lines separate remission, low, moderate and high activity."
        )
        alt = f"Two-dimensional histograms of DAS28 over the {scale} with a smooth line through each."
        return plotting.picture(fig, title, caption, alt, wide=True)


def _histogram(ax: Axes, damage: np.ndarray, values: np.ndarray) -> None:
    known = ~(np.isnan(damage) | np.isnan(values))
    if not known.any():
        return
    x, y = damage[known], values[known]
    x_end, y_end = np.sqrt(np.nanmax(np.r_[damage, 1]) * 1.02), max(y.max(), 6) * 1.02
    edges = np.square(np.linspace(0, x_end, CELLS + 1)), np.linspace(0, y_end, CELLS + 1)
    counts, _, _ = np.histogram2d(x, y, edges)
    ax.pcolormesh(*edges, np.ma.masked_equal(counts.T, 0), cmap="Blues", vmin=0, vmax=counts.max() * 1.3, linewidth=0)
    for bound in DAS28_BOUNDS:
        ax.axhline(bound, color=plotting.INK, linewidth=0.6, linestyle=(0, (3, 3)), alpha=0.6)
    line = disease_activity.trend(ROOT[0](x), y)
    ax.plot(np.square(line[:, 0]), line[:, 1], color=plotting.WARN, linewidth=2)
    _root_axis(ax, "x", edges[0][-1])
    ax.grid(visible=False)


def _root_axis(ax: Axes, which: str, end: float) -> None:
    """Scale the axis x or y as a square root from 0 to end."""
    ticks = TICKS[end >= TICKS]
    getattr(ax, f"set_{which}scale")("function", functions=ROOT)
    getattr(ax, f"set_{which}lim")(0, end)
    getattr(ax, f"set_{which}ticks")(ticks, labels=[str(tick) for tick in ticks])
