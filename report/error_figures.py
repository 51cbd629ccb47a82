"""Figures of errors: by site on a drawn hand and foot, calibration of the probabilities, and grades at healthy joints."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from evaluation import halo_effect
from evaluation.calibration import OF
from evaluation.site_errors import Sites
from evaluation.statistic import Statistic
from ra.anatomy import FINDINGS, LIMBS
from report import hand_foot_figure, plotting
from report.blocks import Picture
from report.plotting import sentence

PANELS = [(limb, finding) for limb in LIMBS for finding in FINDINGS]


def by_site(pairs: dict[str, Sites], name: str, title: str, caption: str) -> Picture:
    """Drawn hands and feet, coloured by one statistic, with a row per pair of raters.

    pairs: pair of raters -> site_errors.by_site; name: mae or bias.
    """
    values = [statistics[name].value for sites in pairs.values() for statistics in sites.values()]
    largest = max(0.1, np.nanmax(np.abs(values), initial=0.0))
    signed = name == "bias"
    colours, scale = mpl.colormaps["RdBu_r" if signed else "YlOrRd"], Normalize(-largest if signed else 0, largest)
    with plotting.figure(len(pairs), len(PANELS), width=10.4, height=3.5 * len(pairs), squeeze=False) as (fig, axes):
        for row, (pair, sites) in zip(axes, pairs.items(), strict=True):
            for ax, (limb, finding) in zip(row, PANELS, strict=True):
                hand_foot_figure.draw_limb(ax, limb, _values_by_joint(sites, limb, finding, name), colours, scale)
                ax.set_title(f"{limb}, {finding}", fontsize=9)
            row[0].text(0.0, 0.5, pair, transform=row[0].transAxes, rotation=90, va="center", ha="right", weight="bold")
        bar = fig.colorbar(mpl.cm.ScalarMappable(scale, colours), ax=axes, shrink=0.6, aspect=30, pad=0.01)
        bar.set_label("grades; red: the first rater's are higher, blue: lower" if signed else "grades")
        bar.outline.set_visible(False)
        alt = f"A drawn hand and foot per finding; each scored joint is a disc coloured by {title.lower()}"
        return plotting.picture(fig, title, caption, alt, wide=True)


def _values_by_joint(sites: Sites, limb: str, finding: str, name: str) -> dict[str, float]:
    scored = {joint: statistics for (site_limb, joint, kind), statistics in sites.items() if (site_limb, kind) == (limb, finding)}
    return {joint: statistics[name].value for joint, statistics in scored.items()}


def calibration(statistics: dict[tuple[str, str], Statistic], patients: str) -> Picture:
    """Reliability curves of the probability of damage (above), and predicted and observed frequency of each grade (below)."""
    scopes = [scope for name, scope in statistics if name == "ece"]
    with plotting.figure(2, len(scopes), width=10.4, height=5.2, squeeze=False) as (fig, axes):
        for (above, below), scope in zip(axes.T, scopes, strict=True):
            _reliability(above, _by_number(statistics, f"{scope}, bin "))
            above.set(title=scope, xlabel="predicted probability of damage", xlim=(0, 1), ylim=(0, 1))
            _frequencies(below, _by_number(statistics, f"{scope}, grade "))
        axes[0, 0].set_ylabel("observed share with damage")
        axes[1, 0].set_ylabel("share of sites")
        axes[1, 0].legend()
        return plotting.picture(
            fig,
            "Calibration of the predicted probabilities",
            f"{sentence(patients)}; {OF}. Above: sites grouped into tenths of the probability of damage that the joint members "
            "predicted, and the share of them in which the reader found damage; perfectly calibrated probabilities lie on the "
            "line (bars: 95 % confidence intervals). Below: predicted and observed frequency of each grade, on a logarithmic "
            "axis.",
            "Reliability curves of the probability of damage and bars of the share of each grade, per finding of hand and foot",
            wide=True,
        )


def _reliability(ax: Axes, bins: dict[int, dict[str, Statistic]]) -> None:
    expected, observed = ([bins[k][name] for k in sorted(bins)] for name in ("expected", "observed"))
    x = [e.value for e in expected]
    ax.plot([0, 1], [0, 1], color=plotting.INK, lw=0.8)
    ax.vlines(x, [o.low for o in observed], [o.high for o in observed], color=plotting.ACCENT, lw=1)
    ax.plot(x, [o.value for o in observed], "o-", ms=4, lw=1)


def _frequencies(ax: Axes, grades: dict[int, dict[str, Statistic]]) -> None:
    numbers = np.array(sorted(grades))
    for offset, name, label, colour in (
        (-0.2, "expected", "predicted", plotting.ACCENT),
        (0.2, "observed", "observed", plotting.COLOURS[1]),
    ):
        heights = [max(grades[k][name].value, 1e-5) for k in numbers]  # zero has no place on a logarithmic axis
        ax.bar(numbers + offset, heights, 0.4, color=colour, label=label)
    ax.set(yscale="log", ylim=(1e-4, 1.2), xlabel="grade", xticks=numbers)


def _by_number(statistics: dict[tuple[str, str], Statistic], start: str) -> dict[int, dict[str, Statistic]]:
    """Statistics whose scope is `start` and a number, by this number and by name."""
    out: dict[int, dict[str, Statistic]] = {}
    for (name, scope), statistic in statistics.items():
        if scope.startswith(start):
            out.setdefault(int(scope.removeprefix(start)), {})[name] = statistic
    return out


def healthy(statistics: dict[tuple[str, str, str], Statistic], reference: str, patients: str) -> Picture:
    """Mean grade at healthy sites (according to the reference) against the patient's other damage, with a line per rater."""
    raters = list(dict.fromkeys(rater for name, rater, _ in statistics if name == "mean_at_healthy"))
    bands = halo_effect.band_names()
    called = halo_effect.called(reference)
    with plotting.figure(width=6.4, height=3.2) as (fig, ax):
        for k, (rater, colour) in enumerate(zip(raters, plotting.COLOURS, strict=False)):
            means = [statistics["mean_at_healthy", rater, band] for band in bands]
            x = np.arange(len(bands)) + 0.07 * (k - (len(raters) - 1) / 2)
            ax.vlines(x, [mean.low for mean in means], [mean.high for mean in means], color=colour, lw=1.2)
            ax.plot(x, [mean.value for mean in means], "o-", color=colour, ms=4, lw=1.2, label=rater)
        ax.set(xticks=range(len(bands)), xticklabels=bands, xlabel=f"points at the patient's other sites, graded by {called}")
        ax.set_ylabel("mean grade at healthy sites")
        ax.legend(loc="upper left")
        return plotting.picture(
            fig,
            "Healthy joints of damaged patients",
            f"{sentence(patients)}: mean grade that each rater gave to sites that are healthy according to {called}, for "
            "patients with little to much damage at other sites (bars: 95 % confidence intervals). Without the halo effect the "
            "lines would be level.",
            "Lines of the mean grade at healthy sites over bands of the patient's other damage, one per rater",
        )
