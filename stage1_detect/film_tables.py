"""Read the films of a table with a detector, several at a time, into tables of boxes and quality."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.pool import ThreadPool
from queue import SimpleQueue
from typing import TypeVar

import cv2
import numpy as np
import pandas as pd
import torch

from ra import training_log
from ra.anatomy import limb as limb_of
from ra.boxes import reduce_folds
from ra.imaging import film
from ra.tables import BOXES
from stage1_detect.inference import read_film
from stage1_detect.joint_detections import JointDetections, box_rows, template_joints
from stage1_detect.model import Detector

T, U = TypeVar("T"), TypeVar("U")
Job = tuple[Callable[[], np.ndarray], str | None]  # (function that opens a film, its part or None if the picture decides)


def jobs_of(films: pd.DataFrame) -> list[Job]:
    """The films of a table, each to be read as the side that its picture shows."""
    return [(partial(film.load, row), row.laterality + row.part[1]) for row in films.itertuples()]


def read_all(detector: Detector, jobs: list[Job], label: str) -> Iterator[JointDetections | film.FilmError | None]:
    """Readings in the order of the jobs; the FilmError of a film that cannot be decoded. label: of the progress bar."""

    def read_job(detector: Detector, job: Job) -> JointDetections | film.FilmError | None:
        open_film, part = job
        try:
            grey = open_film()
        except film.FilmError as error:
            return error
        return read_film(detector, grey, part)

    return in_parallel(detector, jobs, read_job, label)


def in_parallel(detector: Detector, jobs: list[T], work: Callable[[Detector, T], U], label: str) -> Iterator[U]:
    """The results of work(detector, job), in the order of the jobs, with progress; on a CPU one job per core at a time.

    Every thread has its own copy of the network, because ultralytics caches the last picture's anchors in it.
    """
    on_cpu = next(detector.network.parameters()).device.type == "cpu"
    n_threads = (os.cpu_count() or 1) if on_cpu else 1
    free: SimpleQueue = SimpleQueue()
    for _ in range(n_threads):
        free.put(detector._replace(network=copy.deepcopy(detector.network)))

    def run_one(job: T) -> U:
        borrowed = free.get()
        try:
            return work(borrowed, job)
        finally:
            free.put(borrowed)

    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        with ThreadPool(n_threads) as pool:
            yield from training_log.progress(pool.imap(run_one, jobs), label, len(jobs))
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def film_table(films: pd.DataFrame, detector: Detector, fold: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Boxes and quality of films read by one detector. A film in which no limb is detected gets the null model's boxes."""
    boxes, quality = [], []
    readings = read_all(detector, jobs_of(films), f"boxes, fold {fold}")
    for row, result in zip(films.itertuples(), readings, strict=True):
        if isinstance(result, JointDetections):
            reading = result
        else:
            print(f"{row.film_id}: no {limb_of(row.part)} detected; using template joint positions")
            reading = template_joints(row.laterality + row.part[1], row.width_px, row.height_px)
        boxes += box_rows(reading, row.film_id, fold, (row.width_px, row.height_px))
        n_template = int(np.isnan(reading.conf).sum())
        quality.append({"film_id": row.film_id, "quality": reading.quality, "from_template": n_template})
    columns = ["film_id", "quality", "from_template"]
    return pd.DataFrame(boxes, columns=list(BOXES.columns)), pd.DataFrame(quality, columns=columns)


def template_table(films: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Boxes and quality of films by the null model. films: the films table with a column fold."""
    boxes = []
    for row in films.itertuples():
        reading = template_joints(row.laterality + row.part[1], row.width_px, row.height_px)
        boxes += box_rows(reading, row.film_id, row.fold)
    return pd.DataFrame(boxes, columns=list(BOXES.columns)), pd.DataFrame({"film_id": films.film_id, "quality": 0.0})


def pooled_table(tables: list[tuple[pd.DataFrame, pd.DataFrame]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Boxes and quality of several detectors reduced to one row per joint and per film (ra.boxes.reduce_folds)."""
    boxes = reduce_folds(pd.concat([boxes for boxes, _ in tables]))
    quality = pd.concat([quality for _, quality in tables]).groupby("film_id", as_index=False).mean()
    return boxes.assign(fold=-1), quality
