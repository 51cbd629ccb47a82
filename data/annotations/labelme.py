"""labelme JSON beside each film: shapes with label = joint; rectangle, circle, polygon or a point on the joint."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.annotations.base import Mark, Picture, load_json, numbers
from ra.config import UserError


def pictures(files: list[Path]) -> Iterator[Picture]:
    """One picture per file, named by the file's stem. UserError when a file is not labelme's."""
    for path in files:
        content = load_json(path)
        if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
            raise UserError(f"{path} lacks the list 'shapes'; it must be the file that labelme saved for the film of that name")
        marks = tuple(_mark(shape, path) for shape in content["shapes"])
        yield Picture(path.stem, path.name, marks, (content.get("imageWidth"), content.get("imageHeight")))


def _mark(shape: Any, path: Path) -> Mark:
    lacking = [key for key in ("label", "points") if not isinstance(shape, dict) or key not in shape]
    if lacking:
        raise UserError(f"{path}: a shape lacks {lacking[0]!r}; save the film in labelme again")
    points = shape["points"] if isinstance(shape["points"], list) else []
    xy = [numbers(point, 2) for point in points]
    if not xy or not all(math.isfinite(v) for point in xy for v in point):
        return Mark(str(shape["label"]), math.nan, math.nan, -1, -1)  # outside every film, so it is reported
    (x0, y0), kind = xy[0], shape.get("shape_type")
    if kind == "point" or len(xy) == 1:
        return Mark(str(shape["label"]), x0, y0, math.nan, math.nan)
    if kind == "circle":  # given by its centre and a point on its rim
        side = 2 * math.hypot(xy[1][0] - x0, xy[1][1] - y0)
        return Mark(str(shape["label"]), x0, y0, side, side)
    low, high = [min(v) for v in zip(*xy, strict=True)], [max(v) for v in zip(*xy, strict=True)]
    return Mark(str(shape["label"]), (low[0] + high[0]) / 2, (low[1] + high[1]) / 2, high[0] - low[0], high[1] - low[1])
