"""Technique of a film: placement of the limb, exposure, grey curve, collimation, markers, rings."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from data.phantom.projection import Placement, expose
from data.phantom.skeleton import Skeleton

RENDER_MAX_PX = 1500  # larger films are rendered at this height and enlarged
# Height in RA2-DREAM (median, SD of the log, range) and aspect ratio width / height.
SIZE = {"hand": (1491, 0.38, (439, 3765), 0.745), "foot": (1225, 0.38, (306, 3427), 0.69)}
# Fraction of the film's height covered by the scored joints, and the position (x, y) of their middle as fractions of the film.
EXTENT = {"hand": (0.56, (0.50, 0.55)), "foot": (0.27, (0.47, 0.35))}
MARKS = {"L": ("L", "Sin", "LEFT", "LT", "li"), "R": ("R", "Dx", "RIGHT", "RT", "re")}


@dataclass(frozen=True)
class Style:
    """Style of one film. Angles in degrees, clockwise; fractions of the film; grey levels 0..1."""

    height_px: int
    width_px: int
    angle_deg: float
    quarter_turns: int
    fill: float  # factor on the usual magnification
    shift_frac: tuple[float, float]
    photons: float
    scatter: float
    blur_mm: float
    gamma: float
    window: tuple[float, float]  # lower and upper percentile, mapped to black and white
    local: float  # strength of local contrast enhancement, 0..1
    inverted: bool
    border: float  # width of the collimation border as a fraction; 0: none, negative: white
    marker: bool
    ring: bool
    cable: bool
    text: bool


def draw_style(rng: np.random.Generator, limb: str, width: float = 1.0, max_px: int | None = None) -> Style:
    """A film's style; `width` widens the ranges (1: routine films of many centres, 2: training of the detector)."""
    median, spread, (low, high), aspect = SIZE[limb]
    height = float(np.clip(median * np.exp(rng.normal(0, spread)), low, high))
    if max_px:
        height = max_px * rng.uniform(0.75, 1)
    ratio = float(np.clip(aspect * np.exp(rng.normal(0, 0.1 * width)), 0.5, 1.3))
    wide = width > 1
    return Style(
        height_px=round(height),
        width_px=round(height * ratio),
        angle_deg=float(rng.normal(0, 6) if not wide else rng.choice([rng.normal(0, 12), rng.uniform(-50, 50)], p=[0.55, 0.45])),
        quarter_turns=int(rng.choice([0, 1, 3, 2], p=[0.985, 0.005, 0.005, 0.005])) if not wide else 0,
        fill=float(np.exp(rng.normal(0, 0.07 * width))),
        shift_frac=tuple(rng.normal(0, 0.03 * width, 2)),
        photons=float(np.exp(rng.uniform(np.log(600), np.log(9000))))
        if wide
        else float(np.exp(rng.uniform(np.log(1500), np.log(9000)))),
        scatter=rng.uniform(0.02, 0.35),
        blur_mm=rng.uniform(0.04, 0.16 if not wide else 0.3),
        gamma=float(np.exp(rng.normal(0, 0.18 * width))),
        window=(rng.uniform(0, 4), rng.uniform(99.2, 99.95)),
        local=float(rng.choice([0.0, rng.uniform(0.1, 0.75)], p=[0.45, 0.55] if limb == "hand" else [0.15, 0.85])),
        inverted=bool(rng.random() < (0.03 if not wide else 0.15)),
        border=float(rng.choice([0.0, rng.uniform(0.005, 0.04), -rng.uniform(0.003, 0.02)], p=[0.6, 0.28, 0.12])),
        marker=bool(rng.random() < 0.8),
        ring=bool(limb == "hand" and rng.random() < 0.07 * width),
        cable=bool(rng.random() < 0.01 * width),
        text=bool(rng.random() < 0.2),
    )


def place(skeleton: Skeleton, part: str, style: Style, shape: tuple[int, int]) -> Placement:
    """Placement of the limb on a film of `shape` (H, W): scaled, rotated, mirrored for a right limb, shifted."""
    height, width = shape
    centres = np.array(list(skeleton.joints.values()))
    extent, (mid_x, mid_y) = EXTENT[skeleton.limb]
    usual_mm = 128.0 if skeleton.limb == "hand" else 50.0  # the adult's vertical extent of the scored joints
    scale = extent * height / (usual_mm * (0.5 + 0.5 * skeleton.size)) * style.fill
    scale = min(scale, 0.97 * width * (0.7 if skeleton.limb == "hand" else 0.62) / np.ptp(centres[:, 0]) * style.fill)
    angle = np.deg2rad(style.angle_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mirror = np.diag([-1.0, 1.0]) if part[0] == "R" else np.eye(2)
    matrix = scale * turn @ mirror
    middle = (centres.max(0) + centres.min(0)) / 2
    centre_px = np.array([mid_x if part[0] == "L" else 1 - mid_x, mid_y]) + np.array(style.shift_frac)
    offset = centre_px * [width, height] - matrix @ middle
    turned = centres @ matrix.T + offset  # keep every joint on the film
    margin = 0.04 * height
    low, high = turned.min(0) - margin, turned.max(0) + margin
    offset += np.maximum(0, -low) - np.maximum(0, high - [width, height]) * (high - low < [width, height])
    return Placement(matrix, offset)


def add_metal(attenuation: np.ndarray, skeleton: Skeleton, position: Placement, style: Style, rng: np.random.Generator) -> None:
    """Add a finger ring across a proximal phalanx and a cable across the film, in place."""
    if style.ring:
        finger = int(rng.choice([3, 4, 4, 4, 2]))
        bone = next(b for b in skeleton.bones if b.name == f"pp_{finger}")
        centre = position(0.6 * np.asarray(bone.start) + 0.4 * np.asarray(bone.end))
        direction = position.matrix @ (bone.end - bone.start)
        angle = float(np.degrees(np.arctan2(direction[1], direction[0]))) + 90
        axes = (round(9.5 * position.px_per_mm), round(rng.uniform(1, 2.4) * position.px_per_mm))
        band = np.zeros(attenuation.shape, np.uint8)
        cv2.ellipse(
            band,
            tuple(np.round(centre).astype(int)),
            axes,
            angle,
            0,
            360,
            255,
            max(1, round(1.6 * position.px_per_mm)),
            cv2.LINE_AA,
        )
        attenuation += 1.6 * band / np.float32(255)
    if style.cable:
        height, width = attenuation.shape
        points = np.array([[0, rng.uniform(0, height)], [width * 0.5, rng.uniform(0, height)], [width, rng.uniform(0, height)]])
        line = np.zeros(attenuation.shape, np.uint8)
        cv2.polylines(line, [points.astype(np.int32)], False, 255, max(1, round(1.2 * position.px_per_mm)), cv2.LINE_AA)
        attenuation += 0.5 * line / np.float32(255)


def develop(attenuation: np.ndarray, position: Placement, style: Style, rng: np.random.Generator) -> np.ndarray:
    """uint8 grey levels of an exposed film: window, local contrast, gamma."""
    signal = expose(attenuation, style.photons, style.scatter, style.blur_mm * position.px_per_mm, rng)
    if style.local > 0:
        small = cv2.resize(signal, None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_AREA)
        wide = cv2.GaussianBlur(small, (0, 0), max(1.0, 1.2 * position.px_per_mm))
        signal = signal - style.local * cv2.resize(wide, signal.shape[::-1], interpolation=cv2.INTER_LINEAR)
    low, high = np.percentile(signal[::7, ::7], style.window)
    grey = np.clip((signal - low) / max(high - low, 1e-3), 0, 1) ** np.float32(style.gamma)
    return (grey * 235 + 12).astype(np.uint8)


def finish(grey: np.ndarray, part: str, style: Style, rng: np.random.Generator) -> np.ndarray:
    """Marker, text, inversion and collimation border, in film pixels."""
    height, width = grey.shape
    size = height / 1500
    if style.marker:
        _write(grey, str(rng.choice(MARKS[part[0]])), rng, 1.5 * size * rng.uniform(0.8, 1.8), int(rng.integers(190, 250)))
    if style.text:
        _write(grey, f"{rng.integers(10, 99)} kV {rng.integers(2, 12)} mAs", rng, 0.8 * size, int(rng.integers(150, 250)))
    if style.inverted:
        grey = 255 - grey
    if style.border:
        edge = [round(abs(style.border) * height * rng.uniform(0, 1.6)) for _ in range(4)]
        shade = 0 if style.border > 0 else 255
        grey[: edge[0]], grey[height - edge[1] :], grey[:, : edge[2]], grey[:, width - edge[3] :] = (shade,) * 4
    return np.ascontiguousarray(np.rot90(grey, style.quarter_turns))


def _write(grey: np.ndarray, text: str, rng: np.random.Generator, size: float, shade: int) -> None:
    height, width = grey.shape
    stroke = max(1, round(3 * size))
    (w, h), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, stroke)
    if w >= width // 2 or h >= height // 4:
        return
    x = int(rng.choice([rng.integers(0, max(1, width // 4)), rng.integers(max(width // 2, 1), max(width - w, width // 2 + 1))]))
    y = int(rng.choice([rng.integers(h, height // 5 + h), rng.integers(max(height - height // 6, h), height)], p=[0.8, 0.2]))
    label = np.zeros((2 * h + 8, w + 8), np.uint8)
    cv2.putText(label, text, (4, h + 4), cv2.FONT_HERSHEY_SIMPLEX, size, 255, stroke, cv2.LINE_AA)
    if rng.random() < 0.25:
        label = label[:, ::-1]  # a label seen from behind
    if rng.random() < 0.3:
        turn = cv2.getRotationMatrix2D((label.shape[1] / 2, label.shape[0] / 2), rng.uniform(-60, 60), 1)
        label = cv2.warpAffine(label, turn, label.shape[::-1])
    y0, x0 = max(0, y - h - 4), max(0, x - 4)
    window = grey[y0 : y0 + label.shape[0], x0 : x0 + label.shape[1]]
    label = label[: window.shape[0], : window.shape[1]]
    window[:] = np.maximum(window, (label.astype(np.float32) * shade / 255).astype(np.uint8))
