"""Joint boxes that come with a set: COCO JSON, category names as in ra/anatomy.py."""

from __future__ import annotations

import difflib
import json
import math
from pathlib import Path

import pandas as pd

from data.report import Report
from ra import anatomy
from ra.config import UserError
from ra.tables import BOXES


def read(files: tuple[Path, ...], films: pd.DataFrame, report: Report) -> pd.DataFrame:
    """Boxes table (`source=truth`, fold -1) of the films that the files name; what is faulty is reported and left out.

    films: the part of the films table that the file is about. bbox is x, y (left, top), width, height, in pixels of the
    upright picture.
    """
    (path,) = files
    coco = _load(path)
    by_name = {Path(film.path).name: film for film in films.itertuples()}
    images = {image["id"]: _match(image, by_name, path, report) for image in coco["images"]}
    names = {category["id"]: category["name"] for category in coco["categories"]}
    rows: dict[tuple[str, str], dict] = {}
    for note in coco["annotations"]:
        film = images.get(note["image_id"])
        if film is None:
            continue  # reported once, with its image
        joint = names.get(note["category_id"], f"category {note['category_id']}")
        row = _box(film, joint, note["bbox"], report)
        if row and (film.film_id, joint) in rows:
            report.warn("duplicate box", f"{film.film_id} {joint}")
        elif row:
            rows[film.film_id, joint] = row
    _report_incomplete(rows, films, report)
    return BOXES.check(pd.DataFrame(list(rows.values()), columns=list(BOXES.columns)))


def _load(path: Path) -> dict:
    """The three lists of a COCO file, each record with the keys that are needed."""
    needed = {"images": ("id", "file_name"), "annotations": ("image_id", "category_id", "bbox"), "categories": ("id", "name")}
    try:
        coco = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid JSON ({error}); write it again") from None
    for key, fields in needed.items():
        records = coco.get(key) if isinstance(coco, dict) else None
        if not isinstance(records, list):
            raise UserError(f"{path} lacks the list {key!r}; it must be COCO: images, annotations, categories")
        for record in records:
            lacking = [f for f in fields if not isinstance(record, dict) or f not in record]
            if lacking:
                raise UserError(f"{path}: an entry of {key} lacks {lacking[0]!r}: {str(record)[:80]}; add it")
    return coco


def _match(image: dict, by_name: dict, path: Path, report: Report):
    """The film's row, or None when the set has no readable film of that name."""
    name = Path(str(image["file_name"])).name
    film = by_name.get(name)
    if film is None:
        report.warn("box of an unknown film", f"{path.name} names {name}")
        return None
    claimed, real = (image.get("width"), image.get("height")), (film.width_px, film.height_px)
    if None not in claimed and claimed != real:
        report.warn(
            "size differs from the boxes' file", f"{name} is {real[0]} x {real[1]} upright, there {claimed[0]} x {claimed[1]}"
        )
    return film


def _box(film, joint: str, bbox: list[float], report: Report) -> dict | None:
    known = anatomy.JOINTS[anatomy.limb(film.part)]
    if joint not in known:
        near = difflib.get_close_matches(joint, known, n=1)
        report.warn("box of an unknown joint", f"{film.film_id} {joint!r}" + (f", did you mean {near[0]}?" if near else ""))
        return None
    try:
        x, y, w, h = (float(v) for v in bbox)
    except (TypeError, ValueError):
        x = y = w = h = math.nan
    row = {"x_px": x + w / 2, "y_px": y + h / 2, "w_px": w, "h_px": h}
    inside = 0 <= row["x_px"] < film.width_px and 0 <= row["y_px"] < film.height_px
    if not (inside and 0 < w < math.inf and 0 < h < math.inf):
        report.warn("box outside its film", f"{film.film_id} {joint} {bbox}")
        return None
    return {"film_id": film.film_id, "joint": joint, "fold": -1, **row, "conf": math.nan, "source": "truth"}


def _report_incomplete(rows: dict, films: pd.DataFrame, report: Report) -> None:
    counts = pd.Series([film_id for film_id, _ in rows], dtype=object).value_counts()
    for film in films.itertuples():
        have, want = int(counts.get(film.film_id, 0)), len(anatomy.JOINTS[anatomy.limb(film.part)])
        if have < want:
            report.warn("film with too few boxes", f"{film.film_id} has {have} of {want}")
