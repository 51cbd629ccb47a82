"""Damage to a skeleton: erosions remove bone at a joint's margins, narrowing closes its space, severe disease displaces it.

Severities are continuous on the scale of the grades: a site of grade g has a severity in (g - 0.7, g].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from data.phantom import shapes


@dataclass
class Bite:
    """An erosion: an irregular hole of radius_mm at centre_mm that removes `depth` (0..1) of the bone's thickness."""

    centre_mm: np.ndarray
    radius_mm: float
    depth: float


@dataclass(frozen=True)
class Damage:
    """Severity per joint: erosion 0..5 in the hand, 0..10 in the foot; narrowing 0..4; drift of the fingers in degrees."""

    erosion: dict[str, float] = field(default_factory=dict)
    narrowing: dict[str, float] = field(default_factory=dict)
    drift_deg: float = 0.0


# Fraction of the joint space lost at severities 0..4: 1 doubtful, 2 less than half, 3 more than half, 4 fused.
_LOSS = np.array([0.0, 0.2, 0.5, 0.84, 1.16])


def gap_loss(narrowing: float) -> float:
    """Fraction of the joint space lost; above 1 the bones fuse."""
    return float(np.interp(narrowing, np.arange(5), _LOSS))


def lateral_shift(narrowing: float, rng: np.random.Generator) -> float:
    """Sideways displacement in half-widths of the head: subluxation in some joints of grade 3, luxation in some of grade 4."""
    if narrowing <= 2.2:
        return 0.0
    chance, shift = (0.3, (0.25, 0.6)) if narrowing <= 3 else (0.4, (0.8, 1.5))
    return float(rng.choice([-1, 1]) * rng.uniform(*shift)) if rng.random() < chance else 0.0


def set_gap(proximal: np.ndarray, distal: np.ndarray, centre: np.ndarray, gap_mm: float) -> None:
    """Change the joint space between two bones (outlines, in place) to gap_mm around a wrist joint's centre.

    The space is measured along the limb in columns around the centre. The facing end of each bone moves by half of the
    difference; the movement decreases to 0 at 8 mm inside the bone.
    """
    columns = centre[0] + np.linspace(-5, 5, 11)
    low, high = max(proximal[:, 0].min(), distal[:, 0].min()), min(proximal[:, 0].max(), distal[:, 0].max())
    columns = columns[(columns > low + 0.5) & (columns < high - 0.5)]
    if not len(columns):
        return
    below, above = (_edge(proximal, columns, np.min), _edge(distal, columns, np.max))
    missing = 0.5 * (float(np.median(below - above)) - gap_mm)
    for outline, sign, end in ((proximal, -1, np.median(below)), (distal, 1, np.median(above))):
        inside = sign * (end - outline[:, 1])  # mm from the facing edge into the bone
        outline[:, 1] += sign * missing * np.clip(1 - inside / 8, 0, 1)


def _edge(outline: np.ndarray, columns: np.ndarray, side: Callable) -> np.ndarray:
    """The y of an outline's upper (min) or lower (max) edge in each column."""
    return np.array([side(outline[np.argsort(np.abs(outline[:, 0] - x))[:8], 1]) for x in columns])


def _neighbours(joint: str, bones: list) -> list[tuple[object, str]]:
    """The bones that a joint's erosion affects, each with the affected region (start, end, far or rim)."""
    if joint in shapes.WRIST_EROSION_BONES:
        kind = {"wrist_mc1": "start", "wrist_radius": "far", "wrist_ulna": "far"}.get(joint, "rim")
        return [(bone, kind) for bone in bones if bone.name in shapes.WRIST_EROSION_BONES[joint]]
    row, _, number = joint.rpartition("_")
    if joint in ("thumb_ip", "hallux_ip"):
        names = {"pp_1": "end", "dp_1": "start"}
    elif row == "pip":
        names = {f"pp_{number}": "end", f"mp_{number}": "start"}
    elif row in ("mcp", "mtp"):
        names = {f"{'mc' if row == 'mcp' else 'mt'}_{number}": "end", f"pp_{number}": "start"}
    else:
        return []
    return [(bone, names[bone.name]) for bone in bones if bone.name in names]


def bites_of(joint: str, centre: np.ndarray, bones: list, damage: Damage, rng: np.random.Generator) -> None:
    """Add the bites of a joint's severity to its bones. In the foot the two bones share a severity of 0..10."""
    severity = damage.erosion.get(joint, 0.0)
    if severity <= 0:
        return
    sides = _neighbours(joint, bones)
    foot = joint.startswith(("mtp", "hallux"))
    order = rng.permutation(len(sides)) if not joint.startswith("wrist") else np.arange(len(sides))
    remaining = severity
    for rank, index in enumerate(order):
        bone, where = sides[index]
        if foot:
            if rank:
                share = min(remaining, 5.0)
            elif severity <= 5:
                share = severity * rng.uniform(0.5, 0.9)
            else:
                share = 5.0
            remaining -= share
        else:
            share = severity * (1.0 if rank == 0 else rng.uniform(0.3, 0.9))
        if share > 0.05:
            bone.bites += [Bite(*b) for b in _bites(bone, where, centre, share, rng)]


def _bites(bone: object, where: str, centre: np.ndarray, severity: float, rng: np.random.Generator) -> list[tuple]:
    """(centre_mm, radius_mm, depth) of the bites at one bone: first at a corner, then across the surface."""
    outline = bone.outline
    if where == "rim":
        reach = np.hypot(*(outline - outline.mean(0)).T).mean()
        candidates = outline
    else:
        tip = {"start": bone.start, "end": bone.end, "far": centre}[where]
        width = np.hypot(*(outline - tip).T)
        reach = np.sort(width)[: len(width) // 5].mean()
        candidates = outline[width < 1.6 * reach + 1.0]
    first = candidates[np.argmax(np.abs((candidates - centre) @ np.array([1.0, 0.2])) * rng.uniform(0.85, 1.15, len(candidates)))]
    points, out = [first], []
    for _ in range(int(severity)):  # more bites with the severity, anywhere on the margin
        points.append(candidates[rng.integers(len(candidates))])
    for i, point in enumerate(points):
        radius = reach * (0.23 + 0.115 * severity) * (1.0 if i == 0 else rng.uniform(0.6, 1.0))
        inward = (outline.mean(0) - point) if where == "rim" else (centre - point)
        inward = inward / (np.hypot(*inward) + 1e-6)
        out.append((point + inward * 0.25 * radius, float(radius), float(np.clip(0.6 + 0.1 * severity, 0, 0.95))))
    return out
