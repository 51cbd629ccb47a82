"""Figures of prediction intervals: patients sorted by the predicted total, widths, and measured against stated coverage."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from evaluation.coverage import NOMINAL, WHOLE
from evaluation.raters import SPLITS
from evaluation.statistic import Statistic
from report import plotting
from report.blocks import Picture

TICKS = (0, 5, 10, 20, 50, 100, 200, 400)  # for an axis of totals


def _totals(by_split: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    return {split: rows[rows.scope == WHOLE].sort_values("value") for split, rows in by_split.items()}


def _log_totals(ax: Axes, which: str) -> None:
    """Scale the axis x or y as log(1 + total), on which mild and severe patients are both visible."""
    getattr(ax, f"set_{which}scale")("function", functions=(lambda v: np.log1p(np.maximum(v, 0)), np.expm1))
    getattr(ax, f"set_{which}ticks")(TICKS)
    getattr(ax, f"{which}axis").set_minor_locator(plotting.mpl.ticker.NullLocator())


def sorted_totals(by_split: dict[str, pd.DataFrame]) -> Picture:
    """Each patient's interval of the total, with reader 1's total."""
    totals = _totals(by_split)
    with plotting.figure(1, len(totals), width=9.0, height=4.0, squeeze=False, sharey=True) as (fig, axes):
        for ax, (split, rows) in zip(axes[0], totals.items(), strict=True):
            rank = np.arange(len(rows))
            ax.vlines(rank, rows.low95, rows.high95, color=plotting.PALE, linewidth=2.2, label="95 % interval")
            ax.vlines(rank, rows.low80, rows.high80, color=plotting.ACCENT, alpha=0.45, linewidth=2.2, label="80 % interval")
            covered = rows.covered95.to_numpy(bool)
            ax.scatter(rank[covered], rows.truth[covered], s=9, color=plotting.INK, zorder=3, label="reader 1, inside")
            ax.scatter(rank[~covered], rows.truth[~covered], s=22, color=plotting.WARN, zorder=3, label="reader 1, outside 95 %")
            _log_totals(ax, "y")
            ax.set(title=SPLITS[split], xlabel="patients, sorted by the model's total", ylim=(0, None))
        axes[0, 0].set_ylabel("total")
        axes[0, 0].legend(loc="upper left")
        caption = (
            "Each line is a patient: the model's intervals of the total; a dot is reader 1's total. The axis is log(1 + total)."
        )
        alt = "Intervals of patients sorted by the predicted total; most of the reader's totals lie inside."
        return plotting.picture(fig, "Totals with their prediction intervals", caption, alt, wide=True)


def widths(by_split: dict[str, pd.DataFrame]) -> Picture:
    """Width of the 95 % interval against the model's total."""
    with plotting.figure(width=5.2, height=3.8) as (fig, ax):
        for (split, rows), colour in zip(_totals(by_split).items(), plotting.COLOURS, strict=False):
            ax.scatter(rows.value, rows.width95, s=12, color=colour, alpha=0.8, label=SPLITS[split])
        _log_totals(ax, "x")
        _log_totals(ax, "y")
        ax.set(xlabel="the model's total", ylabel="width of its 95 % interval", xlim=(0, None), ylim=(0, None))
        ax.legend()
        caption = (
            "Intervals are short for mild patients and wide for severe ones, because the error grows with the predicted damage."
        )
        return plotting.picture(fig, "Width by severity", caption, "Scatter of interval width over the predicted total.")


def reliability(statistics: list[Statistic]) -> Picture:
    """Measured against stated coverage of the total."""
    with plotting.figure(width=4.4, height=3.8) as (fig, ax):
        ax.plot([45, 100], [45, 100], color=plotting.PALE, zorder=1)
        for i, split in enumerate(dict.fromkeys(measured.split for measured in statistics)):
            by_level = {int(measured.name.split("_")[1]): measured for measured in statistics if measured.split == split}
            x = np.array([level for level in NOMINAL if level in by_level]) + (i - 0.5) * 0.8
            value, low, high = (
                100 * np.array([getattr(measured, end) for measured in by_level.values()]) for end in ("value", "low", "high")
            )
            arms = [value - low, high - value]
            ax.errorbar(x, value, yerr=arms, fmt="o", ms=4, color=plotting.COLOURS[i], label=SPLITS[split])
        ax.set(xlabel="stated coverage, %", ylabel="measured coverage, %", xlim=(46, 99), ylim=(30, 102))
        ax.legend(loc="lower right")
        caption = "Coverage of reader 1's total by intervals of several levels; bars are 95 % intervals over persons."
        alt = "Measured over stated coverage near the diagonal."
        return plotting.picture(fig, "Stated and measured coverage", caption, alt)
