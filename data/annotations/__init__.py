"""Joint boxes that come with a set: COCO JSON, YOLO text files or labelme JSON, joints named as in ra/anatomy.py.

Boxes are drawn on a file's upright picture; a film may be a window of it, turned. Each goes to the film that it lies on.
"""

from __future__ import annotations

import difflib
import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from data import film_files
from data.annotations import coco, labelme, yolo
from data.annotations.base import Mark, Picture, original
from data.annotations.joint_aliases import joint_of
from data.issues import Report
from ra import anatomy, paths
from ra.config import UserError
from ra.imaging import film
from ra.imaging.film import Frame
from ra.tables import BOXES

COCO = "joints.coco.json"
# Side of the box around a point, in units of the RMS distance of a limb's joints from their centre (as of the template).
POINT_SIDE = {"hand": 0.31, "foot": 0.72}
FEW, FEW_SIDE_FRAC = 4, 0.06  # a film with fewer joints tells no such distance: then a share of its long side


def find(folder: Path) -> tuple[Path, ...]:
    """Files of joint boxes of the films in `folder`, of one format. UserError when there are two.

    joints.coco.json; labels/<film>.txt with data.yaml or classes.txt; or <film>.json beside each film.
    """
    beside = [p for p in sorted(folder.glob("*.json")) if p.name != COCO and _is_film(p)]
    found = {"COCO": [p for p in [folder / COCO] if p.is_file()], "YOLO": yolo.find(folder), "labelme": beside}
    kinds = [kind for kind, files in found.items() if files]
    if len(kinds) > 1:
        raise UserError(f"{folder} has joint boxes as {' and as '.join(kinds)}; keep the files of one kind, move the others away")
    return tuple(found[kinds[0]]) if kinds else ()


def _is_film(path: Path) -> bool:
    """Whether a file is called like a film."""
    return bool(film_files.NAMED.fullmatch(path.stem)) or any(path.with_suffix(s).is_file() for s in film.SUFFIXES)


def read(files: tuple[Path, ...], films: pd.DataFrame, report: Report) -> pd.DataFrame:
    """Boxes table (`source=truth`, fold -1) of the films that the files name; what is faulty is reported and left out.

    films: the part of the films table that the files are about. A joint marked in two files is taken from the first.
    """
    by_name = defaultdict(list)
    for row in films.itertuples():
        name = Path(original(Path(row.path).name))
        for key in (name.name, name.stem):
            by_name[key].append(row)
    rows: dict[tuple[str, str], dict] = {}
    outside: set[tuple[str, str]] = set()
    for path, picture in _pictures(files):
        own = by_name.get(picture.name) or by_name.get(Path(picture.name).stem, [])
        if not own:
            report.warn("box of an unknown film", f"{picture.where} names {picture.name}")
            continue
        outside |= {(row.film_id, joint) for row in own for part, joint in picture.outside if len(own) == 1 or row.part == part}
        for mark in _in_pixels(picture, own[0], report):
            row = _box(own, mark, report)
            known = rows.get((row["film_id"], row["joint"])) if row else None
            if known and known["file"] == path:
                report.warn("duplicate box", f"{row['film_id']} {row['joint']}")
            elif row and not known:
                rows[row["film_id"], row["joint"]] = row | {"file": path}
    _give_points_sides(rows, films)
    _report_incomplete({*rows, *outside}, films, report)
    return BOXES.check(pd.DataFrame(list(rows.values()), columns=list(BOXES.columns)))


def _pictures(files: tuple[Path, ...]) -> Iterator[tuple[Path, Picture]]:
    """(file, picture) of every file, by its format."""
    texts = [p for p in files if p.suffix != ".json"]
    for picture in yolo.pictures(texts):
        yield Path(picture.where), picture
    for path in (p for p in files if p.suffix == ".json"):
        one = labelme.pictures([path]) if _is_film(path) else coco.pictures(path)
        for picture in one:
            yield path, picture


def _in_pixels(picture: Picture, row, report: Report) -> Iterator[Mark]:
    """The marks in pixels of the file's upright picture; warns where the boxes' file thinks of another size."""
    real = (row.width_px, row.height_px)
    if picture.fractions or (None not in picture.size_px and picture.size_px != real):
        real = film.size(paths.ROOT / row.path)  # the film may be a window of its file
    if not picture.fractions and None not in picture.size_px and picture.size_px != real:
        claimed = f"there {picture.size_px[0]} x {picture.size_px[1]}"
        report.warn("size differs from the boxes' file", f"{picture.name} is {real[0]} x {real[1]} upright, {claimed}")
    width, height = real if picture.fractions else (1, 1)
    for mark in picture.marks:
        yield Mark(mark.joint, mark.x * width, mark.y * height, mark.w * width, mark.h * height)


def _box(own: list, mark: Mark, report: Report) -> dict | None:
    """The mark as a row of the film on which its centre lies; None, with a warning, when it is on none or of no joint of it."""
    placed = [(row, *Frame.of(row).from_file(np.array([[mark.x, mark.y]]))[0]) for row in own]
    on = [(row, x, y) for row, x, y in placed if 0 <= x < row.width_px and 0 <= y < row.height_px]
    # where windows overlap, the film whose middle is nearer
    row, x, y = min(on or placed, key=lambda p: math.hypot(p[1] - p[0].width_px / 2, p[2] - p[0].height_px / 2))
    known = anatomy.JOINTS[anatomy.limb(row.part)]
    joint = joint_of(mark.joint)
    if joint not in known:
        near = difflib.get_close_matches(mark.joint, known, n=1)
        report.warn("box of an unknown joint", f"{row.film_id} {mark.joint!r}" + (f", did you mean {near[0]}?" if near else ""))
        return None
    w, h = (mark.h, mark.w) if row.turns % 2 else (mark.w, mark.h)
    point = math.isnan(w) and math.isnan(h)
    if not on or not (point or (0 < w <= row.width_px and 0 < h <= row.height_px)):
        report.warn("box outside its film", f"{row.film_id} {joint} at ({x:.0f}, {y:.0f}), sides {w:.0f} x {h:.0f}")
        return None
    sides = {"x_px": x, "y_px": y, "w_px": w, "h_px": h}
    return {"film_id": row.film_id, "joint": joint, "fold": -1, **sides, "conf": math.nan, "source": "truth"}


def _give_points_sides(rows: dict[tuple[str, str], dict], films: pd.DataFrame) -> None:
    """Square boxes around what was marked by a point, as wide as joints usually are to their distances."""
    by_film = defaultdict(list)
    for row in rows.values():
        by_film[row["film_id"]].append(row)
    for one in films.itertuples():
        own = by_film[one.film_id]
        points = [row for row in own if math.isnan(row["w_px"])]
        if not points:
            continue
        xy = np.array([(row["x_px"], row["y_px"]) for row in own])
        spread = float(np.sqrt(np.square(xy - xy.mean(axis=0)).sum(axis=1).mean()))
        side = FEW_SIDE_FRAC * max(one.width_px, one.height_px) if len(own) < FEW else POINT_SIDE[anatomy.limb(one.part)] * spread
        for row in points:
            row["w_px"] = row["h_px"] = max(side, 1.0)


def _report_incomplete(known: set[tuple[str, str]], films: pd.DataFrame, report: Report) -> None:
    """Warn of films that have joints of which nobody said where they are, or that they are outside."""
    counts = pd.Series([film_id for film_id, _ in known], dtype=object).value_counts()
    for one in films.itertuples():
        have, want = int(counts.get(one.film_id, 0)), len(anatomy.JOINTS[anatomy.limb(one.part)])
        if have < want:
            report.warn("film with too few boxes", f"{one.film_id} has {have} of {want}")
