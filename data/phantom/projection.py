"""From a skeleton in millimetres to the signal of a detector: thickness maps, Beer-Lambert law, scatter, blur, quantum noise."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from data.phantom.skeleton import Bone, Skeleton

# Linear attenuation in 1/mm at about 50 keV: of soft tissue, and the excess of cortical bone and marrow over soft tissue.
MU_SOFT, MU_CORTEX, MU_MARROW = 0.021, 0.040, 0.0125


@dataclass(frozen=True)
class Placement:
    """mm -> pixels: p_px = matrix @ p_mm + offset. The matrix of a right limb mirrors."""

    matrix: np.ndarray
    offset: np.ndarray

    @property
    def px_per_mm(self) -> float:
        """Scale of the placement."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix))))

    def __call__(self, points_mm: np.ndarray) -> np.ndarray:
        return np.asarray(points_mm) @ self.matrix.T + self.offset


def chord(depth: np.ndarray, radius: float) -> np.ndarray:
    """Path length through a cylinder of `radius` at `depth` below its outline (both px or both mm)."""
    depth = np.minimum(np.maximum(depth, 0), radius)
    return 2 * np.sqrt(depth * (2 * radius - depth))


def _fill(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Filled polygon, 0/255, anti-aliased to 1/16 px."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return mask


def project_bone(bone: Bone, place: Placement, attenuation: np.ndarray, texture: np.ndarray, rng: np.random.Generator) -> None:
    """Add one bone's attenuation in excess of soft tissue to the map, in place."""
    scale, outline = place.px_per_mm, place(bone.outline)
    height, width = attenuation.shape
    x0, y0 = np.maximum(np.floor(outline.min(0)).astype(int) - 3, 0)
    x1, y1 = np.minimum(np.ceil(outline.max(0)).astype(int) + 4, (width, height))
    if x1 - x0 < 3 or y1 - y0 < 3:
        return
    origin = np.array([x0, y0])
    mask = _fill(outline - origin, (y1 - y0, x1 - x0))
    depth = cv2.distanceTransform((mask > 127).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5) / scale
    radius = float(depth.max()) + 1e-3
    start, end = place(bone.start) - origin, place(bone.end) - origin
    axis = end - start
    length2 = float(axis @ axis) + 1e-6
    xs, ys = np.arange(x1 - x0, dtype=np.float32), np.arange(y1 - y0, dtype=np.float32)
    along = ((xs - start[0]) * axis[0])[None, :] / length2 + ((ys - start[1]) * axis[1])[:, None] / length2
    middle = np.clip(1 - np.abs(2 * along - 1), 0, 1)
    shaft = np.clip((middle - 0.12) / 0.4, 0, 1) if not bone.short else np.full_like(middle, 0.45)
    cortex = bone.cortex_mm[1] + (bone.cortex_mm[0] - bone.cortex_mm[1]) * shaft
    outer = chord(depth, radius)
    inner = chord(depth - cortex, max(radius - bone.cortex_mm[0], 0.3 * radius))
    inner = np.minimum(inner, outer)
    spongy = texture[y0:y1, x0:x1] * (0.2 - 0.12 * shaft)
    ends = 1.9 - 1.45 * shaft  # spongy bone fills the ends, marrow fat the shaft
    added = (MU_CORTEX * (outer - inner) + MU_MARROW * ends * inner * (1 + spongy)) * bone.density
    added *= mask / np.float32(255)
    for centre, open_share, epiphysis in bone.plates:
        added *= _growth_plate(along, np.sqrt(length2) / scale, centre, open_share, epiphysis)
    if bone.bites:
        added *= _bite_map(bone, place, origin, added.shape, rng)
    attenuation[y0:y1, x0:x1] += added.astype(np.float32)


def _growth_plate(along: np.ndarray, length_mm: float, centre: float, open_share: float, epiphysis: float) -> np.ndarray:
    """Factor 0..1 on a growing bone: a dark band at the plate, and beyond it the epiphysis as far as it has ossified."""
    gap = 1 - open_share * np.exp(-(((along - centre) * length_mm / 0.9) ** 2))
    beyond = (along < centre) if centre < 0.5 else (along > centre)
    return np.where(beyond, gap * epiphysis, gap)


def _bite_map(bone: Bone, place: Placement, origin: np.ndarray, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Factor on the bone by its erosions: each an irregular cluster of discs with a faint dense rim."""
    scale = place.px_per_mm
    keep = np.ones(shape, np.float32)
    for bite in bone.bites:
        hole = np.zeros(shape, np.uint8)
        centre, radius = place(bite.centre_mm) - origin, bite.radius_mm * scale
        for _ in range(4):
            disc = centre + rng.normal(0, 0.3, 2) * radius
            cv2.circle(
                hole,
                tuple(np.round(disc * 16).astype(int)),
                round(16 * radius * rng.uniform(0.55, 0.9)),
                255,
                -1,
                cv2.LINE_AA,
                4,
            )
        soft = cv2.GaussianBlur(hole, (0, 0), max(0.35, 0.1 * radius)).astype(np.float32) / 255
        rim = cv2.GaussianBlur(hole, (0, 0), max(0.6, 0.3 * radius)).astype(np.float32) / 255 - soft
        keep *= (1 - bite.depth * soft) * (1 + 0.35 * np.maximum(rim, 0))
    return keep


def soft_tissue(skeleton: Skeleton, place: Placement, shape: tuple[int, int], flesh: float) -> np.ndarray:
    """Thickness of the soft tissue in mm, (H, W) float32; drawn at a third of the resolution and enlarged."""
    step = 3
    small = (shape[0] // step + 1, shape[1] // step + 1)
    scale = place.px_per_mm / step
    mask = np.zeros(small, np.uint8)
    for fill in skeleton.fills:
        cv2.fillPoly(mask, [np.round(place(fill) * 16 / step).astype(np.int32)], 255, cv2.LINE_AA, 4)
    for stroke in skeleton.strokes:
        for (a, ra), (b, rb) in pairwise(stroke):
            for t in np.linspace(0, 1, 17):
                centre = place(np.asarray(a) * (1 - t) + np.asarray(b) * t) / step
                radius = (ra * (1 - t) + rb * t) * scale
                cv2.circle(mask, tuple(np.round(centre * 16).astype(int)), round(radius * 16), 255, -1, cv2.LINE_AA, 4)
    sigma = max(1.0, (1.6 if skeleton.limb == "hand" else 3.0) * scale)
    blurred = cv2.GaussianBlur(mask, (0, 0), sigma)
    depth = cv2.distanceTransform((blurred > 118).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5) / scale
    cap, height = (13.0, 0.72) if skeleton.limb == "hand" else (22.0, 0.85)
    thickness = height * flesh * chord(depth, cap * skeleton.size)
    if skeleton.limb == "foot":  # the hind foot is thicker than the toes
        ys = np.arange(small[0], dtype=np.float32)[:, None] * step
        xs = np.arange(small[1], dtype=np.float32)[None, :] * step
        inverse = np.linalg.inv(place.matrix)
        y_mm = inverse[1, 0] * (xs - place.offset[0]) + inverse[1, 1] * (ys - place.offset[1])
        thickness = thickness * np.clip(1.0 + (y_mm / skeleton.size + 30) / 190, 0.8, 1.5)
    thickness = cv2.GaussianBlur(thickness.astype(np.float32), (0, 0), max(0.8, 0.9 * scale))
    return cv2.resize(thickness, (small[1] * step, small[0] * step), interpolation=cv2.INTER_LINEAR)[: shape[0], : shape[1]]


def trabeculae(shape: tuple[int, int], px_per_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Band-passed noise, longer along the limb than across, unit variance."""
    step = max(1, round(px_per_mm / 7))
    noise = rng.standard_normal((shape[0] // step + 2, shape[1] // step + 2), dtype=np.float32)
    sigma = 0.17 * px_per_mm / step
    fine = cv2.GaussianBlur(noise, (0, 0), sigmaX=max(0.4, sigma), sigmaY=max(0.6, 2.2 * sigma))
    fine -= cv2.GaussianBlur(noise, (0, 0), 3.0 * max(0.5, sigma))
    fine /= fine.std() + 1e-6
    return cv2.resize(fine, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)


def attenuation_map(
    skeleton: Skeleton, place: Placement, shape: tuple[int, int], flesh: float, rng: np.random.Generator
) -> np.ndarray:
    """Line integral of attenuation (dimensionless, >= 0), (H, W) float32."""
    attenuation = MU_SOFT * soft_tissue(skeleton, place, shape, flesh)
    texture = trabeculae(shape, place.px_per_mm, rng)
    holes = rng.spawn(1)[0]
    for bone in skeleton.bones:
        project_bone(bone, place, attenuation, texture, holes)
    return attenuation


def expose(attenuation: np.ndarray, photons: float, scatter: float, blur_px: float, rng: np.random.Generator) -> np.ndarray:
    """Attenuation as measured by a detector: Beer-Lambert law, scatter, blur of focus and detector, quantum noise, logarithm.

    photons: per pixel without attenuation. scatter: fraction of the primary beam.
    """
    beam = np.exp(-attenuation)
    if scatter > 0:
        small = cv2.resize(beam, None, fx=1 / 16, fy=1 / 16, interpolation=cv2.INTER_AREA)
        glare = cv2.GaussianBlur(small, (0, 0), max(1.0, 0.05 * max(small.shape)))
        beam += scatter * cv2.resize(glare, beam.shape[::-1], interpolation=cv2.INTER_LINEAR)
    if blur_px > 0.2:
        beam = cv2.GaussianBlur(beam, (0, 0), blur_px)
    beam += np.sqrt(beam / photons) * rng.standard_normal(beam.shape, dtype=np.float32)
    return -np.log(np.maximum(beam / (1 + scatter), 1e-3))
