"""COCO JSON (see ra.coco) as pictures with marks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data.annotations.base import Mark, Picture, original
from ra import coco


def pictures(path: Path) -> Iterator[Picture]:
    """Each image of the file with its marks. UserError if a list or a key is missing."""
    for image in coco.read(path):
        marks = tuple(_mark(box) for box in image.boxes)
        yield Picture(original(image.name), path.name, marks, (image.width, image.height), outside=image.outside)


def _mark(box: coco.Box) -> Mark:
    sides = (box.width, box.height) if box.width > 0 and box.height > 0 else (-1.0, -1.0)  # NaN would make it a point
    return Mark(box.joint, *box.center, *sides)
