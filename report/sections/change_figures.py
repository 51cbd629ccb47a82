"""Pictures of change: cumulative probability by rater and by group, and the model's change against reader 1's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluation.change import VERDICTS
from evaluation.raters import MODEL, READER1
from report import plotting
from report.blocks import Picture
from report.sections import change_words as words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from evaluation.change import Pairs
    from evaluation.progression import Study

COLOUR_OF = dict(zip(VERDICTS, (plotting.WARN, "#8a93a3", plotting.GOOD), strict=True))
MARKERS = "osv^"


def curves(study: Study, ends: Pairs) -> Picture:
    """Cumulative probability plots: left by rater, right by reader 1's damage at the first visit."""
    sdc = study.sdc(95).value
    baseline = study.raters.by[READER1].totals[ends.before, 0]
    middle = np.nanmedian(baseline)
    groups = {f"total above {middle:g} at first": baseline > middle, f"{middle:g} or below": baseline <= middle}
    with plotting.figure(1, 2, width=9.0, height=3.8, sharey=True) as (drawn, (left, right)):
        for name, colour, marker in zip(study.names, plotting.COLOURS, MARKERS, strict=False):
            _curve(left, ends.change(name)[:, 0], name, colour, marker)
        for (name, own), colour in zip(groups.items(), (plotting.WARN, plotting.GOOD), strict=True):
            for rater, style in ((READER1, "-"), (MODEL, ":")):
                _curve(right, ends.change(rater)[own, 0], f"{name}, {rater}", colour, ".", style)
        for axes in (left, right):
            axes.axhline(0, color=plotting.INK, linewidth=0.8)
            axes.axhline(sdc, color=plotting.INK, linewidth=0.8, linestyle="--")
            axes.set(xlim=(0, 100), xlabel="share of persons, %")
            axes.legend(loc="upper left", fontsize=8)
        left.set(ylabel="change of the total, points", title="by rater")
        right.set(title="by damage at the first visit")
        alt = "Cumulative probability plots of the change of the total, by rater and by baseline damage"
        return plotting.picture(drawn, "Who changed how much", words.CURVES, alt, wide=True)


def _curve(axes: Axes, change: np.ndarray, name: str, colour: str, marker: str, style: str = "-") -> None:
    known = np.sort(change[~np.isnan(change)])
    place = 100 * (np.arange(len(known)) + 0.5) / max(len(known), 1)
    look = {"marker": marker, "markersize": 3 if len(known) < 80 else 0, "linewidth": 1.2, "color": colour}
    axes.plot(place, known, style, label=f"{name} (n = {len(known)})", **look)


def scatter(study: Study) -> Picture:
    """The model's change, with its 80 % interval, against reader 1's."""
    seen, moved = study.pairs.change(READER1)[:, 0], study.pairs.change(MODEL)[:, 0]
    limits, said = study.bounds[80], study.verdicts(80)
    place = seen + np.random.default_rng(0).uniform(-0.25, 0.25, len(seen))  # whole numbers fall on each other
    with plotting.figure(width=6.2, height=4.2) as (drawn, axes):
        for verdict in VERDICTS:
            own = (said == verdict) & ~np.isnan(seen + moved)
            arms = np.nan_to_num([(moved - limits.low[:, 0])[own], (limits.high[:, 0] - moved)[own]])
            colour, label = COLOUR_OF[verdict], f"{verdict} ({own.sum()})"
            axes.errorbar(place[own], moved[own], arms, fmt="o", markersize=3.5, linewidth=0.9, color=colour, label=label)
        ends = axes.get_xlim()
        axes.plot(ends, ends, color=plotting.INK, linewidth=0.8)
        axes.axhline(0, color=plotting.INK, linewidth=0.8, linestyle=":")
        axes.set(xlabel="change by reader 1, points", ylabel="change by the model, points", xlim=ends)
        axes.legend(title="the model says (pairs)", fontsize=8, loc="upper left")
        alt = "Scatter of the model's change, with intervals, over reader 1's"
        return plotting.picture(drawn, "Change by the model and by reader 1", words.SCATTER, alt)
