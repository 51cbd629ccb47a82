"""COCO JSON of joint boxes: the only reader and writer in the project.

images, annotations (bbox = left, top, width, height in px of the upright picture) and categories named by joint. Beyond COCO an
annotation may have `part` (LH RH LF RF), and an image `parts` and `outside`: a list of {"part", "joint"} that a person marked as
lying beyond the film. Files without these additions are read as well.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ra import atomic
from ra.anatomy import ALL_JOINTS
from ra.config import UserError

NEEDED = {"images": ("id", "file_name"), "annotations": ("image_id", "category_id", "bbox"), "categories": ("id", "name")}
CATEGORY = {joint: number for number, joint in enumerate(ALL_JOINTS, 1)}


@dataclass(frozen=True)
class Box:
    """A joint's box: upper left corner and sides in px. Values read from a file are not checked; NaN if they are not numbers."""

    joint: str
    left: float
    top: float
    width: float
    height: float
    part: str | None = None

    @property
    def center(self) -> tuple[float, float]:
        """x, y of the box's centre."""
        return self.left + self.width / 2, self.top + self.height / 2


@dataclass(frozen=True)
class Image:
    """One picture. width, height: its upright size in px; values read from a file are not checked, None if missing."""

    name: str
    width: Any
    height: Any
    boxes: tuple[Box, ...]
    parts: tuple[str, ...] = ()
    outside: tuple[tuple[str, str], ...] = ()  # (part, joint)


def read(path: Path) -> list[Image]:
    """Every image of a file with its boxes, in the file's order. UserError if the file is not COCO."""
    content = _load(path)
    joint_of = {str(category["id"]): str(category["name"]) for category in content["categories"]}
    boxes = defaultdict(list)
    for note in content["annotations"]:
        joint = joint_of.get(str(note["category_id"]), f"category {note['category_id']}")
        part = note.get("part")
        box = Box(joint, *_four_numbers(note["bbox"]), part=part if isinstance(part, str) else None)
        boxes[str(note["image_id"])].append(box)
    return [
        Image(
            Path(str(image["file_name"])).name,
            image.get("width"),
            image.get("height"),
            tuple(boxes[str(image["id"])]),
            tuple(str(part) for part in _list(image.get("parts"))),
            tuple((str(r.get("part")), str(r.get("joint"))) for r in _list(image.get("outside")) if isinstance(r, dict)),
        )
        for image in content["images"]
    ]


def write(images: Iterable[Image], path: Path, digits: int = 2, description: str = "joint boxes") -> None:
    """Write images with their boxes, rounded to `digits` decimals."""
    records, annotations = [], []
    for number, image in enumerate(images, 1):
        record: dict[str, Any] = {"id": number, "file_name": image.name, "width": image.width, "height": image.height}
        if image.parts:
            record["parts"] = list(image.parts)
            record["outside"] = [{"part": part, "joint": joint} for part, joint in image.outside]
        records.append(record)
        for box in image.boxes:
            bbox = [round(value, digits) for value in (box.left, box.top, box.width, box.height)]
            note = {"id": len(annotations) + 1, "image_id": number, "category_id": CATEGORY[box.joint], "bbox": bbox}
            note |= {"area": round(box.width * box.height, 1), "iscrowd": 0}
            annotations.append(note | ({"part": box.part} if box.part else {}))
    content = {
        "info": {"description": description, "version": "1"},
        "images": records,
        "annotations": annotations,
        "categories": [{"id": number, "name": joint} for joint, number in CATEGORY.items()],
    }
    atomic.write_text(path, json.dumps(content, separators=(",", ":")) + "\n")


def _load(path: Path) -> dict[str, list[dict]]:
    """The three lists of a file, every record with the keys that are needed."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; python -m stage1_detect.annotate writes it") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({str(error)[:80]}); write it again") from None
    for key in NEEDED:
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise UserError(f"{path} lacks the list {key!r}; it must be COCO: images, annotations, categories")
    for key, fields in NEEDED.items():
        for record in content[key]:
            lacking = [field for field in fields if not isinstance(record, dict) or field not in record]
            if lacking:
                raise UserError(f"{path}: an entry of {key} lacks {lacking[0]!r}: {str(record)[:80]}; add it")
    return content


def _four_numbers(values: Any) -> list[float]:
    """The first four values as floats; all NaN if there are fewer than four numbers."""
    try:
        numbers = [float(value) for value in values][:4]
    except (TypeError, ValueError, OverflowError):
        numbers = []
    return numbers if len(numbers) == 4 else [float("nan")] * 4


def _list(value: Any) -> list:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []
