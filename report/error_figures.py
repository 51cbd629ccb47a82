"""Pictures of errors: by site on a hand and a foot, of probabilities, and at healthy joints."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Normalize

from evaluation import halo_effect
from evaluation.calibration import OF
from evaluation.site_errors import Sites
from evaluation.statistic import Statistic
from ra.anatomy import FINDINGS, LIMBS
from report import hand_foot_figure, plotting
from report.blocks import Picture

PANELS = [(limb, finding) for limb in LIMBS for finding in FINDINGS]


def by_site(of: dict[str, Sites], name: str, title: str, caption: str) -> Picture:
    """of: {pair: errors.by_site}; a row of hands and feet per pair, coloured by one statistic (mae or bias)."""
    values = [one[name].value for sites in of.values() for one in sites.values()]
    top = max(0.1, np.nanmax(np.abs(values), initial=0.0))
    signed = name == "bias"
    colours, scale = mpl.colormaps["RdBu_r" if signed else "YlOrRd"], Normalize(-top if signed else 0, top)
    with plotting.figure(len(of), len(PANELS), width=10.4, height=3.5 * len(of), squeeze=False) as (drawn, axes):
        for row, (pair, sites) in zip(axes, of.items(), strict=True):
            for ax, (limb, finding) in zip(row, PANELS, strict=True):
                joints = {key[1]: one[name].value for key, one in sites.items() if (key[0], key[2]) == (limb, finding)}
                hand_foot_figure.limb(ax, limb, joints, colours, scale)
                ax.set_title(f"{limb}, {finding}", fontsize=9)
            row[0].text(0.0, 0.5, pair, transform=row[0].transAxes, rotation=90, va="center", ha="right", weight="bold")
        bar = drawn.colorbar(mpl.cm.ScalarMappable(scale, colours), ax=axes, shrink=0.6, aspect=30, pad=0.01)
        bar.set_label("grades" if not signed else "grades; red: the first gives more, blue: less")
        bar.outline.set_visible(False)
        alt = f"A drawn hand and foot per finding; each scored joint a disc coloured by {title.lower()}"
        return plotting.picture(drawn, title, caption, alt, wide=True)


def calibration(found: dict[tuple[str, str], Statistic], whose: str) -> Picture:
    """Above: how often damage was found where it was thus probable; below: how common each grade is and was said to be."""
    scopes = [scope for name, scope in found if name == "ece"]
    with plotting.figure(2, len(scopes), width=10.4, height=5.2, squeeze=False) as (drawn, axes):
        for column, scope in zip(axes.T, scopes, strict=True):
            bins = _numbered(found, f"{scope}, bin ")
            expected, observed = ([bins[k][name] for k in sorted(bins)] for name in ("expected", "observed"))
            column[0].plot([0, 1], [0, 1], color=plotting.INK, lw=0.8)
            column[0].vlines(
                [e.value for e in expected], [o.low for o in observed], [o.high for o in observed], color=plotting.ACCENT, lw=1
            )
            column[0].plot([e.value for e in expected], [o.value for o in observed], "o-", ms=4, lw=1)
            column[0].set(title=scope, xlabel="probability of damage, as said", xlim=(0, 1), ylim=(0, 1))
            grades = _numbered(found, f"{scope}, grade ")
            ks = np.array(sorted(grades))
            for offset, name, colour in ((-0.2, "expected", plotting.ACCENT), (0.2, "observed", plotting.COLOURS[1])):
                heights = [max(grades[k][name].value, 1e-5) for k in ks]
                column[1].bar(ks + offset, heights, 0.4, color=colour, label={"expected": "as said", "observed": "found"}[name])
            column[1].set(yscale="log", ylim=(1e-4, 1.2), xlabel="grade", xticks=ks)
        axes[0, 0].set_ylabel("share with damage, as found")
        axes[1, 0].set_ylabel("share of sites")
        axes[1, 0].legend()
        return plotting.picture(
            drawn,
            "Do the probabilities hold?",
            f"{whose[:1].upper()}{whose[1:]}; {OF}. Above: sites in tenths of the probability of damage that the joint members "
            "gave, and the share of them that the reader found damaged; on the line the probabilities hold (bars: 95 % "
            "intervals). Below: how common each grade was said to be and was found to be; the axis is logarithmic.",
            "Reliability curves of the probability of damage and bars of the share of each grade, per finding of hand and foot",
            wide=True,
        )


def _numbered(found: dict[tuple[str, str], Statistic], start: str) -> dict[int, dict[str, Statistic]]:
    out: dict[int, dict[str, Statistic]] = {}
    for (name, scope), one in found.items():
        if scope.startswith(start):
            out.setdefault(int(scope.removeprefix(start)), {})[name] = one
    return out


def healthy(found: dict[tuple[str, str, str], Statistic], judge: str, whose: str) -> Picture:
    """Mean grade at sites that `judge` calls healthy, by the damage of the patient's other sites, a line per rater."""
    raters = list(dict.fromkeys(of for name, of, _ in found if name == "mean_at_healthy"))
    bands = halo_effect.band_names()
    with plotting.figure(width=6.4, height=3.2) as (drawn, ax):
        for k, (rater, colour) in enumerate(zip(raters, plotting.COLOURS, strict=False)):
            ones = [found["mean_at_healthy", rater, band] for band in bands]
            x = np.arange(len(bands)) + 0.07 * (k - (len(raters) - 1) / 2)
            ax.vlines(x, [one.low for one in ones], [one.high for one in ones], color=colour, lw=1.2)
            ax.plot(x, [one.value for one in ones], "o-", color=colour, ms=4, lw=1.2, label=rater)
        ax.set(
            xticks=range(len(bands)),
            xticklabels=bands,
            xlabel=f"points at the patient's other sites, by {halo_effect.called(judge)}",
        )
        ax.set_ylabel("mean grade at healthy sites")
        ax.legend(loc="upper left")
        return plotting.picture(
            drawn,
            "Healthy joints of damaged patients",
            f"{whose[:1].upper()}{whose[1:]}: mean grade that each rater gave to sites that {halo_effect.called(judge)} calls "
            "healthy, by how damaged the rest of the patient is (bars: 95 % intervals). Without the bias the lines would be "
            "level.",
            "Lines of the mean grade at healthy sites over bands of the patient's other damage, one per rater",
        )
