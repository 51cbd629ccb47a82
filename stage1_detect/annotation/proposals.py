"""Joints that the detector proposes on films for a person to correct: every limb it finds."""

from __future__ import annotations

import copy
import threading
from pathlib import Path

import numpy as np

from ra import film_names
from ra.imaging import film
from ra.imaging.film import Frame
from stage1_detect import inference, limb_search, quality_gate
from stage1_detect.annotation.marked import MarkedFilm, MarkedLimb, Reread
from stage1_detect.annotation.session import Session
from stage1_detect.film_tables import in_parallel
from stage1_detect.joint_detections import JointDetections, template_joints
from stage1_detect.model import Detector

DEFAULT_PART = "LH"  # proposed if neither the name nor the picture shows a part
LEAST_WINDOW_PX = 32  # side of a window in which a limb can be searched for


def read_waiting(session: Session, detector: Detector) -> None:
    """Read every waiting film with the detector, showing progress."""
    waiting = session.waiting()
    proposals = in_parallel(detector, [entry.path for entry in waiting], propose, "proposing joints")
    for entry, (marked, quality) in zip(waiting, proposals, strict=True):
        session.propose(entry, marked, quality)


def propose(detector: Detector, path: Path) -> tuple[MarkedFilm | film.FilmError, float]:
    """The film with the limbs found, each part once, and the worst limb's quality; the film's error if it cannot be decoded."""
    try:
        grey = film.read(path)
    except film.FilmError as error:
        return error, 0.0
    height, width = grey.shape
    declared = film_names.part_of(path.stem)
    limbs: dict[str, MarkedLimb] = {}
    quality = []
    for limb in limb_search.find(detector, grey, declared):
        if limb.reading.part not in limbs:
            limbs[limb.reading.part] = proposal(limb.reading, limb.frame, width, height)
            quality.append(quality_gate.quality_on_film(limb.frame, limb.reading))
    if not limbs:
        template = template_joints(declared or DEFAULT_PART, width, height)
        limbs, quality = {template.part: proposal(template, Frame(0, 0, width, height), width, height)}, [0.0]
    return MarkedFilm(width, height, list(limbs.values())), min(quality)


def proposal(reading: JointDetections, frame: Frame, width_px: int, height_px: int) -> MarkedLimb:
    """A reading in a frame as a limb on the file's picture, which has that size; joints beyond its edges are outside."""
    limb = MarkedLimb(reading.part)
    points = frame.to_file(reading.points)
    for joint, (x, y), side, conf in zip(reading.joints, points, reading.box, reading.conf, strict=True):
        if not (0 <= x <= width_px - 1 and 0 <= y <= height_px - 1):
            limb.outside.append(joint)
            continue
        limb.boxes[joint] = [round(float(v), 2) for v in (x, y, *[min(side, width_px, height_px)] * 2)]
        if np.isnan(conf):
            limb.guessed.append(joint)
    return limb


def rereader(detector: Detector) -> Reread:
    """A function that reads a film again as another part, or within a window (left, top, right, bottom in px)."""
    private = detector._replace(network=copy.deepcopy(detector.network))
    lock = threading.Lock()  # the network caches the last picture's anchors

    def reread(path: Path, part: str | None, window: list[float] | None) -> MarkedLimb:
        grey = film.read(path)
        height, width = grey.shape
        left, top, right, bottom = window_px(window, width, height)
        frame = Frame(left, top, right - left, bottom - top)
        with lock:
            reading = inference.read_film(private, frame.cut(grey), part)
        if reading is None:
            reading = template_joints(part or DEFAULT_PART, frame.width_px, frame.height_px)
        return proposal(reading, frame, width, height)

    return reread


def window_px(window: list[float] | None, width: int, height: int) -> tuple[int, int, int, int]:
    """The window in a page's request as whole px within the film; ValueError if it is malformed or too small."""
    if window is None:
        return 0, 0, width, height
    try:
        left, top, right, bottom = (int(v) for v in window)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("a window is left, top, right, bottom in px") from None
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if min(right - left, bottom - top) < LEAST_WINDOW_PX:
        raise ValueError("there is no room for another limb beside the first")
    return left, top, right, bottom
