"""The common form of all annotation formats: named pictures, each with the marks on its joints."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ra.config import UserError

RENAMED = re.compile(r"_(bmp|jpe?g|png|tiff?)\.rf\.\w+\.\w+$", re.IGNORECASE)  # Roboflow renames a.bmp to a_bmp.rf.<hash>.jpg


@dataclass(frozen=True)
class Mark:
    """A box, given by its centre and sides, as read from the file without checks; with NaN as sides it is a point."""

    joint: str
    x: float
    y: float
    w: float
    h: float


@dataclass(frozen=True)
class Picture:
    """The marks on one film file. name: the file's name or its stem; where: the boxes' file, for error messages.

    size_px: (width, height) as stated in the boxes' file, None where it states none. fractions: marks are fractions of the
    picture's width and height, else pixels of the upright picture. outside: (part, joint) marked as lying beyond the film.
    """

    name: str
    where: str
    marks: tuple[Mark, ...]
    size_px: tuple[Any, Any] = (None, None)
    fractions: bool = False
    outside: tuple[tuple[str, str], ...] = ()


def load_json(path: Path) -> Any:
    """The file's content; UserError when it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({str(error)[:80]}); write it again") from None


def numbers(values: Any, count: int) -> list[float]:
    """The first `count` values as floats; all NaN when there are fewer numbers."""
    try:
        out = [float(v) for v in values][:count]
    except (TypeError, ValueError, OverflowError):
        out = []
    return out if len(out) == count else [float("nan")] * count


def original(name: str) -> str:
    """A file's name before an annotation service renamed it."""
    return RENAMED.sub(r".\1", name)
