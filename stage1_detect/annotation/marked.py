"""Joints that a person marked on films, in memory and as COCO (ra.coco).

A COCO file without parts is read too: the part is then declared by the film's name, else recognised from how the joints lie.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ra import coco, film_names
from ra.anatomy import ALL_JOINTS, JOINTS, PARTS, limb
from ra.config import UserError
from stage1_detect import orientation


@dataclass
class MarkedLimb:
    """The joints of one limb on a film. boxes: joint -> centre x, y and sides w, h, in px of the upright picture.

    outside: joints beyond the film. A joint in neither boxes nor outside has not been marked yet. guessed: those joints of boxes
    that the shape model placed without a detection; they are not written to COCO.
    """

    part: str
    boxes: dict[str, list[float]] = field(default_factory=dict)
    outside: list[str] = field(default_factory=list)
    guessed: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every joint has a box or is known to lie beyond the film."""
        return set(self.boxes) | set(self.outside) >= set(JOINTS[limb(self.part)])


@dataclass
class MarkedFilm:
    """The limbs marked on one file, and its upright size."""

    width_px: int
    height_px: int
    limbs: list[MarkedLimb]


Reread = Callable[[Path, str | None, list[float] | None], MarkedLimb]  # film, part or None, window or None -> its joints


def read(path: Path) -> dict[str, MarkedFilm]:
    """File name -> marked film of a COCO file. UserError if it is not COCO or a box is faulty."""
    images = coco.read(path)
    boxes = [box for image in images for box in image.boxes]
    unknown = sorted({box.joint for box in boxes} - {*ALL_JOINTS})
    if unknown:
        raise UserError(f"{path} has boxes of {unknown[0]!r}, which is not a joint; the names are {', '.join(ALL_JOINTS)}")
    for box in boxes:
        bbox = (box.left, box.top, box.width, box.height)
        if not (all(map(math.isfinite, bbox)) and box.width > 0 and box.height > 0):
            raise UserError(f"{path}: the bbox {list(bbox)} of {box.joint} is not valid; write left, top, width, height in px")
    return {image.name: MarkedFilm(*_size(image, path), _limbs(image)) for image in images}


def _size(image: coco.Image, path: Path) -> tuple[int, int]:
    try:
        return int(image.width), int(image.height)
    except (TypeError, ValueError, OverflowError):
        size = f"{image.width!r} x {image.height!r}"
        raise UserError(f"{path}: the size of {image.name} is {size}; add its width and height in px") from None


def _limbs(image: coco.Image) -> list[MarkedLimb]:
    limbs: dict[str, MarkedLimb] = {}

    def limb_of(part: str) -> MarkedLimb:
        return limbs.setdefault(part, MarkedLimb(part))

    for part in image.parts:
        if part in PARTS:
            limb_of(part)
    for kind, joints in JOINTS.items():  # boxes without a part are taken for one limb
        without_part = {box.joint: _centred(box) for box in image.boxes if box.part not in PARTS and box.joint in joints}
        if without_part:
            declared = film_names.part_of(Path(image.name).stem)
            matches = declared is not None and limb(declared) == kind
            limb_of(declared if matches else orientation.part_of_boxes(kind, without_part)).boxes.update(without_part)
    for box in image.boxes:
        if box.part in PARTS and box.joint in JOINTS[limb(box.part)]:
            limb_of(box.part).boxes[box.joint] = _centred(box)
    for part, joint in image.outside:
        if part in PARTS and joint in JOINTS[limb(part)]:
            limb_of(part).outside.append(joint)
    return list(limbs.values())


def _centred(box: coco.Box) -> list[float]:
    return [*box.center, box.width, box.height]


def write(films: dict[str, MarkedFilm], path: Path) -> None:
    """Write the films, ordered by file name, as COCO."""
    images = [_image(name, film) for name, film in sorted(films.items())]
    coco.write(images, path, description="joint boxes corrected by hand")


def _image(name: str, film: MarkedFilm) -> coco.Image:
    boxes, outside = [], []
    for marked in film.limbs:
        outside += [(marked.part, joint) for joint in marked.outside]
        for joint, (x, y, w, h) in marked.boxes.items():
            boxes.append(coco.Box(joint, x - w / 2, y - h / 2, w, h, marked.part))
    parts = tuple(marked.part for marked in film.limbs)
    return coco.Image(name, film.width_px, film.height_px, tuple(boxes), parts, tuple(outside))
