"""The common style of all static figures, and their conversion to pictures of the page."""

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
COLOURS = (ACCENT, "#d08a1d", GOOD, WARN, "#6b4fa0", "#5b6676")  # differ in lightness too, for colour-blind readers
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
    """(figure, axes) in the common style, closed when the block ends; axes as plt.subplots returns them. Sizes in inches."""
    with plt.rc_context(STYLE):
        fig, axes = plt.subplots(rows, columns, figsize=(width, height), layout="constrained", **more)
        try:
            yield fig, axes
        finally:
            plt.close(fig)


def picture(fig: Figure, title: str, caption: str, alt: str, *, wide: bool = False) -> Picture:
    """The figure as a PNG of at most 128 colours, which keeps the page small."""
    from PIL import Image

    fig.canvas.draw()  # savefig would lay the figure out twice and write a PNG that has to be decoded again
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(fig.canvas.buffer_rgba())[..., :3]).quantize(
        128, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
    ).save(buffer, format="png", optimize=True, dpi=(DPI, DPI))
    return Picture(title, caption, buffer.getvalue(), alt, wide)


def sentence(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]
