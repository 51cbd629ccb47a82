"""Whether a foot lies flat on the film: how its metatarsals fan out, followed from their heads towards their bases.

On an AP film the bases of the second to fifth lie closely together, and the first stands off. An oblique film turns the foot on
its inner side: it shows the outer bases free of each other and the first metatarsal over the second.
"""

from __future__ import annotations

import cv2
import numpy as np

from stage1_detect.inference import Reading
from stage1_detect.limb_search import canvas

ZOOM, SIZE = 2.0, (220, 340)  # the canvas on which shafts are followed: times the network's, and its size before that
START, END = 0.15, 0.7  # along the shaft, below the joints, as shares of the row's width (mtp_1 to mtp_5)
LEAN = (-0.15, -0.07, 0.0, 0.05, 0.15)  # usual drift of the shafts of an upright left foot: across per along, 1 to 5
OFF, TURN = 0.06, 0.22  # how far a shaft may start off its joint (share of the row's width) and lean off its usual drift
APART = 0.06  # least distance of two shafts, of the row's width: a bright shaft is not followed twice
WIDTH = (0.17, 0.10, 0.10, 0.10, 0.10)  # of the shafts, as shares of the row's width


def fan(film: np.ndarray, reading: Reading) -> float:
    """How far the first metatarsal stands off, over how far the second to fourth spread, at mid-shaft; NaN off the film.

    film (H, W), the reading in its pixels. AP films: 0.43 to 0.54 for half of the generated ones; an oblique one: about 0.26.
    """
    image, points = canvas(film, reading, ZOOM, SIZE)
    joints = points[1:]  # mtp_1 to mtp_5
    width = float(np.hypot(*(joints[0] - joints[4])))
    end = joints[1:4, 1].mean() + END * width
    if not np.isfinite(width) or width < 20 or end >= image.shape[0] - 1:
        return float("nan")
    contrast = _levelled(image, width)
    foot: list[float] = []
    for k, joint in enumerate(joints):
        foot.append(_shaft(contrast, joint, end, width, k, foot[-1] - APART * width if foot else np.inf))
    gaps, heads = -np.diff(foot), -np.diff(joints[:, 0])
    off = gaps[0] / max(gaps.sum(), 1e-6)
    spread = gaps[1:3].sum() / max(heads[1:3].sum(), 1e-6)
    return float(off / max(spread, 0.05))


def _levelled(image: np.ndarray, width: float) -> np.ndarray:
    """The picture without its coarse greys, its contrast the same everywhere."""
    image = cv2.GaussianBlur(image.astype(np.float32), (0, 0), max(0.012 * width, 0.5))
    side = (int(0.5 * width) | 1,) * 2
    mean = cv2.blur(image, side)
    spread = np.sqrt(np.maximum(cv2.blur(image * image, side) - mean * mean, 0))
    return (image - mean) / (spread + 4)


def _shaft(contrast: np.ndarray, joint: np.ndarray, end: float, width: float, k: int, most: float) -> float:
    """Where the k-th shaft, a straight bright band that starts below its joint, crosses the line y = end, at x <= most."""
    band = WIDTH[k] * width
    mean = cv2.blur(contrast, (max(3, int(0.6 * band) | 1), 3))
    reach = round(band)
    ridge = mean - 0.5 * (np.roll(mean, reach, 1) + np.roll(mean, -reach, 1))
    y = np.arange(joint[1] + START * width, end)
    starts = joint[0] + LEAN[k] * START * width + np.linspace(-OFF, OFF, 7) * width
    leans = LEAN[k] + np.linspace(-TURN, TURN, 23)
    x = starts[:, None, None] + leans[None, :, None] * (y - y[0])
    rows = np.clip(np.round(y).astype(int), 0, ridge.shape[0] - 1)
    columns = np.clip(np.round(x).astype(int), 0, ridge.shape[1] - 1)
    score = np.where(x[..., -1] <= most, ridge[rows, columns].mean(-1), -np.inf)
    i, j = np.unravel_index(score.argmax(), score.shape)
    return float(x[i, j, -1])
