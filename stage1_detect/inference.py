"""From a film to the joints of one limb: the network's candidates, named and completed by the shape model.

A first pass over the whole picture, in one view after the other, locates a limb roughly. It is then refined: the network sees
the limb again as on a routine film (upright, mirrored to left, of typical size), so that its quality does not depend on size,
tilt and greys on the picture. Every verb of the stage reads films through this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from ra.anatomy import JOINTS, PARTS
from ra.anatomy import limb as limb_of
from ra.imaging import intensity
from stage1_detect import orientation, shape_model
from stage1_detect.joint_detections import JointDetections, from_fit
from stage1_detect.model import Detector, predict
from stage1_detect.orientation import PADDING
from stage1_detect.shape_model import CLASS

GOOD = 0.72  # quality from which no other view and no refinement is tried
# Views of the first pass, in order: (magnification, quarter turns). A limb that is small on its film needs a larger picture.
TTA_VIEWS = ((1.0, 0), (1.0, 1), (1.0, 3), (1.0, 2), (1.8, 0), (1.8, 1), (1.8, 3), (1.8, 2))
LEAST_FIRST_QUALITY = 0.12  # of a first pass; a weaker one is not taken for a limb
LEAST_QUALITY_IN_VIEW = 0.3  # of a first pass; from this quality it is refined before the next view is tried
REFINED = 3  # number of first passes that are refined if no view gave a good one
STRONG_SCORE = 0.3  # of a detection that limb_search expects to belong to a limb
LEAST_GREYS = 4  # least range of greys; a picture with less contrast shows nothing


@dataclass(frozen=True)
class FirstPass:
    """Result of one view: the reading in the picture's pixels, and the places (n, 2) of all strong detections."""

    reading: JointDetections | None
    places: np.ndarray


@dataclass(frozen=True)
class Search:
    """The best reading, its best quality as the other side (NaN if not tried), and the places (n, 2) of all strong detections."""

    reading: JointDetections | None
    other_side_quality: float
    places: np.ndarray


def read_film(detector: Detector, grey: np.ndarray, part: str | None = None) -> JointDetections | None:
    """The joints of a film read as the given part, or, if part is None, as the part that fits best (a hand lies on its palm).

    Returns None if no such limb is detected.
    """
    return search(detector, stretched(grey), parts=(part,) if part else PARTS).reading


def stretched(grey: np.ndarray) -> np.ndarray:
    """The picture with its greys stretched to 0..255 if they span less than half of that, so that dark films can be read."""
    low, high = np.percentile(grey[::8, ::8], (0.5, 99.5))
    if high - low >= 128 or high - low < LEAST_GREYS:
        return grey
    return intensity.stretch_table(low, high)[grey]


def search(detector: Detector, grey: np.ndarray, declared: str | None = None, parts: tuple[str, ...] = PARTS) -> Search:
    """The best reading of a picture (H, W) as one of the parts. A declared part is tried first and, if good, taken at once."""
    best: dict[str, JointDetections] = {}  # by part
    refined: set[str] = set()  # parts whose best reading has been refined already
    places = [np.empty((0, 2))]

    def improve(reading: JointDetections) -> JointDetections:
        if reading.part not in refined and reading.quality < GOOD:
            refined.add(reading.part)
            best[reading.part] = refine(detector, grey, reading)
        return best[reading.part]

    for magnification, turns in TTA_VIEWS:
        for first in _first_passes(detector, grey, magnification, turns, _declared_first(declared, parts)):
            places.append(first.places)
            reading = first.reading
            if reading and reading.quality > getattr(best.get(reading.part), "quality", LEAST_FIRST_QUALITY):
                best[reading.part] = reading
                refined.discard(reading.part)
            if declared in best and best[declared].quality >= GOOD:
                return Search(best[declared], np.nan, np.concatenate(places))
        leading = max(best.values(), key=lambda r: r.quality, default=None)
        if leading and leading.quality >= LEAST_QUALITY_IN_VIEW and improve(leading).quality >= GOOD:
            break
    if declared in best and improve(best[declared]).quality >= GOOD:  # a film of both hands may show the other one better
        return Search(best[declared], np.nan, np.concatenate(places))
    ranked = sorted(best.values(), key=lambda r: -r.quality)[:REFINED]
    if not ranked:
        return Search(None, np.nan, np.concatenate(places))
    if refined or ranked[0].quality < GOOD:  # so that both sides are refined when they are compared
        ranked = [improve(reading) for reading in ranked]
    winner = max(ranked, key=lambda r: r.quality)
    other_side = [r.quality for r in ranked if r.part[0] != winner.part[0] and r.part[1] == winner.part[1]]
    return Search(winner, max(other_side, default=0.0), np.concatenate(places))


def _declared_first(declared: str | None, parts: tuple[str, ...]) -> tuple[str, ...]:
    """The parts ordered by how much they share with the declared one: its side, then its limb."""
    if declared is None:
        return parts
    return tuple(sorted(parts, key=lambda part: (part[0] != declared[0], part[1] != declared[1])))


def _first_passes(
    detector: Detector, grey: np.ndarray, magnification: float, turns: int, parts: tuple[str, ...]
) -> Iterator[FirstPass]:
    """One view of the whole picture read as each of the parts, in their order; one pass of the network per side."""
    for side in dict.fromkeys(part[0] for part in parts):
        mirror = side == "R"
        image, factor = view(grey, turns, mirror, round(magnification * detector.imgsz))
        raw = predict(detector.network, image[None])[0]
        for part in (part for part in parts if part[0] == side):
            limb = limb_of(part)
            centres, sides, scores = candidates(raw, limb)
            detected = np.empty((0, 2))
            if len(centres):
                detected = undo_view(centres[scores.max(1) > STRONG_SCORE] / factor, grey.shape, turns, mirror)
            fit = shape_model.assign_joints(detector.shapes[limb], centres, sides, scores)
            if fit is None:
                yield FirstPass(None, detected)
                continue
            points = undo_view(fit.points / factor, grey.shape, turns, mirror)
            yield FirstPass(from_fit(part, fit, points, 1 / factor), detected)


def refine(detector: Detector, grey: np.ndarray, reading: JointDetections, rounds: int = 3) -> JointDetections:
    """Read the limb again on its upright canvas, up to `rounds` times, and return the best reading, the given one included."""
    limb = limb_of(reading.part)
    best = last = reading
    for _ in range(rounds):
        matrix, offset = orientation.upright(last, grey.shape)
        image = orientation.warp(grey, matrix, offset, orientation.CANVAS[limb])
        raw = predict(detector.network, image[None])[0]
        fit = shape_model.assign_joints(detector.shapes[limb], *candidates(raw, limb))
        if fit is None:
            break
        points = (fit.points - offset) @ np.linalg.inv(matrix).T
        before = best
        last = from_fit(best.part, fit, points, 1 / np.sqrt(abs(np.linalg.det(matrix))))
        best = max(best, last, key=lambda r: r.quality)
        if best.quality >= GOOD or last.quality < 0.5 * before.quality:
            break
    return best


def view(grey: np.ndarray, turns: int, mirror: bool, imgsz: int) -> tuple[np.ndarray, float]:
    """A view of the film and its factor (view px per film px): mirrored if asked, turned, long side imgsz.

    Each side is padded to a multiple of 32 px.

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

    The best few peaks of each joint are kept. Coinciding peaks of joints in one row become one candidate with several scores.
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
