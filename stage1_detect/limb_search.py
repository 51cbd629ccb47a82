"""The limbs of a picture: found at any size and turn, one after the other, and each looked at again from the usual distance.

A first look tells roughly where a limb lies. The second sees it as a routine film shows it, upright, mirrored to left and of the
usual size, so that its quality says how much it is like a hand or a foot whatever its size, tilt and greys on the film.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ra.anatomy import limb as limb_of
from ra.imaging import intensity
from ra.imaging.film import Frame
from stage1_detect import inference, shape_model
from stage1_detect.inference import Detector, Reading
from stage1_detect.model import predict

CANVAS = {"hand": (238, 320), "foot": (220, 320)}  # width, height in px of a routine film at the network's size (RA2-DREAM)
LEAST_GREYS = 4  # a picture with fewer shows nothing
OFF_FILM = 114  # grey beyond the picture, as the network was trained
ROUTINE = 0.82  # quality of a routine film; from there nothing else is tried
HINT, TRIED = 0.12, 3  # least quality at first sight that is worth a second; how many get one
FURTHER, MOST = 0.5, 6  # least quality of a limb beside the first; how many are looked for
STRAY, STRAYS = 0.3, 4  # score of a detection beside the limbs found; how many make it worth to look for another limb
# (magnification, quarter turns) of the first looks. A limb that is small on its film wants a larger picture.
TTA_VIEWS = ((1.0, 0), (1.8, 0), (1.0, 1), (1.0, 3), (1.0, 2), (1.8, 1), (1.8, 3), (1.8, 2))
# How far a limb goes on beyond its joints, left, up, right, down of an upright left one, in their RMS distance from their middle.
BEYOND = {"hand": (0.25, 0.9, 0.45, 0.5), "foot": (0.5, 1.2, 0.5, 3.5)}


@dataclass(frozen=True)
class Sight:
    """What one look saw: the reading in the picture's pixels, and where (n, 2) anything like a joint was."""

    reading: Reading | None
    places: np.ndarray


@dataclass(frozen=True)
class Limb:
    """A limb of a picture: where it lies, and its reading in the pixels of that frame. rival: best quality as the other side."""

    frame: Frame
    reading: Reading
    rival: float


def find(detector: Detector, grey: np.ndarray, part: str | None = None) -> list[Limb]:
    """The limbs of a picture (H, W), the best seen first; what is declared is tried first. Empty when there is none to see.

    The first is whatever is most like a limb: the gate says whether it is one.
    """
    if np.ptp(grey[::8, ::8]) < LEAST_GREYS:
        return []
    grey = rest = stretched(grey)
    found: list[tuple[Reading, float]] = []
    while len(found) < MOST:
        reading, rival, places = search(detector, rest, None if found else part)
        if reading is None or (found and reading.quality < FURTHER):
            break
        found.append((reading, rival))
        if reading.quality < FURTHER or not _strays(places, [r for r, _ in found], grey.shape):
            break
        rest = _without(rest, reading)
    readings = [reading for reading, _ in found]
    return [
        Limb(frame, replace(reading, points=frame.from_file(reading.points)), rival)
        for (reading, rival), frame in zip(found, _frames(grey, readings), strict=True)
    ]


def stretched(grey: np.ndarray) -> np.ndarray:
    """The picture with its greys spread to 0..255 when they fill less than half of that: dark films are read as others are."""
    low, high = np.percentile(grey[::8, ::8], (0.5, 99.5))
    if high - low >= 128 or high - low < LEAST_GREYS:
        return grey
    return intensity.stretch_table(low, high)[grey]


def search(detector: Detector, grey: np.ndarray, part: str | None) -> tuple[Reading | None, float, np.ndarray]:
    """The best reading of a picture, the best as the other side (NaN when nobody asked), and the places of all detections."""
    best: dict[str, Reading] = {}
    places = [np.empty((0, 2))]
    for magnification, turns in TTA_VIEWS:
        for sight in _first_sights(detector, grey, magnification, turns, part):
            places.append(sight.places)
            if sight.reading and sight.reading.quality > getattr(best.get(sight.reading.part), "quality", HINT):
                best[sight.reading.part] = sight.reading
            if part in best and best[part].quality >= ROUTINE:
                return best[part], np.nan, np.concatenate(places)
        ranked = sorted(best.values(), key=lambda r: -r.quality)
        if ranked and ranked[0].quality >= inference.GOOD:
            break
    if ranked and ranked[0].quality < ROUTINE:
        ranked = [closer(detector, grey, reading) for reading in ranked[:TRIED]]
    if not ranked:
        return None, np.nan, np.concatenate(places)
    winner = max(ranked, key=lambda r: r.quality)
    rivals = [r.quality for r in ranked if r.part[0] != winner.part[0] and r.part[1] == winner.part[1]]
    return winner, max(rivals, default=0.0), np.concatenate(places)


def _first_sights(detector: Detector, grey: np.ndarray, magnification: float, turns: int, part: str | None) -> Iterator[Sight]:
    """A look per side and limb at the whole picture, the declared side and limb first."""
    model, imgsz, shapes = detector
    for side in ("R", "L") if part and part[0] == "R" else ("L", "R"):
        image, factor = inference.view(grey, turns, side == "R", round(magnification * imgsz))
        raw = predict(model, image[None])[0]
        for limb in ("foot", "hand") if part and part[1] == "F" else ("hand", "foot"):
            places, sides, scores = inference.candidates(raw, limb)
            back = lambda xy: inference.undo_view(xy / factor, grey.shape, turns, side == "R")  # noqa: B023, E731
            seen = back(places[scores.max(1) > STRAY]) if len(places) else np.empty((0, 2))
            fitted = shape_model.settle(shapes[limb], places, sides, scores)
            reading = fitted and inference.reading(side + limb[0].upper(), fitted, back(fitted.points), 1 / factor)
            yield Sight(reading, seen)


def closer(detector: Detector, grey: np.ndarray, reading: Reading, rounds: int = 3) -> Reading:
    """The best of the reading and of further ones, of the limb turned upright, mirrored to left and brought to its usual size."""
    model, _, shapes = detector
    limb = limb_of(reading.part)
    best = last = reading
    for _ in range(rounds):
        matrix, offset = upright(last, grey.shape)
        image = _warp(grey, matrix, offset, CANVAS[limb])
        fitted = shape_model.settle(shapes[limb], *inference.candidates(predict(model, image[None])[0], limb))
        if fitted is None:
            break
        points = (fitted.points - offset) @ np.linalg.inv(matrix).T
        last, before = inference.reading(best.part, fitted, points, 1 / np.sqrt(abs(np.linalg.det(matrix)))), best
        best = max(best, last, key=lambda r: r.quality)
        if best.quality >= ROUTINE or last.quality < 0.5 * before.quality:
            break
    return best


def upright(reading: Reading, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(A, t): x @ A.T + t takes a point of the picture (H, W) to where the limb lies on the canvas of a routine left film."""
    limb = limb_of(reading.part)
    usual = np.array([shape_model.USUAL[joint] for joint in reading.joints]) * CANVAS[limb]
    mirror, shift = np.eye(2), np.zeros(2)
    if reading.part[0] == "R":
        mirror, shift = np.diag([-1.0, 1.0]), np.array([shape[1] - 1.0, 0.0])
    matrix, offset = shape_model.similarity(reading.points @ mirror.T + shift, usual, np.ones(len(usual)))
    return matrix @ mirror, matrix @ shift + offset


def canvas(grey: np.ndarray, reading: Reading, zoom: float, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The limb as on a routine left film, `zoom` times the network's size, `size` (w, h) before that; its joints (J, 2) there."""
    matrix, offset = upright(reading, grey.shape)
    image = _warp(grey, zoom * matrix, zoom * offset, (round(zoom * size[0]), round(zoom * size[1])))
    return image, zoom * (reading.points @ matrix.T + offset)


def _warp(grey: np.ndarray, matrix: np.ndarray, offset: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The canvas, its sides filled up to multiples of 32. Shrinking averages areas first."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix))))
    if scale < 0.5:
        small = cv2.resize(grey, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
        matrix = matrix * np.array([grey.shape[1] / small.shape[1], grey.shape[0] / small.shape[0]])
        grey = small
    width, height = (-(-side // 32) * 32 for side in size)
    return cv2.warpAffine(grey, np.column_stack([matrix, offset]), (width, height), flags=cv2.INTER_LINEAR, borderValue=OFF_FILM)


def quarter_turns(reading: Reading, shape: tuple[int, int]) -> int:
    """np.rot90 turns that set the limb upright; tilts below 45 degrees stay."""
    matrix, _ = upright(reading, shape)
    up = np.linalg.inv(matrix) @ [0.0, -1.0]
    return int(np.round(np.arctan2(up[0], -up[1]) / (np.pi / 2))) % 4


def outline(reading: Reading, shape: tuple[int, int]) -> np.ndarray:
    """Corners (4, 2) of the rectangle, along the limb, that holds it with its finger tips, toes and heel."""
    matrix, offset = upright(reading, shape)
    points = reading.points @ matrix.T + offset
    radius = np.sqrt(((points - points.mean(0)) ** 2).sum(1).mean())
    left, up, right, down = np.array(BEYOND[limb_of(reading.part)]) * radius
    (x0, y0), (x1, y1) = points.min(0), points.max(0)
    x0, y0, x1, y1 = x0 - left, y0 - up, x1 + right, y1 + down
    return (np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]) - offset) @ np.linalg.inv(matrix).T


def _strays(places: np.ndarray, readings: list[Reading], shape: tuple[int, int]) -> bool:
    """Whether enough detections lie beside the limbs to look for another."""
    beside = np.ones(len(places), bool)
    for reading in readings:
        corners = outline(reading, shape).astype(np.float32)
        beside &= np.array([cv2.pointPolygonTest(corners, (float(x), float(y)), False) < 0 for x, y in places], bool)
    return int(beside.sum()) >= STRAYS


def _without(grey: np.ndarray, reading: Reading) -> np.ndarray:
    """The picture with a limb painted over by the darkest of its surroundings."""
    rest = grey.copy()
    cv2.fillPoly(rest, [np.round(outline(reading, grey.shape)).astype(np.int32)], int(np.percentile(grey[::8, ::8], 5)))
    return rest


def _frames(grey: np.ndarray, readings: list[Reading]) -> list[Frame]:
    """Each limb's share of the picture, set upright: the whole when it is alone, else up to the emptiest line between two."""
    windows = [[0, 0, grey.shape[1], grey.shape[0]] for _ in readings]  # left, top, right, bottom
    for i in range(len(readings)):
        for j in range(i + 1, len(readings)):
            axis, cut, first = _cut(grey, readings[i].points, readings[j].points)
            one, other = (i, j) if first else (j, i)
            windows[one][2 + axis] = min(windows[one][2 + axis], cut)
            windows[other][axis] = max(windows[other][axis], cut)
    frames = []
    for (left, top, right, bottom), reading in zip(windows, readings, strict=True):
        turns = quarter_turns(reading, grey.shape)
        width, height = max(right - left, 1), max(bottom - top, 1)
        frames.append(Frame(left, top, *((height, width) if turns % 2 else (width, height)), turns))
    return frames


def _cut(grey: np.ndarray, one: np.ndarray, other: np.ndarray) -> tuple[int, int, bool]:
    """Axis (0 x, 1 y), place of the darkest line between two limbs' joints (n, 2), and whether the first lies before it."""
    gaps = np.maximum(one.min(0) - other.max(0), other.min(0) - one.max(0))
    axis = int(np.argmax(gaps))
    first = bool(one.mean(0)[axis] < other.mean(0)[axis])
    before, after = (one, other) if first else (other, one)
    low, high = sorted((before.max(0)[axis], after.min(0)[axis]))
    low, high = int(max(low, 0)), int(min(high, grey.shape[1 - axis] - 1))
    across = 1 - axis
    both = np.concatenate([one, other])
    start, stop = int(max(both.min(0)[across], 0)), int(both.max(0)[across]) + 1
    band = grey[start:stop, low : high + 1] if axis == 0 else grey[low : high + 1, start:stop].T
    profile = band.mean(0) if band.size else np.zeros(1)
    middle = np.abs(np.arange(len(profile)) - len(profile) / 2) / max(len(profile), 1)
    return axis, low + int(np.argmin(profile + 4 * middle)), first  # of equally dark lines the middle one
