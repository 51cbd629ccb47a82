"""Films and boxes as the YOLO trainer wants them: canonical pictures of the network's size, one text file each.

They are written once; no epoch reads the films themselves, whatever their size.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import yaml

from ra import track
from ra.anatomy import ALL_JOINTS
from ra.imaging import film
from stage1_detect.shape_model import CLASS


def _export(job: tuple[Any, np.ndarray, int, Path]) -> str:
    """Write one film (its row) mirrored to left at imgsz with its labels; boxes: class, x, y, w, h in the film's pixels."""
    row, boxes, imgsz, target = job
    grey = film.load(row)
    height, width = grey.shape
    if row.laterality == "R":
        grey = grey[:, ::-1]
        boxes = boxes.copy()
        boxes[:, 1] = width - boxes[:, 1]
    factor = imgsz / max(height, width)
    small = cv2.resize(
        np.ascontiguousarray(grey), None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    )
    cv2.imwrite(str(target.with_suffix(".jpg")), small, [cv2.IMWRITE_JPEG_QUALITY, 92])
    rows = boxes / [1, width, height, width, height]
    inside = (rows[:, 1] > 0) & (rows[:, 1] < 1) & (rows[:, 2] > 0) & (rows[:, 2] < 1)
    lines = [f"{int(r[0])} " + " ".join(f"{min(v, 1):.5f}" for v in r[1:]) for r in rows[inside]]
    labels = target.parent.parent / "labels" / f"{target.stem}.txt"  # where ultralytics looks for those of images/
    labels.write_text("\n".join(lines) + "\n")
    return str(target.with_suffix(".jpg"))


def export(films: pd.DataFrame, boxes: pd.DataFrame, imgsz: int, folder: Path) -> dict[str, str]:
    """Pictures and labels of all films that have boxes, once for all folds: film_id -> picture. Redone when incomplete."""
    done = folder / "done"
    images = folder / "images"
    by_film = dict(iter(boxes.groupby("film_id")))
    films = films[films.film_id.isin(by_film)]
    if not done.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        images.mkdir(parents=True)
        (folder / "labels").mkdir()
        jobs = [
            (
                row,
                np.column_stack(
                    [by_film[row.film_id].joint.map(CLASS), by_film[row.film_id][["x_px", "y_px", "w_px", "h_px"]]]
                ).astype(float),
                imgsz,
                images / f"{row.film_id}.jpg",
            )
            for row in films.itertuples()
        ]
        with ThreadPool() as pool:
            list(track.progress(pool.imap(_export, jobs, chunksize=8), "pictures for the detector", len(jobs)))
        done.touch()
    return {film_id: str(images / f"{film_id}.jpg") for film_id in films.film_id}


def write_yaml(folder: Path, train: Iterable[str], held_back: Iterable[str]) -> Path:
    """The trainer's data file with its two lists of pictures (labels lie in the folder beside theirs)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, pictures in (("train", train), ("val", held_back)):
        (folder / f"{name}.txt").write_text("\n".join(str(Path(p).absolute()) for p in pictures) + "\n")
    path = folder / "data.yaml"
    path.write_text(
        yaml.safe_dump(
            {"path": str(folder.absolute()), "train": "train.txt", "val": "val.txt", "names": dict(enumerate(ALL_JOINTS))}
        )
    )
    return path
