"""One look for all static figures, and their way into the page."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt

from report.blocks import Picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

INK, PALE, ACCENT, WARN, GOOD = "#1d2433", "#c9cfda", "#1f5fa8", "#b3402a", "#2f7d4f"
COLOURS = (ACCENT, "#d08a1d", GOOD, WARN, "#6b4fa0", "#5b6676")  # told apart by the colour-blind too, by lightness
DPI = 170  # sharp on paper; page.size_px shows a figure at its size in inches
STYLE = {
    "figure.dpi": DPI,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e9ef",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "axes.prop_cycle": mpl.cycler(color=COLOURS),
    "legend.frameon": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


@contextmanager
def figure(rows: int = 1, columns: int = 1, *, width: float = 7.0, height: float = 3.6, **more: object) -> Iterator[tuple]:
    """(figure, axes) in the house's style, closed at the end; axes as plt.subplots gives them. Sizes in inches."""
    with plt.rc_context(STYLE):
        drawn, axes = plt.subplots(rows, columns, figsize=(width, height), layout="constrained", **more)
        try:
            yield drawn, axes
        finally:
            plt.close(drawn)


def picture(drawn: Figure, title: str, caption: str, alt: str, *, wide: bool = False) -> Picture:
    """The figure as a PNG of few colours, which a page of many can carry."""
    from PIL import Image

    drawn.canvas.draw()  # not savefig, which would lay it out twice and write a PNG to be read again
    small = io.BytesIO()
    Image.fromarray(np.asarray(drawn.canvas.buffer_rgba())[..., :3]).quantize(
        128, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
    ).save(small, format="png", optimize=True, dpi=(DPI, DPI))
    return Picture(title, caption, small.getvalue(), alt, wide)
