"""How a limb lies on a picture, from its joints: side, quarter turns, upright canvas; and the frames of several limbs.

Joints come as JointDetections, or as boxes drawn by hand: joint -> (x, y, w, h), centre and sides in px of the picture.
"""

from __future__ import annotations

import cv2
import numpy as np

from ra.anatomy import PARTS
from ra.anatomy import limb as limb_of
from ra.imaging.film import Frame
from stage1_detect import shape_model
from stage1_detect.joint_detections import JointDetections

Boxes = dict[str, list[float]]
PADDING = 114  # grey beyond the picture, as in the network's training
LEAST_JOINTS = 3  # of boxes drawn by hand; fewer do not show side and turn
CANVAS = {"hand": (238, 320), "foot": (220, 320)}  # width, height in px of a routine film at the network's size (RA2-DREAM)
# How far a limb extends beyond its joints (left, up, right, down of an upright left one), in RMS distances from their centre.
MARGIN = {"hand": (0.25, 0.9, 0.45, 0.5), "foot": (0.5, 1.2, 0.5, 3.5)}


# Readings.


def upright(reading: JointDetections, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(A, t): x @ A.T + t maps a point of the picture (H, W) onto the canvas of a routine left film, with the limb upright."""
    limb = limb_of(reading.part)
    typical = np.array([shape_model.TYPICAL_POSITION[joint] for joint in reading.joints]) * CANVAS[limb]
    mirror, shift = np.eye(2), np.zeros(2)
    if reading.part[0] == "R":
        mirror, shift = np.diag([-1.0, 1.0]), np.array([shape[1] - 1.0, 0.0])
    matrix, offset = shape_model.similarity(reading.points @ mirror.T + shift, typical, np.ones(len(typical)))
    return matrix @ mirror, matrix @ shift + offset


def on_canvas(grey: np.ndarray, reading: JointDetections, zoom: float, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The limb as on a routine left film, and its joints (J, 2) there. size (w, h) at the network's size, before the zoom."""
    matrix, offset = upright(reading, grey.shape)
    image = warp(grey, zoom * matrix, zoom * offset, (round(zoom * size[0]), round(zoom * size[1])))
    return image, zoom * (reading.points @ matrix.T + offset)


def warp(grey: np.ndarray, matrix: np.ndarray, offset: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The picture transformed onto a canvas of `size` (w, h) padded to multiples of 32. Areas are averaged before shrinking."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix))))
    if scale < 0.5:
        small = cv2.resize(grey, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
        matrix = matrix * np.array([grey.shape[1] / small.shape[1], grey.shape[0] / small.shape[0]])
        grey = small
    width, height = (-(-side // 32) * 32 for side in size)
    return cv2.warpAffine(grey, np.column_stack([matrix, offset]), (width, height), flags=cv2.INTER_LINEAR, borderValue=PADDING)


def quarter_turns(reading: JointDetections, shape: tuple[int, int]) -> int:
    """Quarter turns (np.rot90) that set the limb upright; tilts below 45 degrees stay."""
    matrix, _ = upright(reading, shape)
    up = np.linalg.inv(matrix) @ [0.0, -1.0]
    return int(np.round(np.arctan2(up[0], -up[1]) / (np.pi / 2))) % 4


def outline(reading: JointDetections, shape: tuple[int, int]) -> np.ndarray:
    """Corners (4, 2) of the rectangle, along the limb, that holds it with its finger tips, toes and heel."""
    matrix, offset = upright(reading, shape)
    points = reading.points @ matrix.T + offset
    radius = np.sqrt(((points - points.mean(0)) ** 2).sum(1).mean())
    left, up, right, down = np.array(MARGIN[limb_of(reading.part)]) * radius
    (x0, y0), (x1, y1) = points.min(0), points.max(0)
    x0, y0, x1, y1 = x0 - left, y0 - up, x1 + right, y1 + down
    return (np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]) - offset) @ np.linalg.inv(matrix).T


def frames(grey: np.ndarray, limbs: list[tuple[np.ndarray, int]]) -> list[Frame]:
    """The upright window of each limb (joints (n, 2), quarter turns): the picture, cut at the darkest line between two limbs."""
    windows = [[0, 0, grey.shape[1], grey.shape[0]] for _ in limbs]  # left, top, right, bottom
    for i in range(len(limbs)):
        for j in range(i + 1, len(limbs)):
            axis, cut, in_order = _darkest_cut(grey, limbs[i][0], limbs[j][0])
            before, after = (i, j) if in_order else (j, i)
            windows[before][2 + axis] = min(windows[before][2 + axis], cut)
            windows[after][axis] = max(windows[after][axis], cut)
    out = []
    for (left, top, right, bottom), (_, turns) in zip(windows, limbs, strict=True):
        width, height = max(right - left, 1), max(bottom - top, 1)
        out.append(Frame(left, top, *((height, width) if turns % 2 else (width, height)), turns))
    return out


def _darkest_cut(grey: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[int, int, bool]:
    """Where to cut between two limbs' joints (n, 2): axis (0 x, 1 y), position, and whether the first limb lies before it."""
    gaps = np.maximum(first.min(0) - second.max(0), second.min(0) - first.max(0))
    axis = int(np.argmax(gaps))
    in_order = bool(first.mean(0)[axis] < second.mean(0)[axis])
    before, after = (first, second) if in_order else (second, first)
    low, high = sorted((before.max(0)[axis], after.min(0)[axis]))
    low, high = int(max(low, 0)), int(min(high, grey.shape[1 - axis] - 1))
    across = 1 - axis
    both = np.concatenate([first, second])
    start, stop = int(max(both.min(0)[across], 0)), int(both.max(0)[across]) + 1
    band = grey[start:stop, low : high + 1] if axis == 0 else grey[low : high + 1, start:stop].T
    profile = band.mean(0) if band.size else np.zeros(1)
    from_middle = np.abs(np.arange(len(profile)) - len(profile) / 2) / max(len(profile), 1)
    return axis, low + int(np.argmin(profile + 4 * from_middle)), in_order  # prefers the line nearest the middle


# Boxes drawn by hand.


def _misfit(limb: str, boxes: Boxes, mirror: bool) -> tuple[float, float]:
    """(misfit as a share of the limb's size, degrees clockwise) of the mean left limb laid over the boxes, mirrored or not."""
    shape = shape_model.load()[limb]
    used = [i for i, joint in enumerate(shape.joints) if joint in boxes]
    mean = shape.mean[used]
    points = np.array([boxes[shape.joints[i]][:2] for i in used]) * ([-1, 1] if mirror else [1, 1])
    matrix, offset = shape_model.similarity(mean, points, np.ones(len(used)))
    misfit = np.sqrt(((mean @ matrix.T + offset - points) ** 2).sum(1).mean() / (abs(np.linalg.det(matrix)) + 1e-12))
    return float(misfit), float(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))) * (-1 if mirror else 1)


def part_of_boxes(limb: str, boxes: Boxes) -> str:
    """The part (LH RH LF RF) whose mean limb fits the boxes of a hand or foot better; the left one if they are too few."""
    side = "L"
    if len(boxes) >= LEAST_JOINTS and _misfit(limb, boxes, True)[0] < _misfit(limb, boxes, False)[0]:
        side = "R"
    return next(part for part in PARTS if part[0] == side and limb_of(part) == limb)


def quarter_turns_of_boxes(part: str, boxes: Boxes) -> int:
    """Quarter turns (np.rot90, counter-clockwise) that set the limb upright; 0 if the boxes are too few."""
    if len(boxes) < LEAST_JOINTS:
        return 0
    return round(_misfit(limb_of(part), boxes, part[0] == "R")[1] / 90) % 4
