"""One film: skeleton, projection and style combined, with the true positions of its joints."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from data.phantom.damage import Damage
from data.phantom.growth import Growth, grow
from data.phantom.projection import attenuation_map
from data.phantom.skeleton import Body, build, draw_body, draw_pose
from data.phantom.style import RENDER_MAX_PX, Style, add_metal, develop, draw_style, finish, place
from ra import coco
from ra.anatomy import ALL_JOINTS, limb

# Side of a joint's box in millimetres of an adult: the joint with the ends of both bones.
BOX_MM = {"thumb_ip": 18, "pip": 17, "mcp": 20, "wrist": 17, "hallux_ip": 22, "mtp": 19}


@dataclass(frozen=True)
class Film:
    """grey (H, W) uint8; joints: name -> (x_px, y_px); box_px: name -> side of its square box."""

    grey: np.ndarray
    joints: dict[str, tuple[float, float]]
    box_px: dict[str, float]

    def coco_image(self, name: str) -> coco.Image:
        """The film as an image of a COCO file, with the boxes of its joints in the order of anatomy.ALL_JOINTS."""
        boxes = []
        for joint in ALL_JOINTS:
            if joint in self.joints:
                (x, y), side = self.joints[joint], self.box_px[joint]
                boxes.append(coco.Box(joint, x - side / 2, y - side / 2, side, side))
        return coco.Image(name, self.grey.shape[1], self.grey.shape[0], tuple(boxes))


def draw_film(
    part: str,
    seed: tuple[int, ...],
    body: Body | None = None,
    damage: Damage | None = None,
    growth: Growth | None = None,
    width: float = 1.0,
    max_px: int | None = None,
) -> Film:
    """A film of one part (LH RH LF RF), a pure function of its arguments.

    body: the patient's build (None: drawn from the seed). damage: severities per joint. growth: for a child's hand.
    width: factor on the variety of style and pose, 1 for routine films, 2 for training the detector. max_px: maximum height.
    """
    # Separate random streams, so that the same limb with other damage is otherwise the same film.
    rng, style_rng, photons, metal, marks = np.random.default_rng(seed).spawn(5)
    kind = limb(part)
    body = body or draw_body(rng, bool(rng.random() < 0.7), rng.uniform(20, 80), rng.uniform(0, 0.6))
    if growth:
        body = Body(**{**body.__dict__, "size": growth.size * float(np.clip(rng.normal(1, 0.04), 0.9, 1.1))})
    skeleton = build(kind, body, draw_pose(rng, kind, width), damage or Damage(), rng)
    if growth:
        grow(skeleton, growth, rng)
    style = draw_style(style_rng, kind, width, max_px)
    shrink = min(1.0, RENDER_MAX_PX / style.height_px)
    shape = (round(style.height_px * shrink), round(style.width_px * shrink))
    position = place(skeleton, part, style, shape)
    attenuation = attenuation_map(skeleton, position, shape, body.flesh, photons)
    add_metal(attenuation, skeleton, position, style, metal)
    grey = develop(attenuation, position, style, photons)
    if shrink < 1:
        grey = cv2.resize(grey, (style.width_px, style.height_px), interpolation=cv2.INTER_LINEAR)
    grey = finish(grey, part, style, marks)
    factor = style.height_px / shape[0]
    joints, boxes = {}, {}
    for name, centre in skeleton.joints.items():
        joints[name] = _rotate(position(centre) * factor, style)
        side = BOX_MM.get(name) or BOX_MM[name.split("_")[0]]
        boxes[name] = side * skeleton.size * position.px_per_mm * factor
    return Film(grey, joints, boxes)


def _rotate(point: np.ndarray, style: Style) -> tuple[float, float]:
    """A point after the style's quarter turns (np.rot90, counter-clockwise)."""
    (x, y), width, height = point, style.width_px, style.height_px
    for _ in range(style.quarter_turns):
        x, y = y, width - 1 - x
        width, height = height, width
    return float(x), float(y)
