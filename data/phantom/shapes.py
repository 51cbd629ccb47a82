"""Bone templates of an adult left hand and left foot, in millimetres.

Axes as in the canonical picture: x to the right (thumb, great toe), y down; fingers and toes point up. The origin is the
capitate's centre in the hand and the bases of metatarsals 2 and 3 in the foot. Lengths are averages of adults.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ray:
    """One finger or toe: position, directions, and its bones from proximal to distal.

    base_mm: proximal end of the metacarpal or metatarsal. angles_deg: of that bone and of the phalanges, from straight
    up, positive towards +x. lengths_mm, and widths_mm as (base, waist, head) half-widths of each bone.
    """

    base_mm: tuple[float, float]
    angles_deg: tuple[float, float]
    lengths_mm: tuple[float, ...]
    widths_mm: tuple[tuple[float, float, float], ...]
    soft_mm: tuple[float, float]  # soft-tissue radius at the first phalanx and at the tip


HAND_RAYS = {
    1: Ray((29, -4.5), (48, 38), (45, 31.5, 22.5), ((7.6, 4.5, 6.7), (7, 3.9, 5.4), (5.9, 2.9, 3.3)), (11, 9)),
    2: Ray((16.7, -12.4), (15, 13), (67, 40, 23, 17), ((8.4, 4, 7), (7, 3.9, 5.2), (5.6, 3.1, 4.2), (4.5, 2, 2.9)), (9.5, 7)),
    3: Ray((5, -13.6), (4, 2), (65, 44.5, 27.5, 18), ((7, 4, 7), (7, 4.1, 5.5), (5.9, 3.3, 4.5), (4.8, 2.2, 3.1)), (9.5, 7)),
    4: Ray((-5.4, -15.8), (-4, -5), (57.5, 41, 26, 18), ((5.3, 3.2, 6.1), (6.3, 3.6, 5), (5.4, 3, 4.1), (4.5, 2, 2.9)), (9, 6.7)),
    5: Ray((-14.6, -16.4), (-13, -18), (53, 32.5, 18.5, 16), ((6, 3.3, 5.7), (5.7, 3.1, 4.2), (4.7, 2.6, 3.5),
    (3.9, 1.8, 2.5)), (8.2, 6)),
}  # fmt: skip

FOOT_RAYS = {
    1: Ray((12.9, -9.2), (10, 3), (61, 28, 19), ((9.6, 6.6, 10.6), (9.2, 6.4, 7.8), (7.8, 5, 4.8)), (14, 12)),
    2: Ray((-1, -1), (4, 2), (71, 22, 11, 9.5), ((6, 3.4, 5.9), (5.7, 3.1, 4.2), (4.4, 3.2, 3.8), (3.8, 2.1, 2.7)), (9, 8)),
    3: Ray((-8.3, -.5), (1, 1), (67.5, 20.5, 8.5, 8.5), ((5.8, 3.2, 5.7), (5.4, 3, 4), (4.1, 3.1, 3.6), (3.5, 2, 2.5)),
    (8.6, 7.6)),
    4: Ray((-16.5, 2), (-4, -1), (65, 19.5, 7, 8), ((6, 3.2, 5.6), (5.2, 2.9, 3.9), (3.9, 3, 3.5), (3.4, 2, 2.5)), (8.4, 7.4)),
    5: Ray((-26.5, 9), (-11, 3), (60, 18.5, 5.8, 7.5), ((7.4, 3.9, 5.8), (5, 2.8, 3.8), (3.8, 3.1, 3.5), (3.3, 2, 2.5)),
    (8.6, 7.4)),
}  # fmt: skip


def _points(*xy: float) -> np.ndarray:
    return np.array(xy, dtype=float).reshape(-1, 2)


# Outlines of the short bones and of the forearm's ends, in order around the bone.
CARPALS = {
    "capitate": _points(-3.7, -11.4, 6.7, -11.6, 6.9, -2.6, 4.3, 6.1, .2, 9.6, -5, 8, -7, 3.6, -4.7, -3.7),
    "hamate": _points(-17.2, -13.6, -10.7, -15.5, -4.7, -14, -5.8, -4.7, -7.8, 4.6, -9.7, 6, -13.4, .2, -16.6, -6.9),
    "triquetrum": _points(-23.6, .2, -18.2, -4.2, -13.6, .2, -10.6, 7.3, -13.6, 11.2, -17.6, 14.4, -22.8, 8.2),
    "pisiform": _points(-20.6, 1, -16.4, .4, -14.4, 4.4, -16.5, 8.2, -20.6, 7.4, -22, 4),
    "lunate": _points(-14, 15, -9.2, 10.4, -5, 10.6, -1.6, 11.8, -.8, 16, -4.3, 19.4, -10.4, 19.9),
    "scaphoid": _points(5, 6.1, 8, .2, 13, -.2, 16.6, 4.9, 14.9, 10.3, 9, 15.6, 1.4, 18, .2, 15.6, 1.2, 11.6, 4.3, 9.6),
    "trapezoid": _points(8.6, -7.9, 12.4, -10.2, 17.2, -8.9, 16.8, -3, 12, -2, 9, -3),
    "trapezium": _points(16.2, -4.8, 20.6, -10.6, 24.4, -7.4, 26.2, -2.9, 24.4, 2.8, 18.6, 4.2, 15.6, .6),
    "radius": _points(-9.8, 23.8, -5, 22.2, -.6, 21.2, 7.5, 18.8, 13, 15.4, 17.2, 11.6, 20.4, 14.4, 20.2, 25.3, 17, 37,
    15.5, 50, 15, 95,
                      -1.5, 95, -2.5, 55, -5.5, 38, -9.6, 28),
    "ulna": _points(-25.4, 16.6, -22.3, 20.4, -17, 21.6, -12.9, 21.8, -12.4, 26.4, -15, 33.5, -16, 47, -15.5, 95, -26, 95,
    -25.5, 47,
                    -26.6, 33.5, -28.2, 26, -27.2, 21.4),
}  # fmt: skip

TARSALS = {
    "cuneiform_1": _points(6.8, -4.2, 13, -7.6, 20.5, -4, 22.4, 8, 19.4, 16.6, 10.4, 14.4, 7.2, 10.4),
    "cuneiform_2": _points(-4, 1.4, 3, 1.2, 6.2, 3.6, 8, 17.4, -.6, 18),
    "cuneiform_3": _points(-13, 2.6, -4.6, 2, -1.2, 18.2, -6, 21.4, -12.6, 18),
    "cuboid": _points(-28.6, 13.4, -22, 6.4, -13.4, 4.6, -12.4, 18.6, -6.4, 24, -7.6, 38, -22.4, 37, -27.4, 26),
    "navicular": _points(26, 24, 19.4, 17.8, 8, 19, -1, 22, -2.4, 27.6, 10, 31.4, 20.4, 37.6, 26.4, 34),
    "talus": _points(20.6, 39.4, 12.4, 33.2, 1, 34, -3, 40, -8, 58, -8.6, 76, 2, 86, 18.4, 84, 24.4, 68, 24, 52),
    "calcaneus": _points(-2, 39, -20, 39.4, -21, 54, -17, 70, -14, 90, -12, 118, 2, 130, 14, 120, 14, 92, 4, 60),
    "tibia": _points(33, 84, 27, 88, 21, 96, 2, 92, -8, 96, -10, 150, 34, 150),
    "fibula": _points(-14, 84, -20, 86, -25, 98, -23, 150, -12, 150, -11, 100),
}  # fmt: skip

# Centres of the wrist's sites. A wrist joint narrows when the facing ends of its bones move towards each other.
WRIST_CENTRES = {
    "wrist_mc1": (26.4, -6.4), "wrist_mul": (16.6, -3.9), "wrist_nav": (9.2, 7), "wrist_lunate": (-6.8, 15),
    "wrist_radius": (5.4, 24.4), "wrist_ulna": (-20.6, 24.6),
    "wrist_cmc3": (3.6, -12.6), "wrist_cmc4": (-5.6, -15.2), "wrist_cmc5": (-14.4, -15.6), "wrist_mna": (13.6, -.6),
    "wrist_capnlun": (-.6, 10.4), "wrist_radcar": (1.6, 19),
}  # fmt: skip
WRIST_JOINTS = {
    "wrist_radcar": (("radius", "scaphoid"), ("radius", "lunate")),
    "wrist_capnlun": (("lunate", "capitate"),),
    "wrist_mna": (("scaphoid", "trapezium"), ("scaphoid", "trapezoid")),
    "wrist_cmc3": (("capitate", "mc_3"),),
    "wrist_cmc4": (("hamate", "mc_4"),),
    "wrist_cmc5": (("hamate", "mc_5"),),
}  # pairs of bones, proximal and distal
WRIST_GAP_MM = 2.0
WRIST_EROSION_BONES = {
    "wrist_mc1": ("mc_1",), "wrist_mul": ("trapezium", "trapezoid"), "wrist_nav": ("scaphoid",), "wrist_lunate": ("lunate",),
    "wrist_radius": ("radius",), "wrist_ulna": ("ulna",),
}  # fmt: skip

GAP_MM = {"mc": 1.7, "pp": 1.4, "mp": 1.1, "mt": 1.9, "foot_pp": 1.5, "foot_mp": 0.9}  # joint space distal to that bone


def smooth(points: np.ndarray, rounds: int = 3) -> np.ndarray:
    """Corner cutting (Chaikin) of a closed polygon with its area preserved: (N, 2) -> (N * 2**rounds, 2)."""
    area, cut = _area(points), 0.84
    for _ in range(rounds):
        following = np.roll(points, -1, axis=0)
        points = np.stack([cut * points + (1 - cut) * following, (1 - cut) * points + cut * following], axis=1).reshape(-1, 2)
        cut = 0.75
    centre = points.mean(0)
    return (points - centre) * np.sqrt(area / _area(points)) + centre


def _area(points: np.ndarray) -> float:
    x, y = points.T
    return 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))


_STATIONS = np.array([0.0, 0.05, 0.16, 0.32, 0.5, 0.68, 0.84, 0.94, 1.0])


def long_bone(
    start: np.ndarray,
    end: np.ndarray,
    widths: tuple[float, float, float],
    end_kind: str,
    skew: tuple[float, float] = (1.0, 1.0),
    n: int = 48,
) -> np.ndarray:
    """Outline (M, 2) of a tubular bone from its proximal to its distal articular surface, in mm.

    widths: half-widths of base, waist and head. end_kind: `ball` (metacarpal and metatarsal heads), `condyles` (phalanx
    heads with a dip between), `tuft` (distal phalanx). skew: factors on the two sides' widths.
    """
    base, waist, head = widths
    length = float(np.hypot(*(end - start)))
    up = (end - start) / length
    side = np.array([-up[1], up[0]])
    neck = {"ball": 0.86, "condyles": 0.84, "tuft": 0.8}[end_kind]
    tip = {"ball": 0.66, "condyles": 0.84, "tuft": 0.6}[end_kind]
    nodes = np.array(
        [
            base * 0.88,
            base,
            0.66 * base + 0.34 * waist,
            0.28 * base + 0.75 * waist,
            waist,
            waist * 1.1,
            neck * (waist + head) / 2,
            head,
            head * tip,
        ]
    )
    s = np.linspace(0, 1, n)
    half = np.interp(s, _STATIONS, nodes)
    half = np.convolve(np.pad(half, 2, mode="edge"), [0.1, 0.22, 0.36, 0.22, 0.1], mode="valid")
    t = np.linspace(1, -1, 15)[1:-1]
    bulge = {
        "ball": 0.5 * head * (1 - t**2),
        "condyles": 0.2 * head * (1 - t**4) - 0.13 * head * np.exp(-((t / 0.35) ** 2)),
        "tuft": 0.42 * head * (1 - t**2),
    }[end_kind]
    cup = -(0.16 if end_kind != "ball" else 0.06) * base * (1 - t**2)  # the base is hollow where it meets the head below
    sides = s * (length - 0.3 * head * (end_kind == "ball"))
    right = start + np.outer(sides, up) - np.outer(half * skew[0], side)
    left = start + np.outer(sides, up) + np.outer(half * skew[1], side)
    top = end + np.outer(bulge - 0.3 * head * (end_kind == "ball"), up) - np.outer(t * half[-1], side)
    bottom = start - np.outer(cup, up) - np.outer(-t * half[0], side)
    return np.concatenate([right, top, left[::-1], bottom])
