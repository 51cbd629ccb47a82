"""Training data in ultralytics' format: canonical pictures at the network's input size, one label file each.

They are written once, so that the films need not be decoded in every epoch.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import yaml

from ra import atomic, training_log
from ra.anatomy import ALL_JOINTS
from ra.imaging import film
from stage1_detect.shape_model import CLASS


@dataclass(frozen=True)
class _Export:
    """One film to export. row: of the films table; labels (n, 5): class, x, y, w, h in the film's pixels."""

    row: Any
    labels: np.ndarray
    imgsz: int
    picture: Path


def _export(job: _Export) -> None:
    """Write one film mirrored to left at the network's size, and its label file."""
    grey, labels = film.load(job.row), job.labels
    height, width = grey.shape
    if job.row.laterality == "R":
        grey = grey[:, ::-1]
        labels = labels.copy()
        labels[:, 1] = width - labels[:, 1]
    factor = job.imgsz / max(height, width)
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    small = cv2.resize(np.ascontiguousarray(grey), None, fx=factor, fy=factor, interpolation=interpolation)
    cv2.imwrite(str(job.picture), small, [cv2.IMWRITE_JPEG_QUALITY, 92])
    rows = labels / [1, width, height, width, height]
    inside = (rows[:, 1] > 0) & (rows[:, 1] < 1) & (rows[:, 2] > 0) & (rows[:, 2] < 1)
    lines = [f"{int(r[0])} " + " ".join(f"{min(v, 1):.5f}" for v in r[1:]) for r in rows[inside]]
    label_file = job.picture.parent.parent / "labels" / f"{job.picture.stem}.txt"  # where ultralytics looks for it
    label_file.write_text("\n".join(lines) + "\n")


def export(films: pd.DataFrame, boxes: pd.DataFrame, imgsz: int, folder: Path) -> dict[str, str]:
    """Pictures and labels of all films that have boxes, shared by all folds: film_id -> picture. Rewritten if incomplete."""
    done = folder / "done"
    images = folder / "images"
    boxes_of = dict(iter(boxes.groupby("film_id")))
    films = films[films.film_id.isin(boxes_of)]
    if not done.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        images.mkdir(parents=True)
        (folder / "labels").mkdir()
        jobs = []
        for row in films.itertuples():
            table = boxes_of[row.film_id]
            labels = np.column_stack([table.joint.map(CLASS), table[["x_px", "y_px", "w_px", "h_px"]]]).astype(float)
            jobs.append(_Export(row, labels, imgsz, images / f"{row.film_id}.jpg"))
        with ThreadPool() as pool:
            list(training_log.progress(pool.imap(_export, jobs, chunksize=8), "pictures for the detector", len(jobs)))
        done.touch()
    return {film_id: str(images / f"{film_id}.jpg") for film_id in films.film_id}


def write_yaml(folder: Path, train: Iterable[str], val: Iterable[str]) -> Path:
    """Write ultralytics' data file with its two lists of pictures (the labels lie in the folder next to the pictures')."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, pictures in (("train", train), ("val", val)):
        (folder / f"{name}.txt").write_text("\n".join(str(Path(p).absolute()) for p in pictures) + "\n")
    path = folder / "data.yaml"
    lists = {"path": str(folder.absolute()), "train": "train.txt", "val": "val.txt"}
    atomic.write_text(path, yaml.safe_dump(lists | {"names": dict(enumerate(ALL_JOINTS))}))
    return path
