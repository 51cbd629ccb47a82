"""Pictures of raters against raters: totals, grades, and which of three said the same."""

from __future__ import annotations

import numpy as np
from matplotlib.patches import Circle

from evaluation import confusion as crosstab
from evaluation import site_groups, three_raters
from evaluation.agreement import Statistics, pair_name
from evaluation.raters import Raters
from ra.anatomy import SITES
from report import plotting
from report.blocks import Picture

Pairs = list[tuple[str, str]]
TICKS = (0, 5, 20, 50, 100, 200, 400)  # of totals, on an axis of square roots, where mild patients have room
CIRCLES = ((-0.42, 0.24), (0.42, 0.24), (0.0, -0.5))  # centres; each a circle of radius RADIUS
RADIUS = 0.8


def bland_altman(rows: Raters, pairs: Pairs, found: Statistics, whose: str) -> Picture:
    """Difference of the two totals over their mean, with bias, limits and the line of the slope."""
    with plotting.figure(1, len(pairs), width=3.4 * len(pairs), height=3.5, sharey=True, squeeze=False) as (drawn, axes):
        for ax, pair in zip(axes[0], pairs, strict=True):
            a, b = (rows.by[name].totals[:, 0] for name in pair)
            ax.scatter((a + b) / 2, a - b, s=16, color=plotting.ACCENT, alpha=0.55, linewidths=0)
            of = pair_name(*pair)
            for name, colour in (("bias", plotting.INK), ("lower", plotting.WARN), ("upper", plotting.WARN)):
                one = found[name, of, "total"]
                if np.isfinite(one.value):
                    ax.axhline(one.value, color=colour, lw=1.2, ls="-" if name == "bias" else "--")
                    ax.axhspan(one.low, one.high, color=colour, alpha=0.10, lw=0)
            ax.axhline(0, color=plotting.PALE, lw=0.8)
            _slope(ax, (a + b) / 2, a - b, found["slope", of, "total"].value)
            ax.set(title=f"{pair[0]} − {pair[1]}", xlabel="mean of the two totals")
        axes[0, 0].set_ylabel("difference of the totals (points)")
        return plotting.picture(
            drawn,
            "Differences of the totals over their size",
            f"Bland-Altman plots, {whose}: each point is a patient's set of films. Line: bias. Dashed: 95 % limits of "
            "agreement. Bands: their 95 % intervals. Dotted: the trend of the difference with the score.",
            "Scatter of the difference of two raters' totals over their mean, one panel per pair of raters",
            wide=True,
        )


def _slope(ax: object, mean: np.ndarray, difference: np.ndarray, slope: float) -> None:
    known = ~np.isnan(mean + difference)
    if known.any() and np.isfinite(slope):
        ends = np.array([mean[known].min(), mean[known].max()])
        ax.plot(ends, difference[known].mean() + slope * (ends - mean[known].mean()), ls=":", lw=1.4, color=plotting.GOOD)


def totals(rows: Raters, pairs: Pairs, whose: str) -> Picture:
    """Total against total, with the line of equality."""
    with plotting.figure(1, len(pairs), width=3.4 * len(pairs), height=3.6, squeeze=False) as (drawn, axes):
        top = np.nanmax([1.0, *(np.nanmax(rows.by[name].totals[:, 0], initial=1.0) for pair in pairs for name in pair)])
        ticks = [tick for tick in TICKS if tick <= 1.15 * top]
        for ax, (first, second) in zip(axes[0], pairs, strict=True):
            ax.plot([0, 1.15 * top], [0, 1.15 * top], color=plotting.INK, lw=0.8)
            x, y = (np.maximum(rows.by[name].totals[:, 0], 0) for name in (second, first))
            ax.scatter(x, y, s=16, color=plotting.ACCENT, alpha=0.55, linewidths=0)
            for scale in (ax.set_xscale, ax.set_yscale):
                scale("function", functions=(lambda v: np.sqrt(np.maximum(v, 0)), np.square))
            ax.set(xlim=(0, 1.15 * top), ylim=(0, 1.15 * top), xticks=ticks, yticks=ticks, aspect="equal")
            ax.set(xlabel=f"total by {second}", ylabel=f"total by {first}")
        return plotting.picture(
            drawn,
            "Total against total",
            f"{whose[:1].upper()}{whose[1:]}: each point is a patient's set of films, the line is equality. The axes are square "
            "roots, so that patients with little damage have room.",
            "Scatter of one rater's total against another's, one panel per pair of raters",
            wide=True,
        )


def confusion(rows: Raters, pairs: Pairs, whose: str) -> Picture:
    """Shares of the reference's grades, for the findings of each limb."""
    groups = {scope: sites for scope, sites in site_groups.LIMB_FINDINGS.items() if _seen(rows, pairs, sites)}
    with plotting.figure(len(pairs), len(groups), width=10.4, height=2.75 * len(pairs), squeeze=False) as (drawn, axes):
        for i, pair in enumerate(pairs):
            first, second = (rows.by[name].whole for name in pair)
            for j, (scope, sites) in enumerate(groups.items()):
                top = max(s.max_grade for s, used in zip(SITES, sites, strict=True) if used)
                counts = crosstab.count(first[:, sites], second[:, sites]).sum(0)[: top + 1, : top + 1]
                _matrix(axes[i, j], counts)
                axes[i, j].set(xlabel=f"grade by {pair[0]}", ylabel=f"grade by {pair[1]}")
                if i == 0:
                    axes[i, j].set_title(scope)
        return plotting.picture(
            drawn,
            "Grade against grade",
            f"{whose[:1].upper()}{whose[1:]}: of the sites to which the rater at the left gave a grade, the percentage to which "
            "the rater below gave each grade. A row adds up to 100; an empty row is a grade that was never given. On the "
            "diagonal both agree.",
            "Confusion matrices of grades, a row of panels per pair of raters, a column per finding of hand or foot",
            wide=True,
        )


def _seen(rows: Raters, pairs: Pairs, sites: np.ndarray) -> bool:
    return any(not np.isnan(rows.by[a].grades[:, sites] + rows.by[b].grades[:, sites]).all() for a, b in pairs)


def _matrix(ax: object, counts: np.ndarray) -> None:
    n = counts.sum(1, keepdims=True)
    shares = np.divide(counts, n, out=np.full(counts.shape, np.nan), where=n > 0)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    size = 8 if len(counts) < 8 else 5.5
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.005:
            ax.text(
                column,
                row,
                f"{100 * share:.0f}",
                ha="center",
                va="center",
                fontsize=size,
                color="white" if share > 0.55 else plotting.INK,
            )
    ax.grid(False)
    ax.set(xticks=range(len(counts)), yticks=range(len(counts)))
    ax.tick_params(length=0, labelsize=7)


def venn(names: list[str], found: Statistics, whose: str) -> Picture:
    """The agreement diagram of three raters: a circle each, shares in the regions."""
    with plotting.figure(1, 2, width=7.6, height=4.0) as (drawn, axes):
        for ax, scope in zip(axes, (three_raters.RESCORED, site_groups.EVERYTHING), strict=True):
            ax.set(xlim=(-1.5, 1.5), ylim=(-1.55, 1.35), aspect="equal")
            ax.axis("off")
            for centre, colour in zip(CIRCLES, plotting.COLOURS, strict=False):
                ax.add_patch(Circle(centre, RADIUS, color=colour, alpha=0.22, lw=0))
                ax.add_patch(Circle(centre, RADIUS, fill=False, ec=colour, lw=1.6))
            for where, of in zip(_region_centres(), three_raters.labels(names), strict=True):
                one = found["same_grade", of, scope]
                ax.text(*where, f"{one.value:.{one.digits}f}", ha="center", va="center", fontsize=8 if of == "none" else 10)
            for name, where in zip(names, ((-0.9, 1.12), (0.9, 1.12), (0.0, -1.42)), strict=True):
                ax.text(*where, name, ha="center", va="center", weight="bold")
            ax.text(1.05, -1.2, "no two the same", ha="center", fontsize=8)
            n = found["same_grade", three_raters.COLLECTED, scope].n
            ax.set_title(f"{scope} ({n} sites)" if scope == three_raters.RESCORED else f"all {n} sites", fontsize=9)
        return plotting.picture(
            drawn,
            "Who gave the same grade",
            f"{whose[:1].upper()}{whose[1:]}: share of the sites in each region; where circles overlap, those raters gave the "
            f"same grade. Left: up to {three_raters.PER_GRADE} sites of each grade of {names[1]}, since most sites of most "
            "patients are healthy and agree. Right: all sites.",
            "Two Venn diagrams of three raters with the share of sites on which each group of them agrees",
            wide=True,
        )


def _region_centres() -> list[tuple[float, float]]:
    """Where the labels of overlap.labels go."""
    a, b, c = (np.array(centre) for centre in CIRCLES)
    middle = (a + b + c) / 3
    shared = [
        (x + y) / 2 + 0.55 * ((x + y) / 2 - middle) / np.linalg.norm((x + y) / 2 - middle) * 0.55
        for x, y in ((a, b), (a, c), (b, c))
    ]
    alone = [x + 0.38 * (x - middle) / np.linalg.norm(x - middle) for x in (a, b, c)]
    return [tuple(middle), *map(tuple, shared), (1.05, -1.3), *map(tuple, alone)]
