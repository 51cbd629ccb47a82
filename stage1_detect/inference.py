"""From a film to one box per joint: the network's candidates, named and completed by the shape model."""

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

from ra import track
from ra.anatomy import JOINTS, PARTS
from ra.anatomy import limb as limb_of
from ra.boxes import reduce_folds
from ra.imaging import film
from ra.tables import BOXES
from stage1_detect import shape_model
from stage1_detect.model import Detector, predict
from stage1_detect.orientation import PADDING
from stage1_detect.reading import Reading, box_rows, from_fit, template_reading
from stage1_detect.shape_model import CLASS

GOOD = 0.62  # quality from which no other view is tried
# Views of a film at test time, in order: (magnification, quarter turns). A limb that is small on its film needs a larger picture.
TTA_VIEWS = ((1.0, 0), (1.0, 1), (1.0, 3), (1.0, 2), (1.8, 0), (1.8, 1), (1.8, 3), (1.8, 2))

T, U = TypeVar("T"), TypeVar("U")
Job = tuple[Callable[[], np.ndarray], str | None]  # opens a film; its part, None if the picture is to decide


def view(grey: np.ndarray, turns: int, mirror: bool, imgsz: int) -> tuple[np.ndarray, float]:
    """A view of the film and its factor (view px per film px): mirrored if asked, turned, long side imgsz, padded to 32s.

    turns: quarter turns, counter-clockwise.
    """
    image = np.rot90(grey[:, ::-1] if mirror else grey, turns)
    factor = imgsz / max(image.shape)
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    small = cv2.resize(np.ascontiguousarray(image), None, fx=factor, fy=factor, interpolation=interpolation)
    height, width = (-(-side // 32) * 32 for side in small.shape)
    below, right = height - small.shape[0], width - small.shape[1]
    return cv2.copyMakeBorder(small, 0, below, 0, right, cv2.BORDER_CONSTANT, value=PADDING), factor


def undo_view(points: np.ndarray, shape: tuple[int, int], turns: int, mirror: bool) -> np.ndarray:
    """Points of a view (already divided by its factor) in the pixels of the film of `shape` (H, W)."""
    height, width = shape
    x, y = points[:, 0].copy(), points[:, 1].copy()
    sides = (width, height) if turns % 2 == 0 else (height, width)  # of the turned picture
    for _ in range(turns):  # one clockwise quarter turn each
        x, y = sides[1] - y, x
        sides = sides[::-1]
    return np.stack([width - x if mirror else x, y], 1)


def candidates(raw: np.ndarray, limb: str, per_joint: int = 4, floor: float = 0.01) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Candidates of one limb from raw predictions (N, 4 + 28): places (M, 2), sides (M,), scores (M, J).

    Of each joint the best few peaks. Peaks of joints of one row that coincide are one candidate with several scores.
    """
    joints = JOINTS[limb]
    index = {joint: i for i, joint in enumerate(joints)}
    rows = [[index[j] for j in row] for row in shape_model.ROWS[limb]]
    rows += [[i] for i in range(len(joints)) if not any(i in row for row in rows)]
    places, sides, scores = [], [], []
    for row in rows:
        row_scores = raw[:, [4 + CLASS[joints[i]] for i in row]]
        best = row_scores.max(1)
        order = np.argsort(-best)[: 60 * len(row)]
        order = order[best[order] > floor]
        for peak in _peaks(raw, order, per_joint + 3 * len(row)):
            around = order[np.hypot(*(raw[order, :2] - raw[peak, :2]).T) < 0.4 * raw[peak, 2]]
            weights = best[around] ** 2
            places.append(np.average(raw[around, :2], axis=0, weights=weights))
            sides.append(float(np.average(raw[around, 2:4].mean(1), weights=weights)))
            vector = np.zeros(len(joints))
            vector[row] = row_scores[around].max(0)
            scores.append(vector)
    return np.array(places).reshape(-1, 2), np.array(sides), np.array(scores).reshape(-1, len(joints))


def _peaks(raw: np.ndarray, order: np.ndarray, most: int) -> list[int]:
    """Rows of raw predictions, best first, without those that lie within a better one's box; at most `most`."""
    kept: list[int] = []
    for i in order:
        if any(np.hypot(*(raw[i, :2] - raw[k, :2])) < 0.4 * raw[k, 2] for k in kept):
            continue
        kept.append(int(i))
        if len(kept) >= most:
            break
    return kept


def read_film(detector: Detector, grey: np.ndarray, part: str | None = None) -> Reading | None:
    """The joints of a film; None if no hand or foot is detected. part None: the picture decides (a hand lies on its palm).

    Other quarter turns and a larger picture are tried only if the upright view gives a poor quality.
    """
    mirrors = [part[0] == "R"] if part else [False, True]
    limbs = [limb_of(part)] if part else ["hand", "foot"]
    best: Reading | None = None
    for magnification, turns in TTA_VIEWS:
        for mirror in mirrors:
            image, factor = view(grey, turns, mirror, round(magnification * detector.imgsz))
            raw = predict(detector.network, image[None])[0]
            for limb in limbs:
                fit = shape_model.assign_joints(detector.shapes[limb], *candidates(raw, limb))
                if fit is None or (best and fit.quality <= best.quality):
                    continue
                shown = part or next(p for p in PARTS if p[0] == ("R" if mirror else "L") and limb_of(p) == limb)
                best = from_fit(shown, fit, undo_view(fit.points / factor, grey.shape, turns, mirror), 1 / factor)
        if best and best.quality >= GOOD:
            break
    return best


def jobs_of(films: pd.DataFrame) -> list[Job]:
    """The films of a table, each to be read as the side that its picture shows."""
    return [(partial(film.load, row), row.laterality + row.part[1]) for row in films.itertuples()]


def read_all(detector: Detector, jobs: list[Job], label: str) -> Iterator[Reading | film.FilmError | None]:
    """Readings in the order of the jobs; the FilmError of a film that cannot be decoded. label: of the progress bar."""

    def read_job(detector: Detector, job: Job) -> Reading | film.FilmError | None:
        open_film, part = job
        try:
            grey = open_film()
        except film.FilmError as error:
            return error
        return read_film(detector, grey, part)

    return in_parallel(detector, jobs, read_job, label)


def in_parallel(detector: Detector, jobs: list[T], work: Callable[[Detector, T], U], label: str) -> Iterator[U]:
    """work(detector, job) of every job, in their order, with progress; on a CPU one job per core at a time.

    Every thread has its own copy of the network, because ultralytics caches the last picture's anchors in it.
    """
    on_cpu = next(detector.network.parameters()).device.type == "cpu"
    n_threads = (os.cpu_count() or 1) if on_cpu else 1
    free: SimpleQueue = SimpleQueue()
    for _ in range(n_threads):
        free.put(detector._replace(network=copy.deepcopy(detector.network)))

    def do(job: T) -> U:
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
            yield from track.progress(pool.imap(do, jobs), label, len(jobs))
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def film_table(films: pd.DataFrame, detector: Detector, fold: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Boxes and quality of films read by one detector. A film in which no limb is detected gets the null model's boxes."""
    boxes, quality = [], []
    readings = read_all(detector, jobs_of(films), f"boxes, fold {fold}")
    for row, result in zip(films.itertuples(), readings, strict=True):
        if isinstance(result, Reading):
            reading = result
        else:
            print(f"{row.film_id}: no {limb_of(row.part)} detected; using template joint positions")
            reading = template_reading(row.laterality + row.part[1], row.width_px, row.height_px)
        boxes += box_rows(reading, row.film_id, fold, (row.width_px, row.height_px))
        n_template = int(np.isnan(reading.conf).sum())
        quality.append({"film_id": row.film_id, "quality": reading.quality, "from_template": n_template})
    columns = ["film_id", "quality", "from_template"]
    return pd.DataFrame(boxes, columns=list(BOXES.columns)), pd.DataFrame(quality, columns=columns)


def template_table(films: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Boxes and quality of films by the null model; the films table with a column fold."""
    boxes = []
    for row in films.itertuples():
        reading = template_reading(row.laterality + row.part[1], row.width_px, row.height_px)
        boxes += box_rows(reading, row.film_id, row.fold)
    return pd.DataFrame(boxes, columns=list(BOXES.columns)), pd.DataFrame({"film_id": films.film_id, "quality": 0.0})


def pooled_table(tables: list[tuple[pd.DataFrame, pd.DataFrame]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Boxes and quality of several detectors reduced to one row per joint and per film (ra.boxes.reduce_folds)."""
    boxes = reduce_folds(pd.concat([boxes for boxes, _ in tables]))
    quality = pd.concat([quality for _, quality in tables]).groupby("film_id", as_index=False).mean()
    return boxes.assign(fold=-1), quality
