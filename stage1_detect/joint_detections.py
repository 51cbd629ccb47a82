"""Where the joints of one limb lie on a film: as detected, or as the template places them; and as rows of the Boxes table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ra.anatomy import JOINTS
from ra.anatomy import limb as limb_of
from stage1_detect import shape_model
from stage1_detect.shape_model import ShapeFit

# A joint of lower quality than UNSURE, and nearer to the film's edge than CUT sides of its box, is taken to lie outside.
UNSURE, CUT = 0.3, 0.4


@dataclass(frozen=True)
class JointDetections:
    """Joints of one limb in the film's pixels: points (J, 2), box sides (J,), conf (J,), NaN where the shape model placed it.

    joint_quality (J,) 0..1: the score of each joint's detection, lower if its position is implausible; quality: their mean.
    """

    part: str
    joints: tuple[str, ...]
    points: np.ndarray
    box: np.ndarray
    conf: np.ndarray
    quality: float
    joint_quality: np.ndarray

    def outside(self, width_px: int, height_px: int) -> np.ndarray:
        """bool (J,): the joints that lie beyond the edges of a film of that size.

        They include weakly detected joints whose box an edge cuts: the network mistakes the cut end of a finger for the joint.
        """
        edge = np.minimum(self.points, np.array([width_px, height_px]) - 1 - self.points).min(1)  # px from the nearest one
        unsure = (self.joint_quality < UNSURE) & (self.quality > 0)
        return (edge < 0) | (unsure & (edge < CUT * self.box))


def from_fit(part: str, fit: ShapeFit, points: np.ndarray, scale: float) -> JointDetections:
    """A reading from the shape fit of a view. points (J, 2): in the film's pixels; scale: film pixels per view pixel."""
    return JointDetections(part, JOINTS[limb_of(part)], points, fit.box * scale, fit.conf, fit.quality, fit.joint_quality)


def template_joints(part: str, width: int, height: int) -> JointDetections:
    """The null model's reading: every joint at its typical position on a film of that size."""
    joints = JOINTS[limb_of(part)]
    position = np.array([shape_model.TYPICAL_POSITION[j] for j in joints])
    if part[0] == "R":
        position[:, 0] = 1 - position[:, 0]
    points = position * [width, height]
    shape = shape_model.load()[limb_of(part)]
    spread = np.sqrt(((points - points.mean(0)) ** 2).sum(1).mean())
    return JointDetections(part, joints, points, shape.box * spread, np.full(len(joints), np.nan), 0.0, np.zeros(len(joints)))


def box_rows(reading: JointDetections, film_id: str, fold: int, size_px: tuple[int, int] | None = None) -> list[dict]:
    """A reading as rows of the Boxes table. size_px: (width, height) of the film; joints beyond its edges are `outside`."""
    beyond = reading.outside(*size_px) if size_px else np.zeros(len(reading.joints), bool)
    source = np.where(beyond, "outside", np.where(np.isnan(reading.conf), "template", "model"))
    return [
        {
            "film_id": film_id, "joint": joint, "fold": fold, "x_px": x, "y_px": y, "w_px": side, "h_px": side,
            "conf": float(min(conf, 1.0)), "source": str(kind),
        }
        for joint, (x, y), side, conf, kind in zip(reading.joints, reading.points, reading.box, reading.conf, source, strict=True)
    ]  # fmt: skip
