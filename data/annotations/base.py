"""What every format of joint boxes says: pictures by name, and a mark on each joint."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ra.config import UserError

RENAMED = re.compile(r"_(bmp|jpe?g|png|tiff?)\.rf\.\w+\.\w+$", re.IGNORECASE)  # by Roboflow: a_bmp.rf.<hash>.jpg was a.bmp


@dataclass(frozen=True)
class Mark:
    """A box by its centre and sides, unchecked numbers; sides of NaN make it a point."""

    joint: str
    x: float
    y: float
    w: float
    h: float


@dataclass(frozen=True)
class Picture:
    """The marks of one file of films. name: the file's, or its stem; where: the boxes' file, for faults.

    size_px: (width, height) that the boxes' file claims, if it does. fractions: marks are shares of the picture's width and
    height, else pixels of the upright picture. outside: (part, joint) that a person found to lie beyond the film.
    """

    name: str
    where: str
    marks: tuple[Mark, ...]
    size_px: tuple[Any, Any] = (None, None)
    fractions: bool = False
    outside: tuple[tuple[str, str], ...] = ()


def load_json(path: Path) -> Any:
    """The file's content; UserError when it is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({str(error)[:80]}); write it again") from None


def numbers(values: Any, count: int) -> list[float]:
    """The first `count` values as floats; all NaN when they are not that many numbers."""
    try:
        out = [float(v) for v in values][:count]
    except (TypeError, ValueError, OverflowError):
        out = []
    return out if len(out) == count else [float("nan")] * count


def original(name: str) -> str:
    """A file's name before an annotation service renamed it."""
    return RENAMED.sub(r".\1", name)
