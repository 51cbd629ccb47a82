"""Figures that compare raters: their totals, their grades, and which of three raters gave the same grade."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from evaluation import confusion as confusion_counts
from evaluation import site_groups, three_raters
from evaluation.agreement import Statistics, pair_name
from evaluation.raters import Raters
from ra.anatomy import SITES
from report import plotting
from report.blocks import Picture
from report.plotting import sentence

Pairs = list[tuple[str, str]]
TICKS = (0, 5, 20, 50, 100, 200, 400)  # for totals; the axis is a square root, which spreads the patients with little damage
CENTRES = ((-0.42, 0.24), (0.42, 0.24), (0.0, -0.5))  # centres of the circles of the Venn diagram
RADIUS = 0.8


def bland_altman(rows: Raters, pairs: Pairs, statistics: Statistics, patients: str) -> Picture:
    """Difference of two raters' totals over their mean, with bias, limits of agreement and the line of the slope."""
    with plotting.figure(1, len(pairs), width=3.4 * len(pairs), height=3.5, sharey=True, squeeze=False) as (fig, axes):
        for ax, pair in zip(axes[0], pairs, strict=True):
            a, b = (rows.by[name].totals[:, 0] for name in pair)
            ax.scatter((a + b) / 2, a - b, s=16, color=plotting.ACCENT, alpha=0.55, linewidths=0)
            for name, colour in (("bias", plotting.INK), ("lower", plotting.WARN), ("upper", plotting.WARN)):
                level = statistics[name, pair_name(*pair), "total"]
                if np.isfinite(level.value):
                    ax.axhline(level.value, color=colour, lw=1.2, ls="-" if name == "bias" else "--")
                    ax.axhspan(level.low, level.high, color=colour, alpha=0.10, lw=0)
            ax.axhline(0, color=plotting.PALE, lw=0.8)
            _slope(ax, (a + b) / 2, a - b, statistics["slope", pair_name(*pair), "total"].value)
            ax.set(title=f"{pair[0]} − {pair[1]}", xlabel="mean of the two totals")
        axes[0, 0].set_ylabel("difference of the totals (points)")
        return plotting.picture(
            fig,
            "Bland-Altman plots of the totals",
            f"{sentence(patients)}: each point is a patient's set of films. Solid line: bias. Dashed lines: 95 % limits of "
            "agreement. Bands: their 95 % confidence intervals. Dotted line: trend of the difference with the score.",
            "Scatter of the difference of two raters' totals over their mean, one panel per pair of raters",
            wide=True,
        )


def _slope(ax: Axes, mean: np.ndarray, difference: np.ndarray, slope: float) -> None:
    scored = ~np.isnan(mean + difference)
    if scored.any() and np.isfinite(slope):
        ends = np.array([mean[scored].min(), mean[scored].max()])
        ax.plot(ends, difference[scored].mean() + slope * (ends - mean[scored].mean()), ls=":", lw=1.4, color=plotting.GOOD)


def totals(rows: Raters, pairs: Pairs, patients: str) -> Picture:
    """One rater's totals over another's, with the line of equality."""
    with plotting.figure(1, len(pairs), width=3.4 * len(pairs), height=3.6, squeeze=False) as (fig, axes):
        highest = np.nanmax([1.0, *(np.nanmax(rows.by[name].totals[:, 0], initial=1.0) for pair in pairs for name in pair)])
        end, ticks = 1.15 * highest, [tick for tick in TICKS if tick <= 1.15 * highest]
        for ax, (first, second) in zip(axes[0], pairs, strict=True):
            ax.plot([0, end], [0, end], color=plotting.INK, lw=0.8)
            x, y = (np.maximum(rows.by[name].totals[:, 0], 0) for name in (second, first))
            ax.scatter(x, y, s=16, color=plotting.ACCENT, alpha=0.55, linewidths=0)
            for set_scale in (ax.set_xscale, ax.set_yscale):
                set_scale("function", functions=(lambda v: np.sqrt(np.maximum(v, 0)), np.square))
            ax.set(xlim=(0, end), ylim=(0, end), xticks=ticks, yticks=ticks, aspect="equal")
            ax.set(xlabel=f"total by {second}", ylabel=f"total by {first}")
        return plotting.picture(
            fig,
            "Totals of one rater against another's",
            f"{sentence(patients)}: each point is a patient's set of films; the line is equality. The axes are square roots, "
            "which spread the patients with little damage.",
            "Scatter of one rater's total against another's, one panel per pair of raters",
            wide=True,
        )


def confusion(rows: Raters, pairs: Pairs, patients: str) -> Picture:
    """Confusion matrices of grades in percent, one panel per pair of raters and finding of a limb."""
    groups = {scope: sites for scope, sites in site_groups.LIMB_FINDINGS.items() if _any_scored(rows, pairs, sites)}
    with plotting.figure(len(pairs), len(groups), width=10.4, height=2.75 * len(pairs), squeeze=False) as (fig, axes):
        for i, pair in enumerate(pairs):
            first, second = (rows.by[name].whole for name in pair)
            for j, (scope, sites) in enumerate(groups.items()):
                max_grade = max(site.max_grade for site, used in zip(SITES, sites, strict=True) if used)
                counts = confusion_counts.count(first[:, sites], second[:, sites]).sum(0)[: max_grade + 1, : max_grade + 1]
                _matrix(axes[i, j], counts)
                axes[i, j].set(xlabel=f"grade by {pair[0]}", ylabel=f"grade by {pair[1]}")
                if i == 0:
                    axes[i, j].set_title(scope)
        return plotting.picture(
            fig,
            "Confusion matrices of the grades",
            f"{sentence(patients)}. A row contains the sites to which the rater on the left gave that grade; the numbers are "
            "the percentages of them to which the rater below gave each grade. A row adds up to 100; an empty row is a grade "
            "that was never given. On the diagonal both raters agree.",
            "Confusion matrices of grades, a row of panels per pair of raters, a column per finding of hand or foot",
            wide=True,
        )


def _any_scored(rows: Raters, pairs: Pairs, sites: np.ndarray) -> bool:
    """Whether any pair of raters scored one of these sites in the same patient."""
    return any(not np.isnan(rows.by[a].grades[:, sites] + rows.by[b].grades[:, sites]).all() for a, b in pairs)


def _matrix(ax: Axes, counts: np.ndarray) -> None:
    n = counts.sum(1, keepdims=True)
    shares = np.divide(counts, n, out=np.full(counts.shape, np.nan), where=n > 0)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    size = 8 if len(counts) < 8 else 5.5
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.005:
            colour = "white" if share > 0.55 else plotting.INK
            ax.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=size, color=colour)
    ax.grid(False)
    ax.set(xticks=range(len(counts)), yticks=range(len(counts)))
    ax.tick_params(length=0, labelsize=7)


def venn(names: list[str], statistics: Statistics, patients: str) -> Picture:
    """Agreement diagram of three raters, with a circle for each and the share of sites in each region."""
    with plotting.figure(1, 2, width=7.6, height=4.0) as (fig, axes):
        for ax, scope in zip(axes, (three_raters.RESCORED, site_groups.EVERYTHING), strict=True):
            ax.set(xlim=(-1.5, 1.5), ylim=(-1.55, 1.35), aspect="equal")
            ax.axis("off")
            for centre, colour in zip(CENTRES, plotting.COLOURS, strict=False):
                ax.add_patch(Circle(centre, RADIUS, color=colour, alpha=0.22, lw=0))
                ax.add_patch(Circle(centre, RADIUS, fill=False, ec=colour, lw=1.6))
            for position, label in zip(_label_positions(), three_raters.labels(names), strict=True):
                share = statistics["same_grade", label, scope]
                text, size = f"{share.value:.{share.digits}f}", 8 if label == "none" else 10
                ax.text(*position, text, ha="center", va="center", fontsize=size)
            for name, position in zip(names, ((-0.9, 1.12), (0.9, 1.12), (0.0, -1.42)), strict=True):
                ax.text(*position, name, ha="center", va="center", weight="bold")
            ax.text(1.05, -1.2, "all different", ha="center", fontsize=8)
            n = statistics["same_grade", three_raters.COLLECTED, scope].n
            ax.set_title(f"{scope} ({n} sites)" if scope == three_raters.RESCORED else f"all {n} sites", fontsize=9)
        return plotting.picture(
            fig,
            "Raters who gave the same grade",
            f"{sentence(patients)}: share of the sites in each region; where circles overlap, those raters gave the "
            f"same grade. Left: up to {three_raters.PER_GRADE} sites of each grade of {names[1]}, because in most patients most "
            "sites are healthy and the raters agree on them. Right: all sites.",
            "Two Venn diagrams of three raters with the share of sites on which each group of them agrees",
            wide=True,
        )


def _label_positions() -> list[tuple[float, float]]:
    """The position of the text of each region, in the order of three_raters.labels."""
    a, b, c = (np.array(centre) for centre in CENTRES)
    middle = (a + b + c) / 3
    shared = []
    for x, y in ((a, b), (a, c), (b, c)):
        outwards = (x + y) / 2 - middle
        shared.append((x + y) / 2 + 0.55 * outwards / np.linalg.norm(outwards) * 0.55)
    alone = [x + 0.38 * (x - middle) / np.linalg.norm(x - middle) for x in (a, b, c)]
    return [tuple(middle), *map(tuple, shared), (1.05, -1.3), *map(tuple, alone)]
