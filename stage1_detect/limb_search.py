"""Find the limbs of a picture, of any size and turn, one after the other.

A first pass over the whole picture locates a limb roughly. It is then refined: the network sees the limb again as on a routine
film (upright, mirrored to left, of typical size), so that its quality does not depend on size, tilt and greys on the picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ra.anatomy import limb as limb_of
from ra.imaging import intensity
from ra.imaging.film import Frame
from stage1_detect import inference, orientation, shape_model
from stage1_detect.model import Detector, predict
from stage1_detect.reading import Reading, from_fit

LEAST_GREYS = 4  # a picture with fewer shows nothing
ROUTINE = 0.82  # quality of a routine film, from which nothing else is tried
LEAST_FIRST_QUALITY, REFINED = 0.12, 3  # least quality of a first pass that is worth refining; how many are refined
LEAST_FURTHER_QUALITY, MOST_LIMBS = 0.5, 6  # least quality of a limb after the first; how many are searched for
UNEXPLAINED_SCORE, UNEXPLAINED = 0.3, 4  # score of a detection outside all found limbs; how many justify another search
# (magnification, quarter turns) of the first pass. A limb that is small on its film needs a larger picture.
TTA_VIEWS = ((1.0, 0), (1.8, 0), (1.0, 1), (1.0, 3), (1.0, 2), (1.8, 1), (1.8, 3), (1.8, 2))


@dataclass(frozen=True)
class FirstPass:
    """Result of one view: the reading in the picture's pixels, and the places (n, 2) of all detections."""

    reading: Reading | None
    places: np.ndarray


@dataclass(frozen=True)
class Limb:
    """A limb of a picture: its frame, and its reading in the frame's pixels.

    other_side_quality: best quality when read as the other side, NaN if that was not tried.
    """

    frame: Frame
    reading: Reading
    other_side_quality: float


def find(detector: Detector, grey: np.ndarray, part: str | None = None) -> list[Limb]:
    """The limbs of a picture (H, W), the best first; empty if there is none. A declared part is tried first.

    The first one is whatever resembles a limb most: quality_gate decides whether it is one.
    """
    if np.ptp(grey[::8, ::8]) < LEAST_GREYS:
        return []
    grey = remaining = stretched(grey)
    readings: list[Reading] = []
    other_sides: list[float] = []
    while len(readings) < MOST_LIMBS:
        reading, other_side_quality, places = search(detector, remaining, None if readings else part)
        if reading is None or (readings and reading.quality < LEAST_FURTHER_QUALITY):
            break
        readings.append(reading)
        other_sides.append(other_side_quality)
        if reading.quality < LEAST_FURTHER_QUALITY or unexplained_detections(places, readings, grey.shape) < UNEXPLAINED:
            break
        remaining = _painted_over(remaining, reading)
    frames = orientation.frames_of_readings(grey, readings)
    return [
        Limb(frame, replace(reading, points=frame.from_file(reading.points)), other_side_quality)
        for frame, reading, other_side_quality in zip(frames, readings, other_sides, strict=True)
    ]


def stretched(grey: np.ndarray) -> np.ndarray:
    """The picture with its greys stretched to 0..255 if they fill less than half of that, so that dark films can be read."""
    low, high = np.percentile(grey[::8, ::8], (0.5, 99.5))
    if high - low >= 128 or high - low < LEAST_GREYS:
        return grey
    return intensity.stretch_table(low, high)[grey]


def search(detector: Detector, grey: np.ndarray, part: str | None) -> tuple[Reading | None, float, np.ndarray]:
    """The best reading of a picture, its quality as the other side (NaN if not tried), and the places of all detections."""
    best: dict[str, Reading] = {}  # by part
    places = [np.empty((0, 2))]
    ranked: list[Reading] = []
    for magnification, turns in TTA_VIEWS:
        for first in _first_passes(detector, grey, magnification, turns, part):
            places.append(first.places)
            if first.reading and first.reading.quality > getattr(best.get(first.reading.part), "quality", LEAST_FIRST_QUALITY):
                best[first.reading.part] = first.reading
            if part in best and best[part].quality >= ROUTINE:
                return best[part], np.nan, np.concatenate(places)
        ranked = sorted(best.values(), key=lambda r: -r.quality)
        if ranked and ranked[0].quality >= inference.GOOD:
            break
    if ranked and ranked[0].quality < ROUTINE:
        ranked = [refine(detector, grey, reading) for reading in ranked[:REFINED]]
    if not ranked:
        return None, np.nan, np.concatenate(places)
    winner = max(ranked, key=lambda r: r.quality)
    other_side = [r.quality for r in ranked if r.part[0] != winner.part[0] and r.part[1] == winner.part[1]]
    return winner, max(other_side, default=0.0), np.concatenate(places)


def _first_passes(
    detector: Detector, grey: np.ndarray, magnification: float, turns: int, part: str | None
) -> Iterator[FirstPass]:
    """One view of the whole picture read as each side and limb, the declared ones first."""
    for side in ("R", "L") if part and part[0] == "R" else ("L", "R"):
        mirror = side == "R"
        image, factor = inference.view(grey, turns, mirror, round(magnification * detector.imgsz))
        raw = predict(detector.network, image[None])[0]
        for limb in ("foot", "hand") if part and part[1] == "F" else ("hand", "foot"):
            places, sides, scores = inference.candidates(raw, limb)
            detected = np.empty((0, 2))
            if len(places):
                strong = places[scores.max(1) > UNEXPLAINED_SCORE]
                detected = inference.undo_view(strong / factor, grey.shape, turns, mirror)
            fit = shape_model.assign_joints(detector.shapes[limb], places, sides, scores)
            if fit is None:
                yield FirstPass(None, detected)
                continue
            points = inference.undo_view(fit.points / factor, grey.shape, turns, mirror)
            yield FirstPass(from_fit(side + limb[0].upper(), fit, points, 1 / factor), detected)


def refine(detector: Detector, grey: np.ndarray, reading: Reading, rounds: int = 3) -> Reading:
    """Read the limb again on its upright canvas, up to `rounds` times, and return the best reading, the given one included."""
    limb = limb_of(reading.part)
    best = last = reading
    for _ in range(rounds):
        matrix, offset = orientation.upright(last, grey.shape)
        image = orientation.warp(grey, matrix, offset, orientation.CANVAS[limb])
        raw = predict(detector.network, image[None])[0]
        fit = shape_model.assign_joints(detector.shapes[limb], *inference.candidates(raw, limb))
        if fit is None:
            break
        points = (fit.points - offset) @ np.linalg.inv(matrix).T
        before = best
        last = from_fit(best.part, fit, points, 1 / np.sqrt(abs(np.linalg.det(matrix))))
        best = max(best, last, key=lambda r: r.quality)
        if best.quality >= ROUTINE or last.quality < 0.5 * before.quality:
            break
    return best


def unexplained_detections(places: np.ndarray, readings: list[Reading], shape: tuple[int, int]) -> int:
    """How many of the detections' places (n, 2) lie outside the outlines of all limbs found on a picture of `shape` (H, W)."""
    outside = np.ones(len(places), bool)
    for reading in readings:
        corners = orientation.outline(reading, shape).astype(np.float32)
        outside &= np.array([cv2.pointPolygonTest(corners, (float(x), float(y)), False) < 0 for x, y in places], bool)
    return int(outside.sum())


def _painted_over(grey: np.ndarray, reading: Reading) -> np.ndarray:
    """The picture with a limb painted over in a dark grey of the picture."""
    out = grey.copy()
    corners = np.round(orientation.outline(reading, grey.shape)).astype(np.int32)
    cv2.fillPoly(out, [corners], int(np.percentile(grey[::8, ::8], 5)))
    return out
