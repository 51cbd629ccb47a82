"""Find the limbs on a picture one after the other, whatever their size and rotation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from ra.imaging.film import Frame
from stage1_detect import orientation
from stage1_detect.inference import LEAST_GREYS, search, stretched
from stage1_detect.joint_detections import JointDetections
from stage1_detect.model import Detector

LEAST_FURTHER_QUALITY, MOST_LIMBS = 0.5, 6  # least quality of a limb after the first; largest number of limbs searched for
UNEXPLAINED = 4  # strong detections outside all limbs found that justify another search


@dataclass(frozen=True)
class Limb:
    """A limb of a picture: its frame, and its reading in the frame's pixels.

    other_side_quality: best quality when read as the other side, NaN if that was not tried.
    """

    frame: Frame
    reading: JointDetections
    other_side_quality: float


def find(detector: Detector, grey: np.ndarray, part: str | None = None) -> list[Limb]:
    """The limbs of a picture (H, W), the best first; empty if there is none. A declared part is tried first.

    The first is the place that resembles a limb most; quality_gate decides whether it is one.
    """
    if np.ptp(grey[::8, ::8]) < LEAST_GREYS:
        return []
    grey = remaining = stretched(grey)
    readings: list[JointDetections] = []
    other_sides: list[float] = []
    while len(readings) < MOST_LIMBS:
        found = search(detector, remaining, None if readings else part)
        if found.reading is None or (readings and found.reading.quality < LEAST_FURTHER_QUALITY):
            break
        readings.append(found.reading)
        other_sides.append(found.other_side_quality)
        unexplained = unexplained_detections(found.places, readings, grey.shape)
        if found.reading.quality < LEAST_FURTHER_QUALITY or unexplained < UNEXPLAINED:
            break
        remaining = _painted_over(remaining, found.reading)
    turns = [orientation.quarter_turns(reading, grey.shape) for reading in readings]
    frames = orientation.frames(grey, [(reading.points, k) for reading, k in zip(readings, turns, strict=True)])
    return [
        Limb(frame, replace(reading, points=frame.from_file(reading.points)), other_side_quality)
        for frame, reading, other_side_quality in zip(frames, readings, other_sides, strict=True)
    ]


def unexplained_detections(places: np.ndarray, readings: list[JointDetections], shape: tuple[int, int]) -> int:
    """How many of the detections' places (n, 2) lie outside the outlines of all limbs found on a picture of `shape` (H, W)."""
    outside = np.ones(len(places), bool)
    for reading in readings:
        corners = orientation.outline(reading, shape).astype(np.float32)
        outside &= np.array([cv2.pointPolygonTest(corners, (float(x), float(y)), False) < 0 for x, y in places], bool)
    return int(outside.sum())


def _painted_over(grey: np.ndarray, reading: JointDetections) -> np.ndarray:
    """The picture with a limb painted over in a dark grey of the picture."""
    out = grey.copy()
    corners = np.round(orientation.outline(reading, grey.shape)).astype(np.int32)
    cv2.fillPoly(out, [corners], int(np.percentile(grey[::8, ::8], 5)))
    return out
