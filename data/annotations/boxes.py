"""Joint boxes of a set, from COCO JSON, YOLO text files or labelme JSON; joints are named as in ra/anatomy.py.

Boxes are drawn on a file's upright picture. A film may be a rotated window of that picture; a box belongs to the film on which
it lies.
"""

from __future__ import annotations

import difflib
import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.annotations import coco, labelme, yolo
from data.annotations.base import Mark, Picture, original
from data.annotations.joint_aliases import joint_of
from data.issues import Report
from ra import anatomy, film_names, paths
from ra.config import UserError
from ra.imaging import film
from ra.imaging.film import Frame
from ra.tables import BOXES

COCO = "joints.coco.json"
# Side of the box around a point, in units of the RMS distance of a limb's joints from their centroid (as in the template).
POINT_SIDE = {"hand": 0.31, "foot": 0.72}
# With fewer joints than MIN_JOINTS that distance is unreliable; the side is then a fraction of the film's long side.
MIN_JOINTS, SIDE_FRAC = 4, 0.06


def find(folder: Path) -> tuple[Path, ...]:
    """Files with joint boxes of the films in `folder`, all of one format. UserError when there are two formats.

    joints.coco.json; labels/<film>.txt with data.yaml or classes.txt; or <film>.json beside each film.
    """
    beside = [p for p in sorted(folder.glob("*.json")) if p.name != COCO and _is_named_like_a_film(p)]
    files = {"COCO": [p for p in [folder / COCO] if p.is_file()], "YOLO": yolo.find(folder), "labelme": beside}
    formats = [name for name, present in files.items() if present]
    if len(formats) > 1:
        raise UserError(f"{folder} has joint boxes as {' and as '.join(formats)}; keep one format, move the other files away")
    return tuple(files[formats[0]]) if formats else ()


def _is_named_like_a_film(path: Path) -> bool:
    return film_names.part_of(path.stem) is not None or any(path.with_suffix(s).is_file() for s in film.SUFFIXES)


def read(files: tuple[Path, ...], films: pd.DataFrame, report: Report) -> pd.DataFrame:
    """Boxes table (`source=truth`, fold -1) of the films that the files name; what is faulty is reported and left out.

    films: those rows of the films table that the files annotate. A joint marked in two files is taken from the first.
    """
    films_by_name = defaultdict(list)
    for row in films.itertuples():
        name = Path(original(Path(row.path).name))
        for key in (name.name, name.stem):
            films_by_name[key].append(row)
    boxes: dict[tuple[str, str], dict] = {}
    outside: set[tuple[str, str]] = set()
    for path, picture in _pictures(files):
        on_picture = films_by_name.get(picture.name) or films_by_name.get(Path(picture.name).stem, [])
        if not on_picture:
            report.warn("box of an unknown film", f"{picture.where} names {picture.name}")
            continue
        outside |= _joints_outside(picture, on_picture)
        for mark in _in_pixels(picture, on_picture[0], report):
            box = _box(on_picture, mark, report)
            earlier = boxes.get((box["film_id"], box["joint"])) if box else None
            if earlier and earlier["file"] == path:
                report.warn("duplicate box", f"{box['film_id']} {box['joint']}")
            elif box and not earlier:
                boxes[box["film_id"], box["joint"]] = box | {"file": path}
    _points_to_squares(boxes, films)
    _report_incomplete({*boxes, *outside}, films, report)
    return BOXES.check(pd.DataFrame(list(boxes.values()), columns=list(BOXES.columns)))


def _joints_outside(picture: Picture, on_picture: list) -> set[tuple[str, str]]:
    """(film_id, joint) of the joints that were marked as lying beyond the film."""
    return {
        (row.film_id, joint) for row in on_picture for part, joint in picture.outside if len(on_picture) == 1 or row.part == part
    }


def _pictures(files: tuple[Path, ...]) -> Iterator[tuple[Path, Picture]]:
    """(file, picture) of every file, by its format."""
    texts = [p for p in files if p.suffix != ".json"]
    for picture in yolo.pictures(texts):
        yield Path(picture.where), picture
    for path in (p for p in files if p.suffix == ".json"):
        for picture in labelme.pictures([path]) if _is_named_like_a_film(path) else coco.pictures(path):
            yield path, picture


def _in_pixels(picture: Picture, row: Any, report: Report) -> Iterator[Mark]:
    """The marks in pixels of the file's upright picture; warns where the boxes' file states another size."""
    size = (row.width_px, row.height_px)
    if picture.fractions or (None not in picture.size_px and picture.size_px != size):
        size = film.size(paths.ROOT / row.path)  # the film may be a window of its file
    if not picture.fractions and None not in picture.size_px and picture.size_px != size:
        stated = f"the boxes' file states {picture.size_px[0]} x {picture.size_px[1]}"
        report.warn("size differs from the boxes' file", f"{picture.name} is {size[0]} x {size[1]} upright, {stated}")
    width, height = size if picture.fractions else (1, 1)
    for mark in picture.marks:
        yield Mark(mark.joint, mark.x * width, mark.y * height, mark.w * width, mark.h * height)


def _box(on_picture: list, mark: Mark, report: Report) -> dict | None:
    """The mark as a row of the film on which its centre lies; None, with a warning, if there is no such film or joint."""
    placed = [(row, *Frame.of(row).from_file(np.array([[mark.x, mark.y]]))[0]) for row in on_picture]
    inside = [(row, x, y) for row, x, y in placed if 0 <= x < row.width_px and 0 <= y < row.height_px]
    # where windows overlap, choose the film whose middle is nearer
    row, x, y = min(inside or placed, key=lambda p: math.hypot(p[1] - p[0].width_px / 2, p[2] - p[0].height_px / 2))
    joints = anatomy.JOINTS[anatomy.limb(row.part)]
    joint = joint_of(mark.joint)
    if joint not in joints:
        near = difflib.get_close_matches(mark.joint, joints, n=1)
        report.warn("box of an unknown joint", f"{row.film_id} {mark.joint!r}" + (f", did you mean {near[0]}?" if near else ""))
        return None
    w, h = (mark.h, mark.w) if row.turns % 2 else (mark.w, mark.h)
    is_point = math.isnan(w) and math.isnan(h)
    if not inside or not (is_point or (0 < w <= row.width_px and 0 < h <= row.height_px)):
        report.warn("box outside its film", f"{row.film_id} {joint} at ({x:.0f}, {y:.0f}), sides {w:.0f} x {h:.0f}")
        return None
    geometry = {"x_px": x, "y_px": y, "w_px": w, "h_px": h}
    return {"film_id": row.film_id, "joint": joint, "fold": -1, **geometry, "conf": math.nan, "source": "truth"}


def _points_to_squares(boxes: dict[tuple[str, str], dict], films: pd.DataFrame) -> None:
    """Turn points into square boxes, in place; the usual ratio of box side to joint distances gives their side."""
    by_film = defaultdict(list)
    for box in boxes.values():
        by_film[box["film_id"]].append(box)
    for row in films.itertuples():
        film_boxes = by_film[row.film_id]
        points = [box for box in film_boxes if math.isnan(box["w_px"])]
        if not points:
            continue
        xy = np.array([(box["x_px"], box["y_px"]) for box in film_boxes])
        spread = float(np.sqrt(np.square(xy - xy.mean(axis=0)).sum(axis=1).mean()))
        if len(film_boxes) < MIN_JOINTS:
            side = SIDE_FRAC * max(row.width_px, row.height_px)
        else:
            side = POINT_SIDE[anatomy.limb(row.part)] * spread
        for box in points:
            box["w_px"] = box["h_px"] = max(side, 1.0)


def _report_incomplete(located: set[tuple[str, str]], films: pd.DataFrame, report: Report) -> None:
    """Warn of films with fewer joints than their limb has. located: (film_id, joint) with a box, or marked as outside."""
    counts = pd.Series([film_id for film_id, _ in located], dtype=object).value_counts()
    for row in films.itertuples():
        have, want = int(counts.get(row.film_id, 0)), len(anatomy.JOINTS[anatomy.limb(row.part)])
        if have < want:
            report.warn("film with too few boxes", f"{row.film_id} has {have} of {want}")
