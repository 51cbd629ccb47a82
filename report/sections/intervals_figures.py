"""Pictures of intervals: patients sorted by what the model says, widths, nominal against measured coverage."""

from __future__ import annotations

import numpy as np
import pandas as pd

from evaluation.coverage import NOMINAL, WHOLE
from evaluation.raters import SPLITS
from evaluation.statistic import Statistic
from report import plotting
from report.blocks import Picture

TICKS = (0, 5, 10, 20, 50, 100, 200, 400)  # of an axis of totals


def _whole(judged: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    return {split: rows[rows.scope == WHOLE].sort_values("value") for split, rows in judged.items()}


def _log_totals(axis, way: str) -> None:
    """An axis of totals on which a mild patient is seen as well as a severe one: log(1 + total)."""
    getattr(axis, f"set_{way}scale")("function", functions=(lambda v: np.log1p(np.maximum(v, 0)), np.expm1))
    getattr(axis, f"set_{way}ticks")(TICKS)
    getattr(axis, f"{way}axis").set_minor_locator(plotting.mpl.ticker.NullLocator())


def sorted_totals(judged: dict[str, pd.DataFrame]) -> Picture:
    """Each patient's interval of the total with reader 1's total on it."""
    found = _whole(judged)
    with plotting.figure(1, len(found), width=9.0, height=4.0, squeeze=False, sharey=True) as (drawn, axes):
        for axis, (split, rows) in zip(axes[0], found.items(), strict=True):
            at = np.arange(len(rows))
            axis.vlines(at, rows.low95, rows.high95, color=plotting.PALE, linewidth=2.2, label="95 % interval")
            axis.vlines(at, rows.low80, rows.high80, color=plotting.ACCENT, alpha=0.45, linewidth=2.2, label="80 % interval")
            for inside, colour, name in (
                (True, plotting.INK, "reader 1, inside"),
                (False, plotting.WARN, "reader 1, outside 95 %"),
            ):
                use = (rows.covered95 == inside).to_numpy()
                axis.scatter(at[use], rows.truth[use], s=9 if inside else 22, color=colour, zorder=3, label=name)
            _log_totals(axis, "y")
            axis.set(title=SPLITS[split], xlabel="patients, sorted by the model's total", ylim=(0, None))
        axes[0, 0].set_ylabel("total")
        axes[0, 0].legend(loc="upper left")
        caption = (
            "A line is a patient: the model's intervals of the total, and reader 1's total as a dot. The axis is log(1 + total)."
        )
        alt = "Intervals of patients sorted by the predicted total; most of the reader's totals lie inside."
        return plotting.picture(drawn, "Totals with their intervals", caption, alt, wide=True)


def widths(judged: dict[str, pd.DataFrame]) -> Picture:
    """Width of the 95 % interval over the model's total."""
    with plotting.figure(width=5.2, height=3.8) as (drawn, axis):
        for (split, rows), colour in zip(_whole(judged).items(), plotting.COLOURS, strict=False):
            axis.scatter(rows.value, rows.width95, s=12, color=colour, alpha=0.8, label=SPLITS[split])
        _log_totals(axis, "x")
        _log_totals(axis, "y")
        axis.set(xlabel="the model's total", ylabel="width of its 95 % interval", xlim=(0, None), ylim=(0, None))
        axis.legend()
        caption = "A mild patient gets a short interval, a severe one a wide one: the error grows with the damage that is seen."
        return plotting.picture(drawn, "Width over severity", caption, "Scatter of interval width over the predicted total.")


def reliability(measured: list[Statistic]) -> Picture:
    """Nominal against measured coverage of the total."""
    with plotting.figure(width=4.4, height=3.8) as (drawn, axis):
        axis.plot([45, 100], [45, 100], color=plotting.PALE, zorder=1)
        for i, split in enumerate(dict.fromkeys(one.split for one in measured)):
            own = {int(one.name.split("_")[1]): one for one in measured if one.split == split}
            at = np.array([level for level in NOMINAL if level in own]) + (i - 0.5) * 0.8
            value, low, high = (100 * np.array([getattr(one, end) for one in own.values()]) for end in ("value", "low", "high"))
            axis.errorbar(
                at, value, yerr=[value - low, high - value], fmt="o", ms=4, color=plotting.COLOURS[i], label=SPLITS[split]
            )
        axis.set(xlabel="stated coverage, %", ylabel="measured coverage, %", xlim=(46, 99), ylim=(30, 102))
        axis.legend(loc="lower right")
        caption = "How often reader 1's total lies in intervals of other levels; bars are 95 % intervals over persons."
        return plotting.picture(
            drawn, "Stated and measured coverage", caption, "Measured over stated coverage near the diagonal."
        )
