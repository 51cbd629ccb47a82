"""Decide whether a limb that was found is a hand or foot that can be scored, with reasons from ra.quality_reasons if not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from ra.anatomy import HAND_JOINTS
from ra.anatomy import limb as limb_of
from ra.imaging.film import Frame
from ra.quality_reasons import refused
from stage1_detect.joint_detections import JointDetections
from stage1_detect.limb_search import Limb
from stage1_detect.orientation import on_canvas

VIEWS = {"hand": "PA", "foot": "AP"}
# Below this quality the film shows no hand or foot at all: other parts of the body and lateral views reach 0.43.
LEAST_QUALITY = {"hand": 0.45, "foot": 0.5}
# Below this quality a limb is not accepted as a hand or foot. Generated films with any damage and growth have 0.78 (hands) and
# 0.68 (feet) or more, real PA and AP films 0.78 or more in any position and exposure, oblique hands 0.44 to 0.65, scrambled hands
# 0.46.
FAIR_QUALITY = {"hand": 0.65, "foot": 0.6}
# Breadth of a hand: the mean of three widths (knuckles, metacarpal bases, forearm bones), each divided by the length from wrist
# to mcp_3 and by its typical value. A PA film gives 0.94 to 0.97 at any rotation and scale, an oblique one 0.70 to 0.79, and a PA
# film that is compressed in width, as by a turn of 37 degrees, 0.78.
TYPICAL_BREADTH = {("mcp_2", "mcp_5"): 0.73, ("wrist_mc1", "wrist_cmc5"): 0.49, ("wrist_radius", "wrist_ulna"): 0.305}
LEAST_BREADTH = 0.84
# How far the metatarsals fan out (metatarsal_spread): 0.44 to 0.55 on a real AP film at any rotation, scale and exposure, 0.28 to
# 0.34 on a real oblique one; of 300 generated AP films, some with crowded toes, one had 0.34 and four 0.35 to 0.36. Between the
# two limits the film is read, with a warning.
LEAST_SPREAD, FAIR_SPREAD = 0.34, 0.37
# RMS distance in mm of an adult's joints from their centre. On a film with less than a pixel per millimetre a joint space (1 to 2
# mm) is less than two pixels wide.
RADIUS_MM = {"hand": 55.0, "foot": 27.0}
LEAST_PX_PER_MM = 1.0
LEAST_CONTRAST = 12  # greys between the 5th and the 95th percentile around the joints
BLACK, WHITE, CLIPPED = 2, 253, 0.5  # the ends of the greys, and the share of the joints' surroundings that may be clipped there
SURE = 0.2  # the side is certain if reading the limb as the other side lowers the quality by more than this

# Metatarsal shafts are followed on this canvas: its zoom on the network's size, and its size before the zoom.
ZOOM, SIZE = 2.0, (220, 340)
# The lengths below are shares of the width of the row mtp_1 to mtp_5.
SHAFT_START, SHAFT_END = 0.15, 0.7  # distance below the joints between which a shaft is followed
LEAN = (-0.15, -0.07, 0.0, 0.05, 0.15)  # typical lean of the shafts of an upright left foot: across per along, 1 to 5
START_TOLERANCE, LEAN_TOLERANCE = 0.06, 0.22  # how far a shaft may start from its joint, and deviate from its typical lean
LEAST_GAP = 0.06  # least distance of two shafts, so that a bright one is not followed twice
SHAFT_WIDTH = (0.17, 0.10, 0.10, 0.10, 0.10)


@dataclass(frozen=True)
class Verdict:
    """A limb of a picture, or the whole picture if none was found. reasons: reason -> its evidence."""

    reading: JointDetections | None  # in the frame's pixels
    view: str | None
    frame: Frame
    quality: float = 0.0  # of the joints that lie on the film
    sure: bool = True  # whether the side is known
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def part(self) -> str | None:
        """LH RH LF RF; None if no limb was found."""
        return self.reading.part if self.reading else None


def judge(grey: np.ndarray, limbs: list[Limb]) -> list[Verdict]:
    """One verdict per limb of a picture (H, W) uint8; if there is none, one verdict on the whole picture."""
    if not limbs or quality_on_film(limbs[0].frame, limbs[0].reading) < LEAST_QUALITY[limb_of(limbs[0].reading.part)]:
        whole = Frame(0, 0, grey.shape[1], grey.shape[0])
        best = max((limb.reading.quality for limb in limbs), default=0.0)
        reasons = exposure_fault(grey) or {"not_hand_or_foot": f"similar to a hand or foot by only {best:.2f} of 1"}
        return [Verdict(None, None, whole, best, False, reasons)]
    verdicts = [_judge_limb(grey, limb) for limb in limbs]
    # refused limbs do not count: one on an oblique film is not another limb
    accepted = [verdict.part for verdict in verdicts if not refused(" ".join(verdict.reasons))]
    crowd = too_many_limbs(accepted)
    return [replace(verdict, reasons=verdict.reasons | crowd) for verdict in verdicts]


def quality_on_film(frame: Frame, reading: JointDetections) -> float:
    """The reading's quality over the joints that lie on the film; 0 if most do not."""
    inside = ~outside(frame, reading)
    return float(reading.joint_quality[inside].mean()) if inside.mean() > 0.5 else 0.0


def outside(frame: Frame, reading: JointDetections) -> np.ndarray:
    """bool (J,): the joints that lie beyond the film's edges."""
    return reading.outside(frame.width_px, frame.height_px)


def _judge_limb(grey: np.ndarray, limb: Limb) -> Verdict:
    reading, frame = limb.reading, limb.frame
    kind = limb_of(reading.part)
    quality = quality_on_film(frame, reading)
    film = frame.cut(grey)
    reasons = oblique_view(film, reading)
    view = "oblique" if "wrong_view" in reasons else VIEWS[kind]
    if "wrong_view" not in reasons and quality < FAIR_QUALITY[kind]:
        reasons["not_hand_or_foot"], view = f"similar to a {kind} by only {quality:.2f} of 1", None
    scale = radius_px(reading) / RADIUS_MM[kind]
    if scale < LEAST_PX_PER_MM:
        reasons["too_small"] = f"the {kind} has about {scale:.1f} pixels per millimetre"
    reasons |= exposure_fault(_around_joints(film, reading))
    missing = [joint for joint, beyond in zip(reading.joints, outside(frame, reading), strict=True) if beyond]
    if missing:
        reasons["cut_off"] = " ".join(missing)
    if frame.turns:
        reasons["turned"] = f"by {90 * frame.turns} degrees"
    sure = bool(np.isnan(limb.other_side_quality) or reading.quality - limb.other_side_quality > SURE)
    return Verdict(reading, view, frame, quality, sure, reasons)


def oblique_view(film: np.ndarray, reading: JointDetections) -> dict[str, str]:
    """The reason wrong_view for a limb on an oblique film, view_differs for a foot between an AP and an oblique view."""
    if limb_of(reading.part) == "hand":
        width = breadth(reading)
        if width >= LEAST_BREADTH:
            return {}
        return {"wrong_view": f"the hand is {width:.2f} of the usual breadth, as on an oblique film"}
    spread = metatarsal_spread(film, reading)
    evidence = f"the metatarsals fan out by {spread:.2f}"
    if spread < LEAST_SPREAD:
        return {"wrong_view": f"{evidence}, as on an oblique film"}
    return {"view_differs": f"{evidence}, less than usual on an AP film"} if spread < FAIR_SPREAD else {}


def breadth(reading: JointDetections) -> float:
    """Breadth of a hand relative to its length; 1 is typical, less means that it is turned about its long axis."""
    position = dict(zip(reading.joints, reading.points, strict=True))
    wrist = np.mean([position[joint] for joint in HAND_JOINTS[10:]], axis=0)
    length = max(np.hypot(*(position["mcp_3"] - wrist)), 1e-6)
    shares = [np.hypot(*(position[a] - position[b])) / length / typical for (a, b), typical in TYPICAL_BREADTH.items()]
    return float(np.mean(shares))


def radius_px(reading: JointDetections) -> float:
    """RMS distance of the joints from their centre."""
    return float(np.sqrt(((reading.points - reading.points.mean(0)) ** 2).sum(1).mean()))


def exposure_fault(region: np.ndarray, clipped: float = CLIPPED) -> dict[str, str]:
    """too_dark or blown_out if a region's greys (any shape) hardly differ, or more than the share `clipped` is black or white."""
    if region.size == 0:
        return {}
    low, middle, high = np.percentile(region, (5, 50, 95))
    black, white = float((region <= BLACK).mean()), float((region >= WHITE).mean())
    if high - low >= LEAST_CONTRAST and max(black, white) < clipped:
        return {}
    dark = middle < 128
    share = f"{black if dark else white:.0%} are {'black' if dark else 'white'}, the others differ by {high - low:.0f} greys"
    return {"too_dark" if dark else "blown_out": f"of the pixels around the joints {share}"}


def _around_joints(film: np.ndarray, reading: JointDetections) -> np.ndarray:
    """Every third pixel (n,) of the joints' boxes, as far as they lie on the film."""
    pixels = []
    for (x, y), side in zip(reading.points, reading.box, strict=True):
        left, top = max(int(x - side / 2), 0), max(int(y - side / 2), 0)
        pixels.append(film[top : max(int(y + side / 2), 0), left : max(int(x + side / 2), 0)].ravel()[::3])
    return np.concatenate(pixels)


def too_many_limbs(parts: list[str]) -> dict[str, str]:
    """too_many_limbs if the parts of one picture cannot all be one patient's."""
    repeated = sorted({part for part in parts if parts.count(part) > 1})
    return {"too_many_limbs": f"{len(parts)} limbs, of them {' and '.join(repeated)} more than once"} if repeated else {}


def metatarsal_spread(film: np.ndarray, reading: JointDetections) -> float:
    """Gap between the first and second metatarsal over the spread of the second to fourth, at mid-shaft; NaN if off the film.

    On an AP film the bases of the second to fifth metatarsal lie close together and apart from the first. On an oblique film, for
    which the foot is turned onto its inner side, the outer bases are separate and the first metatarsal overlaps the second.
    film (H, W), the reading in its pixels. Half of the generated AP films have 0.43 to 0.54, an oblique one about 0.26.
    """
    image, points = on_canvas(film, reading, ZOOM, SIZE)
    joints = points[1:]  # mtp_1 to mtp_5
    width = float(np.hypot(*(joints[0] - joints[4])))
    end = joints[1:4, 1].mean() + SHAFT_END * width
    if not np.isfinite(width) or width < 20 or end >= image.shape[0] - 1:
        return float("nan")
    contrast = _local_contrast(image, width)
    crossings: list[float] = []  # x of each shaft at y = end
    for k, joint in enumerate(joints):
        most = crossings[-1] - LEAST_GAP * width if crossings else np.inf
        crossings.append(_shaft_crossing(contrast, joint, end, width, k, most))
    gaps, heads = -np.diff(crossings), -np.diff(joints[:, 0])
    first_gap = gaps[0] / max(gaps.sum(), 1e-6)
    spread = gaps[1:3].sum() / max(heads[1:3].sum(), 1e-6)
    return float(first_gap / max(spread, 0.05))


def _local_contrast(image: np.ndarray, width: float) -> np.ndarray:
    """The picture without coarse differences in grey, with its local contrast equalised."""
    image = cv2.GaussianBlur(image.astype(np.float32), (0, 0), max(0.012 * width, 0.5))
    side = (int(0.5 * width) | 1,) * 2
    mean = cv2.blur(image, side)
    spread = np.sqrt(np.maximum(cv2.blur(image * image, side) - mean * mean, 0))
    return (image - mean) / (spread + 4)


def _shaft_crossing(contrast: np.ndarray, joint: np.ndarray, end: float, width: float, k: int, most: float) -> float:
    """x <= most at which the k-th shaft, a straight bright band that starts below its joint, crosses the line y = end."""
    band = SHAFT_WIDTH[k] * width
    mean = cv2.blur(contrast, (max(3, int(0.6 * band) | 1), 3))
    reach = round(band)
    ridge = mean - 0.5 * (np.roll(mean, reach, 1) + np.roll(mean, -reach, 1))
    y = np.arange(joint[1] + SHAFT_START * width, end)
    starts = joint[0] + LEAN[k] * SHAFT_START * width + np.linspace(-START_TOLERANCE, START_TOLERANCE, 7) * width
    leans = LEAN[k] + np.linspace(-LEAN_TOLERANCE, LEAN_TOLERANCE, 23)
    x = starts[:, None, None] + leans[None, :, None] * (y - y[0])
    rows = np.clip(np.round(y).astype(int), 0, ridge.shape[0] - 1)
    columns = np.clip(np.round(x).astype(int), 0, ridge.shape[1] - 1)
    score = np.where(x[..., -1] <= most, ridge[rows, columns].mean(-1), -np.inf)
    i, j = np.unravel_index(score.argmax(), score.shape)
    return float(x[i, j, -1])
