"""YOLO: a text file per film, `class x y w h` per joint as fractions of the upright picture, and a file of class names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from data.annotations.base import Mark, Picture
from ra.anatomy import ALL_JOINTS
from ra.config import UserError

NAMES = ("data.yaml", "classes.txt", "obj.names")  # beside the films, beside the labels, or in the folder above


def find(folder: Path) -> list[Path]:
    """The file that names the classes, then the label files of the films in `folder`; empty if there are no labels."""
    places = (folder / "labels", folder.parent / "labels" / folder.name)
    labels = [p for place in places if place.is_dir() for p in sorted(place.glob("*.txt")) if p.name not in NAMES]
    if not labels:
        return []
    around = (labels[0].parent, folder, folder.parent)
    return [*[place / name for place in around for name in NAMES if (place / name).is_file()][:1], *labels]


def pictures(files: list[Path]) -> Iterator[Picture]:
    """One picture per label file, named by its stem. Without a file of names the classes are anatomy.ALL_JOINTS."""
    class_names = {number: joint for path in files if path.name in NAMES for number, joint in _names(path).items()}
    class_names = class_names or dict(enumerate(ALL_JOINTS))
    for path in files:
        if path.name not in NAMES:
            yield Picture(path.stem, path.name, tuple(_marks(path, class_names)), fractions=True)


def _names(path: Path) -> dict[int, str]:
    text = _text(path)
    if path.suffix != ".yaml":
        return dict(enumerate(line.strip() for line in text.splitlines() if line.strip()))
    try:
        loaded: Any = yaml.safe_load(text)
        names = loaded["names"]
        pairs = names.items() if isinstance(names, dict) else enumerate(names)
        return {int(number): str(name) for number, name in pairs}
    except (yaml.YAMLError, RecursionError, TypeError, KeyError, ValueError):
        raise UserError(f"{path} does not name the classes; it needs `names:` with one joint per class") from None


def _marks(path: Path, class_names: dict[int, str]) -> Iterator[Mark]:
    """A mark per line: class x y w h, optionally followed by a confidence; or class and the corners of a polygon."""
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            class_, *rest = map(float, line.split())
            kind = int(class_)
        except (ValueError, OverflowError):
            class_, kind, rest = 0.0, -1, []
        polygon = len(rest) >= 6 and len(rest) % 2 == 0
        if kind != class_ or not (len(rest) in (4, 5) or polygon):
            raise UserError(f"{path} line {number} is {line[:60]!r}, not `class x y width height`; write it again")
        if polygon:
            xs, ys = rest[0::2], rest[1::2]
            rest = [(min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2, max(xs) - min(xs), max(ys) - min(ys)]
        if max(abs(v) for v in rest[:4]) > 2:
            raise UserError(f"{path} line {number} is in pixels; YOLO's numbers are fractions of the picture, from 0 to 1")
        yield Mark(class_names.get(kind, f"class {kind}"), *rest[:4])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not text; export the labels again") from None
