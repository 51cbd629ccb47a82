"""Rau scores against reader 1's; activity over damage."""

from __future__ import annotations

import numpy as np

from evaluation import disease_activity as evidence
from evaluation import svdh_to_ratingen
from evaluation.raters import SPLITS, Raters
from evaluation.svdh_to_ratingen import RatingenScores
from ra.tables import LEVELS
from report import plotting
from report.blocks import Picture

ROOT = (lambda values: np.sqrt(np.maximum(values, 0)), np.square)  # an axis on which mild patients are not one blot
TICKS = np.array([0, 2, 5, 10, 20, 50, 100, 200, 400])
CELLS = 16  # of a histogram's axis


def scores(raters: Raters, found: RatingenScores, splits: list[str]) -> Picture:
    """The model's Rau score over reader 1's, with its 95 % interval; a panel per split."""
    model, reader = svdh_to_ratingen.rau(found.model), svdh_to_ratingen.rau(found.reader)
    level = LEVELS.index(95)
    top = np.nanmax(np.r_[model, reader, found.high[:, level], 1]) * 1.02
    with plotting.figure(1, len(splits), width=3.6 * len(splits), height=3.5, squeeze=False, sharey=True) as (drawn, axes):
        for ax, split in zip(axes[0], splits, strict=True):
            rows = (raters.split == split) & ~np.isnan(model) & ~np.isnan(reader)
            _axis(ax, "x", top)
            _axis(ax, "y", top)
            ax.plot([0, top], [0, top], color=plotting.INK, linewidth=0.8)
            ax.vlines(reader[rows], found.low[rows, level], found.high[rows, level], color=plotting.PALE, linewidth=1.2)
            ax.plot(reader[rows], model[rows], "o", markersize=3.5, alpha=0.8, markeredgewidth=0, clip_on=False)
            ax.set(title=SPLITS[split], xlabel="Rau score, reader 1")
        axes[0][0].set_ylabel("Rau score, model")
        title = "Rau score of the model over reader 1's"
        caption = "Each point is a set of films, its bar the 95 % interval; on the dark line both agree. Axes grow with the root."
        return plotting.picture(drawn, title, caption, "Scatter of two raters' Rau scores around the line of equality.")


def activity(scope: str, damage: dict[tuple[str, str], np.ndarray], indices: dict[str, np.ndarray]) -> Picture:
    """2-D histograms of each index over each rater's damage of one scale, with their LOESS lines."""
    raters = {of: values for (own, of), values in damage.items() if own == scope}
    grid = {"width": 3.7 * len(raters), "height": 2.6 * len(indices), "squeeze": False, "sharex": "col", "sharey": True}
    with plotting.figure(len(indices), len(raters), **grid) as (drawn, axes):
        for row, (index, values) in zip(axes, indices.items(), strict=True):
            for ax, (of, own) in zip(row, raters.items(), strict=True):
                _histogram(ax, own, values)
                if ax in axes[0]:
                    ax.set_title(of)
                if ax in axes[-1]:
                    ax.set_xlabel(scope)
            row[0].set_ylabel(index)
        title = f"Disease activity over damage: {scope}"
        caption = (
            "Darker cells hold more visits; the line is a LOESS fit (two thirds of the visits at each point). Axes of damage "
            "grow with the root; dashed lines bound remission, low, moderate and high activity."
        )
        alt = f"Two-dimensional histograms of DAS28 over the {scope} with a smooth line through each."
        return plotting.picture(drawn, title, caption, alt, wide=True)


def _histogram(ax, damage: np.ndarray, values: np.ndarray) -> None:
    known = ~(np.isnan(damage) | np.isnan(values))
    if not known.any():
        return
    x, y = damage[known], values[known]
    across, up = np.sqrt(np.nanmax(np.r_[damage, 1]) * 1.02), max(y.max(), 6) * 1.02
    edges = np.square(np.linspace(0, across, CELLS + 1)), np.linspace(0, up, CELLS + 1)
    counts, _, _ = np.histogram2d(x, y, edges)
    ax.pcolormesh(*edges, np.ma.masked_equal(counts.T, 0), cmap="Blues", vmin=0, vmax=counts.max() * 1.3, linewidth=0)
    for bound in (2.6, 3.2, 5.1):
        ax.axhline(bound, color=plotting.INK, linewidth=0.6, linestyle=(0, (3, 3)), alpha=0.6)
    line = evidence.trend(ROOT[0](x), y)
    ax.plot(np.square(line[:, 0]), line[:, 1], color=plotting.WARN, linewidth=2)
    _axis(ax, "x", edges[0][-1])
    ax.grid(visible=False)


def _axis(ax, which: str, top: float) -> None:
    """An axis of damage from 0 to top that grows with the root."""
    ticks = TICKS[top >= TICKS]
    getattr(ax, f"set_{which}scale")("function", functions=ROOT)
    getattr(ax, f"set_{which}lim")(0, top)
    getattr(ax, f"set_{which}ticks")(ticks, labels=[str(t) for t in ticks])
