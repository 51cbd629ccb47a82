"""The map of a network's features, coloured by grade and by joint."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ra.anatomy import FINDINGS
from report import plotting
from report.blocks import Picture

CAPTION = (
    "t-SNE lays crops that the network sees alike side by side; distances between far groups and the axes mean nothing. Each "
    "point is one of {n} joint crops of patients whom this network never saw, placed by the backbone's features, before the "
    "network is told which joint it is; rare grades were taken first, so the colours do not show how frequent a grade is. "
    "Grey: not scored for this finding. Erosion is graded to 5 in hands and to 10 in feet. If grades form regions, the "
    "network has learned them; if only joints do, it has not."
)
ROWS = {"pip": "PIP", "mcp": "MCP", "wrist": "wrist", "mtp": "MTP"}
ROW = {"thumb": "pip", "hallux": "mtp"}
BAR = {"location": "bottom", "shrink": 0.8, "aspect": 30, "pad": 0.02}


def of_embeddings(points: pd.DataFrame, name: str, n: str) -> Picture:
    """Three maps of the same points (x, y, joint, erosion, narrowing); n: how many, as the page tells it."""
    with plotting.figure(1, 3, width=9.6, height=3.5, sharex=True, sharey=True) as (drawn, axes):
        for axis, finding in zip(axes, FINDINGS, strict=False):
            _by_grade(drawn, axis, points, finding)
        _by_joint(drawn, axes[-1], points)
        for axis in axes:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.grid(visible=False)
        title = f"The joints as the network sees them, member {name}"
        alt = "Three t-SNE maps of joint crops: by erosion, by narrowing, by joint."
        return plotting.picture(drawn, title, CAPTION.format(n=n), alt, wide=True)


def _by_grade(drawn: object, axis: object, points: pd.DataFrame, finding: str) -> None:
    grade = points[finding].to_numpy(float) if finding in points else np.full(len(points), np.nan)
    known = ~np.isnan(grade)
    axis.scatter(points.x[~known], points.y[~known], s=3, color=plotting.PALE, linewidths=0)
    order = np.flatnonzero(known)[np.argsort(grade[known], kind="stable")]  # the damaged on top
    top = max(1.0, float(np.nanmax(grade, initial=1.0)))
    shown = axis.scatter(
        points.x.iloc[order], points.y.iloc[order], c=grade[order], s=5, cmap="viridis_r", vmin=0, vmax=top, linewidths=0
    )
    drawn.colorbar(shown, ax=axis, label="grade of reader 1", **BAR)
    axis.set_title(finding, loc="left")


def _by_joint(drawn: object, axis: object, points: pd.DataFrame) -> None:
    from matplotlib.colors import ListedColormap

    row = points.joint.str.split("_").str[0].replace(ROW).map(list(ROWS).index)
    colours = ListedColormap(plotting.COLOURS[: len(ROWS)])
    shown = axis.scatter(points.x, points.y, c=row, s=5, cmap=colours, vmin=-0.5, vmax=len(ROWS) - 0.5, linewidths=0)
    bar = drawn.colorbar(shown, ax=axis, ticks=range(len(ROWS)), label="row of joints, thumb and hallux IP with theirs", **BAR)
    bar.ax.set_xticklabels(ROWS.values())
    axis.set_title("joint", loc="left")
