"""A film in, one box per joint out: the network's candidates, named and completed by the template."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ra.anatomy import JOINTS, PARTS
from ra.anatomy import limb as limb_of
from stage1_detect import shape_model
from stage1_detect.model import JointModel, predict
from stage1_detect.shape_model import CLASS

GOOD = 0.62  # quality from which nothing else is tried
UNSURE, CUT = 0.3, 0.4  # of a joint at the film's edge: how it agrees, and how near the edge is in sides of its box
# Other ways to look at a film, in order: (magnification, quarter turns). A limb that is small on its film wants a larger picture.
TTA_VIEWS = ((1.0, 0), (1.0, 1), (1.0, 3), (1.0, 2), (1.8, 0), (1.8, 1), (1.8, 3), (1.8, 2))


@dataclass(frozen=True)
class Reading:
    """One film's joints in its own pixels: points (J, 2), box sides (J,), conf (J,) with NaN for the template's, quality 0..1.

    agree (J,) 0..1: how sure and how well in its place each joint was seen; their mean is the quality.
    """

    part: str
    joints: tuple[str, ...]
    points: np.ndarray
    box: np.ndarray
    conf: np.ndarray
    quality: float
    agree: np.ndarray

    def outside(self, width_px: int, height_px: int) -> np.ndarray:
        """bool (J,): the joints that lie beyond the edges of a film of that size.

        So do those that are hardly seen in a box that an edge cuts: the network takes a finger's cut end for its joint.
        """
        edge = np.minimum(self.points, np.array([width_px, height_px]) - 1 - self.points).min(1)  # px from the nearest one
        unsure = (self.agree < UNSURE) & (self.quality > 0)
        return (edge < 0) | (unsure & (edge < CUT * self.box))


def reading(part: str, fitted: shape_model.Fitted, points: np.ndarray, scale: float) -> Reading:
    """A reading of what the template settled in a view: its points (J, 2) in the film's pixels, film pixels per view pixel."""
    return Reading(part, JOINTS[limb_of(part)], points, fitted.box * scale, fitted.conf, fitted.quality, fitted.agree)


def view(grey: np.ndarray, turns: int, mirror: bool, imgsz: int) -> tuple[np.ndarray, float]:
    """The film mirrored to left, turned by quarter turns counter-clockwise, its long side brought to imgsz and padded to 32s."""
    image = np.rot90(grey[:, ::-1] if mirror else grey, turns)
    factor = imgsz / max(image.shape)
    small = cv2.resize(
        np.ascontiguousarray(image), None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    )
    height, width = (-(-side // 32) * 32 for side in small.shape)
    return cv2.copyMakeBorder(
        small, 0, height - small.shape[0], 0, width - small.shape[1], cv2.BORDER_CONSTANT, value=114
    ), factor


def undo_view(points: np.ndarray, shape: tuple[int, int], turns: int, mirror: bool) -> np.ndarray:
    """Points of a view (already divided by its factor) back in the pixels of a film of `shape` (H, W)."""
    height, width = shape
    x, y = points[:, 0].copy(), points[:, 1].copy()
    sides = (width, height) if turns % 2 == 0 else (height, width)  # of the turned picture
    for _ in range(turns):  # a clockwise quarter turn back
        x, y = sides[1] - y, x
        sides = sides[::-1]
    return np.stack([width - x if mirror else x, y], 1)


def candidates(raw: np.ndarray, limb: str, per_joint: int = 4, floor: float = 0.01) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Candidates of one limb from raw predictions (N, 4 + 28): places (M, 2), sides (M,), scores (M, J).

    Per joint the best few peaks; peaks of the same row that coincide are one candidate with several names.
    """
    joints = JOINTS[limb]
    columns = [4 + CLASS[joint] for joint in joints]
    index = {joint: i for i, joint in enumerate(joints)}
    rows = [[index[j] for j in row] for row in shape_model.ROWS[limb]]
    rows += [[i] for i in range(len(joints)) if not any(i in row for row in rows)]
    places, sides, scores = [], [], []
    for row in rows:
        own = raw[:, [columns[i] for i in row]]
        best = own.max(1)
        order = np.argsort(-best)[: 60 * len(row)]
        order = order[best[order] > floor]
        kept: list[int] = []
        for i in order:
            near = [k for k in kept if np.hypot(*(raw[i, :2] - raw[k, :2])) < 0.4 * raw[k, 2]]
            if near:
                continue
            kept.append(int(i))
            if len(kept) >= per_joint + 3 * len(row):
                break
        for k in kept:
            around = np.hypot(*(raw[order, :2] - raw[k, :2]).T) < 0.4 * raw[k, 2]
            strength = best[order[around]]
            places.append(np.average(raw[order[around], :2], axis=0, weights=strength**2))
            sides.append(float(np.average(raw[order[around], 2:4].mean(1), weights=strength**2)))
            vector = np.zeros(len(joints))
            vector[row] = own[order[around]].max(0)
            scores.append(vector)
    return np.array(places).reshape(-1, 2), np.array(sides), np.array(scores).reshape(-1, len(joints))


Detector = tuple[JointModel, int, dict[str, shape_model.Shape]]  # network, its input size, the shapes that settle its names


def read_film(detector: Detector, grey: np.ndarray, part: str | None = None) -> Reading | None:
    """The joints of a film. part None: limb and side are found from the picture (a hand's palm lies on the film).

    Upright first; other quarter turns and a larger picture when that reads badly. None when no hand or foot is found at all.
    """
    model, imgsz, shapes = detector
    mirrors = [part[0] == "R"] if part else [False, True]
    limbs = [limb_of(part)] if part else ["hand", "foot"]
    best: tuple[float, Reading] | None = None
    for magnification, turns in TTA_VIEWS:
        for mirror in mirrors:
            image, factor = view(grey, turns, mirror, round(magnification * imgsz))
            raw = predict(model, image[None])[0]
            for limb in limbs:
                fitted = shape_model.settle(shapes[limb], *candidates(raw, limb))
                if fitted is None or (best and fitted.quality <= best[0]):
                    continue
                found = part or next(p for p in PARTS if p[0] == ("R" if mirror else "L") and limb_of(p) == limb)
                points = undo_view(fitted.points / factor, grey.shape, turns, mirror)
                best = fitted.quality, reading(found, fitted, points, 1 / factor)
        if best and best[0] >= GOOD:
            break
    return best[1] if best else None
