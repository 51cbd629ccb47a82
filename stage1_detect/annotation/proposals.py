"""What the detector proposes on films that a person is to correct: every limb it finds, named by what it sees."""

from __future__ import annotations

import copy
import threading
from pathlib import Path

import numpy as np

from ra.imaging import film
from ra.imaging.film import Frame
from stage1_detect import inference, limb_search, quality_gate
from stage1_detect.annotation import coco_file as coco
from stage1_detect.annotation.session import Corrections
from stage1_detect.detect import part_of
from stage1_detect.film_boxes import by_template, in_parallel
from stage1_detect.inference import Detector, Reading

NONE_FOUND = "LH"  # the part first shown of a film of which nothing tells it
LEAST_ROOM_PX = 32  # of a window in which a limb is looked for


def read_waiting(films: Corrections, detector: Detector) -> None:
    """Let the detector read every film that waits, with progress."""
    waiting = films.waiting()
    for entry, (marked, quality) in zip(
        waiting, in_parallel(detector, [entry.path for entry in waiting], propose, "proposing joints"), strict=True
    ):
        films.propose(entry, marked, quality)


def propose(detector: Detector, path: Path) -> tuple[coco.Film | film.FilmError, float]:
    """The film with the limbs found, each part once, and the quality of the worst; the error of one that cannot be read."""
    try:
        grey = film.read(path)
    except film.FilmError as error:
        return error, 0.0
    height, width = grey.shape
    found: dict[str, coco.Limb] = {}
    quality = []
    for limb in limb_search.find(detector, grey, part_of(path)):
        if limb.reading.part not in found:
            found[limb.reading.part] = proposal(limb.reading, limb.frame, width, height)
            quality.append(quality_gate.quality_on_film(limb.frame, limb.reading))
    if not found:
        usual = by_template(part_of(path) or NONE_FOUND, width, height)
        found, quality = {usual.part: proposal(usual, Frame(0, 0, width, height), width, height)}, [0.0]
    return coco.Film(width, height, list(found.values())), min(quality)


def proposal(reading: Reading, frame: Frame, width_px: int, height_px: int) -> coco.Limb:
    """A reading of the film in a frame as a limb on its file's picture of that size; joints beyond its edges are outside."""
    limb = coco.Limb(reading.part)
    points = frame.to_file(reading.points)
    for joint, (x, y), side, conf in zip(reading.joints, points, reading.box, reading.conf, strict=True):
        if not (0 <= x <= width_px - 1 and 0 <= y <= height_px - 1):
            limb.outside.append(joint)
            continue
        limb.boxes[joint] = [round(float(v), 2) for v in (x, y, *[min(side, width_px, height_px)] * 2)]
        if np.isnan(conf):
            limb.guessed.append(joint)
    return limb


def rereader(detector: Detector):
    """What reads one film again (page.Reread): as another part, or within a window of it (left, top, right, bottom in px)."""
    own = copy.deepcopy(detector[0]), *detector[1:]
    lock = threading.Lock()  # the network keeps the last picture's anchors

    def reread(path: Path, part: str | None, window: list[float] | None) -> coco.Limb:
        grey = film.read(path)
        height, width = grey.shape
        left, top, right, bottom = window_px(window, width, height)
        frame = Frame(left, top, right - left, bottom - top)
        with lock:
            seen = inference.read_film(own, frame.cut(grey), part)
        return proposal(seen or by_template(part or NONE_FOUND, frame.width_px, frame.height_px), frame, width, height)

    return reread


def window_px(window: list[float] | None, width: int, height: int) -> tuple[int, int, int, int]:
    """A window that a page sends as whole px within the film; ValueError when it is none."""
    if window is None:
        return 0, 0, width, height
    try:
        left, top, right, bottom = (int(v) for v in window)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("a window is left, top, right, bottom in px") from None
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if min(right - left, bottom - top) < LEAST_ROOM_PX:
        raise ValueError("there is no room for another limb beside the first")
    return left, top, right, bottom
