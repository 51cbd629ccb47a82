"""Whether what was found is a hand or foot that can be scored: the reasons against it, in the words of ra.quality_reasons."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ra.anatomy import HAND_JOINTS
from ra.anatomy import limb as limb_of
from ra.imaging.film import Frame
from ra.quality_reasons import refused
from stage1_detect.inference import Reading
from stage1_detect.limb_search import Limb
from stage1_detect.metatarsal_spread import fan

VIEWS = {"hand": "PA", "foot": "AP"}
# Quality below which nothing like a hand or foot is on the film: other parts of the body and lateral views reach 0.43; and below
# which what is there passes for none. Generated films, with every damage and growth, have 0.78 (hands) and 0.68 (feet) or more,
# real PA and AP films 0.78 or more however they lie and are exposed, oblique hands 0.44 to 0.65, scrambled ones 0.46.
LEAST_QUALITY = {"hand": 0.45, "foot": 0.5}
FAIR_QUALITY = {"hand": 0.65, "foot": 0.6}
# How broad a hand is: the mean of its knuckles, metacarpal bases and forearm bones across, in lengths from wrist to mcp_3 and as
# shares of the usual. A PA film gives 0.94 to 0.97 however it is turned and scaled, an oblique one 0.70 to 0.79, and a PA film
# that is squeezed across as by a turn of 37 degrees 0.78.
ACROSS = {("mcp_2", "mcp_5"): 0.73, ("wrist_mc1", "wrist_cmc5"): 0.49, ("wrist_radius", "wrist_ulna"): 0.305}
LEAST_BREADTH = 0.84
# How the metatarsals fan out (metatarsal_spread.fan): 0.44 to 0.55 on a real AP film however it is turned, scaled and exposed,
# 0.28 to 0.34 on a real oblique one; of 300 generated AP films, crowded toes among them, one had 0.34 and four 0.35 to
# 0.36.
# Between the two limits the film is read, and that is told.
LEAST_FAN, FAIR_FAN = 0.34, 0.37
# RMS distance in mm of an adult's joints from their middle; a film with less than a pixel per millimetre has joint spaces
# (1 to 2 mm) of a pixel.
RADIUS_MM = {"hand": 55.0, "foot": 27.0}
LEAST_PX_PER_MM = 1.0
LEAST_CONTRAST = 12  # greys between the 5th and the 95th percentile around the joints
BLACK, WHITE, CLIPPED = 2, 253, 0.5  # the ends of the greys, and the share of the joints' surroundings that may be lost there
SURE = 0.2  # difference of quality from which one side is told from the other


@dataclass(frozen=True)
class Verdict:
    """A limb of a picture, or the picture itself where none was found. reasons: word -> what it rests on."""

    reading: Reading | None  # in the frame's pixels
    view: str | None
    frame: Frame
    quality: float = 0.0  # of the joints that lie on the film
    sure: bool = True  # of the side
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def part(self) -> str | None:
        """Which limb it is."""
        return self.reading.part if self.reading else None


def judge(grey: np.ndarray, limbs: list[Limb]) -> list[Verdict]:
    """A verdict per limb of a picture (H, W) uint8 that has any, else one for the picture."""
    whole = Frame(0, 0, grey.shape[1], grey.shape[0])
    if not limbs or quality_on_film(limbs[0].frame, limbs[0].reading) < LEAST_QUALITY[limb_of(limbs[0].reading.part)]:
        best = max((limb.reading.quality for limb in limbs), default=0.0)
        return [
            Verdict(
                None, None, whole, best, False, unlit(grey) or {"not_hand_or_foot": f"like a hand or foot by {best:.2f} of 1"}
            )
        ]
    verdicts = [_judge_one(grey, limb) for limb in limbs]
    crowd = _crowd(
        [one.part for one in verdicts if not refused(" ".join(one.reasons))]
    )  # an oblique film beside is no other limb
    return [replace(verdict, reasons=verdict.reasons | crowd) for verdict in verdicts]


def quality_on_film(frame: Frame, reading: Reading) -> float:
    """The reading's quality over the joints that lie on the film; 0 when most do not."""
    inside = ~outside(frame, reading)
    return float(reading.agree[inside].mean()) if inside.mean() > 0.5 else 0.0


def outside(frame: Frame, reading: Reading) -> np.ndarray:
    """bool (J,): the joints that lie beyond the film's edges."""
    return reading.outside(frame.width_px, frame.height_px)


def _judge_one(grey: np.ndarray, limb: Limb) -> Verdict:
    reading, frame = limb.reading, limb.frame
    kind = limb_of(reading.part)
    quality = quality_on_film(frame, reading)
    film = frame.cut(grey)
    reasons = _turned_away(film, reading)
    view = "oblique" if "wrong_view" in reasons else VIEWS[kind]
    if "wrong_view" not in reasons and quality < FAIR_QUALITY[kind]:
        reasons["not_hand_or_foot"], view = f"like a {kind} by {quality:.2f} of 1", None
    scale = spread_px(reading) / RADIUS_MM[kind]
    if scale < LEAST_PX_PER_MM:
        reasons["too_small"] = f"the {kind} has about {scale:.1f} pixels per millimetre"
    reasons |= unlit(_around_joints(film, reading))
    missing = [joint for joint, off in zip(reading.joints, outside(frame, reading), strict=True) if off]
    if missing:
        reasons["cut_off"] = " ".join(missing)
    if frame.turns:
        reasons["turned"] = f"by {90 * frame.turns} degrees"
    sure = bool(np.isnan(limb.rival) or reading.quality - limb.rival > SURE)
    return Verdict(reading, view, frame, quality, sure, reasons)


def _turned_away(film: np.ndarray, reading: Reading) -> dict[str, str]:
    """wrong_view for a limb that lies obliquely, view_differs for a foot between an AP and an oblique view."""
    if limb_of(reading.part) == "hand":
        width = breadth(reading)
        return (
            {"wrong_view": f"the hand is {width:.2f} of the usual breadth, as on an oblique film"}
            if width < LEAST_BREADTH
            else {}
        )
    spread = fan(film, reading)
    said = f"the metatarsals fan out by {spread:.2f}"
    if spread < LEAST_FAN:
        return {"wrong_view": f"{said}, as on an oblique film"}
    return {"view_differs": f"{said}, hardly as on an AP film"} if spread < FAIR_FAN else {}


def breadth(reading: Reading) -> float:
    """Breadth of a hand for its length; 1 is usual, less is turned."""
    at = dict(zip(reading.joints, reading.points, strict=True))
    wrist = np.mean([at[joint] for joint in HAND_JOINTS[10:]], axis=0)
    length = max(np.hypot(*(at["mcp_3"] - wrist)), 1e-6)
    return float(np.mean([np.hypot(*(at[a] - at[b])) / length / usual for (a, b), usual in ACROSS.items()]))


def spread_px(reading: Reading) -> float:
    """RMS distance of the joints from their middle."""
    return float(np.sqrt(((reading.points - reading.points.mean(0)) ** 2).sum(1).mean()))


def unlit(region: np.ndarray, clipped: float = CLIPPED) -> dict[str, str]:
    """too_dark or blown_out when a region's greys (any shape) tell nothing, or more than a share of them is lost."""
    if region.size == 0:
        return {}
    low, middle, high = np.percentile(region, (5, 50, 95))
    black, white = float((region <= BLACK).mean()), float((region >= WHITE).mean())
    if high - low >= LEAST_CONTRAST and max(black, white) < clipped:
        return {}
    dark = middle < 128
    share = f"{black if dark else white:.0%} are {'black' if dark else 'white'}, the others differ by {high - low:.0f} greys"
    return {"too_dark" if dark else "blown_out": f"of the pixels around the joints {share}"}


def _around_joints(film: np.ndarray, reading: Reading) -> np.ndarray:
    """The pixels (n,) of the joints' boxes that lie on the film."""
    found = []
    for (x, y), side in zip(reading.points, reading.box, strict=True):
        left, top = max(int(x - side / 2), 0), max(int(y - side / 2), 0)
        found.append(film[top : max(int(y + side / 2), 0), left : max(int(x + side / 2), 0)].ravel()[::3])
    return np.concatenate(found)


def _crowd(parts: list[str]) -> dict[str, str]:
    """too_many_limbs when the parts of one picture cannot all be one patient's."""
    twice = sorted({part for part in parts if parts.count(part) > 1})
    return {"too_many_limbs": f"{len(parts)} limbs, of them {' and '.join(twice)} more than once"} if twice else {}
