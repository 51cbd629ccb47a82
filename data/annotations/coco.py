"""COCO JSON: images, annotations with bbox = left, top, width, height in pixels of the upright picture, categories by joint."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from data.annotations.base import Mark, Picture, load_json, numbers, original
from ra.config import UserError

NEEDED = {"images": ("id", "file_name"), "annotations": ("image_id", "category_id", "bbox"), "categories": ("id", "name")}


def pictures(path: Path) -> Iterator[Picture]:
    """Each image of the file with its marks. UserError when a list or a key is missing."""
    coco = load(path)
    names = {str(category["id"]): str(category["name"]) for category in coco["categories"]}
    marks = defaultdict(list)
    for note in coco["annotations"]:
        joint = names.get(str(note["category_id"]), f"category {note['category_id']}")
        x, y, w, h = numbers(note["bbox"], 4)
        sides = (w, h) if w > 0 and h > 0 else (-1.0, -1.0)  # NaN would make it a point
        marks[str(note["image_id"])].append(Mark(joint, x + w / 2, y + h / 2, *sides))
    for image in coco["images"]:
        name = original(Path(str(image["file_name"])).name)
        claimed = (image.get("width"), image.get("height"))
        yield Picture(name, path.name, tuple(marks[str(image["id"])]), claimed, outside=_outside(image))


def _outside(image: dict) -> tuple[tuple[str, str], ...]:
    """What stage1_detect.annotate adds to an image: part and joint of what is not on it."""
    listed = image.get("outside")
    records = [r for r in listed if isinstance(r, dict)] if isinstance(listed, list) else []
    return tuple((str(record.get("part")), str(record.get("joint"))) for record in records)


def load(path: Path) -> dict:
    """The three lists of a COCO file, each record with the keys that are needed."""
    coco = load_json(path)
    for key, fields in NEEDED.items():
        records = coco.get(key) if isinstance(coco, dict) else None
        if not isinstance(records, list):
            raise UserError(f"{path} lacks the list {key!r}; it must be COCO: images, annotations, categories")
        for record in records:
            lacking = [f for f in fields if not isinstance(record, dict) or f not in record]
            if lacking:
                raise UserError(f"{path}: an entry of {key} lacks {lacking[0]!r}: {str(record)[:80]}; add it")
    return coco
