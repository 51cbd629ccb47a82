"""A posed and damaged skeleton in millimetres: bones with outlines, joints with centres, skin."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from data.phantom import shapes
from data.phantom.damage import Bite, Damage, bites_of, gap_loss, lateral_shift, set_gap


@dataclass
class Bone:
    """Outline (N, 2) in mm; start and end of its axis; cortex thickness in the shaft and at the ends."""

    name: str
    outline: np.ndarray
    start: np.ndarray
    end: np.ndarray
    cortex_mm: tuple[float, float]
    density: float = 1.0
    short: bool = False  # spongy throughout, like the carpals
    bites: list[Bite] = field(default_factory=list)
    plates: list[tuple[float, float, float]] = field(default_factory=list)  # growth plates: axial place 0..1, openness, epiphysis


@dataclass
class Skeleton:
    """Bones, joint centres (mm), and skin as tapered strokes [(point, radius), ...] and filled polygons."""

    limb: str
    bones: list[Bone]
    joints: dict[str, np.ndarray]
    strokes: list[list[tuple[np.ndarray, float]]]
    fills: list[np.ndarray]
    size: float  # factor on the adult's average


@dataclass(frozen=True)
class Body:
    """Constant over a patient's films: sizes and proportions (factors around 1), bone density, natural joint space."""

    size: float
    slender: float  # bone width over length
    lengths: np.ndarray  # (5, 4) factor per ray and bone
    density: float
    cortex: float
    space: float
    flesh: float
    carpal_jitter: np.ndarray  # (10, 6) small affine changes


@dataclass(frozen=True)
class Pose:
    """Different from film to film: spread and bending of the fingers (degrees), foreshortening (factors)."""

    spread: float
    bends_deg: np.ndarray  # (5, 4)
    thumb_deg: float
    foreshortening: np.ndarray  # (5, 4)
    wrist_deg: float


def draw_body(rng: np.random.Generator, female: bool, age: float, severity: float) -> Body:
    """A person's build. severity (0..1) lowers density and shrinks the cortex, as does age in years."""
    return Body(
        size=(0.95 if female else 1.06) * rng.normal(1, 0.045),
        slender=rng.normal(1, 0.07),
        lengths=rng.normal(1, 0.03, (5, 4)),
        density=rng.normal(1, 0.1) * (1 - 0.003 * max(age - 50, 0)) * (1 - 0.25 * severity),
        cortex=rng.normal(1, 0.14) * (1 - 0.006 * max(age - 50, 0)) * (1 - 0.2 * severity),
        space=float(np.clip(rng.normal(1, 0.09) * (1 - 0.002 * max(age - 50, 0)), 0.75, 1.3)),
        flesh=rng.normal(1, 0.1),
        carpal_jitter=rng.normal(0, 1, (10, 6)),
    )


def draw_pose(rng: np.random.Generator, limb: str, width: float = 1.0) -> Pose:
    """A pose; `width` widens every range (1: routine films, 2: training of the detector)."""
    hand = limb == "hand"
    fold = np.abs(rng.normal(0, 0.035 * width if hand else 0.08, (5, 4)))
    if hand and rng.random() < 0.08 * width:  # a bent finger
        fold[rng.integers(5), 1:] += rng.uniform(0.1, 0.4)
    return Pose(
        spread=float(np.clip(rng.normal(1, 0.45 * width), -0.35, 2.3)),
        bends_deg=rng.normal(0, 2.6 * (0.6 + 0.4 * width) if hand else 4, (5, 4)),
        thumb_deg=float(np.clip(rng.normal(-6, 11 * width), -40, 20)) if hand else rng.normal(2, 4 * width),
        foreshortening=np.clip(1 - fold, 0.45, 1),
        wrist_deg=rng.normal(0, 4 * width),
    )


def _direction(degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    return np.array([np.sin(angle), -np.cos(angle)])


_BONES = {"hand": ("mc", "pp", "mp", "dp"), "foot": ("mt", "pp", "mp", "dp")}


def _joint_name(limb: str, ray: int, distal_of: str) -> str | None:
    """The scored joint at the distal end of a ray's bone, None if that joint is not scored."""
    if distal_of in ("mc", "mt"):
        return f"{'mcp' if limb == 'hand' else 'mtp'}_{ray}"
    if distal_of == "pp":
        return {("hand", True): "thumb_ip", ("hand", False): f"pip_{ray}", ("foot", True): "hallux_ip"}.get((limb, ray == 1))
    return None


def build(limb: str, body: Body, pose: Pose, damage: Damage, rng: np.random.Generator) -> Skeleton:
    """The skeleton of a left limb. All random numbers come from rng: equal seeds give equal skeletons."""
    damage_rng = rng.spawn(1)[0]  # a separate stream, so that damage changes nothing else
    rays = shapes.HAND_RAYS if limb == "hand" else shapes.FOOT_RAYS
    skeleton = Skeleton(limb, [], {}, [], [], body.size)
    for number, ray in rays.items():
        _add_ray(skeleton, number, ray, body, pose, damage, rng, damage_rng)
    if limb == "hand":
        _add_wrist(skeleton, body, pose, damage, rng)
    else:
        _add_tarsus(skeleton, body)
    _add_sesamoids(skeleton, rng)
    for joint, centre in skeleton.joints.items():
        bites_of(joint, centre, skeleton.bones, damage, damage_rng)
    return skeleton


def _ray_angles(limb: str, number: int, ray: shapes.Ray, pose: Pose, damage: Damage) -> list[float]:
    first, finger = ray.angles_deg
    if limb == "hand" and number == 1:
        return [first + pose.thumb_deg, finger + 1.3 * pose.thumb_deg, finger + 1.3 * pose.thumb_deg]
    fan = {2: 5.0, 3: 0.0, 4: -4.0, 5: -9.0}.get(number, 0.0) * (pose.spread - 1) if limb == "hand" else 0.0
    drift = 0.0
    if limb == "hand":
        drift = -damage.drift_deg
    elif number == 1:
        drift = -damage.drift_deg - pose.thumb_deg
    return [first + 0.25 * fan, finger + fan + drift, finger + fan + drift, finger + fan + 0.8 * drift]


def _add_ray(
    skeleton: Skeleton,
    number: int,
    ray: shapes.Ray,
    body: Body,
    pose: Pose,
    damage: Damage,
    rng: np.random.Generator,
    damage_rng: np.random.Generator,
) -> None:
    limb, size = skeleton.limb, body.size
    kinds = _BONES[limb] if len(ray.lengths_mm) == 4 else (_BONES[limb][0], "pp", "dp")
    angles = _ray_angles(limb, number, ray, pose, damage)
    point = np.array(ray.base_mm) * size
    stroke: list[tuple[np.ndarray, float]] = []
    for i, kind in enumerate(kinds):
        heading = angles[min(i, len(angles) - 1)] + (pose.bends_deg[number - 1, i] if i else 0.3 * pose.bends_deg[number - 1, 0])
        direction = _direction(heading)
        length = ray.lengths_mm[i] * size * body.lengths[number - 1, i] * (pose.foreshortening[number - 1, i] if i else 1)
        end_kind = {0: "ball", len(kinds) - 1: "tuft"}.get(i, "condyles")
        widths = tuple(w * size * body.slender * rng.normal(1, 0.05) for w in ray.widths_mm[i])
        end = point + direction * length
        outline = shapes.long_bone(point, end, widths, end_kind, skew=tuple(rng.normal(1, 0.05, 2)))
        shaft, ends = (0.42 * widths[1] * body.cortex, 0.1 * widths[0] * body.cortex)
        skeleton.bones.append(Bone(f"{kind}_{number}", outline, point, end, (shaft, max(ends, 0.35 * size)), body.density))
        if i:
            share = (i - 1) / max(len(kinds) - 2, 1)
            stroke.append((point, (ray.soft_mm[0] * (1 - share) + ray.soft_mm[1] * share) * size * body.flesh))
        if i == len(kinds) - 1:
            stroke.append((end + direction * 0.2 * size, ray.soft_mm[1] * 0.86 * size * body.flesh))
            break
        gap = shapes.GAP_MM[kind if limb == "hand" or i == 0 else f"foot_{kind}"] * size * body.space * rng.normal(1, 0.06)
        joint = _joint_name(limb, number, kind)
        narrowing = damage.narrowing.get(joint, 0.0)
        apex = end + direction * (0.2 * widths[2] if end_kind == "ball" else 0.0)
        sideways = np.array([-direction[1], direction[0]]) * lateral_shift(narrowing, damage_rng) * widths[2]
        open_gap = gap * (1 - gap_loss(narrowing)) - (2.5 * size if narrowing > 3.6 and np.any(sideways) else 0)
        if joint:
            skeleton.joints[joint] = apex + direction * gap / 2 + 0.5 * sideways
        point = apex + direction * (open_gap - 0.1 * widths[2] * (i == 0)) + sideways
    skeleton.strokes.append(stroke)


def _add_wrist(skeleton: Skeleton, body: Body, pose: Pose, damage: Damage, rng: np.random.Generator) -> None:
    size = body.size
    tilt = np.deg2rad(pose.wrist_deg)
    turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    pivot = np.array([0.0, 12.0]) * size
    for i, (name, template) in enumerate(shapes.CARPALS.items()):
        jitter = body.carpal_jitter[i]
        outline = shapes.smooth(template)
        centre = outline.mean(0)
        forearm = name in ("radius", "ulna")
        shape = np.array([[1 + 0.04 * jitter[0], 0.03 * jitter[1]], [0.03 * jitter[2], 1 + 0.04 * jitter[3]]])
        if not forearm:
            shape = shape * (1.07 - 0.06 * (body.space - 1))
            outline = (outline - centre) @ shape.T + centre + 0.3 * jitter[4:]
        outline = outline * size
        if forearm:
            outline = (outline - pivot) @ turn.T + pivot
        cortex = (2.6 * size * body.cortex, 0.9 * size * body.cortex) if forearm else (0.8 * body.cortex, 0.7 * body.cortex)
        start, end = outline[np.argmax(outline[:, 1])], outline[np.argmin(outline[:, 1])]
        skeleton.bones.append(
            Bone(name, outline, start, end, cortex, body.density * (0.8 if forearm else 1.0), short=not forearm)
        )
    bones = {bone.name: bone for bone in skeleton.bones}
    for joint, centre in shapes.WRIST_CENTRES.items():
        point = np.array(centre) * size
        skeleton.joints[joint] = (point - pivot) @ turn.T + pivot if joint in ("wrist_radius", "wrist_ulna") else point
    for joint, pairs in shapes.WRIST_JOINTS.items():
        lost = gap_loss(damage.narrowing.get(joint, 0.0))
        space = shapes.WRIST_GAP_MM * size * body.space * rng.normal(1, 0.08) * (1 - lost)
        for proximal, distal in pairs:
            set_gap(bones[proximal].outline, bones[distal].outline, skeleton.joints[joint], space)
    skeleton.fills += _hand_fills(skeleton, body, turn, pivot)


def _hand_fills(skeleton: Skeleton, body: Body, turn: np.ndarray, pivot: np.ndarray) -> list[np.ndarray]:
    """Palm, web of the thumb, and forearm as filled polygons in mm."""
    size, joints, flesh = body.size, skeleton.joints, body.flesh
    wrist = np.array([[-28, 20], [24, 20]]) * size * [flesh, 1]
    forearm = np.array([[24, 20], [24, 45], [26, 100], [-34, 100], [-32, 45], [-28, 20]]) * size * [flesh, 1]
    forearm = (forearm - pivot) @ turn.T + pivot
    up = np.array([0.0, -13.0]) * size
    palm = np.array(
        [
            joints["mcp_2"] + [8 * size, -4 * size], joints["mcp_2"] + up, joints["mcp_3"] + up, joints["mcp_4"] + up,
            joints["mcp_5"] + [-3 * size, -8 * size], joints["mcp_5"] + [-9.5 * size, 6 * size], np.array([-27, -20]) * size,
            wrist[0], wrist[1], np.array([34, 2]) * size, joints["mcp_1"] + [7 * size, 4 * size],
            joints["mcp_1"] + [-6 * size, -8 * size],
            0.5 * (joints["mcp_1"] + joints["mcp_2"]) + np.array([-8, 4]) * size,
        ]
    )  # fmt: skip
    return [palm, forearm]


def _add_tarsus(skeleton: Skeleton, body: Body) -> None:
    size = body.size
    for i, (name, template) in enumerate(shapes.TARSALS.items()):
        jitter = body.carpal_jitter[i]
        outline = shapes.smooth(template)
        centre = outline.mean(0)
        shape = np.array([[1 + 0.04 * jitter[0], 0.03 * jitter[1]], [0.03 * jitter[2], 1 + 0.04 * jitter[3]]]) * 0.97
        outline = ((outline - centre) @ shape.T * 1.04 + centre) * size
        thick = 0.55 if name in ("talus", "calcaneus", "tibia", "fibula") else 0.9
        skeleton.bones.append(
            Bone(
                name,
                outline,
                outline.mean(0) + np.array([0, 10]),
                outline.mean(0) - np.array([0, 10]),
                (0.9 * body.cortex, 0.8 * body.cortex),
                body.density * thick,
                short=True,
            )
        )
    joints = skeleton.joints
    sole = [
        joints["mtp_1"] + [13 * size, 4 * size], joints["mtp_1"] + np.array([5, -12]) * size,
        joints["mtp_2"] + np.array([0, -16]) * size,
        joints["mtp_3"] + np.array([0, -15]) * size, joints["mtp_4"] + np.array([0, -14]) * size,
        joints["mtp_5"] + np.array([-3, -8]) * size,
        joints["mtp_5"] + np.array([-9, 6]) * size, np.array([-39, 8]) * size, np.array([-36, 40]) * size, np.array([-34,
        90]) * size,
        np.array([-30, 160]) * size, np.array([38, 160]) * size, np.array([36, 80]) * size, np.array([32, 30]) * size,
        np.array([30, -10]) * size,
    ]  # fmt: skip
    skeleton.fills.append(np.array(sole))


def _add_sesamoids(skeleton: Skeleton, rng: np.random.Generator) -> None:
    size, joints = skeleton.size, skeleton.joints
    if skeleton.limb == "hand":
        places = [(joints["mcp_1"] + np.array([-4.5, 3.5]) * size, 2.1), (joints["mcp_1"] + np.array([1.5, 6.5]) * size, 1.9)]
        places += [
            (joints[f"mcp_{k}"] + np.array([s, 5]) * size, 1.6) for k, s, p in ((2, 4, 0.5), (5, 1, 0.6)) if rng.random() < p
        ]
    else:
        places = [(joints["mtp_1"] + np.array([s, 12]) * size, 4.2) for s in (-5.5, 5)]
    for centre, radius in places:
        t = np.linspace(0, 2 * np.pi, 18, endpoint=False)
        radii = radius * size * rng.uniform(0.8, 1.15) * np.array([1, 1.2])
        outline = centre + np.stack([np.cos(t), np.sin(t)], 1) * radii
        skeleton.bones.append(
            Bone("sesamoid", outline, centre + np.array([0, 2]), centre - np.array([0, 2]), (0.5, 0.5), 0.9, short=True)
        )
