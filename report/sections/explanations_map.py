"""The t-SNE map of a network's features, coloured by grade and by joint."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ra.anatomy import FINDINGS
from report import plotting
from report.blocks import Picture

CAPTION = (
    "t-SNE places crops with similar network features near each other; the axes and the distances between far groups have no "
    "meaning. Each point is one of {n} joint crops of patients who were not in the network's training data, placed by the "
    "features of the backbone, before the network receives the joint's name. Rare grades were sampled first, so the colours do "
    "not show their frequencies. Grey: not scored for this finding. Erosion is graded to 5 in hands and to 10 in feet. If "
    "grades form regions, the features represent damage; if only joints do, they do not."
)
JOINT_ROWS = {"pip": "PIP", "mcp": "MCP", "wrist": "wrist", "mtp": "MTP"}  # first word of a joint's name -> label of its row
ROW_OF = {"thumb": "pip", "hallux": "mtp"}  # the IP joints of thumb and hallux have no row of their own
BAR = {"location": "bottom", "shrink": 0.8, "aspect": 30, "pad": 0.02}


def of_embeddings(points: pd.DataFrame, name: str, n: str) -> Picture:
    """Three maps of the same points (x, y, joint, erosion, narrowing); n: their number, as text."""
    with plotting.figure(1, 3, width=9.6, height=3.5, sharex=True, sharey=True) as (fig, axes):
        for ax, finding in zip(axes, FINDINGS, strict=False):
            _by_grade(fig, ax, points, finding)
        _by_joint(fig, axes[-1], points)
        for ax in axes:
            ax.set_xticks([])
            ax.set_yticks([])
            ax.grid(visible=False)
        title = f"Map of the joint crops by the features of member {name}"
        alt = "Three t-SNE maps of joint crops: by erosion, by narrowing, by joint."
        return plotting.picture(fig, title, CAPTION.format(n=n), alt, wide=True)


def _by_grade(fig: Figure, ax: Axes, points: pd.DataFrame, finding: str) -> None:
    grade = points[finding].to_numpy(float) if finding in points else np.full(len(points), np.nan)
    scored = ~np.isnan(grade)
    ax.scatter(points.x[~scored], points.y[~scored], s=3, color=plotting.PALE, linewidths=0)
    order = np.flatnonzero(scored)[np.argsort(grade[scored], kind="stable")]  # high grades are drawn last, on top
    highest = max(1.0, float(np.nanmax(grade, initial=1.0)))
    x, y = points.x.iloc[order], points.y.iloc[order]
    dots = ax.scatter(x, y, c=grade[order], s=5, cmap="viridis_r", vmin=0, vmax=highest, linewidths=0)
    fig.colorbar(dots, ax=ax, label="grade of reader 1", **BAR)
    ax.set_title(finding, loc="left")


def _by_joint(fig: Figure, ax: Axes, points: pd.DataFrame) -> None:
    from matplotlib.colors import ListedColormap

    row = points.joint.str.split("_").str[0].replace(ROW_OF).map(list(JOINT_ROWS).index)
    colours = ListedColormap(plotting.COLOURS[: len(JOINT_ROWS)])
    dots = ax.scatter(points.x, points.y, c=row, s=5, cmap=colours, vmin=-0.5, vmax=len(JOINT_ROWS) - 0.5, linewidths=0)
    bar = fig.colorbar(dots, ax=ax, ticks=range(len(JOINT_ROWS)), label="row of joints (thumb IP: PIP, hallux IP: MTP)", **BAR)
    bar.ax.set_xticklabels(JOINT_ROWS.values())
    ax.set_title("joint", loc="left")
