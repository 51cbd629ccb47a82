"""Figures of change: cumulative probability by rater and by baseline damage, and the model's change against reader 1's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluation.raters import MODEL, READER1
from evaluation.visit_pairs import VERDICTS
from report import plotting
from report.blocks import Picture
from report.sections import change_words as words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from evaluation.detectable_change import Study
    from evaluation.visit_pairs import Pairs

COLOUR_OF = dict(zip(VERDICTS, (plotting.WARN, "#8a93a3", plotting.GOOD), strict=True))
MARKERS = "osv^"
MANY_PERSONS = 80  # with this number of persons or more, curves have no marks


def curves(study: Study, first_to_last: Pairs) -> Picture:
    """Cumulative probability plots: by rater on the left, by reader 1's total at the first visit on the right."""
    sdc = study.sdc(95).value
    baseline = study.raters.by[READER1].totals[first_to_last.before, 0]
    median = np.nanmedian(baseline)
    groups = {f"first total above {median:g}": baseline > median, f"{median:g} or below": baseline <= median}
    with plotting.figure(1, 2, width=9.0, height=3.8, sharey=True) as (fig, (left, right)):
        for name, colour, marker in zip(study.names, plotting.COLOURS, MARKERS, strict=False):
            _curve(left, first_to_last.change(name)[:, 0], name, colour, marker)
        for (name, rows), colour in zip(groups.items(), (plotting.WARN, plotting.GOOD), strict=True):
            for rater, style in ((READER1, "-"), (MODEL, ":")):
                _curve(right, first_to_last.change(rater)[rows, 0], f"{name}, {rater}", colour, ".", style)
        for axes in (left, right):
            axes.axhline(0, color=plotting.INK, linewidth=0.8)
            axes.axhline(sdc, color=plotting.INK, linewidth=0.8, linestyle="--")
            axes.set(xlim=(0, 100), xlabel="share of persons, %")
            axes.legend(loc="upper left", fontsize=8)
        left.set(ylabel="change of the total, points", title="by rater")
        right.set(title="by total at the first visit")
        alt = "Cumulative probability plots of the change of the total, by rater and by baseline damage"
        return plotting.picture(fig, "Change from the first to the last visit", words.CURVES, alt, wide=True)


def _curve(axes: Axes, change: np.ndarray, name: str, colour: str, marker: str, style: str = "-") -> None:
    ordered = np.sort(change[~np.isnan(change)])
    percent = 100 * (np.arange(len(ordered)) + 0.5) / max(len(ordered), 1)
    size = 3 if len(ordered) < MANY_PERSONS else 0
    label = f"{name} (n = {len(ordered)})"
    axes.plot(percent, ordered, style, label=label, color=colour, linewidth=1.2, marker=marker, markersize=size)


def scatter(study: Study) -> Picture:
    """The model's change, with its 80 % interval, against reader 1's change."""
    by_reader, by_model = (study.pairs.change(name)[:, 0] for name in (READER1, MODEL))
    limits, verdicts = study.bounds[80], study.verdicts(80)
    jittered = by_reader + np.random.default_rng(0).uniform(-0.25, 0.25, len(by_reader))  # separates equal whole numbers
    with plotting.figure(width=6.2, height=4.2) as (fig, axes):
        for verdict in VERDICTS:
            rows = (verdicts == verdict) & ~np.isnan(by_reader + by_model)
            arms = np.nan_to_num([(by_model - limits.low[:, 0])[rows], (limits.high[:, 0] - by_model)[rows]])
            colour, label = COLOUR_OF[verdict], f"{verdict} ({rows.sum()})"
            axes.errorbar(jittered[rows], by_model[rows], arms, fmt="o", markersize=3.5, linewidth=0.9, color=colour, label=label)
        ends = axes.get_xlim()
        axes.plot(ends, ends, color=plotting.INK, linewidth=0.8)
        axes.axhline(0, color=plotting.INK, linewidth=0.8, linestyle=":")
        axes.set(xlabel="change by reader 1, points", ylabel="change by the model, points", xlim=ends)
        axes.legend(title="the model's verdict (pairs)", fontsize=8, loc="upper left")
        alt = "Scatter of the model's change, with intervals, over reader 1's"
        return plotting.picture(fig, "Change by the model and by reader 1", words.SCATTER, alt)
