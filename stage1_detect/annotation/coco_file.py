"""Corrected joint boxes on disk: COCO JSON as data.prepare reads it, with each box's part and the joints that are off the film.

Beyond COCO: an annotation has "part" (LH RH LF RF), an image "parts" and "outside", a list of {"part", "joint"}. A file without
them is read too: the part is then told by the film's name, else by how the joints lie.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ra.anatomy import ALL_JOINTS, JOINTS, PARTS, limb
from ra.config import UserError
from stage1_detect import orientation
from stage1_detect.detect import part_of

CATEGORY = {joint: i + 1 for i, joint in enumerate(ALL_JOINTS)}
INFO = {"description": "joint boxes corrected by hand", "version": "1"}


@dataclass
class Limb:
    """The joints of one limb on a film. boxes: joint -> centre x, y and sides w, h, in px of the upright picture.

    outside: joints that are not on the film. A joint in neither was not looked at. guessed: boxes that nobody saw; not written.
    """

    part: str
    boxes: dict[str, list[float]] = field(default_factory=dict)
    outside: list[str] = field(default_factory=list)
    guessed: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every joint is placed or known to be off the film."""
        return set(self.boxes) | set(self.outside) >= set(JOINTS[limb(self.part)])


@dataclass
class Film:
    """What a person confirmed of one file: its size upright, its limbs."""

    width_px: int
    height_px: int
    limbs: list[Limb]


def read(path: Path) -> dict[str, Film]:
    """File name -> film. UserError for what is no such file, and for a joint that has another name."""
    try:
        coco = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; python -m stage1_detect.annotate writes it") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({str(error)[:80]}); write it again") from None
    try:
        return _films(coco, path)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is not COCO with images, annotations and categories ({error!r:.80}); write it again") from None


def _films(coco: dict, path: Path) -> dict[str, Film]:
    names = {category["id"]: str(category["name"]) for category in coco["categories"]}
    used = {names[note["category_id"]] for note in coco["annotations"]}
    foreign = sorted(used - {*ALL_JOINTS})
    if foreign:
        raise UserError(f"{path} has boxes of {foreign[0]!r}, which is no joint; the names are {', '.join(ALL_JOINTS)}")
    notes = defaultdict(list)
    for note in coco["annotations"]:
        x, y, w, h = (float(v) for v in note["bbox"])
        if not (np.isfinite([x, y, w, h]).all() and w > 0 and h > 0):
            raise UserError(f"{path}: the bbox {note['bbox']} is no box; it is left, top, width, height in px")
        notes[note["image_id"]].append((note.get("part"), names[note["category_id"]], [x + w / 2, y + h / 2, w, h]))
    out = {}
    for image in coco["images"]:
        name = Path(str(image["file_name"])).name
        out[name] = Film(int(image["width"]), int(image["height"]), _limbs(image, name, notes[image["id"]]))
    return out


def _limbs(image: dict, name: str, notes: list[tuple]) -> list[Limb]:
    limbs: dict[str, Limb] = {part: Limb(part) for part in image.get("parts", []) if part in PARTS}
    for kind, joints in JOINTS.items():  # boxes whose part nobody tells are one limb
        unknown = {joint: box for part, joint, box in notes if part not in PARTS and joint in joints}
        if unknown:
            told = part_of(Path(name))
            part = told if told and limb(told) == kind else orientation.part_of_points(kind, unknown)
            limbs.setdefault(part, Limb(part)).boxes.update(unknown)
    for part, joint, box in notes:
        if part in PARTS and joint in JOINTS[limb(part)]:
            limbs.setdefault(part, Limb(part)).boxes[joint] = box
    for off in image.get("outside", []):
        if off["part"] in PARTS and off["joint"] in JOINTS[limb(off["part"])]:
            limbs.setdefault(off["part"], Limb(off["part"])).outside.append(off["joint"])
    return list(limbs.values())


def write(films: dict[str, Film], path: Path) -> None:
    """The films by name, to a temporary file that is then moved into place."""
    images, annotations = [], []
    for number, (name, film) in enumerate(sorted(films.items()), 1):
        outside = [{"part": one.part, "joint": joint} for one in film.limbs for joint in one.outside]
        size = {"width": film.width_px, "height": film.height_px}
        images.append({"id": number, "file_name": name, **size, "parts": [one.part for one in film.limbs], "outside": outside})
        for one in film.limbs:
            for joint, (x, y, w, h) in one.boxes.items():
                bbox = [round(v, 2) for v in (x - w / 2, y - h / 2, w, h)]
                note = {"id": len(annotations) + 1, "image_id": number, "category_id": CATEGORY[joint], "bbox": bbox}
                annotations.append(note | {"area": round(w * h, 1), "iscrowd": 0, "part": one.part})
    categories = [{"id": number, "name": joint} for joint, number in CATEGORY.items()]
    value = {"info": INFO, "images": images, "annotations": annotations, "categories": categories}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(json.dumps(value, separators=(",", ":")) + "\n")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
