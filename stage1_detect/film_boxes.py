"""Films read in parallel, and their readings as rows of the Boxes table."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from multiprocessing.pool import ThreadPool
from queue import SimpleQueue
from typing import TypeVar

import cv2
import numpy as np
import pandas as pd
import torch

from ra import track
from ra.anatomy import JOINTS, limb
from ra.imaging import film
from stage1_detect import shape_model
from stage1_detect.inference import Detector, Reading, read_film

T, U = TypeVar("T"), TypeVar("U")
Job = tuple[Callable[[], np.ndarray], str | None]  # opens a film; its part, None when the picture shall tell


def jobs_of(films: pd.DataFrame) -> list[Job]:
    """The films of a table, each to be read as the side that its picture shows."""
    return [(partial(film.load, row), row.laterality + row.part[1]) for row in films.itertuples()]


def read_all(detector: Detector, jobs: list[Job], what: str) -> Iterable[Reading | film.FilmError | None]:
    """Readings in the order of the jobs; a film that cannot be decoded gives its FilmError instead."""

    def read_one(own: Detector, job: Job) -> Reading | film.FilmError | None:
        try:
            grey = job[0]()
        except film.FilmError as error:
            return error
        return read_film(own, grey, job[1])

    return in_parallel(detector, jobs, read_one, what)


def in_parallel(detector: Detector, jobs: list[T], work: Callable[[Detector, T], U], what: str) -> Iterator[U]:
    """work(detector, job) of every job, in their order, with progress; on a CPU as many at a time as it has cores.

    One copy of the network per thread, as ultralytics keeps the last picture's anchors in it.
    """
    model, imgsz, shapes = detector
    on_cpu = next(model.parameters()).device.type == "cpu"
    n = (os.cpu_count() or 1) if on_cpu else 1
    copies: SimpleQueue = SimpleQueue()
    for _ in range(n):
        copies.put(copy.deepcopy(model))

    def one(job: T) -> U:
        own = copies.get()
        try:
            return work((own, imgsz, shapes), job)
        finally:
            copies.put(own)

    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        with ThreadPool(n) as pool:
            yield from track.progress(pool.imap(one, jobs), what, len(jobs))
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def by_template(part: str, width: int, height: int) -> Reading:
    """The null model's reading: every joint at its usual place on a film of that size."""
    joints = JOINTS[limb(part)]
    usual = np.array([shape_model.USUAL[j] for j in joints])
    if part[0] == "R":
        usual[:, 0] = 1 - usual[:, 0]
    points = usual * [width, height]
    shape = shape_model.load()[limb(part)]
    spread = np.sqrt(((points - points.mean(0)) ** 2).sum(1).mean())
    return Reading(part, joints, points, shape.box * spread, np.full(len(joints), np.nan), 0.0, np.zeros(len(joints)))


def rows(reading: Reading, film_id: str, fold: int, size_px: tuple[int, int] | None = None) -> list[dict]:
    """A reading as rows of the Boxes table. size_px: (width, height) of the film, beyond whose edges joints are `outside`."""
    off = reading.outside(*size_px) if size_px else np.zeros(len(reading.joints), bool)
    source = np.where(off, "outside", np.where(np.isnan(reading.conf), "template", "model"))
    return [
        {
            "film_id": film_id, "joint": joint, "fold": fold, "x_px": x, "y_px": y, "w_px": side, "h_px": side,
            "conf": float(min(conf, 1.0)), "source": str(kind),
        }
        for joint, (x, y), side, conf, kind in zip(reading.joints, reading.points, reading.box, reading.conf, source, strict=True)
    ]  # fmt: skip
