"""How marked joints lie on the picture: which side they are of, which way up, and where one limb ends on a film of several.

Boxes here are joint -> (x, y, w, h), the centre and sides in px of the upright picture.
"""

from __future__ import annotations

import numpy as np

from ra.anatomy import PARTS, limb
from ra.imaging.film import Frame
from stage1_detect import shape_model

Boxes = dict[str, list[float]]
FEW = 3  # joints that tell no pose


def _placed(kind: str, boxes: Boxes, mirror: bool) -> tuple[float, float]:
    """(misfit as a share of the limb's size, degrees clockwise) of the mean left limb laid over the boxes, mirrored or not."""
    joints = shape_model.load()[kind].joints
    used = [i for i, joint in enumerate(joints) if joint in boxes]
    mean = shape_model.load()[kind].mean[used]
    points = np.array([boxes[joints[i]][:2] for i in used]) * ([-1, 1] if mirror else [1, 1])
    matrix, offset = shape_model.similarity(mean, points, np.ones(len(used)))
    misfit = np.sqrt(((mean @ matrix.T + offset - points) ** 2).sum(1).mean() / (abs(np.linalg.det(matrix)) + 1e-12))
    return float(misfit), float(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))) * (-1 if mirror else 1)


def part_of_points(kind: str, boxes: Boxes) -> str:
    """LH RH LF RF of boxes of a hand or foot: the side whose mean limb fits them better; left where too few are marked."""
    side = "L"
    if len(boxes) >= FEW:
        side = "R" if _placed(kind, boxes, True)[0] < _placed(kind, boxes, False)[0] else "L"
    return next(part for part in PARTS if part[0] == side and limb(part) == kind)


def turns(part: str, boxes: Boxes) -> int:
    """Quarter turns (np.rot90, counter-clockwise) that set the limb upright; 0 where too few are marked."""
    if len(boxes) < FEW:
        return 0
    return round(_placed(limb(part), boxes, part[0] == "R")[1] / 90) % 4


def frames(limbs: list[tuple[str, Boxes]], width_px: int, height_px: int) -> list[Frame]:
    """The frame of each limb (part, boxes) of a picture of that size: cut half-way between the limbs, and set upright."""
    points = [np.array([box[:2] for box in boxes.values()]).reshape(-1, 2) for _, boxes in limbs]
    size = np.array([width_px, height_px])
    out = []
    for i, (part, boxes) in enumerate(limbs):
        low, high = np.zeros(2), size.astype(float)
        for k, other in enumerate(points):
            if k == i or not len(other) or not len(points[i]):
                continue
            gap = np.maximum(other.min(0) - points[i].max(0), points[i].min(0) - other.max(0))
            axis = int(gap.argmax())
            if other[:, axis].mean() > points[i][:, axis].mean():
                high[axis] = min(high[axis], (points[i][:, axis].max() + other[:, axis].min()) / 2)
            else:
                low[axis] = max(low[axis], (points[i][:, axis].min() + other[:, axis].max()) / 2)
        corner, end = low.astype(int), high.astype(int)
        turned = turns(part, boxes)
        width, height = (end - corner)[::-1] if turned % 2 else end - corner
        out.append(Frame(int(corner[0]), int(corner[1]), int(width), int(height), turned))
    return out
