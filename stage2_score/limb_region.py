"""The limb's bounding box on its film, from edges and morphology; it excludes borders, collimation and most markers.

Maziarz et al. 2021, section 4: "classical computer vision techniques such as the canny algorithm to detect the bounding box
of the hand or foot". The steps that implement this sentence are ours. No joint box is needed.
"""

from __future__ import annotations

import cv2
import numpy as np

from ra.imaging import intensity

WORK_PX = 256  # long side of the reduced film on which edges are computed
CLOSE_PX = 9  # edges closer than this are joined
PIECE_FRAC = 0.02  # a piece whose box is smaller than this share of the largest is a marker, not a finger
MARGIN_FRAC = 0.02  # share of the long side that is added around the box
MIN_SIDE_FRAC = 0.35  # a box with a side shorter than this share of the film's side is rejected

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels, x1 and y1 exclusive


def limb_box(grey: np.ndarray) -> Box:
    """Box of the hand or foot on a uint8 film (H, W), bones bright; the whole film if no limb is detected."""
    height, width = grey.shape
    scale = WORK_PX / max(height, width)
    small = cv2.resize(grey, (max(8, round(width * scale)), max(8, round(height * scale))), interpolation=cv2.INTER_AREA)
    pieces = limb_mask(small)
    ys, xs = np.flatnonzero(pieces.any(1)), np.flatnonzero(pieces.any(0))
    if not len(xs) or len(ys) < MIN_SIDE_FRAC * small.shape[0] or len(xs) < MIN_SIDE_FRAC * small.shape[1]:
        return 0.0, 0.0, float(width), float(height)
    margin, (sx, sy) = MARGIN_FRAC * max(height, width), (width / small.shape[1], height / small.shape[0])
    low = max(0.0, xs[0] * sx - margin), max(0.0, ys[0] * sy - margin)
    high = min(width, (xs[-1] + 1) * sx + margin), min(height, (ys[-1] + 1) * sy + margin)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def limb_mask(small: np.ndarray) -> np.ndarray:
    """Mask (H, W) of the limb's edges on a small film, after morphological closing."""
    field = intensity.exposed_field((small <= 6) | (small >= 249))  # without the flat black or white border
    low, high = np.percentile(small[field], (1, 99))
    blurred = cv2.GaussianBlur(intensity.stretch_table(low, high)[small], (5, 5), 0)
    inner = cv2.erode(np.pad(field.astype(np.uint8), 3, mode="edge"), np.ones((7, 7), np.uint8))[3:-3, 3:-3]
    edges = cv2.Canny(blurred, 30, 70) * inner  # without the edge of the exposed field
    closed = cv2.morphologyEx(edges, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (CLOSE_PX, CLOSE_PX)))
    n, pieces, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    area = stats[:, cv2.CC_STAT_WIDTH].astype(float) * stats[:, cv2.CC_STAT_HEIGHT]
    area[0] = 0.0  # the background
    kept = [k for k in range(1, n) if area[k] >= PIECE_FRAC * area.max()]
    return np.isin(pieces, kept)
