"""Draw a left hand and a left foot as they are on a film, with a coloured disc for every joint that is scored.

Drawing units: about 11 wide and 14 high, y upwards; thumb and great toe are at the right, as on a posteroanterior film of a left
hand and a dorsoplantar film of a left foot. The joints of the wrist are drawn further apart than they are, so that no disc hides
another.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.patches import Circle, Ellipse, Polygon

from report import plotting

SKIN, BONE, EDGE = "#eef1f5", "#d7dde6", "#b9c1ce"
Point = tuple[float, float]

# base, joints and tip of each ray; the joints between base and tip are scored, except the distal ones of the fingers
RAYS: dict[str, list[list[Point]]] = {
    "hand": [
        [(6.85, 4.2), (8.5, 5.9), (9.55, 7.8), (10.1, 9.2)],
        [(5.8, 4.75), (6.4, 7.5), (6.95, 10.2), (7.2, 11.8), (7.35, 12.9)],
        [(4.9, 4.85), (5.05, 7.8), (5.2, 10.8), (5.25, 12.7), (5.3, 13.8)],
        [(4.05, 4.7), (3.8, 7.4), (3.5, 10.2), (3.4, 11.9), (3.3, 13.0)],
        [(3.3, 4.3), (2.6, 6.7), (1.9, 9.0), (1.55, 10.3), (1.25, 11.3)],
    ],
    "foot": [
        [(6.8, 4.7), (7.35, 8.2), (7.7, 10.6), (7.85, 12.2)],
        [(5.9, 5.0), (6.0, 8.8), (6.15, 10.4), (6.2, 11.3), (6.25, 11.9)],
        [(5.15, 4.8), (4.85, 8.5), (4.85, 10.0), (4.85, 10.8), (4.85, 11.4)],
        [(4.4, 4.5), (3.75, 7.9), (3.6, 9.3), (3.5, 10.0), (3.45, 10.5)],
        [(3.5, 4.0), (2.7, 7.0), (2.4, 8.3), (2.25, 8.9), (2.15, 9.4)],
    ],
}
# carpus and tarsus: (x, y, width, height, turn in degrees)
SHORT_BONES: dict[str, list[tuple[float, float, float, float, float]]] = {
    "hand": [
        (6.45, 3.95, 0.85, 0.8, 30), (5.65, 4.1, 0.7, 0.75, 0), (4.85, 3.85, 0.85, 1.35, 0), (3.85, 3.75, 0.95, 1.15, 15),
        (5.95, 2.95, 0.85, 1.3, -40), (4.85, 2.6, 0.95, 0.85, 0), (3.85, 2.65, 0.9, 0.8, 0),
    ],
    "foot": [
        (6.75, 3.9, 0.95, 1.3, 0), (5.95, 4.15, 0.7, 1.0, 0), (5.25, 3.95, 0.7, 1.0, 0), (4.2, 3.4, 1.25, 1.5, 15),
        (6.1, 2.85, 1.8, 0.75, 10), (6.0, 1.75, 1.5, 1.6, 0), (5.0, 0.9, 1.5, 2.2, 20),
    ],
}  # fmt: skip
LONG_BONES: dict[str, list[tuple[Point, Point]]] = {
    "hand": [((5.75, 1.75), (5.95, -0.4)), ((3.65, 1.75), (3.45, -0.4))],
    "foot": [],
}
PALM: dict[str, list[Point]] = {
    "hand": [(2.7, -0.5), (2.6, 3.0), (2.0, 6.6), (3.8, 8.0), (5.0, 8.3), (6.6, 8.0), (8.3, 6.2), (7.3, 3.4), (6.8, -0.5)],
    "foot": [(4.0, -0.4), (3.0, 3.2), (2.2, 6.9), (3.8, 8.6), (6.0, 9.4), (7.9, 8.4), (7.5, 4.2), (6.9, 0.2), (5.6, -0.6)],
}
BONE_WIDTH = {"hand": 0.62, "foot": 0.6}
JOINTS: dict[str, dict[str, Point]] = {
    "hand": {
        "thumb_ip": RAYS["hand"][0][2],
        **{f"pip_{k}": RAYS["hand"][k - 1][2] for k in range(2, 6)},
        **{f"mcp_{k}": RAYS["hand"][k - 1][1] for k in range(1, 6)},
        "wrist_mc1": (7.2, 4.6), "wrist_mul": (6.2, 4.15), "wrist_nav": (6.0, 3.0), "wrist_lunate": (4.8, 2.6),
        "wrist_radius": (5.75, 1.6), "wrist_ulna": (3.65, 1.6),
        "wrist_cmc3": (4.95, 4.65), "wrist_cmc4": (4.0, 4.45), "wrist_cmc5": (3.1, 4.05), "wrist_mna": (6.2, 3.55),
        "wrist_capnlun": (5.0, 3.2), "wrist_radcar": (5.55, 2.1),
    },
    "foot": {"hallux_ip": RAYS["foot"][0][2], **{f"mtp_{k}": RAYS["foot"][k - 1][1] for k in range(1, 6)}},
}  # fmt: skip
DISC_RADIUS = 0.46
SKIN_RADIUS = 0.72  # half the width of a finger


def draw_limb(ax: Axes, limb: str, values: Mapping[str, float], colours: Colormap, scale: Normalize) -> None:
    """Draw a hand or a foot. values: by joint (names of ra.anatomy); NaN is an empty disc, a missing joint has no disc."""
    ax.set(xlim=(0.4, 11.0), ylim=(-0.6, 14.4), aspect="equal")
    ax.axis("off")
    _skin(ax, limb)
    for x, y, width, height, turn in SHORT_BONES[limb]:
        ax.add_artist(Ellipse((x, y), width, height, angle=turn, fc=BONE, ec=EDGE, lw=0.6))
    for start, end in LONG_BONES[limb]:
        _bone(ax, start, end, 1.15)
    for ray in RAYS[limb]:
        for k, (start, end) in enumerate(pairwise(ray)):
            _bone(ax, start, end, BONE_WIDTH[limb] * (1.15 if k == 0 else 1.0 - 0.12 * k))
    for joint, value in values.items():
        _disc(ax, JOINTS[limb][joint], value, colours, scale)


def _skin(ax: Axes, limb: str) -> None:
    ax.add_artist(Polygon(PALM[limb], closed=True, fc=SKIN, lw=0))
    for ray in [[*PALM[limb], PALM[limb][0]], *(ray[1:] for ray in RAYS[limb])]:
        for start, end in pairwise(ray):
            _capsule(ax, start, end)


def _capsule(ax: Axes, start: Point, end: Point) -> None:
    a, b = np.array(start, float), np.array(end, float)
    side = SKIN_RADIUS * np.array([a[1] - b[1], b[0] - a[0]]) / np.linalg.norm(b - a)
    ax.add_artist(Polygon([a + side, b + side, b - side, a - side], closed=True, fc=SKIN, lw=0))
    for end_point in (a, b):
        ax.add_artist(Circle(end_point, SKIN_RADIUS, fc=SKIN, lw=0))


def _bone(ax: Axes, start: Point, end: Point, width: float) -> None:
    """A shaft with two heads, shortened at both ends by half a joint space."""
    a, b = np.array(start, float), np.array(end, float)
    along = (b - a) / np.linalg.norm(b - a)
    a, b = a + 0.12 * along, b - 0.12 * along
    t = np.linspace(-1, 1, 25)
    half = width / 2 * (0.62 + 0.38 * t**4) * np.sqrt(np.clip(1 - np.abs(t) ** 14, 0, 1))
    centre = a + (t[:, None] + 1) / 2 * (b - a)
    side = half[:, None] * np.array([-along[1], along[0]])
    ax.add_artist(
        Polygon(np.concatenate([centre + side, (centre - side)[::-1]]), closed=True, fc=BONE, ec=EDGE, lw=0.6, zorder=2)
    )


def _disc(ax: Axes, centre: Point, value: float, colours: Colormap, scale: Normalize) -> None:
    if np.isnan(value):
        ax.add_artist(Circle(centre, DISC_RADIUS, fc="white", ec=EDGE, lw=0.8, ls=":", zorder=3))
        return
    colour = colours(scale(value))
    dark = np.dot(colour[:3], (0.299, 0.587, 0.114)) < 0.5
    ax.add_artist(Circle(centre, DISC_RADIUS, fc=colour, ec=plotting.INK, lw=0.6, zorder=3))
    text = f"{round(value, 2) + 0.0:.2f}".replace("0.", ".", 1).replace("-", "−")
    ax.text(*centre, text, ha="center", va="center", fontsize=5.6, color="white" if dark else plotting.INK, zorder=4)
